"""HTTP for the async client: one httpx client per running loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import httpx

    from tilebox._core.http1 import Reply
    from tilebox._io.sockets.aio import SocketTransport

__all__ = ["Body", "ClientPool", "interrupt"]


class ClientPool:
    """The HTTP clients of one Tilebox client, which nobody closes.

    Sockets belong to the loop in which they were opened, so each loop gets a client of its own.

    Args:
        is_plain: Whether there is neither TLS nor a proxy, so that sockets of our own will do.
        options: Arguments of every `httpx.AsyncClient`.
    """

    def __init__(self, *, is_plain: bool = False, **options: Any) -> None:
        self._is_plain = is_plain and "transport" not in options
        self._options = options
        self._lock = threading.Lock()
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}
        self._headers: dict[str, str] = {}
        self._timeouts: dict[str, float | None] = {}
        weakref.finalize(self, _abandon, self._held).atexit = False

    async def client(self) -> httpx.AsyncClient:
        """Return the client of the running loop."""
        return (await self._hold()).client

    async def post(self, address: str, body: bytes, headers: dict[str, str]) -> httpx.Response | Reply:
        """Send a request, and return the whole answer.

        Args:
            address: The URL.
            body: What to send.
            headers: Other than those of every request.

        Raises:
            HTTPError: httpx's, whichever way it takes.
        """
        held = await self._hold()
        if held.sockets is None or "@" in address:  # before it stands a password, which httpx knows what to do with
            return await held.client.post(address, content=body, headers=headers)
        return await held.sockets.post(address, body, {**self._headers, **headers}, self._timeouts)

    @asynccontextmanager
    async def stream(self, address: str, body: bytes, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """Send a request as `post` does, and read the answer inside the `with`."""
        held = await self._hold()
        if held.sockets is None or "@" in address:
            async with held.client.stream("POST", address, content=body, headers=headers) as response:
                yield response
            return
        response = await held.sockets.open(address, body, {**self._headers, **headers}, self._timeouts)
        try:
            yield response
        finally:
            await response.aclose()

    async def _hold(self) -> _Held:
        loop = asyncio.get_running_loop()
        with self._lock:
            held = self._held.get(loop)
        if held is None or held.client.is_closed:
            held = _Held(loop, *self._open())
            # Runs to its yield without waiting, so that no other task can come between.
            await anext(held.holder)
            with self._lock:
                for closed in [other for other in self._held if other.is_closed()]:
                    del self._held[closed]
                self._held[loop] = held
        return held

    def _open(self) -> tuple[httpx.AsyncClient, SocketTransport | None]:
        import httpx

        if not self._is_plain:
            return httpx.AsyncClient(**self._options), None
        from tilebox._io.sockets.aio import SocketTransport

        sockets = SocketTransport()
        client = httpx.AsyncClient(transport=sockets, **self._options)
        self._headers, self._timeouts = dict(client.headers), client.timeout.as_dict()
        return client, sockets


class Body:
    """The body of an answer, read into memory of the caller's.

    Args:
        response: The answer; nothing of its body was read.
    """

    def __init__(self, response: httpx.Response) -> None:
        # Packed, it is for httpx to unpack.
        packed = response.headers.get("content-encoding", "identity") != "identity"
        self._answer = None if packed else response.extensions.get("answer")
        self._pieces = response.aiter_bytes()
        self._rest = memoryview(b"")

    async def read_into(self, space: memoryview) -> int:
        """Read some bytes, at most as many as there is space, and return how many; 0 at the end."""
        if self._answer is not None:
            return int(await self._answer.read_into(space))
        while not self._rest:
            piece = await anext(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(space), len(self._rest))
        space[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def interrupt(response: httpx.Response) -> None:
    """Do nothing: cancelling a task ends its waiting."""


class _Held:
    """A client that its loop closes when it shuts down, or earlier if the Tilebox client is collected.

    When it shuts down, a loop closes all async generators, as `asyncio.run` makes it do. So one holds
    the client. It must outlive the Tilebox client, which often dies with the main coroutine: too late
    for a task that would close the sockets.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient, sockets: SocketTransport | None
    ) -> None:
        self.loop = loop
        self.client = client
        self.sockets = sockets
        self.holder = self._hold()
        self._closing: asyncio.Task[None] | None = None
        for other in [other for other in _open if other.loop.is_closed()]:
            _open.discard(other)
        _open.add(self)

    def close_soon(self) -> None:
        """Start to close the client, in its loop."""
        self._closing = self.loop.create_task(self._close())

    async def _hold(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close()

    async def _close(self) -> None:
        await self.client.aclose()
        _open.discard(self)


_open: set[_Held] = set()


def _abandon(held: dict[asyncio.AbstractEventLoop, _Held]) -> None:
    for loop, one in list(held.items()):
        # A loop of another thread may close at this very moment, and has then closed the client itself.
        with suppress(RuntimeError):
            if not loop.is_closed():
                loop.call_soon_threadsafe(one.close_soon)
