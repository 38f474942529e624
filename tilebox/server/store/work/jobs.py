"""What is read of jobs and their tasks. What changes them is in `orchestration`.

Ids of jobs, groups and tasks are 16 bytes that sort by the time at which they were made. Every verb takes the team,
and answers for jobs of other teams as for jobs that do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tilebox.server.rules.task_states import ENDED, JobCounts, JobState, TaskState, job_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from tilebox._core.tasks.versions import TaskIdentifier


@dataclass(frozen=True, slots=True)
class LabelProgress:
    """How far the tasks of a job are with something, together."""

    label: str
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is now.

    Args:
        id: Its id.
        name: What its submitter calls it.
        trace_parent: The trace that it belongs to.
        automation: What submitted it, or None.
        submitted_us: When it was submitted.
        is_canceled: Whether somebody canceled it, and nobody retried it since.
        is_completed: Whether all of its root tasks are completed.
        counts: How many of its tasks are in which state.
        first_started_us: When its first task was started, or None.
        last_stopped_us: When its last task stopped, or None.
        compute_us: How long its tasks were executed, together.
        progress: What its tasks said of their progress.
    """

    id: bytes
    name: str
    trace_parent: str
    automation: bytes | None
    submitted_us: int
    is_canceled: bool
    is_completed: bool
    counts: JobCounts
    first_started_us: int | None
    last_stopped_us: int | None
    compute_us: int
    progress: Sequence[LabelProgress] = ()

    @property
    def state(self) -> JobState:
        """Where it is."""
        return job_state(
            self.counts,
            is_canceled=self.is_canceled,
            is_completed=self.is_completed,
            was_started=self.first_started_us is not None,
        )

    @property
    def has_ended(self) -> bool:
        """Whether it hands out no tasks."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobBrief:
    """What of a job never changes, and travels with its tasks."""

    name: str
    trace_parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are asked for; what is empty does not matter.

    Args:
        first: The smallest id.
        last: The largest id.
        first_us: From when on they were submitted.
        behind_us: Until when they were submitted, this moment not included.
        states: Where they are.
        name: A part of their name, in upper or lower case.
        task_states: States of which they have at least one task.
        automations: What submitted them.
        clusters: Slugs of clusters for which they have tasks.
    """

    first: bytes = bytes(16)
    last: bytes = b"\xff" * 16
    first_us: int = -(1 << 62)
    behind_us: int = 1 << 62
    states: Sequence[JobState] = ()
    name: str = ""
    task_states: Sequence[TaskState] = ()
    automations: Sequence[bytes] = ()
    clusters: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTask:
    """A task of a job.

    Args:
        id: Its id.
        job: Its job.
        group: The group that it was submitted in.
        position: Its place there.
        parent: The task that submitted it, or None for a root task.
        state: Where it is.
        display: What people read.
        input: Its parameters, serialised.
        retries: Attempts that its own code failed.
        max_retries: How often it may be tried again.
        is_optional: Whether it may fail without stopping its job.
        is_ready: Whether it can be handed out.
        is_blocked: Whether it waits for other groups.
        wake_us: When it may be tried again, if it waits for that.
        started_us: When its last attempt was started, or None.
        stopped_us: When its last attempt stopped, or None.
        error: What went wrong in its last attempt, or None.
        identifier: What it is.
        cluster: The cluster that it is meant for.
        cluster_slug: What that is called.
        has_children: Whether it submitted tasks.
    """

    id: bytes
    job: bytes
    group: bytes
    position: int
    parent: bytes | None
    state: TaskState
    display: str
    input: bytes
    retries: int
    max_retries: int
    is_optional: bool
    is_ready: bool
    is_blocked: bool
    wake_us: int | None
    started_us: int | None
    stopped_us: int | None
    error: str | None
    identifier: TaskIdentifier
    cluster: int
    cluster_slug: str
    has_children: bool


@dataclass(frozen=True, slots=True)
class WaitedFor:
    """A task that others wait for."""

    task: bytes
    display: str
    state: TaskState


@dataclass(frozen=True, slots=True)
class Waits:
    """What a group waits for.

    Args:
        count: How many tasks.
        first: Some of them.
    """

    count: int
    first: Sequence[WaitedFor]


@dataclass(frozen=True, slots=True)
class SeenRunner:
    """A runner of a cluster.

    Args:
        identifiers: What it executes.
        seen_us: When it was heard of.
        is_busy: Whether it holds a task now.
    """

    identifiers: Sequence[TaskIdentifier]
    seen_us: int
    is_busy: bool


@dataclass(frozen=True, slots=True)
class TaskCount:
    """How many tasks are of one name and in one state."""

    name: str
    state: TaskState
    count: int


@dataclass(frozen=True, slots=True)
class GroupOverview:
    """A group of a job, its tasks counted.

    Args:
        id: Its id.
        parent: The task that submitted it, or None for root tasks.
        parent_group: The group of that task.
        parent_name: The name of what that task is.
        dependencies: Groups that it waits for.
        counts: Its tasks.
    """

    id: bytes
    parent: bytes | None
    parent_group: bytes | None
    parent_name: str
    dependencies: Sequence[bytes]
    counts: Sequence[TaskCount]


class JobStore(Protocol):
    """The verbs."""

    async def job(self, team: UUID, job: bytes) -> Job | None:
        """Return a job by id."""

    async def job_brief(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return what of a job never changes."""

    async def job_clusters(self, team: UUID, job: bytes) -> list[int]:
        """Return the clusters of a job's root tasks."""

    async def jobs(self, team: UUID, wanted: JobFilter, *, latest_first: bool, count: int) -> list[Job]:
        """Return jobs in the order of their ids, at most so many."""

    async def job_counts(self, team: UUID, wanted: JobFilter) -> dict[JobState, tuple[int, int]]:
        """Count the jobs of an interval and their queued tasks, by state; other parts of the filter do not count."""

    async def task_state(self, team: UUID, task: bytes) -> TaskState | None:
        """Return the state of a task."""

    async def task(self, team: UUID, task: bytes) -> JobTask | None:
        """Return a task by id."""

    async def root_tasks(self, job: bytes, *, after: JobTask | None, count: int) -> list[JobTask]:
        """Return root tasks of a job in the order in which they were submitted.

        Args:
            job: A job that the caller may see.
            after: The one behind which to start, or None.
            count: How many at most.
        """

    async def child_tasks(
        self, parents: Sequence[bytes], *, after: JobTask | None, count: int
    ) -> dict[bytes, list[JobTask]]:
        """Return tasks that some tasks submitted, in the order in which they were submitted.

        Args:
            parents: Tasks that the caller may see.
            after: The one behind which to start, or None.
            count: How many at most of each.
        """

    async def root_dependencies(self, job: bytes) -> dict[bytes, list[bytes]]:
        """Return what the groups of a job's root tasks wait for."""

    async def queued_tasks(self, job: bytes, *, count: int) -> list[JobTask]:
        """Return tasks of a job that wait, at most so many."""

    async def tasks_in_state(self, job: bytes, state: TaskState, *, count: int) -> list[JobTask]:
        """Return tasks of a job that are in a state, at most so many."""

    async def tasks_of_groups(self, groups: Sequence[bytes]) -> list[JobTask]:
        """Return all tasks of some groups."""

    async def waits(self, groups: Sequence[bytes], *, count: int) -> Mapping[bytes, Waits]:
        """Return what some groups wait for, naming at most so many tasks for each."""

    async def runners(self, cluster: int, *, count: int) -> list[SeenRunner]:
        """Return runners of a cluster, those first that were heard of lately."""

    async def job_groups(self, job: bytes, *, count: int) -> tuple[list[GroupOverview], list[TaskCount]]:
        """Return the first groups of a job, and count the tasks of all others."""
