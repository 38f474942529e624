"""Statistics of a job: its execution, and the progress that its tasks report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tilebox._core.jobs.states import TaskState, task_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from tilebox._core.protocol.workflows.v1 import core_pb2

_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job under one label, summed over its tasks.

    Args:
        label: The label, or None for the unnamed counter.
        total: The total work.
        done: The completed work.
    """

    label: str | None
    total: int
    done: int

    @classmethod
    def from_wire(cls, message: core_pb2.Progress) -> Progress:
        """Read progress from its protobuf message."""
        return cls(message.label or None, message.total, message.done)


@dataclass(frozen=True, slots=True)
class ExecutionStats:
    """Statistics of the execution of a job so far.

    Args:
        first_task_started_at: The time at which the first task started, or None.
        last_task_stopped_at: The time at which a task last stopped, or None.
        compute_time: The sum of the durations of its tasks.
        elapsed_time: The time from the first start to the last stop.
        parallelism: The average number of tasks that ran at the same time.
        total_tasks: The number of tasks so far; tasks that are not yet computed may submit more.
        tasks_by_state: The number of tasks in each state.
    """

    first_task_started_at: datetime | None = None
    last_task_stopped_at: datetime | None = None
    compute_time: timedelta = _ZERO
    elapsed_time: timedelta = _ZERO
    parallelism: float = 0.0
    total_tasks: int = 0
    tasks_by_state: Mapping[TaskState, int] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, message: core_pb2.ExecutionStats) -> ExecutionStats:
        """Read the statistics from their protobuf message."""
        return cls(
            optional_time(message, "first_task_started_at"),
            optional_time(message, "last_task_stopped_at"),
            message.compute_time.ToTimedelta(),
            message.elapsed_time.ToTimedelta(),
            message.parallelism,
            message.total_tasks,
            {task_state(entry.state): entry.count for entry in message.tasks_by_state if entry.count},
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
