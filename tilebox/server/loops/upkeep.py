"""The background loop that maintains datapoint tables: compaction, indexes, removal of old versions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from tilebox.server.points.interface import Points
    from tilebox.server.store.interface import Store

logger = logging.getLogger("tilebox.server")


class Upkeep:
    """The loop that maintains the table of every dataset.

    Args:
        store: Lists the datasets.
        points: Stores their datapoints.
        pause_seconds: Time between two rounds.
    """

    def __init__(self, store: Store, points: Points, *, pause_seconds: float) -> None:
        self._store = store
        self._points = points
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Run rounds until cancelled."""
        while True:
            await anyio.sleep(self._pause_seconds)
            try:
                await self.run_once()
            except Exception:
                logger.exception("a round of upkeep failed; the next round tries again")

    async def run_once(self) -> None:
        """Maintain each dataset once. A failure of one does not affect the others."""
        for dataset in await self._store.all_datasets():
            try:
                result = await self._points.maintain(dataset.id)
            except Exception:
                logger.exception("upkeep of dataset %s failed; the next round tries again", dataset.slug)
            else:
                if result.actions:
                    logger.debug(
                        "upkeep of dataset %s: %s; %d fragments became %d, %d bytes freed",
                        dataset.slug,
                        ", ".join(result.actions),
                        result.fragments_before,
                        result.fragments_after,
                        result.removed_bytes,
                    )
