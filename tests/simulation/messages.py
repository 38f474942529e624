"""Plans as protobuf messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.plan import KINDS
from support.http.wire import submissions, task_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.plan import GroupPlan, TaskPlan


def submissions_of(groups: Sequence[GroupPlan]):
    """Return the message that submits groups."""
    return submissions(*map(_group, groups), identifiers=KINDS, displays=("task",))


def _group(group: GroupPlan):
    return task_group(
        len(group.tasks),
        depends_on=group.dependencies,
        inputs=[task.label.encode() for task in group.tasks],
        identifier_pointers=[task.kind for task in group.tasks],
        max_retries_values=[task.max_retries for task in group.tasks],
        optional_values=[task.is_optional for task in group.tasks],
    )


def size_of(task: TaskPlan) -> int:
    """Return the number of subtasks that a task submits."""
    return sum(len(group.tasks) for group in task.groups)
