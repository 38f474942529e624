"""The nodes of a job's diagram: which tasks get nodes of their own, and which share a bundle. Without IO.

Bundles are built from the root down. The tasks of one class in a group are a bundle. Groups whose submitting tasks
are in one bundle are combined, the first with the first, the second with the second. Then tasks are taken out of
bundles, the important ones first, while the limit on nodes allows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from tilebox.server.diagrams.graph import GraphGroup, GraphTask, JobGraph

MAX_EXPANDED_GROUP = 16
"""The most tasks in a group of a large job that is drawn task by task."""

MAX_EXPANDED_LEVEL = 32
"""The most tasks on a level of a large job's tree that are drawn one by one."""

_MAX_SINGLE_RUNNING = 24


class Tree:
    """The groups of a job as a tree of submissions, from the root down."""

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
        """Return the group and the class of the task that submitted a group, or None at the root."""
        return self._parents[index] if self.depths[index] else None

    def levels(self) -> Iterator[list[int]]:
        """Yield the groups of each depth, from the root down."""
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
        # A graph that is read while the job changes may have a group without a path to the root. It is put at the root.
        for start in (*children[None], *self.groups):
            if start in depths:
                continue
            depths[start] = 0
            queue = deque([start])
            while queue:
                index = queue.popleft()
                order.append(index)
                for child in children[index]:
                    if child not in depths:
                        depths[child] = depths[index] + 1
                        queue.append(child)
        order.sort(key=lambda index: (depths[index], index))
        return order, depths

    def _ordinals(self) -> dict[int, int]:
        """Number the groups that one task submitted, from 0."""
        seen: Counter[UUID | None] = Counter()
        ordinals = {}
        for index, group in self.groups.items():
            ordinals[index] = seen[group.parent_id]
            seen[group.parent_id] += 1
        return ordinals


@dataclass(slots=True)
class Node:
    """A node of a diagram: a task, or a bundle of tasks of one class.

    Args:
        name: Its name in the D2 text.
        label: The text to show.
        parent: The node of the submitting task, or None at the root.
        bundle: Number of the bundle that it belongs to.
        is_optional: Whether its task may fail.
        is_bundle: Whether it may stand for several tasks.
        task: The task, or one task of the bundle.
        states: Number of its tasks in each state.
        below: Number of tasks in each state that were folded into it.
        is_pinned: Whether it must not be folded.
        is_folded: Whether it was folded into its parent.
    """

    name: str
    label: str
    parent: Node | None
    bundle: int
    is_optional: bool = False
    is_bundle: bool = False
    task: GraphTask | None = None
    states: Counter[TaskState] = field(default_factory=Counter)
    below: Counter[TaskState] = field(default_factory=Counter)
    is_pinned: bool = False
    is_folded: bool = False


@dataclass(slots=True)
class Diagram:
    """The nodes of a diagram, and the dependencies between bundles as pairs (before, after)."""

    nodes: list[Node]
    dependencies: list[tuple[int, int]]


def arrange(graph: JobGraph, limit: int) -> Diagram:
    """Return the most detailed diagram with at most `limit` nodes."""
    tree = Tree(graph)
    if not graph.rest and sum(tree.sizes.values()) <= limit:
        diagram = _Builder(graph, tree, tree.tasks.keys(), frozenset()).build()
        # A graph that was read while the job changed may give more nodes than its counts promise.
        if len(diagram.nodes) <= limit:
            return diagram
    failed = _ids_in_state(graph, TaskState.FAILED)[: limit // 2]
    for by_ordinal in (True, False):
        diagram = _Builder(graph, tree, failed, failed, by_ordinal=by_ordinal).build()
        if len(diagram.nodes) <= limit:
            return _with_details(graph, tree, diagram, failed, by_ordinal=by_ordinal, limit=limit)
    return _fold(diagram, limit)


def _with_details(
    graph: JobGraph, tree: Tree, diagram: Diagram, failed: Sequence[UUID], *, by_ordinal: bool, limit: int
) -> Diagram:
    """Take tasks out of bundles, the important ones first, while the limit allows it."""
    single = set(failed)

    def add_single(more: Collection[UUID]) -> bool:
        nonlocal diagram
        wanted = single.union(more)
        if len(wanted) == len(single):
            return False
        detailed = _Builder(graph, tree, wanted, failed, by_ordinal=by_ordinal).build()
        if len(detailed.nodes) > limit:
            return False
        diagram = detailed
        single.update(more)
        return True

    for state in (TaskState.FAILED, TaskState.FAILED_OPTIONAL, TaskState.RUNNING):
        room = limit - len(diagram.nodes)
        count = min(room, _MAX_SINGLE_RUNNING) if state is TaskState.RUNNING else room
        add_single(_ids_in_state(graph, state)[:count])
    for level in tree.levels():
        small = [
            task.id
            for group in level
            if tree.sizes[group] <= MAX_EXPANDED_GROUP and len(tree.members[group]) == tree.sizes[group]
            for task in tree.members[group]
        ]
        # A level that adds no task ends the expansion too.
        if len(small) > MAX_EXPANDED_LEVEL or not add_single(small):
            break
    return diagram


def _ids_in_state(graph: JobGraph, state: TaskState) -> list[UUID]:
    return [task.id for task in graph.tasks if task.state == state]


class _Builder:
    """Builds a diagram with some tasks as nodes of their own, and all others in bundles.

    Args:
        graph: The job.
        tree: Its groups.
        single: Ids of the tasks with nodes of their own.
        pinned: Ids of those that must not be folded.
        by_ordinal: Whether the first, the second and later groups that the tasks of one bundle submitted are
            separate bundles; otherwise there is one for each class.
    """

    def __init__(
        self,
        graph: JobGraph,
        tree: Tree,
        single: Collection[UUID],
        pinned: Collection[UUID],
        *,
        by_ordinal: bool = True,
    ) -> None:
        self._graph = graph
        self._tree = tree
        self._single = frozenset(single)
        self._pinned = frozenset(pinned)
        self._by_ordinal = by_ordinal
        self._nodes: list[Node] = []
        self._of_task: dict[UUID, Node] = {}
        self._of_class: dict[tuple[int, str], Node] = {}
        self._bundles: dict[tuple[str, int], int] = {}
        self._bundle_of: dict[int, int] = {}

    def build(self) -> Diagram:
        """Return the diagram."""
        for index in self._tree.order:
            self._add_group(index)
        for node in self._nodes:
            # A bundle of one task looks like that task.
            if node.is_bundle and node.task is not None and node.states.total() == 1:
                node.label, node.is_optional = task_name(node.task), node.task.is_optional
        for row in self._graph.rest:
            self._bundle_node(-1, row.identifier, None).states[row.state] += row.count
        return Diagram(self._nodes, self._dependencies())

    def _add_group(self, index: int) -> None:
        group, parent = self._tree.groups[index], self._parent_of(index)
        key = (parent.name if parent else "", self._tree.ordinals[index] if self._by_ordinal else 0)
        bundle = self._bundle_of[index] = self._bundles.setdefault(key, len(self._bundles))
        remaining: Counter[tuple[str, TaskState]] = Counter()
        for row in group.counts:
            remaining[row.identifier, row.state] += row.count
        for task in self._tree.members[index]:
            if task.id in self._single:
                self._add_task(task, parent, bundle)
                # The counts of a group include its single tasks, which must not be drawn twice.
                if group.counts:
                    remaining[task.identifier, task.state] -= 1
                continue
            if not group.counts:
                remaining[task.identifier, task.state] += 1
            self._bundle_node(bundle, task.identifier, parent).task = task
        for (identifier, state), count in remaining.items():
            if count > 0:
                self._bundle_node(bundle, identifier, parent).states[state] += count

    def _parent_of(self, index: int) -> Node | None:
        """Return the node of the task that submitted a group, or None at the root."""
        submitter = self._tree.parent(index)
        if submitter is None:
            return None
        parent_id = self._tree.groups[index].parent_id
        parent = self._of_task.get(parent_id) if parent_id else None
        # A submitting task without a node of its own is in the bundle of its class.
        return parent or self._bundle_node(self._bundle_of[submitter[0]], submitter[1], None)

    def _add_task(self, task: GraphTask, parent: Node | None, bundle: int) -> None:
        node = Node(f"n{len(self._nodes)}", task_name(task), parent, bundle, is_optional=task.is_optional)
        node.states[task.state] = 1
        node.is_pinned = task.id in self._pinned
        self._of_task[task.id] = node
        self._nodes.append(node)

    def _bundle_node(self, bundle: int, identifier: str, parent: Node | None) -> Node:
        node = self._of_class.get((bundle, identifier))
        if node is None:
            node = Node(f"n{len(self._nodes)}", _class_name(identifier), parent, bundle, is_bundle=True)
            self._of_class[bundle, identifier] = node
            self._nodes.append(node)
        return node

    def _dependencies(self) -> list[tuple[int, int]]:
        """Return the dependencies between bundles, each once, in a stable order."""
        bundle_of = self._bundle_of
        pairs = {
            (bundle_of[dependency], bundle_of[index]): None
            for index in self._tree.order
            for dependency in self._tree.groups[index].depends_on
            if dependency in bundle_of and bundle_of[dependency] != bundle_of[index]
        }
        return list(pairs)


def _fold(diagram: Diagram, limit: int) -> Diagram:
    """Fold the deepest nodes into their parents until at most `limit` are left."""
    excess = len(diagram.nodes) - limit
    root = diagram.nodes[0]
    for node in reversed(diagram.nodes):
        if excess <= 0:
            break
        if node.is_pinned or node is root:
            continue
        node.is_folded = True
        excess -= 1
    remaining = [node for node in diagram.nodes if not node.is_folded]
    # Parents come before their children, so in reverse order a folded node passes on what was folded into it.
    for node in reversed(diagram.nodes):
        if node.is_folded:
            (node.parent or root).below.update(node.states + node.below)
    for node in remaining:
        while node.parent is not None and node.parent.is_folded:
            node.parent = node.parent.parent or root
    return Diagram(remaining, diagram.dependencies)


def task_name(task: GraphTask) -> str:
    """Return the label of a task: its display name, or else the name of its class."""
    return task.display if task.display.strip() else _class_name(task.identifier)


def _class_name(identifier: str) -> str:
    """Return the default name of a class: the last part of its identifier."""
    return identifier.rstrip("/").rpartition("/")[2] or identifier or "Task"
