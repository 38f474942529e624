"""What a diagram is drawn from: the tasks of a job and their groups, single or counted; and its colours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox.server.rules.task_states import JobState, TaskState


class Theme(IntEnum):
    """For which background a diagram is made; numbers as in `workflows.v1.WorkflowDiagramTheme`."""

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
        """Whether the page around shows through."""
        return self in {Theme.CONSOLE_LIGHT, Theme.CONSOLE_DARK}

    @property
    def d2_theme(self) -> int:
        """D2's number for the theme that fits."""
        return 200 if self.is_dark else 0


@dataclass(frozen=True, slots=True)
class GraphTask:
    """One task.

    Args:
        id: Its id.
        parent_id: The task that submitted it, or None for a root task.
        group: Index of its group.
        display: What it is called; its class's name if empty.
        state: Where it is.
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
    """How many tasks of a group have one class and one state."""

    identifier: str
    state: TaskState
    count: int


@dataclass(frozen=True, slots=True)
class GraphGroup:
    """Tasks that one task submitted, with equal dependencies.

    Args:
        index: Its number, by which tasks and groups refer to it. Earlier groups have smaller ones.
        parent_id: The task that submitted it, or None for root tasks.
        depends_on: Groups that it waits for.
        counts: All of its tasks, counted; may be left empty if all of them are in `JobGraph.tasks`.
        parent_group: Group of the submitting task; may be left out if that task is in `JobGraph.tasks`.
        parent_identifier: Class of the submitting task; as above.
    """

    index: int
    parent_id: UUID | None
    depends_on: tuple[int, ...] = ()
    counts: tuple[GraphCount, ...] = ()
    parent_group: int | None = None
    parent_identifier: str = ""


@dataclass(frozen=True, slots=True)
class JobGraph:
    """What is drawn.

    A small job is given by all of its groups and tasks. For one of more than `max_tasks` tasks this is enough:

    - every group, with `counts` (rows of group, class, state and count), `parent_group` and `parent_identifier`;
    - of tasks: the root ones, the failed ones, and those that run, each up to `max_tasks`;
    - and, so that small groups near the root show their tasks, the tasks of `groups_to_load(graph)`.

    Tasks may be in `tasks` and in `counts` at once; they are drawn once. Where even the groups are too many to be
    read, the first ones (by level or by age) will do, and what is left is counted in `rest`.

    Args:
        job_name: Its name.
        state: Where the job is.
        groups: Groups of tasks, in any order.
        tasks: Single tasks, in the order in which they were submitted.
        rest: Tasks of groups that are not in `groups`.
    """

    job_name: str
    state: JobState
    groups: Sequence[GraphGroup]
    tasks: Sequence[GraphTask]
    rest: Sequence[GraphCount] = ()
