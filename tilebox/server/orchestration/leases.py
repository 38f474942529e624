"""Leases: handing tasks to runners and applying their reports. Every request of a runner goes through here."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

import anyio

from tilebox.server.orchestration.claims import ClaimedTasks, QueueMatch
from tilebox.server.orchestration.wakeups import JobChanges, Waiter, WaitQueue
from tilebox.server.rules.task_states import Failure, Verdict, crash_backoff_seconds
from tilebox.server.store.work.interface import Claim, Effects, Limits, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from tilebox.server.orchestration.claims import ClaimRequest, Identifier
    from tilebox.server.orchestration.lease_clock import LeaseClock
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.orchestration.wakeups import Disconnected
    from tilebox.server.store.work.interface import ExchangeResult, HeldTask, NewJob, Orchestration

logger = logging.getLogger("tilebox.server")

MAX_WAIT_SECONDS = 30.0
"""Longest time that a request waits for a task; shorter than the time-outs of common proxies."""

POLL_SECONDS = 5.0
"""How often a waiting request tries a claim without a wake-up, in case a notification of another process was lost."""

HEARTBEAT_NOTE_SECONDS = 20.0
"""Shortest time between two writes of when a runner was last seen."""

MAX_CLAIMED_TASKS = 1024
"""Most tasks that one request is handed."""

DELIVERY_LOOP_TURNS = 4
"""Turns of the event loop that it takes to send the response to a runner that waited."""

_DEATH_BATCH = 1000
"""Tasks of a dead runner that are settled in one transaction."""

_MAX_MATCHES = 1000
_MAX_NOTED_RUNNERS = 10_000


class Leases:
    """Leases tasks to runners, extends leases, and applies reports.

    Args:
        store: Stores the tasks.
        submissions: Looks up clusters and queues.
        clock: Decides when leases expire.
        lease_seconds: Length of a lease.
        limits: Rules that the operator set.
        monotonic: Reads the monotonic clock, in seconds.

    Attributes:
        wait_queue: The runners that wait for tasks in this process.
        job_changes: The requests that wait for jobs in this process.
    """

    def __init__(
        self,
        store: Orchestration,
        submissions: Submissions,
        clock: LeaseClock,
        *,
        lease_seconds: float,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wait_queue = WaitQueue()
        self.job_changes = JobChanges()
        self.clock = clock
        self.limits = limits
        self.lease_us = round(lease_seconds * 1e6)
        self._store = store
        self._submissions = submissions
        self._monotonic = monotonic
        self._ranks: dict[int, int] = {}
        self._matches: dict[tuple[int, tuple[Identifier, ...]], QueueMatch] = {}
        self._noted_at: dict[tuple[bytes, int], float] = {}
        self._retry_scheduled = anyio.Event()

    def virtual_rank(self, cluster: int) -> int:
        """Return the rank at which new jobs join the queue order of a cluster."""
        return self._ranks.get(cluster, 0)

    @property
    def ranks(self) -> dict[int, int]:
        """The highest rank of the tasks leased so far, by cluster."""
        return dict(self._ranks)

    def learn_ranks(self, ranks: Mapping[int, int]) -> None:
        """Adopt ranks of other processes, where they are higher."""
        for cluster, rank in ranks.items():
            self._ranks[cluster] = max(rank, self.virtual_rank(cluster))

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        request: ClaimRequest | None,
        *,
        is_repeated: bool = False,
        disconnected: Disconnected | None = None,
    ) -> ClaimedTasks:
        """Apply reports, then lease tasks to the runner, waiting for them if necessary.

        Args:
            team: Team of the caller.
            reports: The runner's reports on earlier tasks.
            request: The request for tasks, or None.
            is_repeated: Whether the request may have been carried out before.
            disconnected: Returns when the runner disconnects; from then on it is leased nothing.

        Returns:
            The verdicts on the reports, and the tasks.
        """
        if request is None or request.max_tasks < 1:
            return ClaimedTasks((await self._exchange(team, reports, None, 0)).verdicts)
        match = await self._match(request)
        await self._note_runner(request)
        waiter = Waiter(match.minors, self._claim(request))
        deadline = self._monotonic() + min(request.wait_seconds, MAX_WAIT_SECONDS)
        # Added before the first claim, so that a task which becomes ready in between wakes it.
        self.wait_queue.add(waiter)
        try:
            claimed = await self._try_claim(team, reports, request, waiter, is_repeated=is_repeated)
            if Verdict.STALE in claimed.verdicts:
                deadline = 0.0  # the runner must learn at once that it executes a task which it no longer holds
            while not claimed.tasks and (left := deadline - self._monotonic()) > 0:
                await waiter.wait(min(left, POLL_SECONDS), disconnected)
                claimed.tasks = await waiter.delivered()
                if claimed.tasks or waiter.is_disconnected:
                    break
                # A claim on its behalf may have been committed without its result getting here, so this one repeats it.
                retried = await self._try_claim(team, (), request, waiter, is_repeated=waiter.was_reserved)
                claimed.tasks = retried.tasks
        finally:
            self.wait_queue.remove(waiter)
        claimed.identifiers = [await self._identifier_position(request, task.queue) for task in claimed.tasks]
        if not claimed.tasks and not waiter.is_disconnected:
            queues = list((await self._match(request)).positions)
            claimed.is_more_to_come = await self._store.is_more_to_come(queues)
        return claimed

    async def extend(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, lease_us: int | None = None
    ) -> list[bool]:
        """Extend leases from now on.

        Args:
            team: Team of the caller.
            leases: Task id and lease number of each lease; None where the runner's protocol has no lease numbers.
            lease_us: Length of the extended leases in microseconds; the usual length if None.

        Returns:
            For each lease, whether it was extended; false if it is lost.
        """
        until_us = self.clock.now_us() + (self.lease_us if lease_us is None else lease_us)
        return await self._store.extend_leases(team, leases, until_us=until_us)

    async def report_death(
        self, team: UUID, runner: bytes, executing: Collection[tuple[bytes, int]], cause: str
    ) -> tuple[int, int]:
        """Record a crash of each task that a dead runner was executing, and requeue the other tasks that it held.

        The other tasks had not started, or had ended with a report that was lost. Neither can have caused the death.

        Args:
            team: Team of the caller.
            runner: Id of the dead runner.
            executing: Task id and lease number of each task that it was executing.
            cause: How it died, as far as that is known.

        Returns:
            The number of tasks with a recorded crash, and the number of requeued tasks.
        """
        counts: Counter[bool] = Counter()
        while True:
            held_tasks = await self._store.held_by_runner(team, runner, count=_DEATH_BATCH)
            suspects = [held for held in held_tasks if (held.task, held.lease) in executing]
            error = f"the runner died while it executed this task: {cause}"
            reports = [self._crash_report(held, suspects, error) for held in suspects]
            reports += [
                Report(task=held.task, lease=held.lease, is_returned=True)
                for held in held_tasks
                if (held.task, held.lease) not in executing
            ]
            verdicts = (await self._exchange(team, reports, None, 0)).verdicts
            # A report that is not accepted lost a race against the runner's own last report on that task.
            accepted = [
                report for report, verdict in zip(reports, verdicts, strict=True) if verdict is Verdict.ACCEPTED
            ]
            counts.update(report.is_returned for report in accepted)
            if len(held_tasks) < _DEATH_BATCH or not accepted:
                break
        if counts:
            logger.warning(
                "a runner died: %s; recorded a crash for %d tasks, requeued %d tasks",
                cause,
                counts[False],
                counts[True],
            )
        return counts[False], counts[True]

    async def submit(self, job: NewJob, *, virtual_rank: int) -> None:
        """Store a job, and lease its first tasks to waiting runners in the same transaction.

        A task that finds an idle runner thus costs one commit on its way there instead of two.

        Args:
            job: The job.
            virtual_rank: Rank at which it joins the queue order.
        """
        ready = Counter(task.queue for group in job.groups if not group.dependencies for task in group.tasks)
        queues = [queue for number in ready if (queue := await self._submissions.queue(number)) is not None]
        reservations = [
            reservation for queue in queues for reservation in self.wait_queue.reserve(queue, ready[queue.number])
        ]
        results: Sequence[ExchangeResult] = ()
        try:
            effects, results = await self._store.submit_and_claim(
                job,
                [reservation.claim for reservation in reservations],
                now_us=self.clock.now_us(),
                virtual_rank=virtual_rank,
            )
        finally:
            # Also after a failure: an empty delivery makes the runners try a claim of their own.
            for reservation, result in zip_longest(reservations, results):
                reservation.waiter.deliver(result.tasks if result is not None else [])
        for reservation, result in zip(reservations, results, strict=True):
            self._learn_rank(reservation.queue.cluster, result)
        await self.notify(effects)
        if reservations:
            # Tasks start sooner if the runners get their responses before the submitter gets its own.
            for _ in range(DELIVERY_LOOP_TURNS):
                await asyncio.sleep(0)

    async def notify(self, effects: Effects) -> None:
        """Wake the requests that wait for what a transaction changed."""
        for number, count in effects.ready.items():
            if count > 0:
                queue = await self._submissions.queue(number)
                if queue is not None:
                    self.wait_queue.wake(queue, count)
        self.job_changes.notify(effects.jobs)
        if effects.has_pauses:
            self._retry_scheduled.set()

    async def wait_for_retries(self, seconds: float) -> None:
        """Return after some seconds, or as soon as a task starts to wait for its next attempt."""
        with anyio.move_on_after(seconds):
            await self._retry_scheduled.wait()
        self._retry_scheduled = anyio.Event()

    async def _try_claim(
        self, team: UUID, reports: Sequence[Report], request: ClaimRequest, waiter: Waiter, *, is_repeated: bool
    ) -> ClaimedTasks:
        waiter.clear()
        queues = list((await self._match(request)).positions)
        claim = self._claim(request, queues, is_repeated=is_repeated)
        return await self._exchange(team, reports, claim, request.cluster)

    def _crash_report(self, held: HeldTask, suspects: Sequence[HeldTask], error: str) -> Report:
        pause = crash_backoff_seconds(held.task, held.lease, held.crashes + 1, self.lease_us / 1e6)
        return Report(
            task=held.task,
            lease=held.lease,
            failure=Failure.CRASH,
            error=error,
            # Another suspect with as many crashes may just as well have caused this one.
            is_doubtful=any(other.crashes >= held.crashes for other in suspects if other is not held),
            retry_after_us=round(pause * 1e6),
        )

    def _claim(self, request: ClaimRequest, queues: Sequence[int] = (), *, is_repeated: bool = False) -> Claim:
        return Claim(
            queues=queues,
            count=min(request.max_tasks, MAX_CLAIMED_TASKS),
            runner=request.runner_id,
            claim=request.claim_id,
            is_fenced=request.is_fenced,
            lease_us=self.lease_us,
            is_repeated=is_repeated,
        )

    async def _exchange(self, team: UUID, reports: Sequence[Report], claim: Claim | None, cluster: int) -> ClaimedTasks:
        if claim is None and not reports:
            return ClaimedTasks([])
        exchanged = await self._store.exchange(
            team,
            reports,
            claim,
            now_us=self.clock.now_us(),
            virtual_rank=self.virtual_rank(cluster),
            limits=self.limits,
        )
        self._learn_rank(cluster, exchanged)
        await self.notify(exchanged.effects)
        return ClaimedTasks(exchanged.verdicts, exchanged.tasks)

    def _learn_rank(self, cluster: int, exchanged: ExchangeResult) -> None:
        if exchanged.effects.last_rank:
            self.learn_ranks({cluster: exchanged.effects.last_rank})

    async def _match(self, request: ClaimRequest) -> QueueMatch:
        queues = await self._submissions.queues(request.cluster)
        key = (request.cluster, request.identifiers)
        match = self._matches.get(key)
        # The list of queues is replaced when a queue is added, so identity tells whether a match is current.
        if match is None or match.queues is not queues:
            if len(self._matches) > _MAX_MATCHES:
                self._matches.clear()
            match = self._matches[key] = QueueMatch.of(request, queues)
        return match

    async def _identifier_position(self, request: ClaimRequest, queue_number: int) -> int:
        """Return the position of the runner's identifier that executes the tasks of a queue."""
        position = (await self._match(request)).positions.get(queue_number)
        if position is None:
            # Another process added the queue after the cached list was read.
            queue = await self._submissions.queue(queue_number)
            position = QueueMatch.of(request, [queue] if queue is not None else []).positions[queue_number]
        return position

    async def _note_runner(self, request: ClaimRequest) -> None:
        """Store that a runner is active. The explanations of queued tasks are based on this."""
        key, now = (request.runner_id, request.cluster), self._monotonic()
        if now - self._noted_at.get(key, -HEARTBEAT_NOTE_SECONDS) < HEARTBEAT_NOTE_SECONDS:
            return
        if len(self._noted_at) > _MAX_NOTED_RUNNERS:
            self._noted_at.clear()
        self._noted_at[key] = now
        identifiers = json.dumps([list(identifier) for identifier in request.identifiers])
        await self._store.record_runner(request.runner_id, request.cluster, identifiers, self.clock.now_us())
