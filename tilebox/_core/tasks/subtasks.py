"""What a task submits: its subtasks and their dependencies, collected without any IO and sent with its report.

On the wire, tasks stand in groups: those of one group depend on the same tasks, and the same tasks depend on them.
A subtask can only depend on one that was submitted before it, so there are no cycles by construction.
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
    """A subtask, and what it was submitted with.

    Args:
        number: Its position among the subtasks of its parent, as `FutureTask.index`.
        task_class: Its class.
        input: Its inputs, as they travel.
        depends_on: The numbers of those that it depends on.
        cluster: Where it runs.
        max_retries: How many of its attempts may fail.
        optional: Whether the job goes on if it fails.
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
        """The task, as a runner would get it."""
        return deserialize(self.task_class, self.input)


_Terms = tuple[frozenset[int], str, int, bool]
_NOTHING: frozenset[int] = frozenset()


class Subtasks:
    """Collects subtasks. Several threads may submit at once.

    Args:
        cluster: Where those run that name no cluster.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        # Counting and appending are single steps of the interpreter, so that threads need no lock.
        self._numbers = itertools.count()
        self._submitted: list[SubmittedTask] = []
        self._closed: str | None = None

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
            task: The task; later changes of its attributes change nothing.
            depends_on: Subtasks that must be completed before it starts, with all of their subtasks.
            cluster: Where it runs, if elsewhere than its parent.
            max_retries: How many of its attempts may fail without failing it.
            optional: Whether the job goes on if it fails.

        Raises:
            TypeError: An argument or an input is of a wrong type.
            ValueError: A dependency is none of this collection, or a number makes no sense.
            RuntimeError: The parent has ended.
        """
        terms = self._terms(depends_on, cluster, max_retries, optional)
        return self._add(type(task), _prepare(task), terms)

    def submit_many(
        self,
        tasks: Iterable[Task],
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> list[FutureTask]:
        """Add subtasks that have all but their inputs in common: all of them, or none if one is refused."""
        terms = self._terms(depends_on, cluster, max_retries, optional)
        prepared = [(type(task), _prepare(task)) for task in _each_task(tasks)]
        return [self._add(task_class, data, terms) for task_class, data in prepared]

    def to_message(self) -> core_pb2.TaskSubmissions:
        """Return the message; an empty one if nothing was submitted."""
        return _to_message(list(self))

    def close(self, reason: str) -> None:
        """Refuse whatever is submitted from now on."""
        self._closed = reason

    def __iter__(self) -> Iterator[SubmittedTask]:
        return iter(sorted(self._submitted, key=attrgetter("number")))

    def __len__(self) -> int:
        return len(self._submitted)

    def _terms(self, depends_on: Any, cluster: Any, max_retries: Any, optional: Any) -> _Terms:
        if self._closed is not None:
            raise RuntimeError(self._closed)
        slug = self._cluster if cluster is None else slug_of(cluster) or self._cluster
        if optional is not True and optional is not False:
            raise TypeError(f"optional must be True or False, not {optional!r}")
        before = _NOTHING if depends_on is None else self._indices(depends_on)
        return before, slug, _checked_retries(max_retries), optional

    def _add(self, task_class: type[Task], data: bytes, terms: _Terms) -> FutureTask:
        number = next(self._numbers)
        self._submitted.append(SubmittedTask(number, task_class, data, *terms))
        return FutureTask(number, self, task_class.__name__)

    def _indices(self, depends_on: Any) -> frozenset[int]:
        if isinstance(depends_on, FutureTask):
            depends_on = (depends_on,)
        elif isinstance(depends_on, str) or not isinstance(depends_on, Iterable):
            raise TypeError(f"depends_on must be what submit_subtask returned, or a list of it, not {depends_on!r}")
        indices = []
        for future in depends_on:
            if not isinstance(future, FutureTask):
                hint = "; submit it first" if isinstance(future, Task) else ""
                raise TypeError(f"depends_on must hold what submit_subtask returned, not {future!r}{hint}")
            if not future.is_of(self):
                raise ValueError(
                    f"{future!r} was submitted in another context; a subtask can only depend on others of its parent"
                )
            indices.append(future.index)
        return frozenset(indices)


def root_tasks(
    tasks: Task | Iterable[Task],
    clusters: ClusterLike | Iterable[ClusterLike] | None = None,
    max_retries: int = 0,
) -> core_pb2.TaskSubmissions:
    """Return the message of the tasks that a job begins with.

    Args:
        tasks: One, or several, which do not depend on each other.
        clusters: The cluster of all of them, or one for each; None for the default cluster.
        max_retries: How many attempts of each may fail.

    Raises:
        TypeError: An argument or an input is of a wrong type.
        ValueError: There is no task, there are not as many clusters as tasks, or a number makes no sense.
    """
    roots = [tasks] if isinstance(tasks, (Task, type)) else list(_each_task(tasks))
    if not roots:
        raise ValueError("a job needs at least one task")
    slugs = _slugs(clusters, len(roots))
    retries = _checked_retries(max_retries)
    return _to_message(
        [
            SubmittedTask(index, type(task), _prepare(task), _NOTHING, slug, retries, False)
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
        raise ValueError(f"there are {count} tasks and {len(slugs)} clusters; give one cluster, or one for each task")
    return slugs


def _checked_retries(max_retries: Any) -> int:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise TypeError(f"max_retries must be an integer, not {max_retries!r}")
    if not 0 <= max_retries <= _MAX_RETRIES:
        raise ValueError(f"max_retries must be 0 or more, and at most {_MAX_RETRIES}, not {max_retries}")
    return max_retries


def _each_task(tasks: Any) -> Iterator[Task]:
    if isinstance(tasks, (str, bytes, type, Task)) or not isinstance(tasks, Iterable):
        raise TypeError(f"tasks must be a list of tasks, not {tasks!r}")
    return iter(tasks)


def _prepare(task: Any) -> bytes:
    if not isinstance(task, Task):
        hint = f"; write {task.__name__}(...)" if isinstance(task, type) and issubclass(task, Task) else ""
        raise TypeError(f"only tasks can be submitted, not {task!r}{hint}")
    task._check_submittable()  # noqa: SLF001 - a hook for subclasses of ours, which is nothing to call for users
    return serialize(task)


Key = TypeVar("Key")


class _Lookup(dict[Key, int]):
    """Values in the order in which they come first, and their positions."""

    def position(self, value: Key) -> int:
        return self.setdefault(value, len(self))


def _to_message(submitted: Sequence[SubmittedTask]) -> core_pb2.TaskSubmissions:
    group_of = _groups(submitted)
    clusters, names, identifiers = _Lookup[str](), _Lookup[str](), _Lookup[TaskIdentifier]()
    rows: dict[int, list[tuple[SubmittedTask, int, int, int]]] = defaultdict(list)
    for each in submitted:
        task_class = each.task_class
        identifier, name = identifiers.position(identifier_of(task_class)), names.position(task_class.__name__)
        rows[group_of[each.number]].append((each, identifier, clusters.position(each.cluster), name))
    message = core_pb2.TaskSubmissions(cluster_slug_lookup=clusters, display_lookup=names)
    for of_group in rows.values():
        members, identifier_pointers, cluster_pointers, name_pointers = zip(*of_group, strict=True)
        message.task_groups.add(
            dependencies_on_other_groups=sorted({group_of[number] for number in members[0].depends_on}),
            inputs=[each.input for each in members],
            identifier_pointers=identifier_pointers,
            cluster_slug_pointers=cluster_pointers,
            display_pointers=name_pointers,
            max_retries_values=[each.max_retries for each in members],
            optional_values=[each.optional for each in members],
        )
    for known in identifiers:
        message.identifier_lookup.add(name=known.name, version=known.version)
    return message


def _groups(submitted: Sequence[SubmittedTask]) -> dict[int, int]:
    """Return the group of each task, by the task's number; groups are numbered as they come first.

    Which tasks depend on one is told by which distinct sets of dependencies hold it, so that nobody compares
    the tasks themselves: a thousand that depend on the same thousand are one set.
    """
    if len(submitted) == 1:
        return {submitted[0].number: 0}
    sets = _Lookup[frozenset[int]]()
    set_of = {each.number: sets.position(each.depends_on) for each in submitted}
    held_by: dict[int, list[int]] = {number: [] for number in set_of}
    for held, depends_on in enumerate(sets):
        for number in depends_on:
            held_by[number].append(held)
    groups = _Lookup[tuple[int, tuple[int, ...]]]()
    return {number: groups.position((set_of[number], tuple(holders))) for number, holders in held_by.items()}
