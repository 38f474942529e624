"""Takes back what runners hold that are not heard of any more, and ends the pauses of tasks that failed.

After an outage, its own or the database's, leases look over only because nobody could extend them. So it takes
nothing before one lease has passed in which every round of it went well. Where a clock was set back, leases and pauses
would last too long; it ends them in time, in its first round too, since nobody knows what clocks said before.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox.server.orchestration.leases import Leases
    from tilebox.server.store.work.interface import Orchestration

logger = logging.getLogger("tilebox.server")

ROUNDS_PER_LEASE = 12

FORGET_SECONDS = 3600.0
"""After how long a runner that was not heard of is forgotten; also how often that is looked at."""

_BATCH = 500
_SHORTEST_PAUSE = 0.02


class LeaseReaper:
    """The loop.

    Args:
        store: Where tasks are kept.
        leases: The verbs of runners, whose clock and limits it shares.
        monotonic: Seconds that nobody can set.
    """

    def __init__(
        self, store: Orchestration, leases: Leases, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._leases = leases
        self._monotonic = monotonic
        self._lease_seconds = leases.lease_us / 1e6
        self._pause = min(self._lease_seconds / ROUNDS_PER_LEASE, 5.0)
        self._quiet_until = self._monotonic() + self._lease_seconds
        self._last_round: float | None = None
        self._is_set_back = False
        self._forget_at = self._monotonic()

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            try:
                pause = await self.run_once()
            except TileboxError as error:
                logger.warning("leases cannot be looked after now: %s", error)
                pause = self._pause
                self.be_quiet()
            await self._leases.wait_for_pauses(pause)

    async def run_once(self) -> float:
        """Go round once; returns for how many seconds there is nothing to do."""
        now = self._monotonic()
        if self._last_round is not None and now - self._last_round > self._lease_seconds:
            # This process stood still, and so did those that would have extended leases through it.
            self.be_quiet()
        if self._leases.clock.follow(await self._store.clock_us()):
            logger.warning("the clock was set; leases are left alone for %.0f s", self._lease_seconds)
            self.be_quiet()
            self._is_set_back = False
        self._last_round = now
        if not self._is_set_back:
            await self._store.rewind_deadlines(now_us=self._leases.clock.now_us(), lease_us=self._leases.lease_us)
            self._is_set_back = True
        self._leases.learn_ranks(await self._store.record_ranks(self._leases.ranks))
        if now >= self._quiet_until:
            await self._expire()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            await self._store.delete_runners(self._leases.clock.now_us() - round(FORGET_SECONDS * 1e6))
        return await self._wake()

    def be_quiet(self) -> None:
        """Take nothing back before one lease has passed."""
        self._quiet_until = self._monotonic() + self._lease_seconds

    async def _expire(self) -> None:
        while True:
            expired, effects = await self._store.expire_leases(
                now_us=self._leases.clock.now_us(), virtual_rank=0, limits=self._leases.limits, count=_BATCH
            )
            await self._leases.tell(effects)
            if expired:
                logger.warning("%d tasks were taken back from runners that were not heard of any more", expired)
            if expired < _BATCH:
                return

    async def _wake(self) -> float:
        now_us = self._leases.clock.now_us()
        next_us, effects = await self._store.wake_tasks(now_us=now_us, virtual_rank=0, count=_BATCH)
        await self._leases.tell(effects)
        if next_us is None:
            return self._pause
        return min(max((next_us - now_us) / 1e6, _SHORTEST_PAUSE), self._pause)
