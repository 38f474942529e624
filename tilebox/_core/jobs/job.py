"""Jobs, tasks and clusters as plain values, converted from their protobuf messages."""

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

# The largest number of failed tasks in an error message.
_MAX_LISTED_TASKS = 10


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of runners that execute the tasks submitted to it.

    Args:
        slug: The identifier of the cluster, accepted wherever a cluster is an argument.
        display_name: The display name.
        description: The purpose of the cluster.
        deletable: Whether the cluster can be deleted; the default cluster cannot.
    """

    slug: str
    display_name: str = ""
    description: str = field(default="", repr=False)
    deletable: bool = field(default=True, repr=False)

    @classmethod
    def from_wire(cls, message: workflows_pb2.Cluster) -> Cluster:
        """Read a cluster from its protobuf message."""
        return cls(message.slug, message.display_name, message.description, message.deletable)


ClusterLike: TypeAlias = Union[Cluster, str]  # noqa: UP007 the same on every Python
"""A cluster or its slug."""


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """A snapshot of a job; `JobClient.find(job)` returns a newer one.

    Args:
        id: The id of the job.
        name: The name of the job.
        state: The state of the job.
        submitted_at: The time of its submission.
        started_at: The time at which its first task started, or None.
        execution_stats: Statistics of its execution so far.
        progress: The progress that its tasks report, by label.
        automation_id: The id of the automation that submitted it, or None.
        trace_parent: The W3C trace parent of its submission.
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
        """Read a job from its protobuf message."""
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
        """Whether its queued tasks will not run, because it was cancelled or because a task failed."""
        return self.state in (JobState.CANCELED, JobState.FAILED)

    def __repr__(self) -> str:
        return f"Job {self.name} [{self.state}]: {reprs.counts_text(self.execution_stats)}{self.id}"

    def _repr_html_(self) -> str:
        return job_html(self)


class JobList(list[Job]):
    """A list of jobs that prints as a table."""

    def __repr__(self) -> str:
        return reprs.jobs_text([_job_row(job) for job in self])

    def _repr_html_(self) -> str:
        return reprs.jobs_html([_job_row(job) for job in self])


@dataclass(frozen=True, slots=True, repr=False)
class TaskSummary:
    """A task of a job.

    Args:
        id: The id of the task.
        parent_id: The id of the task that submitted it, or None for a root task.
        display: The label of the task; for a failed task, its error follows in further lines.
        state: The state of the task.
        submitted_at: The time of its submission.
        started_at: The time at which its last attempt started, or None.
        stopped_at: The time at which its last attempt ended, or None.
        input: The serialised inputs, or None if the server does not reveal them.
        retry_count: The number of failed attempts.
        max_retries: The number of times that the task is retried after a failed attempt.
        has_children: Whether the task submitted subtasks.
        cluster: The slug of its cluster.
        optional: Whether the job continues if the task fails.
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
        """Read a task from its protobuf message."""
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
        """The duration of the last attempt, or None if it has not ended."""
        return self.stopped_at - self.started_at if self.started_at and self.stopped_at else None

    def __repr__(self) -> str:
        return f"Task {reprs.first_line(self.display)} [{self.state}]: {self.id}"


class TaskList(list[TaskSummary]):
    """A list of tasks, each followed by its subtasks, that prints as a tree."""

    def __repr__(self) -> str:
        return reprs.tasks_text(_task_rows(self))

    def _repr_html_(self) -> str:
        return reprs.tasks_html(_task_rows(self))


@dataclass(frozen=True, slots=True, repr=False)
class QueuedTask:
    """A queued task, and the reason why it has not started.

    Args:
        id: The id of the task.
        display: The label of the task.
        cluster: The slug of its cluster.
        identifier: The name and version that a runner must register to execute it.
        reason: The reason why it is queued.
        explanation: The reason as a sentence.
        waits_for: The ids of the tasks that it depends on, if that is the reason.
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
        """Read a queued task from its protobuf message."""
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
    """The amount of queued work.

    Args:
        waiting_jobs: The number of jobs without a started task.
        running_jobs: The number of jobs that have started and not ended.
        queued_tasks: The number of queued tasks of these jobs.
        oldest_waiting_job: The job that has waited longest for its first task to start, or None.
    """

    waiting_jobs: int
    running_jobs: int
    queued_tasks: int
    oldest_waiting_job: Job | None = None

    @classmethod
    def from_wire(cls, message: job_pb2.GetTaskQueueStatsResponse) -> QueueStats:
        """Read the statistics from their protobuf message."""
        oldest = Job.from_wire(message.oldest_waiting_job) if message.HasField("oldest_waiting_job") else None
        return cls(message.waiting_jobs, message.running_jobs, message.queued_tasks, oldest)


def job_html(job: Job, diagram: str | None = None) -> str:
    """Return HTML with the name, state, task counts and progress of a job.

    Args:
        job: The job.
        diagram: The diagram of the job as SVG, shown below the rest.
    """
    return reprs.job_html(_job_row(job), diagram)


def failure(job: Job, tasks: Sequence[TaskSummary]) -> JobFailedError:
    """Return the error for a job that failed or was cancelled.

    Args:
        job: The job after its end.
        tasks: Failed tasks of the job, not necessarily all of them.
    """
    return JobFailedError("\n".join(_failure_lines(job, tasks)), job=job, tasks=tasks)


def timeout(job: Job, seconds: float) -> JobTimeoutError:
    """Return the error for a job that has not ended after a timeout in seconds."""
    counts = reprs.counts_text(job.execution_stats)
    return JobTimeoutError(f"job {job.name} is still {job.state} after {seconds:g} s: {counts}{job.id}", job=job)


def in_tree_order(tasks: Iterable[TaskSummary]) -> TaskList:
    """Return tasks in depth-first order: each is followed by its subtasks, and siblings keep their order."""
    children: dict[UUID | None, list[TaskSummary]] = {}
    for task in tasks:
        children.setdefault(task.parent_id, []).append(task)
    ordered = TaskList()
    stack = children.get(None, [])[::-1]
    while stack:
        ordered.append(stack.pop())
        stack += children.get(ordered[-1].id, [])[::-1]
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
    for task in tasks[:_MAX_LISTED_TASKS]:
        first, *rest = task.display.splitlines() or [""]
        error = f": {' '.join(rest)}" if rest else ""
        yield f"  {first}{error} (task {task.id})"
    if len(tasks) > _MAX_LISTED_TASKS:
        yield "  …"


def _id(message: id_pb2.ID) -> UUID | None:
    return ids.from_wire(message) if message.uuid else None
