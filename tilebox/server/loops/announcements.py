"""Passes on what other server processes changed to those who wait in this one."""

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


class Announcements:
    """The loop.

    Args:
        store: Where announcements come from.
        leases: Who tells those who wait.
    """

    def __init__(self, store: Orchestration, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self.listen()
            except TileboxError as error:
                logger.warning("other servers cannot be heard now: %s", error)
            await anyio.sleep(RECONNECT_SECONDS)

    async def listen(self) -> None:
        """Listen until the connection breaks."""
        async with aclosing(self._store.announcements()) as announcements:
            async for effects in announcements:
                if not effects.ready and not effects.jobs:
                    # Connected again; what was said meanwhile is lost.
                    self._leases.room.wake_everyone()
                await self._leases.tell(effects)
