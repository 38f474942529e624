"""Handing out tasks to runners, and taking their reports: what every runner's request goes through."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

import anyio

from tilebox.server.orchestration.wakeups import JobWatch, Waiter, WaitingRoom
from tilebox.server.rules.task_states import Failure, Verdict, crash_backoff_seconds
from tilebox.server.store.work.interface import Claim, Effects, Limits, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from tilebox.server.orchestration.lease_clock import Clock
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.orchestration.wakeups import Gone
    from tilebox.server.store.work.interface import ClaimedTask, ExchangeResult, HeldTask, NewJob, Orchestration, Queue

logger = logging.getLogger("tilebox.server")

MAX_WAIT_SECONDS = 30.0
"""How long a request waits for a task at most: shorter than what proxies allow."""

LOOK_SECONDS = 5.0
"""After how long a runner that waits looks by itself, in case word from another process got lost."""

NOTE_SECONDS = 20.0
"""How far apart the notes are that a runner was heard of."""

MAX_CLAIM = 1024
"""Tasks handed out to one request at most."""

_DEATH_BATCH = 1000
"""Tasks of a dead runner that are settled in one transaction."""

ANSWER_ROUNDS = 4
"""In how many rounds of the loop the answer to a runner that waited is on its way."""

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
    tasks: list[ClaimedTask] = field(default_factory=list)
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
        gone: Gone | None = None,
    ) -> Handed:
        """Carry out reports, then hand out tasks, waiting for them if need be.

        Args:
            team: On whose behalf.
            reports: What the runner says of earlier tasks.
            wish: What it asks for, or None.
            is_repeated: Whether the request may have been carried out before.
            gone: Returns when the runner has gone away; then it is handed nothing more.
        """
        if wish is None or wish.count < 1:
            return Handed((await self._step(team, reports, None, 0)).verdicts)
        match = await self._match(wish)
        await self._note(wish)
        waiter = Waiter(match.minors, self._claim(wish))
        deadline = self._monotonic() + min(wish.wait_seconds, MAX_WAIT_SECONDS)
        # It waits before it looks, so that what becomes ready in between wakes it.
        self.room.enter(waiter)
        try:
            handed = await self._look(team, reports, wish, waiter, is_repeated=is_repeated)
            if Verdict.STALE in handed.verdicts:
                deadline = 0.0  # the runner is to hear at once that what it does is in vain
            while not handed.tasks and (left := deadline - self._monotonic()) > 0:
                await waiter.wait(min(left, LOOK_SECONDS), gone)
                handed.tasks = await waiter.handed()
                if handed.tasks or waiter.is_gone:
                    break
                # Who tried to hand it something may not know that it worked.
                again = await self._look(team, (), wish, waiter, is_repeated=waiter.was_served)
                handed.tasks = again.tasks
        finally:
            self.room.leave(waiter)
        handed.identifiers = [await self._position(wish, task.queue) for task in handed.tasks]
        if not handed.tasks and not waiter.is_gone:
            handed.is_more_to_come = await self._store.is_more_to_come(list((await self._match(wish)).positions))
        return handed

    async def extend(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, lease_us: int | None = None
    ) -> list[bool]:
        """Extend leases from now on; false for those that are lost."""
        until_us = self.clock.now_us() + (self.lease_us if lease_us is None else lease_us)
        return await self._store.extend_leases(team, leases, until_us=until_us)

    async def report_death(
        self, team: UUID, runner: bytes, executing: Collection[tuple[bytes, int]], cause: str
    ) -> tuple[int, int]:
        """Count a crash for what a runner died of, and give back the other tasks that it held.

        Those had not begun, or had ended, with a report that is lost: neither is to blame.

        Args:
            team: On whose behalf.
            runner: Its name.
            executing: Tasks that were being executed, and their lease numbers.
            cause: What is known of how it died.

        Returns:
            How many tasks counted a crash, and how many were given back.
        """
        counts: Counter[bool] = Counter()
        while True:
            held = await self._store.held_by_runner(team, runner, count=_DEATH_BATCH)
            suspects = [one for one in held if (one.task, one.lease) in executing]
            error = f"its runner died while it was executed: {cause}"
            reports = [self._crash(one, suspects, error) for one in suspects]
            reports += [
                Report(task=one.task, lease=one.lease, is_returned=True)
                for one in held
                if (one.task, one.lease) not in executing
            ]
            verdicts = (await self._step(team, reports, None, 0)).verdicts
            # What is not accepted was reported by the runner itself, a moment before.
            accepted = [one for one, verdict in zip(reports, verdicts, strict=True) if verdict is Verdict.ACCEPTED]
            counts.update(one.is_returned for one in accepted)
            if len(held) < _DEATH_BATCH or not accepted:
                break
        if counts:
            logger.warning(
                "a runner died: %s; %d tasks count a crash, %d were given back", cause, counts[False], counts[True]
            )
        return counts[False], counts[True]

    async def submit(self, job: NewJob, *, virtual_rank: int) -> None:
        """Keep a job, and hand its first tasks to runners that wait for them in the same transaction.

        So a task that comes to idle runners costs one commit on its way to one of them, and not two.
        """
        ready = Counter(task.queue for group in job.groups if not group.dependencies for task in group.tasks)
        queues = [queue for number in ready if (queue := await self._submissions.queue(number)) is not None]
        chosen = [one for queue in queues for one in self.room.choose(queue, ready[queue.number])]
        handed: Sequence[ExchangeResult] = ()
        try:
            effects, handed = await self._store.submit_and_claim(
                job, [one.claim for one in chosen], now_us=self.clock.now_us(), virtual_rank=virtual_rank
            )
        finally:
            # If it failed, they look for themselves.
            for one, exchanged in zip_longest(chosen, handed):
                one.waiter.hand(exchanged.tasks if exchanged is not None else [])
        for one, exchanged in zip(chosen, handed, strict=True):
            self._learn_rank(one.queue.cluster, exchanged)
        await self.tell(effects)
        if chosen:
            # Work starts sooner if these are answered before whoever submitted it.
            for _ in range(ANSWER_ROUNDS):
                await asyncio.sleep(0)

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
        self, team: UUID, reports: Sequence[Report], wish: Wish, waiter: Waiter, *, is_repeated: bool
    ) -> Handed:
        waiter.look()
        queues = list((await self._match(wish)).positions)
        claim = self._claim(wish, queues, is_repeated=is_repeated)
        return await self._step(team, reports, claim, wish.cluster)

    def _crash(self, held: HeldTask, suspects: Sequence[HeldTask], error: str) -> Report:
        pause = crash_backoff_seconds(held.task, held.lease, held.crashes + 1, self.lease_us / 1e6)
        return Report(
            task=held.task,
            lease=held.lease,
            failure=Failure.CRASH,
            error=error,
            is_doubtful=any(one.crashes >= held.crashes for one in suspects if one is not held),
            retry_after_us=round(pause * 1e6),
        )

    def _claim(self, wish: Wish, queues: Sequence[int] = (), *, is_repeated: bool = False) -> Claim:
        return Claim(
            queues=queues,
            count=min(wish.count, MAX_CLAIM),
            runner=wish.runner,
            claim=wish.claim,
            is_fenced=wish.is_fenced,
            lease_us=self.lease_us,
            is_repeated=is_repeated,
        )

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
        self._learn_rank(cluster, exchanged)
        await self.tell(exchanged.effects)
        return Handed(exchanged.verdicts, exchanged.tasks)

    def _learn_rank(self, cluster: int, exchanged: ExchangeResult) -> None:
        if exchanged.effects.last_rank:
            self.learn_ranks({cluster: exchanged.effects.last_rank})

    async def _match(self, wish: Wish) -> _Match:
        queues = await self._submissions.queues(wish.cluster)
        key = (wish.cluster, wish.identifiers)
        known = self._matches.get(key)
        if known is None or known.queues is not queues:
            if len(self._matches) > 1000:
                self._matches.clear()
            known = self._matches[key] = _Match.of(wish, queues)
        return known

    async def _position(self, wish: Wish, queue: int) -> int:
        """Return as which of a runner's identifiers a task of a queue is executed."""
        position = (await self._match(wish)).positions.get(queue)
        if position is None:
            # The queue is newer than what is known of the others.
            found = await self._submissions.queue(queue)
            position = _Match.of(wish, [found] if found is not None else []).positions[queue]
        return position

    async def _note(self, wish: Wish) -> None:
        """Note that a runner is there; the reasons of queued tasks are made of this."""
        key, now = (wish.runner, wish.cluster), self._monotonic()
        if now - self._noted.get(key, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        if len(self._noted) > 10_000:
            self._noted.clear()
        self._noted[key] = now
        identifiers = json.dumps([list(identifier) for identifier in wish.identifiers])
        await self._store.record_runner(wish.runner, wish.cluster, identifiers, self.clock.now_us())


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
