# Source of tilebox/sync/response.py, which scripts/unasync.py writes.
"""An HTTP response whose body is still to be read: whole, or piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.wire.decompression import Decompressor
from tilebox._io.http.aio import interrupt
from tilebox.errors import AnswerTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

MAX_ANSWER_BYTES = 256 << 20
"""How large an answer that is read whole may be, unpacked."""


class Response:
    """A response of httpx, of whose body the caller reads as much as it wants.

    It unpacks the body itself, because httpx unpacks any chain of encodings at once and without a bound.

    Args:
        response: The response as httpx returns it for `stream=True`.
        what: What was asked, for messages.

    Raises:
        TransportError: The body has an encoding that nobody asked for.
    """

    def __init__(self, response: httpx.Response, what: str) -> None:
        self.status_code: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._what = what
        self._raw = response.aiter_raw()
        self._rest = memoryview(b"")
        # An event hook of the caller's client may have read the body; httpx has unpacked it then.
        self._is_read = response.is_stream_consumed
        self._decompressor = Decompressor(what, "" if self._is_read else self.headers.get("content-encoding", ""))
        if self._is_read:
            self._decompressor.feed(response.content)

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            AnswerTooLargeError: It is larger than `MAX_ANSWER_BYTES`.
            TransportError: It cannot be unpacked.
        """
        pieces = []
        size = 0
        while piece := await self._next_piece():
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                limit = MAX_ANSWER_BYTES >> 20
                raise AnswerTooLargeError(f"the answer of {self._what} is larger than {limit} MiB; ask for less")
            pieces.append(piece)
        return b"".join(pieces)

    async def read_into(self, space: memoryview) -> int:
        """Read some bytes, at most as many as there is space, and return how many; 0 at the end.

        Raises:
            TransportError: The body cannot be unpacked.
        """
        if not self._rest:
            self._rest = memoryview(await self._next_piece())
        count = min(len(space), len(self._rest))
        space[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def interrupt(self) -> None:
        """Make a thread that waits for more of the body give up."""
        interrupt(self._response)

    async def _next_piece(self) -> bytes:
        while not (piece := self._decompressor.next_chunk()):
            packed = None if self._is_read else await anext(self._raw, None)
            if packed is None:
                self._decompressor.end()
                return b""
            self._decompressor.feed(packed)
        return piece
