"""HTTP transports for both clients: scripted responses, and faults on the way to a real server."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import httpx

from tilebox._core.wire import status


def proto(message, **headers) -> httpx.Response:
    """Return a successful response."""
    return httpx.Response(
        200, content=message.SerializeToString(), headers={"content-type": "application/proto", **headers}
    )


def refusal(code: str, message: str = "no", **headers) -> httpx.Response:
    """Return an error as a Connect server reports it."""
    body = status.error_body(code, message)
    return httpx.Response(
        status.http_status(code), content=body, headers={"content-type": "application/json", **headers}
    )


class Script(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Responds to every request with the next step: a response, an error to raise, or a function of the request.

    The last step repeats, so that a client which asks once too often is seen in `requests`.
    """

    def __init__(self, *steps) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        step = self._steps[min(len(self.requests), len(self._steps)) - 1]
        if isinstance(step, Exception):
            raise step
        answer = step(request) if callable(step) else step
        # A copy, since httpx marks a response as read.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self.handle_request(request)

    @property
    def methods(self) -> list[str]:
        """The requested methods, in order."""
        return [request.url.path.rpartition("/")[2] for request in self.requests]


@dataclass
class Cut:
    """A fault: the response ends after some bytes, cleanly or with a reset."""

    after_bytes: int
    is_reset: bool = True
    seen: bytearray = field(default_factory=bytearray)


@dataclass
class Faults(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Passes requests on to a real server, except for those that a plan names.

    Args:
        wire: The transport that reaches the server.
        plan: By method, what happens to its first, second, ... request: None for nothing, a response or an error
            in its place, or a `Cut` of its answer.
        hides_extensions: Whether the server seems to have no extension of the wire.
    """

    wire: object
    plan: dict[str, list] = field(default_factory=dict)
    hides_extensions: bool = False
    methods: list[str] = field(default_factory=list)
    lock: object = field(default_factory=threading.Lock)

    def handle_request(self, request):
        fault = self._next_fault(request)
        if isinstance(fault, httpx.Response):
            return httpx.Response(fault.status_code, headers=fault.headers, content=fault.content)
        return self._shape(self.wire.handle_request(request), fault)

    async def handle_async_request(self, request):
        fault = self._next_fault(request)
        if isinstance(fault, httpx.Response):
            return httpx.Response(fault.status_code, headers=fault.headers, content=fault.content)
        return self._shape(await self.wire.handle_async_request(request), fault)

    def close(self):
        self.wire.close()

    async def aclose(self):
        await self.wire.aclose()

    def _next_fault(self, request):
        method = request.url.path.rpartition("/")[2]
        with self.lock:
            self.methods.append(method)
            steps = self.plan.get(method)
            fault = steps.pop(0) if steps else None
        if isinstance(fault, Exception):
            raise fault
        return fault

    def _shape(self, response, fault):
        if self.hides_extensions:
            response.headers.pop(status.EXTENSIONS_HEADER, None)
        if isinstance(fault, Cut):
            response.stream = CutStream(response.stream, fault)
        return response


@dataclass
class Rendezvous(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Holds requests of one method until a given number of them is under way."""

    wire: object
    method: str
    parties: int

    def __post_init__(self):
        self._threads = threading.Barrier(self.parties, timeout=300)
        self._tasks = asyncio.Barrier(self.parties)

    def handle_request(self, request):
        if request.url.path.endswith(self.method):
            self._threads.wait()
        return self.wire.handle_request(request)

    async def handle_async_request(self, request):
        if request.url.path.endswith(self.method):
            async with asyncio.timeout(30):
                await self._tasks.wait()
        return await self.wire.handle_async_request(request)

    def close(self):
        self.wire.close()

    async def aclose(self):
        await self.wire.aclose()


class CutStream(httpx.AsyncByteStream, httpx.SyncByteStream):
    """The first bytes of another stream."""

    def __init__(self, stream, cut: Cut) -> None:
        self._stream = stream
        self._cut = cut
        self._left = cut.after_bytes

    def __iter__(self):
        for chunk in self._stream:
            yield self._take(chunk)
            if self._left == 0:
                break
        self._end()

    async def __aiter__(self):
        async for chunk in self._stream:
            yield self._take(chunk)
            if self._left == 0:
                break
        self._end()

    def close(self):
        self._stream.close()

    async def aclose(self):
        await self._stream.aclose()

    def _take(self, chunk):
        taken = chunk[: self._left]
        self._left -= len(taken)
        self._cut.seen += taken
        return taken

    def _end(self):
        if self._left == 0 and self._cut.is_reset:
            raise httpx.ReadError("connection reset by peer")
