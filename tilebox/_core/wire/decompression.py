"""Decompression of HTTP response bodies in chunks of limited size."""

from __future__ import annotations

import zlib

from tilebox.errors import TransportError

CHUNK_BYTES = 1 << 20


class Decompressor:
    """Decompresses a body while it arrives.

    A few kilobytes of gzip can hold gigabytes, so no chunk is larger than `CHUNK_BYTES`. Feed it the bytes that
    arrive, then take chunks until one is empty.

    Args:
        call: The call in error messages.
        encoding: The `content-encoding` of the response.

    Raises:
        TransportError: The encoding is neither `gzip` nor `identity`, the only ones that clients accept.
    """

    def __init__(self, call: str, encoding: str = "identity") -> None:
        self._call = call
        self._packed = b""
        self._has_begun = False
        self._inflater = None
        if encoding.strip().lower() == "gzip":
            self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif encoding.strip().lower() not in ("", "identity"):
            raise TransportError(
                f"the response of {call} has the content-encoding {encoding[:40]!r}, which was not requested"
            )

    def feed(self, packed: bytes) -> None:
        """Add bytes that arrived; all chunks of earlier ones must be taken."""
        self._packed = packed
        self._has_begun = self._has_begun or bool(packed)

    def next_chunk(self) -> bytes:
        """Return the next chunk, or no bytes if more must arrive first.

        Raises:
            TransportError: The bytes are not gzip.
        """
        if self._inflater is None:
            chunk, self._packed = self._packed, b""
            return chunk
        if self._inflater.eof:
            if self._packed:
                raise TransportError(f"the response of {self._call} continues after the end of its gzip stream")
            return b""
        try:
            chunk = self._inflater.decompress(self._packed, CHUNK_BYTES)
        except zlib.error as error:
            raise TransportError(f"the response of {self._call} cannot be decompressed: {error}") from error
        self._packed = self._inflater.unused_data or self._inflater.unconsumed_tail
        return chunk

    def end(self) -> None:
        """Check that the body is complete, when no more bytes arrive.

        Raises:
            TransportError: The gzip stream was cut off.
        """
        if self._inflater is not None and self._has_begun and not self._inflater.eof:
            raise TransportError(f"the response of {self._call} was cut off before its gzip stream ended")
