"""The input of a diagram: the tasks of a job and their groups, single or counted; and themes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox.server.rules.task_states import JobState, TaskState


class Theme(IntEnum):
    """The background that a diagram is drawn for. Numbers as in `workflows.v1.WorkflowDiagramTheme`."""

    UNSPECIFIED = 0
    LIGHT = 1
    DARK = 2
    CONSOLE_LIGHT = 3
    CONSOLE_DARK = 4

    @property
    def is_dark(self) -> bool:
        """Whether the background is dark."""
        return self in {Theme.DARK, Theme.CONSOLE_DARK}

    @property
    def is_transparent(self) -> bool:
        """Whether the background of the page shows through."""
        return self in {Theme.CONSOLE_LIGHT, Theme.CONSOLE_DARK}

    @property
    def d2_theme(self) -> int:
        """The number of the D2 theme that fits."""
        return 200 if self.is_dark else 0


@dataclass(frozen=True, slots=True)
class GraphTask:
    """A task.

    Args:
        id: Its id.
        parent_id: Id of the task that submitted it, or None for a root task.
        group: Index of its group.
        display: Its display name; if empty, the name of its class is shown.
        state: Its state.
        identifier: Name of its class.
        is_optional: Whether it may fail.
    """

    id: UUID
    parent_id: UUID | None
    group: int
    display: str
    state: TaskState
    identifier: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class GraphCount:
    """The number of tasks of a group with one class and one state."""

    identifier: str
    state: TaskState
    count: int


@dataclass(frozen=True, slots=True)
class GraphGroup:
    """Tasks with equal dependencies that one task submitted.

    Args:
        index: Its number, by which tasks and groups refer to it. Earlier groups have smaller numbers.
        parent_id: Id of the task that submitted it, or None for root tasks.
        depends_on: Indices of the groups that it waits for.
        counts: Counts of all of its tasks; optional if all of them are in `JobGraph.tasks`.
        parent_group: Group of the submitting task; optional if that task is in `JobGraph.tasks`.
        parent_identifier: Class of the submitting task; optional in the same case.
    """

    index: int
    parent_id: UUID | None
    depends_on: tuple[int, ...] = ()
    counts: tuple[GraphCount, ...] = ()
    parent_group: int | None = None
    parent_identifier: str = ""


@dataclass(frozen=True, slots=True)
class JobGraph:
    """The graph of a job.

    A small job has all of its groups and tasks. A job with more than `max_tasks` tasks needs only:

    - every group, with `counts` (rows of group, class, state and count), `parent_group` and `parent_identifier`;
    - the root tasks, the failed tasks and the running tasks, each up to `max_tasks`;
    - the tasks of `groups_to_load(graph)`, so that small groups near the root show their tasks.

    A task may be in both `tasks` and `counts`; it is drawn once. If there are too many groups to read, the first ones
    (by level or by age) are enough, and `rest` counts the tasks of the others.

    Args:
        job_name: Name of the job.
        state: State of the job.
        groups: Groups of tasks, in any order.
        tasks: Single tasks, in the order in which they were submitted.
        rest: Counts of the tasks whose groups are not in `groups`.
    """

    job_name: str
    state: JobState
    groups: Sequence[GraphGroup]
    tasks: Sequence[GraphTask]
    rest: Sequence[GraphCount] = ()
