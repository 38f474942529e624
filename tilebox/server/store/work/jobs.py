"""The reading side of the orchestrator's store: jobs, tasks and runners. `interface` has the verbs that change them.

Ids of jobs, groups and tasks are 16 bytes and sort by the time of their creation. A verb that takes the team treats
jobs of other teams as if they did not exist. The others take ids that the caller has already checked.
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
    """The progress of all tasks of a job: `done` of `total` units of whatever the label names."""

    label: str
    total: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The current state of a job.

    Args:
        id: Its id.
        name: Its name.
        trace_parent: The W3C trace context of its submitter.
        automation: The id of the automation that submitted it, or None.
        submitted_us: The time of its submission.
        is_canceled: Whether it was canceled and has not been retried since.
        is_completed: Whether all of its root tasks are completed.
        counts: The number of its tasks in each state.
        first_started_us: The start of its first task, or None.
        last_stopped_us: The end of its last task, or None.
        compute_us: The sum of the execution times of its tasks.
        progress: The progress of its tasks, by label.
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
        """The state of the job, by the rules of `server.rules.task_states`."""
        return job_state(
            self.counts,
            is_canceled=self.is_canceled,
            is_completed=self.is_completed,
            was_started=self.first_started_us is not None,
        )

    @property
    def has_ended(self) -> bool:
        """Whether it is completed, failed or canceled, so that none of its tasks can be claimed."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class JobBrief:
    """The parts of a job that never change and that runners get with each task."""

    name: str
    trace_parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """The conditions that jobs must meet, all of them; an empty one always holds.

    Args:
        first: The smallest id.
        last: The largest id.
        start_us: The start of the interval in which they were submitted, inclusive.
        end_us: The end of that interval, exclusive.
        states: States of the jobs.
        name: A part of their names, compared without regard to case.
        task_states: States of tasks; a job must have a task in one of them.
        automations: Ids of the automations that submitted them.
        clusters: Slugs of clusters; a job must have a task for one of them.
    """

    first: bytes = bytes(16)
    last: bytes = b"\xff" * 16
    start_us: int = -(1 << 62)
    end_us: int = 1 << 62
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
        job: The id of its job.
        group: The group that it was submitted in.
        position: Its position in the group, from 0.
        parent: The task that submitted it, or None for a root task.
        state: Its state.
        display: The text that users see.
        input: Its serialised parameters.
        retries: How many attempts its own code has failed.
        max_retries: How often it may be tried again.
        is_optional: Whether it may fail without failing its job.
        is_ready: Whether runners can claim it.
        is_blocked: Whether it waits for tasks of other groups.
        wake_us: The end of its pause before the next attempt, or None.
        started_us: The start of its last attempt, or None.
        stopped_us: The end of its last attempt, or None.
        error: The error of its last attempt, or None.
        identifier: Its identifier and version.
        cluster: The number of its cluster.
        cluster_slug: The slug of its cluster.
        has_children: Whether it submitted subtasks.
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
class BlockingTask:
    """A task that other tasks wait for."""

    task: bytes
    display: str
    state: TaskState


@dataclass(frozen=True, slots=True)
class Blockers:
    """The tasks that a group waits for.

    Args:
        count: The number of tasks.
        first: The first of them.
    """

    count: int
    first: Sequence[BlockingTask]


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """A runner of a cluster.

    Args:
        identifiers: The tasks that it executes.
        seen_us: The time at which it was last seen.
        is_busy: Whether it holds a task.
    """

    identifiers: Sequence[TaskIdentifier]
    seen_us: int
    is_busy: bool


@dataclass(frozen=True, slots=True)
class TaskCount:
    """The number of tasks with one identifier and in one state."""

    name: str
    state: TaskState
    count: int


@dataclass(frozen=True, slots=True)
class GroupOverview:
    """A group of a job, with its tasks counted.

    Args:
        id: Its id.
        parent: The task that submitted it, or None for root tasks.
        parent_group: The group of the parent task, or None.
        parent_name: The identifier of the parent task, or an empty text.
        dependencies: The groups that it waits for.
        counts: The number of its tasks, by identifier and state.
    """

    id: bytes
    parent: bytes | None
    parent_group: bytes | None
    parent_name: str
    dependencies: Sequence[bytes]
    counts: Sequence[TaskCount]


class JobStore(Protocol):
    """The verbs that read jobs."""

    async def job(self, team: UUID, job: bytes) -> Job | None:
        """Return a job by id."""

    async def job_brief(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return the parts of a job that never change."""

    async def job_clusters(self, team: UUID, job: bytes) -> list[int]:
        """Return the clusters of a job's root tasks."""

    async def jobs(self, team: UUID, wanted: JobFilter, *, latest_first: bool, count: int) -> list[Job]:
        """Return the first jobs that match a filter, in the order of their ids.

        Args:
            team: The team of the caller.
            wanted: The filter.
            latest_first: Whether the order is descending.
            count: The most jobs to return.
        """

    async def job_counts(self, team: UUID, wanted: JobFilter) -> dict[JobState, tuple[int, int]]:
        """Return the number of jobs in an interval and the number of their queued tasks, by the state of the jobs.

        Args:
            team: The team of the caller.
            wanted: The interval. Other conditions of the filter are ignored.
        """

    async def task_state(self, team: UUID, task: bytes) -> TaskState | None:
        """Return the state of a task."""

    async def task(self, team: UUID, task: bytes) -> JobTask | None:
        """Return a task by id."""

    async def root_tasks(self, job: bytes, *, after: JobTask | None, count: int) -> list[JobTask]:
        """Return root tasks of a job in the order of their submission.

        Args:
            job: A job that the caller may see.
            after: The last task of the previous page, or None to start with the first one.
            count: The most tasks to return.
        """

    async def child_tasks(
        self, parents: Sequence[bytes], *, after: JobTask | None, count: int
    ) -> dict[bytes, list[JobTask]]:
        """Return the subtasks of each parent in the order of their submission.

        Args:
            parents: Tasks that the caller may see.
            after: The last task of the previous page, or None to start with the first ones.
            count: The most tasks to return for each parent.
        """

    async def root_dependencies(self, job: bytes) -> dict[bytes, list[bytes]]:
        """Return the dependencies of the groups of a job's root tasks, by group."""

    async def queued_tasks(self, job: bytes, *, count: int) -> list[JobTask]:
        """Return at most `count` queued tasks of a job."""

    async def tasks_in_state(self, job: bytes, state: TaskState, *, count: int) -> list[JobTask]:
        """Return at most `count` tasks of a job that are in a state."""

    async def tasks_of_groups(self, groups: Sequence[bytes]) -> list[JobTask]:
        """Return all tasks of the given groups."""

    async def blockers(self, groups: Sequence[bytes], *, count: int) -> Mapping[bytes, Blockers]:
        """Return the tasks that groups wait for, by group. At most `count` tasks are listed for each."""

    async def runners(self, cluster: int, *, count: int) -> list[RunnerStatus]:
        """Return at most `count` runners of a cluster, the most recently seen first."""

    async def job_groups(self, job: bytes, *, count: int) -> tuple[list[GroupOverview], list[TaskCount]]:
        """Return the first `count` groups of a job, and the counted tasks of all other groups."""
