"""HTTP for the async client: one httpx client per running loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

__all__ = ["ClientPool", "interrupt"]


class ClientPool:
    """The HTTP clients of one Tilebox client.

    Sockets belong to the loop in which they were opened, so each loop gets a client of its own. Nobody
    closes a Tilebox client; so an async generator holds each of these, and the loop itself closes it
    with all its generators when it shuts down, as `asyncio.run` makes it do.

    Args:
        options: Arguments of every `httpx.AsyncClient`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, _Held] = WeakKeyDictionary()

    async def client(self) -> httpx.AsyncClient:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            held = self._held.get(loop)
        if held is None or held.client.is_closed:
            import httpx

            held = _Held(httpx.AsyncClient(**self._options))
            # Runs to its yield without waiting, so that no other task can come between.
            await anext(held.holder)
            with self._lock:
                self._held[loop] = held
        return held.client


def interrupt(response: httpx.Response) -> None:
    """Do nothing: cancelling a task ends its waiting."""


class _Held:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.holder = _hold(client)


async def _hold(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()
