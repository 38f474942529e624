"""What the orchestrator asks of the store: jobs and their tasks, handed out under leases and reported on.

Every verb is one transaction. Ids of jobs, groups and tasks are 16 bytes, big-endian, made by `new_ids`: ordered by
the time at which they were made. Times are whole microseconds since 1970. Nothing here reads a clock.
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
    """Return so many new ids, in ascending order (UUID version 7: 48 bits of milliseconds, the rest random)."""
    head = (now_us // 1000 & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62
    # The last 61 bits are counted up from a random number, so they never carry into the others.
    first = head | secrets.randbits(61)
    return [(first + position).to_bytes(16, "big") for position in range(count)]


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be stored.

    Args:
        queue: Number of the queue of its cluster, identifier and version.
        display: What people read.
        input: Its parameters, serialised.
        max_retries: How often it may be tried again.
        is_optional: Whether it may fail without stopping its job.
    """

    queue: int
    display: str
    input: bytes
    max_retries: int = 0
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class NewGroup:
    """Tasks with equal dependencies.

    Args:
        tasks: At least one.
        dependencies: Positions of the groups that these wait for, in the same list of groups.
    """

    tasks: Sequence[NewTask]
    dependencies: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be stored, with its root tasks."""

    id: bytes
    team: UUID
    name: str
    trace_parent: str
    submitted_us: int
    groups: Sequence[NewGroup]
    automation: bytes | None = None


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """How far a task is with something."""

    label: str
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a runner says of a task that it was handed.

    Args:
        task: The task.
        lease: Number of the lease, or None where the runner's protocol has none.
        failure: Why the attempt failed; None if it did not.
        is_returned: Whether the task is given back unexecuted.
        display: What people shall read from now on; empty to leave it.
        groups: The subtasks that a computed task submits.
        progress: How far it came.
        error: Why it failed, in words.
        is_doubtful: Whether something else may well have been to blame; then it may happen more often.
        retry_after_us: How long to wait before it is tried again.
        execution_us: How long it was executed, or None if it is not known.
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
    """A wish for tasks.

    Args:
        queues: From where, by number.
        count: How many at most.
        runner: Who asks.
        claim: What the request is called; who repeats it gets the same tasks.
        is_repeated: Whether it may be a repetition.
        is_fenced: Whether the runner will name lease numbers in its reports.
        lease_us: How long the lease is.
    """

    queues: Sequence[int]
    count: int
    runner: bytes
    claim: bytes
    is_fenced: bool
    lease_us: int
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task that was handed out."""

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
    """What a transaction changed, for those who wait for it.

    Args:
        ready: How many tasks became ready to be handed out, by queue.
        jobs: Jobs that changed.
        ended: Those of them that may have ended.
        last_rank: The highest rank that was handed out; 0 if none was.
        has_pauses: Whether tasks wait for their next attempt now.
    """

    ready: dict[int, int] = field(default_factory=dict)
    jobs: set[bytes] = field(default_factory=set)
    ended: set[bytes] = field(default_factory=set)
    last_rank: int = 0
    has_pauses: bool = False

    def count_ready(self, queue: int) -> None:
        """Note that a task of a queue became ready."""
        self.ready[queue] = self.ready.get(queue, 0) + 1

    def count_handed(self, tasks: Sequence[Claimed]) -> None:
        """Note that tasks were handed out at once, so that nobody is told of them."""
        for task in tasks:
            if task.queue in self.ready:
                self.ready[task.queue] -= 1


@dataclass(slots=True)
class Exchanged:
    """The outcome of reports and a claim."""

    verdicts: list[Verdict]
    tasks: list[Claimed]
    effects: Effects


@dataclass(frozen=True, slots=True)
class Held:
    """A task that a runner holds, under which lease, and how many crashes it has behind it."""

    task: bytes
    lease: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Queue:
    """Where tasks of one cluster, identifier and version wait."""

    number: int
    cluster: int
    name: str
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules that the operator sets.

    Args:
        max_crashes: How many crashes a task may have.
    """

    max_crashes: int = 10


class Orchestration(Protocol):
    """The verbs."""

    async def queues(self, cluster: int) -> list[Queue]:
        """Return all queues of a cluster."""

    async def add_queues(self, cluster: int, identifiers: Sequence[tuple[str, int, int]]) -> list[Queue]:
        """Return the queues of some (name, major, minor), creating what is missing."""

    async def submit_job(self, job: NewJob, *, virtual_rank: int) -> Effects:
        """Keep a job and its root tasks.

        Args:
            job: It must have at least one group, and every group a task.
            virtual_rank: Where new jobs join the line.
        """

    async def submit_job_to(
        self, job: NewJob, claims: Sequence[Claim], *, now_us: int, virtual_rank: int
    ) -> tuple[Effects, list[Exchanged]]:
        """Keep a job and its root tasks, and hand out tasks to those who wait for some; returns what each was handed."""

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        claim: Claim | None,
        *,
        now_us: int,
        virtual_rank: int,
        limits: Limits,
    ) -> Exchanged:
        """Carry out reports, then hand out tasks, which may be ones that the reports made ready."""

    async def held_by_runner(self, team: UUID, runner: bytes, *, count: int) -> list[Held]:
        """Return what a runner holds that names lease numbers, at most so many tasks."""

    async def extend_leases(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, until_us: int
    ) -> list[bool]:
        """Extend leases of (task, lease number or None); false where there is none to extend."""

    async def expire_leases(self, *, now_us: int, virtual_rank: int, limits: Limits, count: int) -> tuple[int, Effects]:
        """Take back tasks whose lease is over, at most so many; returns how many."""

    async def wake_tasks(self, *, now_us: int, virtual_rank: int, count: int) -> tuple[int | None, Effects]:
        """Put tasks into their queues whose pause is over; returns when the next one's will be, if any waits."""

    async def cancel_job(self, team: UUID, job: bytes) -> Effects:
        """Stop a job from handing out tasks. Nothing changes if it has ended.

        Raises:
            NotFoundError: The team has no such job.
        """

    async def retry_job(self, team: UUID, job: bytes, *, virtual_rank: int) -> tuple[int, Effects]:
        """Queue a job's failed tasks again, and let its queued tasks be handed out; returns how many had failed.

        Raises:
            NotFoundError: The team has no such job.
        """

    async def is_more_to_come(self, queues: Sequence[int]) -> bool:
        """Tell whether tasks of these queues are ready, or wait for a pause to end or for tasks being executed."""

    async def note_runner(self, runner: bytes, cluster: int, identifiers: str, now_us: int) -> None:
        """Note that a runner was heard of, with the identifiers that it executes, as JSON."""

    async def forget_runners(self, before_us: int) -> None:
        """Forget runners that were not heard of since then."""

    async def clock_us(self) -> int | None:
        """Return what the database's clock says; None if it has none of its own."""

    def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield what other processes changed; first of all, once it is sure that nothing will be missed, nothing."""

    async def set_back(self, *, now_us: int, lease_us: int) -> None:
        """Shorten what would last too long because the clock was ahead of what it says now.

        No lease of a runner that knows its number ends later than `lease_us` from now; the other leases end earlier by as
        much as the latest note of a runner lies ahead of now, and pauses by as much as the attempts before them do.
        """

    async def note_ranks(self, ranks: Mapping[int, int]) -> dict[int, int]:
        """Note the ranks that were handed out last, by cluster, and return the highest that anybody noted."""
