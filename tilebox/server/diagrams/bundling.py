"""Which tasks of a job get nodes of their own in its diagram, and which are drawn in bundles. Pure.

Bundles are found from the root down. The tasks of one class in a group are a bundle; groups whose submitting tasks
are in one bundle are put together, the first with the first, the second with the second. Then tasks are taken out
of bundles, the important ones first, while there is room.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from uuid import UUID

    from tilebox.server.diagrams.graph import GraphGroup, GraphTask, JobGraph

OPENED_GROUP = 16
"""A group of a large job is drawn task by task if it has no more tasks than this."""

OPENED_LEVEL = 32
"""No level of a large job's tree is drawn task by task if that takes more nodes than this."""

_KEPT_RUNNING = 24


class Tree:
    """The groups of a job by who submitted them, from the root down."""

    def __init__(self, graph: JobGraph) -> None:
        self.groups = {group.index: group for group in sorted(graph.groups, key=lambda group: group.index)}
        self.tasks = {task.id: task for task in graph.tasks if task.group in self.groups}
        self.members: defaultdict[int, list[GraphTask]] = defaultdict(list)
        for task in self.tasks.values():
            self.members[task.group].append(task)
        self.sizes = {
            index: sum(row.count for row in group.counts) or len(self.members[index])
            for index, group in self.groups.items()
        }
        self._parents = {index: self._parent(group) for index, group in self.groups.items()}
        self.order, self.depths = self._top_down()
        self.ordinals = self._ordinals()

    def parent(self, index: int) -> tuple[int, str] | None:
        """Return group and class of the task that submitted a group, or None at the root."""
        return self._parents[index] if self.depths[index] else None

    def levels(self) -> Iterator[list[int]]:
        """Yield the groups of each depth, from the root."""
        levels: defaultdict[int, list[int]] = defaultdict(list)
        for index in self.order:
            levels[self.depths[index]].append(index)
        yield from (levels[depth] for depth in sorted(levels))

    def _parent(self, group: GraphGroup) -> tuple[int, str] | None:
        if group.parent_id is None:
            return None
        task = self.tasks.get(group.parent_id)
        if task is not None:
            return task.group, task.identifier
        if group.parent_group is not None and group.parent_group in self.groups:
            return group.parent_group, group.parent_identifier
        return None

    def _top_down(self) -> tuple[list[int], dict[int, int]]:
        children: defaultdict[int | None, list[int]] = defaultdict(list)
        for index, parent in self._parents.items():
            children[parent[0] if parent else None].append(index)
        order: list[int] = []
        depths: dict[int, int] = {}
        # A graph that is read while it changes may have a group whose parents lead nowhere: it stands at the root.
        for start in (*children[None], *self.groups):
            if start in depths:
                continue
            depths[start] = 0
            waiting = deque([start])
            while waiting:
                index = waiting.popleft()
                order.append(index)
                for child in children[index]:
                    if child not in depths:
                        depths[child] = depths[index] + 1
                        waiting.append(child)
        order.sort(key=lambda index: (depths[index], index))
        return order, depths

    def _ordinals(self) -> dict[int, int]:
        seen: Counter[UUID | None] = Counter()
        ordinals = {}
        for index, group in self.groups.items():
            ordinals[index] = seen[group.parent_id]
            seen[group.parent_id] += 1
        return ordinals


@dataclass(slots=True)
class Node:
    """A task, or a bundle of tasks of one class."""

    name: str
    label: str
    parent: Node | None
    bundle: int
    is_optional: bool = False
    is_bundle: bool = False
    task: GraphTask | None = None
    states: Counter[TaskState] = field(default_factory=Counter)
    below: Counter[TaskState] = field(default_factory=Counter)
    is_kept: bool = False
    is_gone: bool = False


@dataclass(slots=True)
class Picture:
    """Nodes, and which bundles wait for which."""

    nodes: list[Node]
    dependencies: list[tuple[int, int]]


def arranged(graph: JobGraph, limit: int) -> Picture:
    """Find the richest picture of no more than `limit` nodes."""
    tree = Tree(graph)
    if not graph.rest and sum(tree.sizes.values()) <= limit:
        picture = _picture(graph, tree, tree.tasks.keys(), frozenset())
        if len(picture.nodes) <= limit:
            return picture
    failed = _ids(graph, TaskState.FAILED)[: limit // 2]
    chosen = set(failed)
    for by_ordinal in (True, False):
        picture = _picture(graph, tree, chosen, set(failed), by_ordinal=by_ordinal)
        if len(picture.nodes) <= limit:
            break
    else:
        return _folded(picture, limit)

    def enrich(more: Collection[UUID]) -> bool:
        nonlocal picture
        wanted = chosen.union(more)
        if len(wanted) == len(chosen):
            return False
        richer = _picture(graph, tree, wanted, set(failed), by_ordinal=by_ordinal)
        if len(richer.nodes) > limit:
            return False
        picture = richer
        chosen.update(more)
        return True

    for state in (TaskState.FAILED, TaskState.FAILED_OPTIONAL, TaskState.RUNNING):
        room = limit - len(picture.nodes)
        enrich(_ids(graph, state)[: min(room, _KEPT_RUNNING) if state is TaskState.RUNNING else room])
    for level in tree.levels():
        small = [
            [task.id for task in tree.members[group]]
            for group in level
            if tree.sizes[group] <= OPENED_GROUP and len(tree.members[group]) == tree.sizes[group]
        ]
        if sum(map(len, small)) > OPENED_LEVEL or not enrich([task for group in small for task in group]):
            break
    return picture


def _ids(graph: JobGraph, state: TaskState) -> list[UUID]:
    return [task.id for task in graph.tasks if task.state == state]


def _picture(
    graph: JobGraph, tree: Tree, single: Collection[UUID], kept: Collection[UUID], *, by_ordinal: bool = True
) -> Picture:
    """Draw some tasks as nodes of their own, and all others in bundles.

    Args:
        graph: The job.
        tree: Its groups.
        single: Tasks with nodes of their own.
        kept: Those of them that must not be left out.
        by_ordinal: Whether the first, the second and later groups that tasks of one bundle submitted are different
            bundles; else there is one of each class.
    """
    nodes: list[Node] = []
    of_task: dict[UUID, Node] = {}
    of_class: dict[tuple[int, str], Node] = {}
    bundles: dict[tuple[str, int], int] = {}
    bundle_of: dict[int, int] = {}

    def add(node: Node) -> Node:
        nodes.append(node)
        return node

    def bundled(bundle: int, identifier: str, parent: Node | None) -> Node:
        found = of_class.get((bundle, identifier))
        if found is None:
            found = add(Node(f"n{len(nodes)}", _class_name(identifier), parent, bundle, is_bundle=True))
            of_class[bundle, identifier] = found
        return found

    for index in tree.order:
        group, parent = tree.groups[index], None
        above = tree.parent(index)
        if above is not None:
            # A task that is not drawn by itself is in the bundle of its class.
            parent = of_task.get(group.parent_id) if group.parent_id else None
            parent = parent or bundled(bundle_of[above[0]], above[1], None)
        place = (parent.name if parent else "", tree.ordinals[index] if by_ordinal else 0)
        bundle = bundle_of[index] = bundles.setdefault(place, len(bundles))
        left: Counter[tuple[str, TaskState]] = Counter()
        for row in group.counts:
            left[row.identifier, row.state] += row.count
        for task in tree.members[index]:
            if task.id in single:
                node = Node(f"n{len(nodes)}", task_name(task), parent, bundle, is_optional=task.is_optional)
                node.states[task.state] = 1
                node.is_kept = task.id in kept
                of_task[task.id] = add(node)
                if group.counts:
                    left[task.identifier, task.state] -= 1
                continue
            if not group.counts:
                left[task.identifier, task.state] += 1
            bundled(bundle, task.identifier, parent).task = task
        for (identifier, state), count in left.items():
            if count > 0:
                bundled(bundle, identifier, parent).states[state] += count
    for node in nodes:
        if node.is_bundle and node.task is not None and node.states.total() == 1:
            node.label, node.is_optional = task_name(node.task), node.task.is_optional
    for row in graph.rest:
        bundled(-1, row.identifier, None).states[row.state] += row.count
    dependencies = {
        (bundle_of[dependency], bundle_of[index]): None
        for index in tree.order
        for dependency in tree.groups[index].depends_on
        if dependency in bundle_of and bundle_of[dependency] != bundle_of[index]
    }
    return Picture(nodes, list(dependencies))


def _folded(picture: Picture, limit: int) -> Picture:
    """Take the deepest nodes into those that they hang on, until no more than `limit` are left."""
    excess = len(picture.nodes) - limit
    root = picture.nodes[0]
    for node in reversed(picture.nodes):
        if excess <= 0:
            break
        if node.is_kept or node is root:
            continue
        node.is_gone = True
        excess -= 1
    left = [node for node in picture.nodes if not node.is_gone]
    # Parents stand before their children, so what a node took over is handed on with it.
    for node in reversed(picture.nodes):
        if node.is_gone:
            (node.parent or root).below.update(node.states + node.below)
    for node in left:
        while node.parent is not None and node.parent.is_gone:
            node.parent = node.parent.parent or root
    return Picture(left, picture.dependencies)


def task_name(task: GraphTask) -> str:
    """Return how a task is labelled: by its display, or else by the name of its class."""
    return task.display if task.display.strip() else _class_name(task.identifier)


def _class_name(identifier: str) -> str:
    """Return what a class is called by default: the last part of its identifier."""
    return identifier.rstrip("/").rpartition("/")[2] or identifier or "Task"
