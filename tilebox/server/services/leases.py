"""Handing out tasks to runners, and taking their reports: what every runner's request goes through."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from tilebox.server.services.waiting import JobWatch, Waiter, WaitingRoom
from tilebox.server.store.orchestration import Claim, Effects, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from tilebox._core.scheduling import Verdict
    from tilebox.server.clock import Clock
    from tilebox.server.services.submissions import Submissions
    from tilebox.server.store.orchestration import Claimed, Orchestration, Queue, Report

logger = logging.getLogger("tilebox.server")

MAX_WAIT_SECONDS = 30.0
"""How long a request waits for a task at most: shorter than what proxies allow."""

LOOK_SECONDS = 5.0
"""After how long a runner that waits looks by itself, in case word from another process got lost."""

NOTE_SECONDS = 20.0
"""How far apart the notes are that a runner was heard of."""

MAX_CLAIM = 1024
"""Tasks handed out to one request at most."""

Identifier = tuple[str, int, int]
"""Name, major and minor version of a task that a runner executes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a runner asks for.

    Args:
        cluster: Number of its cluster.
        identifiers: What it executes.
        runner: Its name, 16 bytes.
        claim: Name of this request, 16 bytes; empty if it will not be repeated.
        count: How many tasks it takes at most.
        wait_seconds: How long it waits for one.
        is_fenced: Whether it will name lease numbers.
    """

    cluster: int
    identifiers: tuple[Identifier, ...]
    runner: bytes
    claim: bytes
    count: int
    wait_seconds: float
    is_fenced: bool


@dataclass(slots=True)
class Handed:
    """The answer to a runner.

    Args:
        verdicts: Of its reports, in their order.
        tasks: What it was handed.
        identifiers: For each task, the position in the runner's identifiers of the one to execute it as.
        is_more_to_come: Whether tasks that it could execute wait for others, or for their next attempt.
    """

    verdicts: list[Verdict]
    tasks: list[Claimed] = field(default_factory=list)
    identifiers: list[int] = field(default_factory=list)
    is_more_to_come: bool = False


class Leases:
    """The verbs of runners.

    Args:
        store: Where tasks are kept.
        submissions: Knows clusters and queues.
        clock: The time by which leases end.
        lease_seconds: How long a lease is.
        limits: Rules that the operator set.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        store: Orchestration,
        submissions: Submissions,
        clock: Clock,
        *,
        lease_seconds: float,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.room = WaitingRoom()
        self.watch = JobWatch()
        self.clock = clock
        self.limits = limits
        self.lease_us = round(lease_seconds * 1e6)
        self._store = store
        self._submissions = submissions
        self._monotonic = monotonic
        self._ranks: dict[int, int] = {}
        self._matches: dict[tuple[int, tuple[Identifier, ...]], _Match] = {}
        self._noted: dict[tuple[bytes, int], float] = {}
        self._pauses = anyio.Event()

    def virtual_rank(self, cluster: int) -> int:
        """Return where new jobs join the line of a cluster."""
        return self._ranks.get(cluster, 0)

    @property
    def ranks(self) -> dict[int, int]:
        """The rank handed out last, by cluster."""
        return dict(self._ranks)

    def learn_ranks(self, ranks: Mapping[int, int]) -> None:
        """Take over what others noted of ranks."""
        for cluster, rank in ranks.items():
            self._ranks[cluster] = max(rank, self.virtual_rank(cluster))

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        wish: Wish | None,
        *,
        is_repeated: bool = False,
        gone: anyio.Event | None = None,
    ) -> Handed:
        """Carry out reports, then hand out tasks, waiting for them if need be.

        Args:
            team: On whose behalf.
            reports: What the runner says of earlier tasks.
            wish: What it asks for, or None.
            is_repeated: Whether the request may have been carried out before.
            gone: Set when the runner went away; then it is handed nothing more.
        """
        if wish is None or wish.count < 1:
            return Handed((await self._step(team, reports, None, 0)).verdicts)
        match = await self._match(wish)
        await self._note(wish)
        waiter = Waiter(match.minors)
        deadline = self._monotonic() + min(wish.wait_seconds, MAX_WAIT_SECONDS)
        # It waits before it looks, so that what becomes ready in between wakes it.
        self.room.enter(waiter)
        try:
            handed = await self._look(team, reports, wish, match, waiter, is_repeated=is_repeated)
            while not handed.tasks and (left := deadline - self._monotonic()) > 0:
                await waiter.wait(min(left, LOOK_SECONDS), gone)
                if gone is not None and gone.is_set():
                    return handed
                match = await self._match(wish)
                handed.tasks = (await self._look(team, (), wish, match, waiter, is_repeated=False)).tasks
        finally:
            self.room.leave(waiter)
        handed.identifiers = [match.positions[task.queue] for task in handed.tasks]
        if not handed.tasks:
            handed.is_more_to_come = await self._store.is_more_to_come(list(match.positions))
        return handed

    async def extend(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, lease_us: int | None = None
    ) -> list[bool]:
        """Extend leases from now on; false for those that are lost."""
        until_us = self.clock.now_us() + (self.lease_us if lease_us is None else lease_us)
        return await self._store.extend_leases(team, leases, until_us=until_us)

    async def tell(self, effects: Effects) -> None:
        """Wake those who wait for what changed."""
        for number, count in effects.ready.items():
            if count > 0:
                queue = await self._submissions.queue(number)
                if queue is not None:
                    self.room.wake(queue, count)
        self.watch.tell(effects.jobs)
        if effects.has_pauses:
            self._pauses.set()

    async def wait_for_pauses(self, seconds: float) -> None:
        """Return when the time is over, or when a task began to wait for its next attempt."""
        with anyio.move_on_after(seconds):
            await self._pauses.wait()
        self._pauses = anyio.Event()

    async def _look(
        self, team: UUID, reports: Sequence[Report], wish: Wish, match: _Match, waiter: Waiter, *, is_repeated: bool
    ) -> Handed:
        waiter.look()
        claim = Claim(
            queues=list(match.positions),
            count=min(wish.count, MAX_CLAIM),
            runner=wish.runner,
            claim=wish.claim,
            is_fenced=wish.is_fenced,
            lease_us=self.lease_us,
            is_repeated=is_repeated,
        )
        return await self._step(team, reports, claim, wish.cluster)

    async def _step(self, team: UUID, reports: Sequence[Report], claim: Claim | None, cluster: int) -> Handed:
        if claim is None and not reports:
            return Handed([])
        exchanged = await self._store.exchange(
            team,
            reports,
            claim,
            now_us=self.clock.now_us(),
            virtual_rank=self.virtual_rank(cluster),
            limits=self.limits,
        )
        if exchanged.effects.last_rank:
            self.learn_ranks({cluster: exchanged.effects.last_rank})
        await self.tell(exchanged.effects)
        return Handed(exchanged.verdicts, exchanged.tasks)

    async def _match(self, wish: Wish) -> _Match:
        queues = await self._submissions.queues(wish.cluster)
        key = (wish.cluster, wish.identifiers)
        known = self._matches.get(key)
        if known is None or known.queues is not queues:
            if len(self._matches) > 1000:
                self._matches.clear()
            known = self._matches[key] = _Match.of(wish, queues)
        return known

    async def _note(self, wish: Wish) -> None:
        """Note that a runner is there; the reasons of queued tasks are made of this."""
        key, now = (wish.runner, wish.cluster), self._monotonic()
        if now - self._noted.get(key, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        if len(self._noted) > 10_000:
            self._noted.clear()
        self._noted[key] = now
        identifiers = json.dumps([list(identifier) for identifier in wish.identifiers])
        await self._store.note_runner(wish.runner, wish.cluster, identifiers, self.clock.now_us())


@dataclass(frozen=True, slots=True)
class _Match:
    """Which queues a runner's identifiers can serve."""

    queues: Sequence[Queue]
    positions: dict[int, int]
    minors: dict[tuple[int, str, int], int]

    @classmethod
    def of(cls, wish: Wish, queues: Sequence[Queue]) -> _Match:
        by_kind: dict[tuple[int, str, int], list[tuple[int, int]]] = {}
        for position, (name, major, minor) in enumerate(wish.identifiers):
            by_kind.setdefault((wish.cluster, name, major), []).append((minor, position))
        positions = {}
        for queue in queues:
            able = [one for one in by_kind.get((queue.cluster, queue.name, queue.major), ()) if one[0] >= queue.minor]
            if able:
                # The version that is closest to the one it was submitted with.
                positions[queue.number] = min(able)[1]
        return cls(queues, positions, {kind: max(able)[0] for kind, able in by_kind.items()})


def runner_name(*parts: str | bytes) -> bytes:
    """Return a name for a runner whose protocol has none."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
