"""Numbers about a job: what its execution took, and how far its tasks say that they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tilebox._core.jobs.states import TaskState, task_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from tilebox._core.protocol.workflows.v1 import core_pb2

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is by one measure of its tasks' own.

    Args:
        label: What is measured, or None for the measure without a name.
        total: What there is to do.
        done: What of it is done.
    """

    label: str | None
    total: int
    done: int

    @classmethod
    def from_wire(cls, message: core_pb2.Progress) -> Progress:
        """Read the message of a measure."""
        return cls(message.label or None, message.total, message.done)


@dataclass(frozen=True, slots=True)
class ExecutionStats:
    """What the execution of a job took so far.

    Args:
        first_task_started_at: When its first task started, or None.
        last_task_stopped_at: When the last one of those that stopped did so, or None.
        compute_time: For how long its tasks ran, summed up.
        elapsed_time: From the first start to the last stop.
        parallelism: How many tasks ran at a time, on average.
        total_tasks: Number of its tasks so far; tasks that are not yet computed may add others.
        tasks_by_state: Number of tasks by state.
    """

    first_task_started_at: datetime | None = None
    last_task_stopped_at: datetime | None = None
    compute_time: timedelta = _NONE
    elapsed_time: timedelta = _NONE
    parallelism: float = 0.0
    total_tasks: int = 0
    tasks_by_state: Mapping[TaskState, int] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, message: core_pb2.ExecutionStats) -> ExecutionStats:
        """Read the message of these numbers."""
        return cls(
            optional_time(message, "first_task_started_at"),
            optional_time(message, "last_task_stopped_at"),
            message.compute_time.ToTimedelta(),
            message.elapsed_time.ToTimedelta(),
            message.parallelism,
            message.total_tasks,
            {task_state(each.state): each.count for each in message.tasks_by_state if each.count},
        )

    def count(self, *states: TaskState) -> int:
        """Return the number of tasks in any of these states."""
        return sum(self.tasks_by_state.get(state, 0) for state in states)


def optional_time(message: Message, name: str) -> datetime | None:
    """Return the time in a field of a message, or None if it is not set."""
    if not message.HasField(name):
        return None
    time: datetime = getattr(message, name).ToDatetime(tzinfo=UTC)
    return time
