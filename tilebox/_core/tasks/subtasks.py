"""The subtasks of a task and their dependencies, collected without IO and sent with the task's report.

On the wire, tasks form groups: the tasks of a group depend on the same tasks, and the same tasks depend on them.
A subtask can only depend on subtasks submitted before it, so the graph has no cycles by construction.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.tasks.future_task import FutureTask, slug_of
from tilebox._core.tasks.inputs.serialization import deserialize, serialize
from tilebox._core.tasks.task import Task, identifier_of
from tilebox._core.tasks.versions import TaskIdentifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tilebox._core.tasks.future_task import ClusterLike

__all__ = ["SubmittedTask", "Subtasks", "root_tasks"]


_MAX_RETRIES = 2**31 - 1


class SubmittedTask(NamedTuple):
    """A subtask with the arguments of its submission.

    Args:
        number: The position among the subtasks of the parent, as in `FutureTask.index`.
        task_class: The class of the task.
        input: The serialised inputs.
        depends_on: The numbers of the subtasks that it depends on.
        cluster: The slug of its cluster.
        max_retries: The number of times that the task is retried after a failed attempt.
        optional: Whether the job continues if the task fails.
    """

    number: int
    task_class: type[Task]
    input: bytes
    depends_on: frozenset[int]
    cluster: str
    max_retries: int
    optional: bool

    @property
    def task(self) -> Task:
        """The task as a runner would receive it."""
        return deserialize(self.task_class, self.input)


# The dependencies, cluster, max_retries and optional of a submission.
_Options = tuple[frozenset[int], str, int, bool]
_NO_DEPENDENCIES: frozenset[int] = frozenset()


class Subtasks:
    """A collection of subtasks. Several threads may submit at once.

    Args:
        cluster: The cluster of subtasks that are submitted without one.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        # Counting and appending are single steps of the interpreter, so threads need no lock.
        self._numbers = itertools.count()
        self._submitted: list[SubmittedTask] = []
        self._closed_reason: str | None = None

    def submit(
        self,
        task: Task,
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> FutureTask:
        """Add a subtask.

        Args:
            task: The task. Later changes of its attributes have no effect.
            depends_on: Subtasks that must be completed, with all of their subtasks, before this one starts.
            cluster: The cluster of the subtask; that of its parent by default.
            max_retries: The number of times that the subtask is retried after a failed attempt.
            optional: Whether the job continues if the subtask fails.

        Returns:
            A handle for `depends_on` of further subtasks.

        Raises:
            TypeError: An argument or an input has the wrong type.
            ValueError: A dependency belongs to another collection, or `max_retries` is out of range.
            RuntimeError: The parent has ended.
        """
        options = self._options(depends_on, cluster, max_retries, optional)
        return self._add(type(task), _prepare(task), options)

    def submit_many(
        self,
        tasks: Iterable[Task],
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> list[FutureTask]:
        """Add several subtasks with the same arguments: all of them, or none if one is refused."""
        options = self._options(depends_on, cluster, max_retries, optional)
        prepared = [(type(task), _prepare(task)) for task in _iterate_tasks(tasks)]
        return [self._add(task_class, data, options) for task_class, data in prepared]

    def to_message(self) -> core_pb2.TaskSubmissions:
        """Convert the collection to its protobuf message, which is empty if nothing was submitted."""
        return _to_message(list(self))

    def close(self, reason: str) -> None:
        """Refuse further submissions with a RuntimeError of this reason."""
        self._closed_reason = reason

    def __iter__(self) -> Iterator[SubmittedTask]:
        return iter(sorted(self._submitted, key=attrgetter("number")))

    def __len__(self) -> int:
        return len(self._submitted)

    def _options(self, depends_on: Any, cluster: Any, max_retries: Any, optional: Any) -> _Options:
        if self._closed_reason is not None:
            raise RuntimeError(self._closed_reason)
        slug = self._cluster if cluster is None else slug_of(cluster) or self._cluster
        if optional is not True and optional is not False:
            raise TypeError(f"optional must be True or False, not {optional!r}")
        dependencies = _NO_DEPENDENCIES if depends_on is None else self._indices(depends_on)
        return dependencies, slug, _checked_retries(max_retries), optional

    def _add(self, task_class: type[Task], data: bytes, options: _Options) -> FutureTask:
        number = next(self._numbers)
        self._submitted.append(SubmittedTask(number, task_class, data, *options))
        return FutureTask(number, self, task_class.__name__)

    def _indices(self, depends_on: Any) -> frozenset[int]:
        if isinstance(depends_on, FutureTask):
            depends_on = (depends_on,)
        elif isinstance(depends_on, str) or not isinstance(depends_on, Iterable):
            raise TypeError(
                f"depends_on must be the return value of submit_subtask, or a list of them, not {depends_on!r}"
            )
        indices = []
        for future in depends_on:
            if not isinstance(future, FutureTask):
                hint = "; submit it first" if isinstance(future, Task) else ""
                raise TypeError(f"depends_on must contain return values of submit_subtask, not {future!r}{hint}")
            if not future.belongs_to(self):
                raise ValueError(
                    f"{future!r} was submitted in another context; a subtask can only depend on subtasks of the same "
                    "parent"
                )
            indices.append(future.index)
        return frozenset(indices)


def root_tasks(
    tasks: Task | Iterable[Task],
    clusters: ClusterLike | Iterable[ClusterLike] | None = None,
    max_retries: int = 0,
) -> core_pb2.TaskSubmissions:
    """Return the protobuf message of the root tasks of a job.

    Args:
        tasks: One task, or several that do not depend on each other.
        clusters: The cluster of all tasks, or one cluster per task; None for the default cluster.
        max_retries: The number of times that each task is retried after a failed attempt.

    Raises:
        TypeError: An argument or an input has the wrong type.
        ValueError: There is no task, the number of clusters differs from that of tasks, or `max_retries` is out of
            range.
    """
    roots = [tasks] if isinstance(tasks, (Task, type)) else list(_iterate_tasks(tasks))
    if not roots:
        raise ValueError("a job needs at least one task")
    slugs = _slugs(clusters, len(roots))
    retries = _checked_retries(max_retries)
    return _to_message(
        [
            SubmittedTask(index, type(task), _prepare(task), _NO_DEPENDENCIES, slug, retries, False)
            for index, (task, slug) in enumerate(zip(roots, slugs, strict=True))
        ]
    )


def _slugs(clusters: Any, count: int) -> list[str]:
    if clusters is None:
        return [""] * count
    if isinstance(clusters, str) or not isinstance(clusters, Iterable):
        return [slug_of(clusters)] * count
    slugs = [slug_of(cluster) for cluster in clusters]
    if len(slugs) == 1:
        return slugs * count
    if len(slugs) != count:
        raise ValueError(f"there are {count} tasks but {len(slugs)} clusters; give one cluster, or one per task")
    return slugs


def _checked_retries(max_retries: Any) -> int:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise TypeError(f"max_retries must be an integer, not {max_retries!r}")
    if not 0 <= max_retries <= _MAX_RETRIES:
        raise ValueError(f"max_retries must be between 0 and {_MAX_RETRIES}, not {max_retries}")
    return max_retries


def _iterate_tasks(tasks: Any) -> Iterator[Task]:
    if isinstance(tasks, (str, bytes, type, Task)) or not isinstance(tasks, Iterable):
        raise TypeError(f"tasks must be a list of tasks, not {tasks!r}")
    return iter(tasks)


def _prepare(task: Any) -> bytes:
    if not isinstance(task, Task):
        hint = f"; write {task.__name__}(...)" if isinstance(task, type) and issubclass(task, Task) else ""
        raise TypeError(f"only tasks can be submitted, not {task!r}{hint}")
    task._check_submittable()  # noqa: SLF001 - a hook for subclasses of this package, which users do not call
    return serialize(task)


Key = TypeVar("Key")


class _Lookup(dict[Key, int]):
    """Distinct values in the order of their first appearance, with their positions."""

    def position(self, value: Key) -> int:
        return self.setdefault(value, len(self))


def _to_message(submitted: Sequence[SubmittedTask]) -> core_pb2.TaskSubmissions:
    group_of = _groups(submitted)
    clusters, names, identifiers = _Lookup[str](), _Lookup[str](), _Lookup[TaskIdentifier]()
    groups: dict[int, list[tuple[SubmittedTask, int, int, int]]] = defaultdict(list)
    for task in submitted:
        task_class = task.task_class
        identifier, name = identifiers.position(identifier_of(task_class)), names.position(task_class.__name__)
        groups[group_of[task.number]].append((task, identifier, clusters.position(task.cluster), name))
    message = core_pb2.TaskSubmissions(cluster_slug_lookup=clusters, display_lookup=names)
    for rows in groups.values():
        members, identifier_pointers, cluster_pointers, name_pointers = zip(*rows, strict=True)
        message.task_groups.add(
            dependencies_on_other_groups=sorted({group_of[number] for number in members[0].depends_on}),
            inputs=[task.input for task in members],
            identifier_pointers=identifier_pointers,
            cluster_slug_pointers=cluster_pointers,
            display_pointers=name_pointers,
            max_retries_values=[task.max_retries for task in members],
            optional_values=[task.optional for task in members],
        )
    for task_identifier in identifiers:
        message.identifier_lookup.add(name=task_identifier.name, version=task_identifier.version)
    return message


def _groups(submitted: Sequence[SubmittedTask]) -> dict[int, int]:
    """Return the group of each task, by the task's number; groups are numbered in the order of appearance.

    The dependents of a task are described by the distinct dependency sets that contain it, so that tasks are never
    compared one by one: a thousand tasks that depend on the same thousand share one set.
    """
    if len(submitted) == 1:
        return {submitted[0].number: 0}
    dependency_sets = _Lookup[frozenset[int]]()
    set_of = {task.number: dependency_sets.position(task.depends_on) for task in submitted}
    sets_with: dict[int, list[int]] = {number: [] for number in set_of}
    for position, depends_on in enumerate(dependency_sets):
        for number in depends_on:
            sets_with[number].append(position)
    groups = _Lookup[tuple[int, tuple[int, ...]]]()
    return {number: groups.position((set_of[number], tuple(positions))) for number, positions in sets_with.items()}
