"""Request and response bodies: size limits (as sent and decompressed), parsing, gzip and gRPC framing."""

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
    """Parses a request from the pieces in which its body arrived."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)

SMALL_BYTES = 1 << 17
"""Larger bodies are parsed and compressed in a thread; for smaller ones, the switch costs more than the work."""

# Gzip compresses at most a thousandfold, so a body that is decompressed on the event loop stays below 4 MiB.
_SMALL_COMPRESSED_BYTES = 1 << 12
# The prefix of a gRPC message: one byte for the compressed flag, four bytes for the length.
_PREFIX_BYTES = 5
# The value with which zlib selects the gzip format.
_GZIP = 16 + zlib.MAX_WBITS


async def read_request(
    receive: Receive, parse: Parse[T], *, max_bytes: int, is_framed: bool = False, is_compressed: bool = False
) -> T:
    """Read and parse a request.

    Args:
        receive: ASGI callable that receives the body.
        parse: Parses the request.
        max_bytes: Largest body in bytes, as sent and decompressed.
        is_framed: Whether the body is one message in gRPC framing.
        is_compressed: Whether the body is compressed with gzip.

    Returns:
        What `parse` returns.

    Raises:
        InvalidArgumentError: The body is incomplete or malformed.
        RateLimitedError: The body is too large.
    """
    pieces = await read_pieces(receive, max_bytes + (_PREFIX_BYTES if is_framed else 0))
    decode = partial(_decode, pieces, parse, max_bytes=max_bytes, is_framed=is_framed, is_compressed=is_compressed)
    is_small = sum(map(len, pieces)) <= (_SMALL_COMPRESSED_BYTES if is_compressed else SMALL_BYTES)
    return decode() if is_small else await anyio.to_thread.run_sync(decode)


async def read_pieces(receive: Receive, max_bytes: int) -> list[bytes]:
    """Read a body, and return the pieces in which it arrived.

    Raises:
        InvalidArgumentError: The body is incomplete.
        RateLimitedError: The body is too large.
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
    """Return a function that parses a protobuf message from a body."""
    return partial(_parse, message)


def compress(content: bytes) -> bytes:
    """Compress a body with gzip at level 1; the default level takes four times as long."""
    compressor = zlib.compressobj(1, wbits=_GZIP)
    return compressor.compress(content) + compressor.flush()


def frame(content: bytes, *, is_compressed: bool) -> bytes:
    """Return a message in gRPC framing."""
    return bytes([is_compressed]) + len(content).to_bytes(4) + content


def _decode(pieces: Sequence[bytes], parse: Parse[T], *, max_bytes: int, is_framed: bool, is_compressed: bool) -> T:
    if is_framed:
        pieces = [_unframe(b"".join(pieces))]
    if is_compressed:
        pieces = [_decompress(b"".join(pieces), max_bytes)]
    return parse(pieces)


def _parse(message: type[M], pieces: Sequence[bytes]) -> M:
    try:
        return message.FromString(b"".join(pieces))
    except DecodeError:
        raise InvalidArgumentError(f"the request is not a valid {message.DESCRIPTOR.full_name}") from None


def _unframe(body: bytes) -> bytes:
    if not body.startswith(b"\0") or int.from_bytes(body[1:_PREFIX_BYTES]) != len(body) - _PREFIX_BYTES:
        raise InvalidArgumentError("the request's body must be one uncompressed gRPC message")
    return body[_PREFIX_BYTES:]


def _decompress(body: bytes, max_bytes: int) -> bytes:
    if not body:
        return body  # by Connect's rules, an empty body is never compressed
    decompressor = zlib.decompressobj(_GZIP)
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        raise InvalidArgumentError("the request's body is not valid gzip") from None
    if len(content) > max_bytes:
        raise RateLimitedError(f"the request decompresses to more than {max_bytes} bytes; send less at once")
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidArgumentError("the request's body is not valid gzip")
    return content
