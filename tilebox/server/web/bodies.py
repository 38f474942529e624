"""Bodies: read within bounds (as sent and as unpacked), parsed, and packed with gzip."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread
from google.protobuf.message import DecodeError, Message

from tilebox.errors import InvalidArgumentError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive

    Parse = Callable[[Sequence[bytes]], "T"]
    """Reads a request from its body, which comes in the pieces in which it arrived."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)

SMALL_BYTES = 1 << 17
"""Larger bodies are parsed and packed in a thread; for smaller ones, the way there takes longer than the work."""

# Gzip packs a thousandfold at most, so what unpacks in the loop stays below 4 MiB.
_SMALL_PACKED_BYTES = 1 << 12
# A byte that says whether the message is packed, and four of its length.
_FRAME_BYTES = 5
# How zlib calls the format.
_GZIP = 16 + zlib.MAX_WBITS


async def read_request(
    receive: Receive, parse: Parse[T], *, max_bytes: int, is_framed: bool = False, is_packed: bool = False
) -> T:
    """Read a request.

    Args:
        receive: The messages of the request.
        parse: Reads the request from its body.
        max_bytes: Largest body, as sent and as unpacked.
        is_framed: Whether the body is one message as gRPC frames it.
        is_packed: Whether the body is packed with gzip.

    Raises:
        InvalidArgumentError: The body was cut off, or is no such request.
        RateLimitedError: It is larger than allowed.
    """
    pieces = await read_pieces(receive, max_bytes + (_FRAME_BYTES if is_framed else 0))
    decode = partial(_decode, pieces, parse, max_bytes=max_bytes, is_framed=is_framed, is_packed=is_packed)
    is_small = sum(map(len, pieces)) <= (_SMALL_PACKED_BYTES if is_packed else SMALL_BYTES)
    return decode() if is_small else await anyio.to_thread.run_sync(decode)


async def read_pieces(receive: Receive, max_bytes: int) -> list[bytes]:
    """Read a body in the pieces in which it arrives.

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


def parser(message: type[M]) -> Parse[M]:
    """Return what reads a protobuf message from a body."""
    return partial(_parse, message)


def pack(content: bytes) -> bytes:
    """Pack a body with gzip, at its first level: the usual one takes four times as long."""
    packer = zlib.compressobj(1, wbits=_GZIP)
    return packer.compress(content) + packer.flush()


def frame(content: bytes, *, is_packed: bool) -> bytes:
    """Frame a message as gRPC does."""
    return bytes([is_packed]) + len(content).to_bytes(4) + content


def _decode(pieces: Sequence[bytes], parse: Parse[T], *, max_bytes: int, is_framed: bool, is_packed: bool) -> T:
    if is_framed:
        pieces = [_unframe(b"".join(pieces))]
    if is_packed:
        pieces = [_unpack(b"".join(pieces), max_bytes)]
    return parse(pieces)


def _parse(message: type[M], pieces: Sequence[bytes]) -> M:
    try:
        return message.FromString(b"".join(pieces))
    except DecodeError:
        raise InvalidArgumentError(f"the request is no {message.DESCRIPTOR.full_name}") from None


def _unframe(body: bytes) -> bytes:
    if not body.startswith(b"\0") or int.from_bytes(body[1:_FRAME_BYTES]) != len(body) - _FRAME_BYTES:
        raise InvalidArgumentError("the request's body must be one gRPC message that is not packed")
    return body[_FRAME_BYTES:]


def _unpack(body: bytes, max_bytes: int) -> bytes:
    if not body:
        return body  # Connect's rule: what is empty is not packed
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        raise InvalidArgumentError("the request's body is no gzip") from None
    if len(content) > max_bytes:
        raise RateLimitedError(f"the request unpacks to more than {max_bytes} bytes; send less at once")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidArgumentError("the request's body is no gzip")
    return content
