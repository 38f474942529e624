"""The cache of library clients for the async client: one per event loop, closed when the loop shuts down."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["ClientCache"]

C = TypeVar("C")


class ClientCache(Generic[C]):
    """One client per event loop, opened on its first use.

    Args:
        open_client: An async generator that yields the client, and closes it when it is closed itself.
    """

    def __init__(self, open_client: Callable[[], AsyncGenerator[C, None]]) -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._opened: dict[asyncio.AbstractEventLoop, asyncio.Task[_OpenClient[C]]] = {}
        weakref.finalize(self, _abandon, self._opened).atexit = False

    async def client(self) -> C:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            opening = self._opened.get(loop)
            if opening is None or _has_failed(opening):
                for closed in [other for other in self._opened if other.is_closed()]:
                    del self._opened[closed]
                # In its own task, because the first caller may be cancelled while others wait for the same client.
                opening = self._opened[loop] = loop.create_task(_open(self._open_client))
        return (opening.result() if opening.done() else await asyncio.shield(opening)).client


class _OpenClient(Generic[C]):
    """A client in its async generator. `asyncio.run` shuts down async generators, and so closes the client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, generator: AsyncGenerator[C, None], client: C) -> None:
        self.loop = loop
        self.client = client
        self._generator = generator
        self._closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Start to close the client in its loop."""
        self._closing = self.loop.create_task(self._close())

    async def _close(self) -> None:
        await self._generator.aclose()
        _open_clients.discard(self)


# Referenced here, because a cache may be collected with the main coroutine, shortly before its loop closes the client.
_open_clients: set[_OpenClient[Any]] = set()


async def _open(open_client: Callable[[], AsyncGenerator[C, None]]) -> _OpenClient[C]:
    generator = open_client()
    opened = _OpenClient(asyncio.get_running_loop(), generator, await anext(generator))
    for stale in [other for other in _open_clients.copy() if other.loop.is_closed()]:
        _open_clients.discard(stale)
    _open_clients.add(opened)
    return opened


def _has_failed(opening: asyncio.Task[Any]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)


def _abandon(opened: dict[asyncio.AbstractEventLoop, asyncio.Task[_OpenClient[Any]]]) -> None:
    for loop, opening in list(opened.items()):
        # A loop of another thread may close at the same moment. It has then closed the client itself.
        with suppress(RuntimeError):
            if opening.done() and not _has_failed(opening) and not loop.is_closed():
                loop.call_soon_threadsafe(opening.result().close_soon)
