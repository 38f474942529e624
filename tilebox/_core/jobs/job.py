"""Jobs, their tasks, and clusters: what the server tells about them, as values that print well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

from tilebox._core.jobs import reprs
from tilebox._core.jobs.reprs import JobRow, TaskRow
from tilebox._core.jobs.states import JobState, QueueReason, TaskState, job_state, queue_reason, task_state
from tilebox._core.jobs.stats import ExecutionStats, Progress, optional_time
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox._core.values import ids
from tilebox.errors import JobFailedError, JobTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
    from tilebox._core.protocol.tilebox.v1 import id_pb2
    from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2, workflows_pb2

_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of runners, and the tasks that are meant for them.

    Args:
        slug: What identifies it wherever a cluster is asked for.
        display_name: What people call it.
        description: What it is for.
        deletable: Whether it may be deleted, which the default cluster may not.
    """

    slug: str
    display_name: str = ""
    description: str = field(default="", repr=False)
    deletable: bool = field(default=True, repr=False)

    @classmethod
    def from_wire(cls, message: workflows_pb2.Cluster) -> Cluster:
        """Read the message of a cluster."""
        return cls(message.slug, message.display_name, message.description, message.deletable)


ClusterLike: TypeAlias = Union[Cluster, str]  # noqa: UP007 the same on every Python
"""A cluster or its slug."""


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """A job as it was when the server was asked; `JobClient.find(job)` tells how it is now.

    Args:
        id: What identifies it.
        name: What whoever submitted it called it.
        state: How far it is.
        submitted_at: When it was submitted.
        started_at: When its first task started, or None.
        execution_stats: What its execution took so far.
        progress: How far it is by its tasks' own measures.
        automation_id: The automation that submitted it, or None.
        trace_parent: The W3C trace context in which it was submitted.
    """

    id: UUID
    name: str
    state: JobState = JobState.UNSPECIFIED
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    execution_stats: ExecutionStats = field(default_factory=ExecutionStats)
    progress: tuple[Progress, ...] = ()
    automation_id: UUID | None = None
    trace_parent: str = ""

    @classmethod
    def from_wire(cls, message: core_pb2.Job) -> Job:
        """Read the message of a job."""
        stats = ExecutionStats.from_wire(message.execution_stats)
        return cls(
            ids.from_wire(message.id),
            message.name,
            job_state(message.state),
            optional_time(message, "submitted_at"),
            optional_time(message, "started_at") or stats.first_task_started_at,
            stats,
            tuple(map(Progress.from_wire, message.progress)),
            _id(message.automation_id),
            message.trace_parent,
        )

    @property
    def canceled(self) -> bool:
        """Whether its queued tasks are left alone: somebody cancelled it, or a task failed, which cancels it too."""
        return self.state in (JobState.CANCELED, JobState.FAILED)

    def __repr__(self) -> str:
        return f"Job {self.name} [{self.state}]: {reprs.counts_text(self.execution_stats)}{self.id}"

    def _repr_html_(self) -> str:
        return job_html(self)


class JobList(list[Job]):
    """Jobs, printed as a table."""

    def __repr__(self) -> str:
        return reprs.jobs_text([_job_row(job) for job in self])

    def _repr_html_(self) -> str:
        return reprs.jobs_html([_job_row(job) for job in self])


@dataclass(frozen=True, slots=True, repr=False)
class TaskSummary:
    """A task of a job.

    Args:
        id: What identifies it.
        parent_id: The task that submitted it, or None for a root task.
        display: What it calls itself; behind that, the error it failed with.
        state: How far it is.
        submitted_at: When it was submitted.
        started_at: When its last attempt started, or None.
        stopped_at: When its last attempt ended, or None.
        input: Its arguments as they were serialised, or None if the server keeps them to itself.
        retry_count: How many attempts failed.
        max_retries: How many may fail without the task failing for good.
        has_children: Whether it submitted tasks.
        cluster: The slug of its cluster.
        optional: Whether the job goes on without it.
    """

    id: UUID
    parent_id: UUID | None = None
    display: str = ""
    state: TaskState = TaskState.UNSPECIFIED
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    input: bytes | None = None
    retry_count: int = 0
    max_retries: int = 0
    has_children: bool = False
    cluster: str = ""
    optional: bool = False

    @classmethod
    def from_wire(cls, message: job_pb2.TaskSummary) -> TaskSummary:
        """Read the message of a task."""
        return cls(
            ids.from_wire(message.id),
            _id(message.parent_id),
            message.display,
            task_state(message.state),
            optional_time(message, "submitted_at"),
            optional_time(message, "started_at"),
            optional_time(message, "stopped_at"),
            message.input if message.HasField("input") else None,
            message.retry_count,
            message.max_retries,
            message.has_children,
            message.cluster_slug,
            message.optional,
        )

    @property
    def run_time(self) -> timedelta | None:
        """For how long its last attempt ran, or None if it has not ended."""
        return self.stopped_at - self.started_at if self.started_at and self.stopped_at else None

    def __repr__(self) -> str:
        return f"Task {reprs.first_line(self.display)} [{self.state}]: {self.id}"


class TaskList(list[TaskSummary]):
    """Tasks of a job, each followed by its subtasks; printed as a tree."""

    def __repr__(self) -> str:
        return reprs.tasks_text(_task_rows(self))

    def _repr_html_(self) -> str:
        return reprs.tasks_html(_task_rows(self))


@dataclass(frozen=True, slots=True, repr=False)
class QueuedTask:
    """A task that is still queued, and why.

    Args:
        id: What identifies it.
        display: What it calls itself.
        cluster: The slug of its cluster.
        identifier: Its name and version, which a runner must register.
        reason: Why it is queued.
        explanation: The reason as a sentence.
        waits_for: The tasks that it waits for, if that is the reason.
    """

    id: UUID
    display: str
    cluster: str
    identifier: TaskIdentifier
    reason: QueueReason
    explanation: str
    waits_for: tuple[UUID, ...] = ()

    @classmethod
    def from_wire(cls, message: runners_pb2.QueuedTask) -> QueuedTask:
        """Read the message of a queued task."""
        return cls(
            ids.from_wire(message.task_id),
            message.display,
            message.cluster_slug,
            TaskIdentifier.parse(message.identifier.name, message.identifier.version),
            queue_reason(message.reason),
            message.explanation,
            tuple(map(ids.from_wire, message.waits_for)),
        )

    def __repr__(self) -> str:
        return f"Task {reprs.first_line(self.display)} [{self.reason}]: {self.explanation}"


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How much work waits.

    Args:
        waiting_jobs: Number of jobs of which no task has started.
        running_jobs: Number of jobs that have started and not ended.
        queued_tasks: Number of queued tasks of all these.
        oldest_waiting_job: The job that has waited longest for its first task to start, or None.
    """

    waiting_jobs: int
    running_jobs: int
    queued_tasks: int
    oldest_waiting_job: Job | None = None

    @classmethod
    def from_wire(cls, message: job_pb2.GetTaskQueueStatsResponse) -> QueueStats:
        """Read the message of these numbers."""
        oldest = Job.from_wire(message.oldest_waiting_job) if message.HasField("oldest_waiting_job") else None
        return cls(message.waiting_jobs, message.running_jobs, message.queued_tasks, oldest)


def job_html(job: Job, diagram: str | None = None) -> str:
    """Return a job as HTML for notebooks: its name, state, counts and progress.

    Args:
        job: The job.
        diagram: Its diagram as SVG, to be drawn below.
    """
    return reprs.job_html(_job_row(job), diagram)


def failure(job: Job, tasks: Sequence[TaskSummary]) -> JobFailedError:
    """Return the error that tells of a job which failed or was cancelled.

    Args:
        job: The job as it ended.
        tasks: Tasks that failed; not necessarily all of them.
    """
    return JobFailedError("\n".join(_failure_lines(job, tasks)), job=job, tasks=tasks)


def timeout(job: Job, seconds: float) -> JobTimeoutError:
    """Return the error that tells of a job which has not ended after so many seconds."""
    counts = reprs.counts_text(job.execution_stats)
    return JobTimeoutError(f"job {job.name} is still {job.state} after {seconds:g} s: {counts}{job.id}", job=job)


def in_tree_order(tasks: Iterable[TaskSummary]) -> TaskList:
    """Return tasks so that each is followed by its subtasks; what was listed first stays first."""
    children: dict[UUID | None, list[TaskSummary]] = {}
    for task in tasks:
        children.setdefault(task.parent_id, []).append(task)
    ordered = TaskList()
    waiting = children.get(None, [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += children.get(ordered[-1].id, [])[::-1]
    return ordered


def _job_row(job: Job) -> JobRow:
    return JobRow(job.id, job.name, job.state, job.submitted_at, job.execution_stats, job.progress)


def _task_rows(tasks: Iterable[TaskSummary]) -> list[TaskRow]:
    depths: dict[UUID, int] = {}
    rows = []
    for task in tasks:
        depth = 0 if task.parent_id is None else depths.get(task.parent_id, -1) + 1
        depths[task.id] = depth
        rows.append(TaskRow(task.display, task.state, task.run_time, task.retry_count, depth))
    return rows


def _failure_lines(job: Job, tasks: Sequence[TaskSummary]) -> Iterable[str]:
    if job.state is JobState.CANCELED:
        yield f"job {job.name} was cancelled ({job.id})"
    else:
        count = max(len(tasks), job.execution_stats.count(TaskState.FAILED))
        yield f"job {job.name} failed ({job.id}): {count} {'task' if count == 1 else 'tasks'} failed"
    for task in tasks[:_MAX_NAMED]:
        first, *rest = task.display.splitlines() or [""]
        error = f": {' '.join(rest)}" if rest else ""
        yield f"  {first}{error} (task {task.id})"
    if len(tasks) > _MAX_NAMED:
        yield "  …"


def _id(message: id_pb2.ID) -> UUID | None:
    return ids.from_wire(message) if message.uuid else None
