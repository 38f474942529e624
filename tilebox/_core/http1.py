"""HTTP/1.1 from the client's side without IO: the head of a request, and an answer as it arrives.

What is large goes from the socket to where it is wanted without a copy in between: whoever reads asks `room` for
the memory that the next bytes belong in, and tells `arrived` how many came.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

BUFFER_BYTES = 65_536
"""Longest head of an answer; what is smaller than this comes through a buffer."""

_UNTIL_CLOSE = sys.maxsize
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")
_ILLEGAL = re.compile(rb"[\r\n\0]")


class BadAnswerError(Exception):
    """What arrived is no HTTP/1.1, or less than was announced."""


class BadRequestError(Exception):
    """A header cannot be sent."""


class Head(NamedTuple):
    """The head of an answer: its status, its headers as they came, and the last one of each lower-case name."""

    status: int
    headers: list[tuple[bytes, bytes]]
    values: dict[bytes, bytes]


class Reply(NamedTuple):
    """A whole answer: status, headers by lower-case name, and body; read like a response of httpx."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    @classmethod
    def of(cls, head: Head, content: bytes) -> Reply:
        """Return an answer of which all has arrived."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.values.items()}
        return cls(head.status, headers, content)


def request_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request.

    Raises:
        BadRequestError: A header has a line break in it.
    """
    lines = [b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % pair for pair in headers)]
    for line in lines:
        if _ILLEGAL.search(line):
            raise BadRequestError(f"the header {line.partition(b':')[0][:40]!r} has a line break in it")
    return b"\r\n".join([*lines, b"", b""])


class Incoming:
    """What one connection brings, an answer after the other.

    A reader calls `head` until there is one, then `take` until it says 0. Where either says None it first makes room
    and receives: `arrived(receive_into(room(space)))`. Small answers are here as soon as their head is, so it is
    worth asking for the `rest` before.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._stop = 0
        self._is_direct = False
        self._keeps_alive = True
        self._left: int
        self._expect(0)

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can carry another request: the answer is whole, and nothing follows it."""
        return self._keeps_alive and self._is_complete and self._start == self._stop

    @property
    def left(self) -> int:
        """How many bytes of the body are known to come next."""
        return 0 if self._left == _UNTIL_CLOSE else self._left

    def head(self) -> Head | None:
        """Return the head of the next answer, or None if it is not there in full.

        Raises:
            BadAnswerError: It is no HTTP/1.1, or does not end.
        """
        end = self._buffer.find(b"\r\n\r\n", self._start, self._stop)
        if end < 0:
            if self._stop - self._start == BUFFER_BYTES:
                raise BadAnswerError("the head of the answer does not end")
            return None
        first, *lines = bytes(self._buffer[self._start : end]).split(b"\r\n")
        self._start = end + 4
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise BadAnswerError(f"the answer is no HTTP/1.1: {first[:80]!r}")
        headers = _headers(lines)
        head = Head(int(status_line[2]), headers, {name.lower(): value for name, value in headers})
        if head.status < 200:
            return self.head()  # a remark on the way, which nobody asked for
        self._expect_body(head, is_old=status_line[1] == b"0")
        return head

    def rest(self) -> bytes | None:
        """Take the whole body if it is known to be here already, or else nothing: None."""
        if self._is_chunked or self._left > self._stop - self._start:
            return None
        end = self._start + self._left
        body = bytes(self._buffer[self._start : end])
        self._start = end
        self._expect(0)
        return body

    def take(self, target: memoryview) -> int | None:
        """Move bytes of the body that are here already, and return how many: 0 at its end, None if there are none yet.

        Raises:
            BadAnswerError: The body is not cut into chunks as announced.
        """
        while self._left == 0 and not self._is_complete:
            if not self._next_chunk():
                return None
        if self._is_complete:
            return 0
        count = min(len(target), self._left, self._stop - self._start)
        if count == 0:
            return None
        with memoryview(self._buffer) as view:
            target[:count] = view[self._start : self._start + count]
        self._start += count
        self._take_off(count)
        return count

    def room(self, target: memoryview | None = None) -> memoryview:
        """Return where the next bytes belong: the target itself for a large piece of the body, or a buffer."""
        if self._start == self._stop:
            self._start = self._stop = 0
            if target is not None and min(len(target), self._left) >= BUFFER_BYTES:
                self._is_direct = True
                return target[: self._left]
        elif self._start:
            unread = self._buffer[self._start : self._stop]
            self._buffer[: len(unread)] = unread
            self._start, self._stop = 0, len(unread)
        return memoryview(self._buffer)[self._stop :]

    def arrived(self, count: int) -> int | None:
        """Take note of bytes that came, 0 at the end of the connection.

        Returns:
            What `take` would, if they went to the target.

        Raises:
            BadAnswerError: The connection ended before the answer did.
        """
        is_direct, self._is_direct = self._is_direct, False
        if count == 0:
            if self._left != _UNTIL_CLOSE:
                raise BadAnswerError("the server closed the connection before its answer was complete")
            self._left, self._is_complete = 0, True
            return 0
        if is_direct:
            self._take_off(count)
            return count
        self._stop += count
        return None

    def _expect(self, length: int) -> None:
        """Get ready for a body of known length."""
        self._left, self._is_complete = length, length == 0
        self._is_chunked = self._is_in_trailers = self._is_behind_chunk = False

    def _expect_body(self, head: Head, *, is_old: bool) -> None:
        values = head.values
        connection = values.get(b"connection", b"").lower()
        self._keeps_alive = connection == b"keep-alive" if is_old else connection != b"close"
        encoding = values.get(b"transfer-encoding")
        length = values.get(b"content-length")
        if head.status in (204, 304):
            self._expect(0)
        elif encoding is not None:
            if encoding.lower() != b"chunked":
                raise BadAnswerError(f"the answer comes in a transfer encoding of its own: {encoding[:40]!r}")
            self._expect(0)
            self._is_chunked, self._is_complete = True, False
        elif length is not None:
            if not length.isdigit():
                raise BadAnswerError(f"the answer has no proper length: {length[:40]!r}")
            self._expect(int(length))
        else:
            self._expect(_UNTIL_CLOSE)
            self._keeps_alive = False

    def _take_off(self, count: int) -> None:
        if self._left != _UNTIL_CLOSE:
            self._left -= count
        if self._left == 0:
            self._is_complete = not self._is_chunked
            self._is_behind_chunk = self._is_chunked

    def _next_chunk(self) -> bool:
        """Read a line of what stands between chunks, and tell whether it was there."""
        end = self._buffer.find(b"\r\n", self._start, self._stop)
        if end < 0:
            if self._stop - self._start == BUFFER_BYTES:
                raise BadAnswerError("a line of the answer does not end")
            return False
        line = bytes(self._buffer[self._start : end])
        self._start = end + 2
        if self._is_in_trailers:
            self._is_complete = not line
        elif self._is_behind_chunk:
            if line:
                raise BadAnswerError("a chunk of the answer is longer than announced")
            self._is_behind_chunk = False
        else:
            self._left = _chunk_size(line)
            self._is_in_trailers = self._left == 0
        return True


def _chunk_size(line: bytes) -> int:
    found = _CHUNK_LINE.fullmatch(line)
    if found is None:
        raise BadAnswerError(f"the answer is not cut into chunks as announced: {line[:40]!r}")
    return int(found[1], 16)


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadAnswerError(f"the answer has a malformed header: {line[:40]!r}")
        headers.append((name, value.strip()))
    return headers
