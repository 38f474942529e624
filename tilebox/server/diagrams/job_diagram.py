"""A job as a diagram: its tasks, or bundles of them where there are many, as text in the D2 language. Pure.

A job of up to `max_tasks` tasks is drawn task by task. A larger one is drawn in bundles: tasks of one class, in
groups that tasks of one bundle submitted, become one node such as "Leaf × 9,998" with its states. So a recursive
tree of a million tasks is a node a level, and a fan-out of any width is two nodes. Root tasks and failed ones keep
nodes of their own, small groups near the root too, and those that run while there is room.

What a store has to give for a large job are groups with counts; see `JobGraph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.server.diagrams.bundling import OPENED_GROUP, OPENED_LEVEL, Tree, arranged
from tilebox.server.diagrams.d2 import lines
from tilebox.server.diagrams.graph import Theme

if TYPE_CHECKING:
    from tilebox.server.diagrams.graph import JobGraph

MAX_TASKS = 200
"""How many nodes a diagram has at the most if nothing else is said."""

_FEWEST_NODES = 4


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
