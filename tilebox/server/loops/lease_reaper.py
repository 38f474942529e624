"""The background loop that takes back tasks whose lease expired, and requeues failed tasks whose retry pause is over.

During an outage of this server or of the database, leases expire only because runners could not extend them. After
one, the loop therefore takes back nothing until all of its rounds have succeeded for the length of one lease. If the
clock was set back, leases and pauses would last too long; the loop shortens them. It does so in its first round too,
since the clock may have been set back before the server started.
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
"""How long after its last request a runner is deleted from the store; also the pause between two such clean-ups."""

_BATCH = 500
_MAX_PAUSE_SECONDS = 5.0
_MIN_PAUSE_SECONDS = 0.02


class LeaseReaper:
    """The loop that ends leases and retry pauses.

    Args:
        store: Stores the tasks.
        leases: Owns the lease clock and the limits, and notifies waiting requests.
        monotonic: Reads the monotonic clock, in seconds.
    """

    def __init__(
        self, store: Orchestration, leases: Leases, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._leases = leases
        self._monotonic = monotonic
        self._lease_seconds = leases.lease_us / 1e6
        self._pause_seconds = min(self._lease_seconds / ROUNDS_PER_LEASE, _MAX_PAUSE_SECONDS)
        self._expire_from = self._monotonic() + self._lease_seconds
        self._last_round: float | None = None
        self._has_shortened = False
        self._forget_at = self._monotonic()

    async def run(self) -> None:
        """Run rounds until cancelled."""
        while True:
            try:
                pause_seconds = await self.run_once()
            except TileboxError as error:
                logger.warning("cannot check leases, trying again: %s", error)
                pause_seconds = self._pause_seconds
                self.postpone_expiry()
            await self._leases.wait_for_retries(pause_seconds)

    async def run_once(self) -> float:
        """Run one round.

        Returns:
            Seconds until the next round is due.
        """
        now = self._monotonic()
        if self._last_round is not None and now - self._last_round > self._lease_seconds:
            # This process was suspended, so runners could not extend their leases through it.
            self.postpone_expiry()
        if self._leases.clock.synchronize(await self._store.clock_us()):
            logger.warning("the clock was set; no lease expires for %.0f s", self._lease_seconds)
            self.postpone_expiry()
            self._has_shortened = False
        self._last_round = now
        if not self._has_shortened:
            await self._store.rewind_deadlines(now_us=self._leases.clock.now_us(), lease_us=self._leases.lease_us)
            self._has_shortened = True
        # Servers exchange ranks through the store, so that jobs submitted to any of them join the queue order fairly.
        self._leases.learn_ranks(await self._store.record_ranks(self._leases.ranks))
        if now >= self._expire_from:
            await self._expire()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            await self._store.delete_runners(self._leases.clock.now_us() - round(FORGET_SECONDS * 1e6))
        return await self._requeue()

    def postpone_expiry(self) -> None:
        """Take back no task for the length of one lease from now on."""
        self._expire_from = self._monotonic() + self._lease_seconds

    async def _expire(self) -> None:
        while True:
            expired, effects = await self._store.expire_leases(
                now_us=self._leases.clock.now_us(), virtual_rank=0, limits=self._leases.limits, count=_BATCH
            )
            await self._leases.notify(effects)
            # In batches, so that no transaction blocks the writer for long.
            if expired:
                logger.warning("took back %d tasks whose runners did not extend their leases", expired)
            if expired < _BATCH:
                return

    async def _requeue(self) -> float:
        now_us = self._leases.clock.now_us()
        next_us, effects = await self._store.wake_tasks(now_us=now_us, virtual_rank=0, count=_BATCH)
        await self._leases.notify(effects)
        if next_us is None:
            return self._pause_seconds
        # Never longer than the usual pause, since leases have to be checked too.
        return min(max((next_us - now_us) / 1e6, _MIN_PAUSE_SECONDS), self._pause_seconds)
