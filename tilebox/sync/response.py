# Generated from tilebox/aio/response.py by scripts/unasync.py; do not edit.
"""An HTTP response whose body is read whole or in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.wire.decompression import Decompressor
from tilebox._io.http.sync import interrupt
from tilebox.errors import AnswerTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

MAX_ANSWER_BYTES = 256 << 20
"""The largest size of a body that is read whole, after decompression."""


class Response:
    """A response of httpx, whose body the caller may read in part.

    It decompresses the body itself, because httpx decodes any chain of encodings at once and without a size limit.

    Args:
        response: The response that httpx returns for `stream=True`.
        target: The call in error messages.

    Raises:
        TransportError: The body has an encoding that was not requested.
    """

    def __init__(self, response: httpx.Response, target: str) -> None:
        self.status_code: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._target = target
        self._raw = response.iter_raw()
        self._rest = memoryview(b"")
        # An event hook of the caller's client may have read the body; httpx has then decoded it.
        self._is_read = response.is_stream_consumed
        self._decompressor = Decompressor(target, "" if self._is_read else self.headers.get("content-encoding", ""))
        if self._is_read:
            self._decompressor.feed(response.content)

    def read(self) -> bytes:
        """Return the whole body.

        Raises:
            AnswerTooLargeError: The body is larger than `MAX_ANSWER_BYTES`.
            TransportError: The body cannot be decompressed.
        """
        chunks = []
        size = 0
        while chunk := self._next_chunk():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                limit = MAX_ANSWER_BYTES >> 20
                raise AnswerTooLargeError(
                    f"the response of {self._target} is larger than {limit} MiB; request less data at once"
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def read_into(self, buffer: memoryview) -> int:
        """Read bytes into a buffer, and return their number; 0 at the end of the body.

        Raises:
            TransportError: The body cannot be decompressed.
        """
        if not self._rest:
            self._rest = memoryview(self._next_chunk())
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def interrupt(self) -> None:
        """End the wait of a thread that reads the body."""
        interrupt(self._response)

    def _next_chunk(self) -> bytes:
        while not (chunk := self._decompressor.next_chunk()):
            packed = None if self._is_read else next(self._raw, None)
            if packed is None:
                self._decompressor.end()
                return b""
            self._decompressor.feed(packed)
        return chunk
