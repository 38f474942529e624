"""How far a job or a task is, and why a task is still queued: names that the wire gives numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2

Name = TypeVar("Name", bound=StrEnum)


class JobState(StrEnum):
    """How far a job is. Equal to its name: `job.state == "COMPLETED"`."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server told nothing, or a state that this version does not know."""
    SUBMITTED = "SUBMITTED"
    """No task of it has started."""
    RUNNING = "RUNNING"
    """A task of it is running."""
    STARTED = "STARTED"
    """Tasks of it are computed and others wait, but none is running."""
    COMPLETED = "COMPLETED"
    """All tasks are computed."""
    FAILED = "FAILED"
    """A task failed for good, which stops the job."""
    CANCELED = "CANCELED"
    """Somebody cancelled it."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens any more, unless somebody retries the job."""
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELED)


class TaskState(StrEnum):
    """How far a task is. Equal to its name: `task.state == "FAILED"`."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server told nothing, or a state that this version does not know."""
    QUEUED = "QUEUED"
    """It waits for a runner, for its dependencies or for its next attempt."""
    RUNNING = "RUNNING"
    """A runner executes it."""
    COMPUTED = "COMPUTED"
    """It was executed; its subtasks may still wait."""
    FAILED = "FAILED"
    """Its last attempt failed, and it has no retries left."""
    SKIPPED = "SKIPPED"
    """It is optional, or below an optional task, and another one there failed."""
    FAILED_OPTIONAL = "FAILED_OPTIONAL"
    """It failed, but is optional, so that the job goes on."""


class QueueReason(StrEnum):
    """Why a task is still queued."""

    UNSPECIFIED = "UNSPECIFIED"
    """The server told nothing, or a reason that this version does not know."""
    NEXT = "NEXT"
    """A runner that can execute it is there; it comes to its turn."""
    NO_RUNNER = "NO_RUNNER"
    """Its cluster has no runner."""
    UNKNOWN_TASK = "UNKNOWN_TASK"
    """No runner of its cluster registers it."""
    VERSION_TOO_LOW = "VERSION_TOO_LOW"
    """Runners of its cluster register it in versions that cannot execute it."""
    DEPENDENCIES = "DEPENDENCIES"
    """Tasks that it depends on are not completed."""
    RETRY_DELAY = "RETRY_DELAY"
    """It failed, and waits for its next attempt."""
    JOB_STOPPED = "JOB_STOPPED"
    """Its job failed or was cancelled."""

    @property
    def needs_runner(self) -> bool:
        """Whether it stays queued until somebody starts another runner."""
        return self in (QueueReason.NO_RUNNER, QueueReason.UNKNOWN_TASK, QueueReason.VERSION_TOO_LOW)


def job_state(number: int) -> JobState:
    """Return the state that a number of the wire stands for."""
    return _named(JobState, core_pb2.JobState, number, "JOB_STATE_")


def task_state(number: int) -> TaskState:
    """Return the state that a number of the wire stands for."""
    return _named(TaskState, core_pb2.TaskState, number, "TASK_STATE_")


def queue_reason(number: int) -> QueueReason:
    """Return the reason that a number of the wire stands for."""
    return _named(QueueReason, runners_pb2.QueueReason, number, "QUEUE_REASON_")


def _named(kind: type[Name], numbers: Any, number: int, prefix: str) -> Name:
    try:
        return kind(numbers.Name(number).removeprefix(prefix))
    except ValueError:  # of a server that is newer than this package
        return kind("UNSPECIFIED")
