"""States of jobs and tasks, and reasons why a task is queued; the wire sends them as numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2

Name = TypeVar("Name", bound=StrEnum)


class JobState(StrEnum):
    """The state of a job. A state equals its name: `job.state == "COMPLETED"`."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server sent no state, or one that this version does not know."""
    SUBMITTED = "SUBMITTED"
    """No task has started."""
    RUNNING = "RUNNING"
    """A task is running."""
    STARTED = "STARTED"
    """Some tasks are computed and others are queued, but none is running."""
    COMPLETED = "COMPLETED"
    """All tasks are computed."""
    FAILED = "FAILED"
    """A task failed and has no retries left, which stops the job."""
    CANCELED = "CANCELED"
    """The job was cancelled."""

    @property
    def has_ended(self) -> bool:
        """Whether the job is completed, failed or cancelled. It stays so, unless it is retried."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELED)


class TaskState(StrEnum):
    """The state of a task. A state equals its name: `task.state == "FAILED"`."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server sent no state, or one that this version does not know."""
    QUEUED = "QUEUED"
    """The task waits for a runner, for its dependencies or for its next attempt."""
    RUNNING = "RUNNING"
    """A runner executes the task."""
    COMPUTED = "COMPUTED"
    """The task was executed; its subtasks may still be queued."""
    FAILED = "FAILED"
    """The last attempt failed, and the task has no retries left."""
    SKIPPED = "SKIPPED"
    """The task is optional, or below an optional task, and another task there failed."""
    FAILED_OPTIONAL = "FAILED_OPTIONAL"
    """The task failed, but it is optional, so the job continues."""


class QueueReason(StrEnum):
    """The reason why a task is queued."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server sent no reason, or one that this version does not know."""
    NEXT = "NEXT"
    """A runner can execute the task and will claim it in its turn."""
    NO_RUNNER = "NO_RUNNER"
    """The cluster has no runner."""
    UNKNOWN_TASK = "UNKNOWN_TASK"
    """No runner of the cluster registers the task."""
    VERSION_TOO_LOW = "VERSION_TOO_LOW"
    """Runners of the cluster register the task only in versions that cannot execute it."""
    DEPENDENCIES = "DEPENDENCIES"
    """Tasks that it depends on are not completed."""
    RETRY_DELAY = "RETRY_DELAY"
    """An attempt failed, and the delay before the next one is not over."""
    JOB_STOPPED = "JOB_STOPPED"
    """The job failed or was cancelled."""

    @property
    def needs_runner(self) -> bool:
        """Whether the task stays queued until another runner is started."""
        return self in (QueueReason.NO_RUNNER, QueueReason.UNKNOWN_TASK, QueueReason.VERSION_TOO_LOW)


def job_state(number: int) -> JobState:
    """Return the state for its number on the wire."""
    return _named(JobState, core_pb2.JobState, number, "JOB_STATE_")


def task_state(number: int) -> TaskState:
    """Return the state for its number on the wire."""
    return _named(TaskState, core_pb2.TaskState, number, "TASK_STATE_")


def queue_reason(number: int) -> QueueReason:
    """Return the reason for its number on the wire."""
    return _named(QueueReason, runners_pb2.QueueReason, number, "QUEUE_REASON_")


def _named(kind: type[Name], numbers: Any, number: int, prefix: str) -> Name:
    try:
        return kind(numbers.Name(number).removeprefix(prefix))
    except ValueError:  # the server is newer than this package
        return kind("UNSPECIFIED")
