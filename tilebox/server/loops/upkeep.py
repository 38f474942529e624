"""Upkeep of the datapoints: small fragments are joined, indexes brought up to date, old versions removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from tilebox.server.points.interface import Points
    from tilebox.server.store.interface import Store

logger = logging.getLogger("tilebox.server")


class Upkeep:
    """The loop that looks after every dataset's table.

    Args:
        store: Where datasets are listed.
        points: Where their datapoints are kept.
        pause_seconds: Time between two rounds.
    """

    def __init__(self, store: Store, points: Points, *, pause_seconds: float) -> None:
        self._store = store
        self._points = points
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Make rounds until cancelled."""
        while True:
            await anyio.sleep(self._pause_seconds)
            try:
                await self.run_once()
            except Exception:
                logger.exception("a round of upkeep failed; the next one tries again")

    async def run_once(self) -> None:
        """Look after each dataset once. One that fails does not keep the others waiting."""
        for dataset in await self._store.all_datasets():
            try:
                done = await self._points.maintain(dataset.id)
            except Exception:
                logger.exception("upkeep of dataset %s failed; the next round tries again", dataset.slug)
            else:
                if done.actions:
                    logger.debug(
                        "upkeep of dataset %s: %s; %d fragments became %d, %d bytes freed",
                        dataset.slug,
                        ", ".join(done.actions),
                        done.fragments_before,
                        done.fragments_after,
                        done.removed_bytes,
                    )
