"""Library clients for the async client: one for each running loop, closed when the loop shuts down."""

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
    """A client for each loop, opened when it is first needed there.

    Args:
        open_client: Yields the client, and closes it when it is closed itself.
    """

    def __init__(self, open_client: Callable[[], AsyncGenerator[C, None]]) -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._opened: dict[asyncio.AbstractEventLoop, asyncio.Task[_Held[C]]] = {}
        weakref.finalize(self, _abandon, self._opened).atexit = False

    async def client(self) -> C:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            opening = self._opened.get(loop)
            if opening is None or _has_failed(opening):
                for closed in [other for other in self._opened if other.is_closed()]:
                    del self._opened[closed]
                # A task of its own: the first caller may be cancelled while others wait for the same client.
                opening = self._opened[loop] = loop.create_task(_open(self._open_client))
        return (opening.result() if opening.done() else await asyncio.shield(opening)).client


class _Held(Generic[C]):
    """A client in an async generator, since a loop closes those when it shuts down, as `asyncio.run` makes it do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, holder: AsyncGenerator[C, None], client: C) -> None:
        self.loop = loop
        self.client = client
        self._holder = holder
        self._closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Start to close the client, in its loop."""
        self._closing = self.loop.create_task(self._close())

    async def _close(self) -> None:
        await self._holder.aclose()
        _open_ones.discard(self)


# Kept alive here, since the cache may die with the main coroutine, shortly before its loop closes the client.
_open_ones: set[_Held[Any]] = set()


async def _open(open_client: Callable[[], AsyncGenerator[C, None]]) -> _Held[C]:
    holder = open_client()
    held = _Held(asyncio.get_running_loop(), holder, await anext(holder))
    for one in [one for one in _open_ones.copy() if one.loop.is_closed()]:
        _open_ones.discard(one)
    _open_ones.add(held)
    return held


def _has_failed(opening: asyncio.Task[Any]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)


def _abandon(opened: dict[asyncio.AbstractEventLoop, asyncio.Task[_Held[Any]]]) -> None:
    for loop, opening in list(opened.items()):
        # A loop of another thread may close at this very moment, and has then closed the client itself.
        with suppress(RuntimeError):
            if opening.done() and not _has_failed(opening) and not loop.is_closed():
                loop.call_soon_threadsafe(opening.result().close_soon)
