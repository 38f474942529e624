"""Reading a request's body where no library does it: bounded as sent and as unpacked."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import DecodeError, Message

from tilebox.errors import InvalidArgumentError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive

M = TypeVar("M", bound=Message)

# A byte that says whether the message is packed, and four of its length.
_FRAME_BYTES = 5
# How zlib calls the format.
_GZIP = 16 + zlib.MAX_WBITS


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a request by lower-case name."""
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}


async def read_message(receive: Receive, headers: Mapping[str, str], message: type[M], *, max_bytes: int) -> M:
    """Read a body that is one protobuf message, perhaps packed with gzip.

    Raises:
        InvalidArgumentError: It is something else, or was cut off.
        RateLimitedError: It is larger than allowed.
    """
    if headers.get("content-type") != "application/proto":
        raise InvalidArgumentError("content-type must be application/proto")
    body = await read_body(receive, max_bytes)
    if headers.get("content-encoding", "identity") == "gzip":
        body = unpacked(body, max_bytes)
    return parsed(body, message)


async def read_framed(receive: Receive, message: type[M], *, max_bytes: int) -> M:
    """Read a body that is one protobuf message as gRPC frames it: whether it is packed, its length, and itself.

    Raises:
        InvalidArgumentError: It is something else, or was cut off.
        RateLimitedError: It is larger than allowed.
    """
    body = await read_body(receive, max_bytes + _FRAME_BYTES)
    if not body.startswith(b"\0") or int.from_bytes(body[1:_FRAME_BYTES]) != len(body) - _FRAME_BYTES:
        raise InvalidArgumentError("the request's body must be one gRPC message that is not packed")
    return parsed(body[_FRAME_BYTES:], message)


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Read a body as it was sent; raises as `read_pieces` does."""
    return b"".join(await read_pieces(receive, max_bytes))


async def read_pieces(receive: Receive, max_bytes: int) -> list[bytes]:
    """Read a body in the pieces in which it arrived.

    Raises:
        InvalidArgumentError: It was cut off.
        RateLimitedError: It is larger than allowed.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidArgumentError("the request ended before its body")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > max_bytes:
            raise RateLimitedError(f"the request is larger than {max_bytes} bytes; send less at once")
        if not message.get("more_body"):
            return pieces


def parsed(body: bytes, message: type[M]) -> M:
    """Return the message of a body; raises InvalidArgumentError if it is none."""
    try:
        return message.FromString(body)
    except DecodeError:
        raise InvalidArgumentError(f"the request is no {message.DESCRIPTOR.full_name}") from None


def unpacked(body: bytes, max_bytes: int) -> bytes:
    """Unpack a body that was packed with gzip, in one piece.

    Raises:
        InvalidArgumentError: It is something else, or was cut off.
        RateLimitedError: It unpacks to more than allowed.
    """
    if not body:
        return body  # Connect's rule: what is empty is not packed
    packed = zlib.decompressobj(_GZIP)
    try:
        content = packed.decompress(body, max_bytes + 1)
    except zlib.error:
        raise InvalidArgumentError("the request's body is no gzip") from None
    if len(content) > max_bytes:
        raise RateLimitedError(f"the request unpacks to more than {max_bytes} bytes; send less at once")
    if not packed.eof or packed.unused_data:
        raise InvalidArgumentError("the request's body is no gzip")
    return content
