"""HTTP/1.1 connections over which small calls that come again take a short way.

A runner sends the same head with every request but for the length of the body. To take it apart each time, and to carry
a request of some hundred bytes through the layers that suit every request, takes longer than what it asks for. So a
connection remembers the heads that its parser took apart. Where one of them comes again, with its whole body in one
piece, the request goes straight to who answers it, and everything else goes the usual way. Nothing is understood here
that the parser did not understand first: a head that differs by one byte is another one.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.zttp_impl import ZttpProtocol

from tilebox._core.status import REQUEST_ID_HEADER
from tilebox.server.web.bodies import headers_of
from tilebox.server.web.envelope import EXTENSIONS, begin_request, log_request, logger, request_id

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from tilebox.server.connections import Gathering
    from tilebox.server.web.envelope import Answer, ShortCall

MAX_HEADS = 8
"""Heads that a connection remembers: clients have one for each call they make."""

_HEAD = b"HTTP/1.1 %%d %%b\r\n%%bcontent-type: %%b\r\ncontent-length: %%d\r\n%b: %%b\r\n%b: %b\r\n%%b\r\n" % (
    REQUEST_ID_HEADER.encode(),
    *EXTENSIONS,
)
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)
# With one of these, more is asked for than an answer, or the body may not be as long as `content-length` says.
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Request(NamedTuple):
    """A request, as far as it arrived in one piece.

    Args:
        head: What stands before the length of its body, and after it, up to the empty line.
        length: The length that its body will have.
        body: What there is of that, and perhaps more.
    """

    head: tuple[bytes, bytes]
    length: int
    body: bytes


class Known(NamedTuple):
    """What is known of requests with a certain head."""

    path: str
    call: ShortCall
    authorization: str
    is_packed: bool


def split(data: bytes) -> Request | None:
    """Return the request that begins here, or None if its head is not whole, or does not say how long its body is."""
    end = data.find(b"\r\n\r\n") + 2
    found = _LENGTH.search(data, 0, end) if end > 2 else None
    if found is None:
        return None
    start, stop = found.span(1)
    return Request((data[:start], data[stop:end]), int(found[1]), data[end + 2 :])


class ShortWay(ZttpProtocol):
    """Uvicorn's HTTP/1.1 connection with a short way beside its own.

    Args:
        short_calls: What may take it, by path.
        uvicorn: What uvicorn gives its connections.
    """

    def __init__(self, *, short_calls: Mapping[str, ShortCall], **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._calls = short_calls
        self._heads: dict[tuple[bytes, bytes], Known] = {}
        # How much of the last request is still to come; None once nobody can tell where the next one begins.
        self._to_come: int | None = 0
        self._answering: asyncio.Task[None] | None = None
        self._held = b""
        self._end: anyio.Event | None = None
        self._is_last = False

    def connection_made(self, transport: Gathering) -> None:  # type: ignore[override]
        """Take the way to the client."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._gathering = transport

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._answering is not None:
            self._hold(data)
            return
        request = split(data) if self._to_come == 0 and self._is_free else None
        known = self._heads.get(request.head) if request is not None else None
        if (
            request is not None
            and known is not None
            and len(request.body) == request.length <= known.call.max_body_bytes
        ):
            self._unset_keepalive_if_required()
            self._answering = self.loop.create_task(self._answer(known, request.body))
            return
        before = self.cycle
        super().data_received(data)
        if request is not None and self.cycle is not before:
            self._learn(request)
        elif self._to_come is not None and self._to_come >= len(data) > 0:
            self._to_come -= len(data)
        else:
            self._to_come = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever answers that nobody waits for it any more."""
        super().connection_lost(exc)
        if self._end is not None:
            self._end.set()

    def shutdown(self) -> None:
        """Close, once the answer at hand was sent."""
        self._is_last = True
        if self._answering is None:
            super().shutdown()

    @property
    def _is_free(self) -> bool:
        """Whether no request is being answered the usual way."""
        return self.cycle is None or self.cycle.response_complete

    def _learn(self, request: Request) -> None:
        """Note where the next request begins, and remember what the parser made of this one's head."""
        headers = dict(self.headers)
        is_plain = (
            len(headers) == len(self.headers)
            and headers.get(b"content-length") == b"%d" % request.length
            and not headers.keys() & _NOT_PLAIN
            and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
            and self.scope["http_version"] == "1.1"
        )
        self._to_come = request.length - len(request.body) if is_plain else None
        call = self._calls.get(self.scope["path"]) if is_plain else None
        if call is None or self.scope["method"] != "POST" or self.scope["query_string"]:
            return
        texts = headers_of(self.scope)
        if call.takes(texts):
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            is_packed = texts.get("content-encoding") == "gzip"
            known = Known(self.scope["path"], call, texts.get("authorization", ""), is_packed)
            self._heads[request.head] = known

    def _hold(self, data: bytes) -> None:
        """Keep what arrives before the answer at hand was sent."""
        self._held += data
        if len(self._held) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    async def _answer(self, known: Known, body: bytes) -> None:
        try:
            await self._carry_out(known, body)
        except BaseException as error:
            # Whoever waits for the answer learns that there will be none.
            self.transport.close()
            if not isinstance(error, Exception):
                raise
            logger.exception("request %s %s failed unexpectedly", request_id.get(), known.path)

    async def _carry_out(self, known: Known, body: bytes) -> None:
        started = time.perf_counter()
        name = begin_request()
        answer = await known.call.answer(
            known.authorization, body, is_packed=known.is_packed, gone=self._wait_for_the_end
        )
        if self.flow.write_paused:
            await self.flow.drain()
        self._answering = None
        self.server_state.total_requests += 1
        log_request(name, "POST", known.path, answer.status, started)
        if not self.transport.is_closing():
            self._send(self._head(answer, name) + answer.content)

    def _send(self, answer: bytes) -> None:
        """Send an answer as the last thing, since its reader does not begin before this process rests; then go on."""
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._gathering.write_at_once(answer)
        if self._is_last:
            self.transport.close()
        elif self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held)

    async def _wait_for_the_end(self) -> None:
        if not self.transport.is_closing():
            self._end = self._end or anyio.Event()
            await self._end.wait()

    def _head(self, answer: Answer, name: str) -> bytes:
        return _HEAD % (
            answer.status,
            _PHRASES.get(answer.status, b""),
            b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers),
            answer.content_type,
            len(answer.content),
            name.encode(),
            b"connection: close\r\n" if self._is_last else b"",
        )
