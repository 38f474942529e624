"""The body of an HTTP answer, unpacked in pieces of limited size."""

from __future__ import annotations

import zlib

from tilebox.errors import TransportError

PIECE_BYTES = 1 << 20


class Unpacker:
    """Unpacks a body as it arrives. A few kilobytes of gzip can hold gigabytes, so no piece is larger than `PIECE_BYTES`.

    Feed it what arrives, then take pieces until one is empty.

    Args:
        what: What was asked, for messages.
        encoding: The `content-encoding` of the answer.

    Raises:
        TransportError: The encoding is neither `gzip` nor `identity`; clients ask for no other.
    """

    def __init__(self, what: str, encoding: str = "identity") -> None:
        self._what = what
        self._packed = b""
        self._has_begun = False
        self._inflater = None
        if encoding.strip().lower() == "gzip":
            self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        elif encoding.strip().lower() not in ("", "identity"):
            raise TransportError(
                f"the answer of {what} has the content-encoding {encoding[:40]!r}, which nobody asked for"
            )

    def feed(self, packed: bytes) -> None:
        """Add bytes that arrived."""
        self._packed = packed
        self._has_begun = self._has_begun or bool(packed)

    def piece(self) -> bytes:
        """Return the next piece, or nothing if more bytes have to arrive first.

        Raises:
            TransportError: The bytes are not gzip.
        """
        if self._inflater is None:
            piece, self._packed = self._packed, b""
            return piece
        if self._inflater.eof:
            if self._packed:
                raise TransportError(f"the answer of {self._what} goes on behind the end of its gzip stream")
            return b""
        try:
            piece = self._inflater.decompress(self._packed, PIECE_BYTES)
        except zlib.error as error:
            raise TransportError(f"the answer of {self._what} cannot be unpacked: {error}") from error
        self._packed = self._inflater.unused_data or self._inflater.unconsumed_tail
        return piece

    def end(self) -> None:
        """Note that no more bytes arrive.

        Raises:
            TransportError: The gzip stream was cut off.
        """
        if self._inflater is not None and self._has_begun and not self._inflater.eof:
            raise TransportError(f"the answer of {self._what} was cut off before its gzip stream ended")
