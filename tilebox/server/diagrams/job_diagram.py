"""Diagrams of jobs as D2 text: one node per task, or bundles of tasks if there are many. Without IO.

A job with up to `max_tasks` tasks is drawn task by task. A larger one is drawn in bundles: tasks of one class, in
groups that tasks of one bundle submitted, become one node such as "Leaf × 9,998" with its states. So a recursive
tree of a million tasks has one node per level, and a fan-out of any width has two nodes. Root tasks, failed tasks
and small groups near the root keep nodes of their own, and so do running tasks while the limit allows it.

For a large job, a store provides groups with counts; see `JobGraph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.server.diagrams.bundling import MAX_EXPANDED_GROUP, MAX_EXPANDED_LEVEL, Tree, arrange
from tilebox.server.diagrams.d2 import d2_lines
from tilebox.server.diagrams.graph import Theme

if TYPE_CHECKING:
    from tilebox.server.diagrams.graph import JobGraph

MAX_TASKS = 200
"""The default limit on the nodes of a diagram."""

_MIN_NODES = 4


def to_d2(
    graph: JobGraph,
    *,
    theme: Theme = Theme.LIGHT,
    direction: str = "down",
    include_job_name: bool = False,
    max_tasks: int = MAX_TASKS,
) -> str:
    """Return the D2 text of a job's diagram. The same graph gives the same text.

    Args:
        graph: The job.
        theme: The background that it is drawn for.
        direction: The direction from tasks to subtasks: `down`, `up`, `left` or `right`.
        include_job_name: Whether to show the job's name and state at the top.
        max_tasks: The most nodes; values below 4 count as 4.
    """
    diagram = arrange(graph, max(max_tasks, _MIN_NODES))
    return "\n".join(d2_lines(graph, diagram, theme, direction, include_job_name=include_job_name)) + "\n"


def groups_to_load(graph: JobGraph, max_tasks: int = MAX_TASKS) -> list[int]:
    """Return the groups of a large job whose tasks the diagram shows one by one, so that a store can load them.

    Args:
        graph: The job; only groups with counts are needed.
        max_tasks: The most tasks in all returned groups together.
    """
    tree = Tree(graph)
    groups: list[int] = []
    total = 0
    for level in tree.levels():
        small = [group for group in level if tree.sizes[group] <= MAX_EXPANDED_GROUP]
        width = sum(tree.sizes[group] for group in small)
        if width > MAX_EXPANDED_LEVEL or total + width > max_tasks:
            break
        groups += small
        total += width
    return groups
