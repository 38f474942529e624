"""A job as a diagram: its tasks, or bundles of them where there are many, as text in the D2 language. Pure.

A job of up to `max_tasks` tasks is drawn task by task. A larger one is drawn in bundles: tasks of one class, in
groups that tasks of one bundle submitted, become one node such as "Leaf × 9,998" with its states. So a recursive
tree of a million tasks is a node a level, and a fan-out of any width is two nodes. Root tasks and failed ones keep
nodes of their own, small groups near the root too, and those that run while there is room.

What a store has to give for a large job are groups with counts; see `JobGraph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tilebox._core.diagram_bundles import OPENED_GROUP, OPENED_LEVEL, Tree, arranged
from tilebox._core.diagram_text import lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox._core.scheduling import JobState, TaskState

MAX_TASKS = 200
"""How many nodes a diagram has at the most if nothing else is said."""

_FEWEST_NODES = 4


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


def to_d2(
    graph: JobGraph,
    *,
    theme: Theme = Theme.LIGHT,
    direction: str = "down",
    include_job_name: bool = False,
    max_tasks: int = MAX_TASKS,
) -> str:
    """Write a job as a D2 diagram. The same graph gives the same text.

    Args:
        graph: The job.
        theme: The background it is made for.
        direction: Where subtasks lie: `down`, `up`, `left` or `right`.
        include_job_name: Whether the job's name and state stand above.
        max_tasks: How many nodes it has at the most; at least 4 are taken.
    """
    picture = arranged(graph, max(max_tasks, _FEWEST_NODES))
    return "\n".join(lines(graph, picture, theme, direction, include_job_name=include_job_name)) + "\n"


def groups_to_load(graph: JobGraph, max_tasks: int = MAX_TASKS) -> list[int]:
    """Return the groups whose tasks a large job's diagram shows one by one, if the tasks are given.

    Needs groups with their counts only. They have no more than `max_tasks` tasks together.
    """
    tree = Tree(graph)
    found: list[int] = []
    total = 0
    for level in tree.levels():
        small = [group for group in level if tree.sizes[group] <= OPENED_GROUP]
        width = sum(tree.sizes[group] for group in small)
        if width > OPENED_LEVEL or total + width > max_tasks:
            break
        found += small
        total += width
    return found
