"""The background loop that receives changes of other server processes, and wakes the requests that wait for them."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from tilebox.server.orchestration.leases import Leases
    from tilebox.server.store.work.interface import Orchestration

logger = logging.getLogger("tilebox.server")

RECONNECT_SECONDS = 1.0


class AnnouncementListener:
    """The loop that listens to the announcements of other server processes on the same database.

    Args:
        store: Receives the announcements.
        leases: Wakes the requests that wait in this process.
    """

    def __init__(self, store: Orchestration, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    async def run(self) -> None:
        """Listen until cancelled, reconnecting after errors."""
        while True:
            try:
                await self.listen()
            except TileboxError as error:
                logger.warning("cannot receive changes of other servers, reconnecting: %s", error)
            await anyio.sleep(RECONNECT_SECONDS)

    async def listen(self) -> None:
        """Listen until the connection breaks."""
        async with aclosing(self._store.announcements()) as announcements:
            async for effects in announcements:
                if not effects.ready and not effects.jobs:
                    # An empty announcement follows each (re)connect. Earlier announcements may have been lost.
                    self._leases.wait_queue.wake_all()
                await self._leases.notify(effects)
