"""The store of the orchestrator: jobs and their tasks, which runners claim under leases and report on.

Every verb is one transaction. Ids of jobs, groups and tasks are 16 bytes, big-endian, made by `new_ids`, and sort by
the time of their creation. Times are whole microseconds since 1970. The caller passes the current time; only
`clock_us` reads a clock.

A few words have a fixed meaning. A *lease* gives a task to a runner until a time. A lease is *fenced* if the runner
names its number in each report, so that the store can tell a late report of an earlier lease from a current one. A
*rank* is a place in a queue, and the *virtual rank* is the one at which new jobs enter it (see `ranks`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from uuid import UUID

    from tilebox.server.rules.task_states import Failure, Verdict


def new_ids(count: int, now_us: int) -> list[bytes]:
    """Return new ids in ascending order, as UUIDs of version 7 (RFC 9562).

    The first 48 bits are the milliseconds since 1970; the rest is random but for version and variant.

    Args:
        count: The number of ids.
        now_us: The time of their creation.
    """
    head = (now_us // 1000 & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62
    # The 62 bits after the variant count up from a random number of 61 bits, so the sum never carries into the variant.
    first = head | secrets.randbits(61)
    return [(first + position).to_bytes(16, "big") for position in range(count)]


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to store.

    Args:
        queue: The number of the queue for its cluster, identifier and version.
        display: The text that users see.
        input: Its serialised parameters.
        max_retries: How often it may be tried again after a failure.
        is_optional: Whether it may fail without failing its job.
    """

    queue: int
    display: str
    input: bytes
    max_retries: int = 0
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class NewGroup:
    """Tasks with the same dependencies.

    Args:
        tasks: At least one task.
        dependencies: The groups that these tasks wait for, as positions in the same list of groups.
    """

    tasks: Sequence[NewTask]
    dependencies: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to store, with its root tasks.

    Args:
        id: Its id.
        team: The team that owns it.
        name: Its name.
        trace_parent: The W3C trace context of its submitter, or an empty text.
        submitted_us: The time of its submission.
        groups: Its root tasks; at least one group.
        automation: The id of the automation that submitted it, or None.
    """

    id: bytes
    team: UUID
    name: str
    trace_parent: str
    submitted_us: int
    groups: Sequence[NewGroup]
    automation: bytes | None = None


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """The progress of a task: `done` of `total` units of whatever the label names."""

    label: str
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A runner's report on a task that it holds.

    Args:
        task: The task.
        lease: The number of the lease, or None where the runner's protocol has no lease numbers.
        failure: The kind of failure, or None if the task did not fail.
        is_returned: Whether the runner gives the task back unexecuted.
        display: The new text that users see; empty to keep the present one.
        groups: The subtasks that a computed task submits.
        progress: The progress of the task.
        error: The error text of a failure.
        is_doubtful: Whether another task may well have caused the crash. Such a task may crash more often.
        retry_after_us: The time to wait before the next attempt.
        execution_us: The execution time, or None if it is unknown.
    """

    task: bytes
    lease: int | None
    failure: Failure | None = None
    is_returned: bool = False
    display: str = ""
    groups: Sequence[NewGroup] = ()
    progress: Sequence[ProgressUpdate] = ()
    error: str = ""
    is_doubtful: bool = False
    retry_after_us: int = 0
    execution_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A runner's request for tasks.

    Args:
        queues: The numbers of the queues to claim from.
        count: The most tasks to claim.
        runner: The id of the runner.
        claim: The id of the request. A repeated request with the same id gets the same tasks.
        is_fenced: Whether the runner will name lease numbers in its reports.
        lease_us: The length of the leases.
        is_repeated: Whether the request may be a repetition.
    """

    queues: Sequence[int]
    count: int
    runner: bytes
    claim: bytes
    is_fenced: bool
    lease_us: int
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task that a runner claimed.

    Args:
        task: Its id.
        job: The id of its job.
        queue: The number of its queue.
        lease: The number of the new lease, counting from 1 for each task.
        input: Its serialised parameters.
        display: The text that users see.
        retries: How many attempts its own code has failed.
        max_retries: How often it may be tried again.
    """

    task: bytes
    job: bytes
    queue: int
    lease: int
    input: bytes
    display: str
    retries: int
    max_retries: int


@dataclass(slots=True)
class Effects:
    """What a transaction changed, for the requests that wait for it.

    Args:
        ready: How many tasks became ready, by queue number.
        jobs: The jobs that changed.
        ended: Those of them that may have ended.
        last_rank: The highest rank that was claimed; 0 if none was.
        has_pauses: Whether the transaction made tasks wait for their next attempt.
    """

    ready: dict[int, int] = field(default_factory=dict)
    jobs: set[bytes] = field(default_factory=set)
    ended: set[bytes] = field(default_factory=set)
    last_rank: int = 0
    has_pauses: bool = False

    def count_ready(self, queue: int) -> None:
        """Count one more ready task of a queue."""
        self.ready[queue] = self.ready.get(queue, 0) + 1

    def remove_claimed(self, tasks: Sequence[ClaimedTask]) -> None:
        """Subtract ready tasks that were claimed in the same transaction: no waiting runner has to wake up for them."""
        for task in tasks:
            if task.queue in self.ready:
                self.ready[task.queue] -= 1


@dataclass(slots=True)
class ExchangeResult:
    """The result of reports and a claim.

    Args:
        verdicts: The verdict on each report, in their order.
        tasks: The claimed tasks.
        effects: What the transaction changed.
    """

    verdicts: list[Verdict]
    tasks: list[ClaimedTask]
    effects: Effects


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that a runner holds.

    Args:
        task: Its id.
        lease: The number of its lease.
        crashes: How often it has crashed its runner so far.
    """

    task: bytes
    lease: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue for tasks of one cluster, identifier (`name`) and version (`major.minor`)."""

    number: int
    cluster: int
    name: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that the operator sets.

    Args:
        max_crashes: How often a task may crash its runner and still be tried again.
    """

    max_crashes: int = 10


class Orchestration(Protocol):
    """The verbs of the orchestrator."""

    async def queues(self, cluster: int) -> list[Queue]:
        """Return all queues of a cluster."""

    async def add_queues(self, cluster: int, identifiers: Sequence[tuple[str, int, int]]) -> list[Queue]:
        """Return the queues for task identifiers, and create those that do not exist.

        Args:
            cluster: The number of the cluster.
            identifiers: Name, major and minor version of each.
        """

    async def submit_job(self, job: NewJob, *, virtual_rank: int) -> Effects:
        """Store a job and its root tasks.

        Args:
            job: The job. It must have at least one group, and every group at least one task.
            virtual_rank: The rank at which new jobs enter the queue.
        """

    async def submit_and_claim(
        self, job: NewJob, claims: Sequence[Claim], *, now_us: int, virtual_rank: int
    ) -> tuple[Effects, list[ExchangeResult]]:
        """Store a job and its root tasks, and carry out the claims of waiting runners in the same transaction.

        Args:
            job: As for `submit_job`.
            claims: The claims of waiting runners of the same team.
            now_us: The time at which the leases begin.
            virtual_rank: The rank at which new jobs enter the queue.

        Returns:
            The effects of the submission, without the tasks that were claimed at once, and the result of each claim.
        """

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        claim: Claim | None,
        *,
        now_us: int,
        virtual_rank: int,
        limits: Limits,
    ) -> ExchangeResult:
        """Apply reports, then claim tasks, among them those that the reports made ready.

        Args:
            team: The team of the runner.
            reports: The reports, in the order in which they apply.
            claim: The claim, or None to claim nothing.
            now_us: The time of the exchange.
            virtual_rank: The rank at which new subtasks enter the queue, at the earliest.
            limits: The operator's limits.
        """

    async def held_by_runner(self, team: UUID, runner: bytes, *, count: int) -> list[HeldTask]:
        """Return at most `count` tasks that a runner holds under fenced leases."""

    async def extend_leases(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, until_us: int
    ) -> list[bool]:
        """Extend leases.

        Args:
            team: The team of the runner.
            leases: Task and lease number of each; None as the number of leases that are not fenced.
            until_us: The new end of the leases.

        Returns:
            For each lease, whether it still existed and was extended.
        """

    async def expire_leases(self, *, now_us: int, virtual_rank: int, limits: Limits, count: int) -> tuple[int, Effects]:
        """Take back at most `count` tasks whose leases have expired; returns how many, and the effects."""

    async def wake_tasks(self, *, now_us: int, virtual_rank: int, count: int) -> tuple[int | None, Effects]:
        """Queue at most `count` tasks whose pause before the next attempt is over.

        Returns:
            The end of the next pause, or None if no task pauses, and the effects.
        """

    async def cancel_job(self, team: UUID, job: bytes) -> Effects:
        """Cancel a job, so that none of its tasks can be claimed. A job that has ended stays as it is.

        Raises:
            NotFoundError: The team has no such job.
        """

    async def retry_job(self, team: UUID, job: bytes, *, virtual_rank: int) -> tuple[int, Effects]:
        """Queue the failed tasks of a failed or canceled job again, and make its queued tasks claimable.

        Returns:
            How many tasks had failed, and the effects.

        Raises:
            NotFoundError: The team has no such job.
        """

    async def is_more_to_come(self, queues: Sequence[int]) -> bool:
        """Tell whether tasks of these queues are ready, pause before an attempt, or depend on running tasks."""

    async def record_runner(self, runner: bytes, cluster: int, identifiers: str, now_us: int) -> None:
        """Record when a runner was last seen.

        Args:
            runner: The id of the runner.
            cluster: The number of its cluster.
            identifiers: The task identifiers that it executes, as JSON: a list of [name, major, minor].
            now_us: The time at which it was seen.
        """

    async def delete_runners(self, before_us: int) -> None:
        """Delete runners that were last seen before a time."""

    async def clock_us(self) -> int | None:
        """Return the time of the database's clock, or None if it has no clock of its own."""

    def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield the effects of other processes' transactions.

        The first item is empty. It says that the subscription is in place, and that no later effect will be missed.
        """

    async def rewind_deadlines(self, *, now_us: int, lease_us: int) -> None:
        """Shorten leases and pauses that would last too long, because the clock was ahead when they were recorded.

        Fenced leases end at most `lease_us` from now. Other leases end earlier by as much as the latest sighting of a
        runner lies in the future, and pauses by as much as the attempts before them do.
        """

    async def record_ranks(self, ranks: Mapping[int, int]) -> dict[int, int]:
        """Record the rank that was claimed last in each cluster.

        Args:
            ranks: The ranks by cluster number. A rank below the recorded one changes nothing.

        Returns:
            The recorded ranks of all clusters, which may come from other processes.
        """
