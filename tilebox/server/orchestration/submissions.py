"""Tasks as they are submitted: checked by the wire's rules, and turned into what the store keeps.

This lies on the way of every report that submits subtasks, so a message is read column by column: what tasks share
(cluster, identifier, display) is checked once, however many they are.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.schema.catalogue import did_you_mean
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.orchestration.slugs import make_slug
from tilebox.server.store.work.interface import NewGroup, NewTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol
    from uuid import UUID

    from tilebox.server.settings import Settings
    from tilebox.server.store.work.clusters import Cluster, ClusterStore
    from tilebox.server.store.work.interface import Orchestration, Queue

    class SubmissionStore(ClusterStore, Orchestration, Protocol):
        """What is asked of the store here."""


MAX_ROOT_TASKS = 10_000
MAX_GROUPS = 64
"""Groups in one submission, or as many as there may be subtasks, if that is more."""

MAX_LEGACY_TASKS = 1000
MAX_RETRIES = 1 << 31
MAX_DISPLAY_CHARACTERS = 1024

FRESH_SECONDS = 1.0
"""How long clusters and queues are believed to be as they were read, where other processes change them too."""

_ATTEMPTS = 3
_COLUMNS = ("identifier_pointers", "cluster_slug_pointers", "display_pointers", "max_retries_values")

_Place = tuple[str, TaskIdentifier]
"""A cluster's slug, and what is executed there."""


@dataclass(frozen=True, slots=True)
class ParsedGroup:
    """Tasks with equal dependencies, column by column.

    Args:
        places: Where each of them waits, as a position in `Parsed.places`.
        displays: What people read of each.
        inputs: The parameters of each.
        max_retries: How often each may be tried again.
        are_optional: Whether each may fail.
        dependencies: Groups that they wait for.
    """

    places: Sequence[int]
    displays: Sequence[str]
    inputs: Sequence[bytes]
    max_retries: Sequence[int]
    are_optional: Sequence[bool]
    dependencies: Sequence[int]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A submission that keeps all rules, before its clusters are looked up.

    Args:
        groups: Its tasks.
        places: Clusters and identifiers; an empty slug means the cluster of whoever submits.
    """

    groups: list[ParsedGroup]
    places: list[_Place]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a submission may have.

    Args:
        max_tasks: How many tasks, in all groups together.
        max_groups: How many groups.
        max_input_bytes: How much of parameters a task may have.
        what: What its tasks are called in messages.
    """

    max_tasks: int
    max_groups: int
    max_input_bytes: int
    what: str


def parse_submissions(message: core_pb2.TaskSubmissions, rules: Rules) -> Parsed:
    """Read a submission.

    Raises:
        InvalidArgumentError: It breaks a rule.
    """
    groups = message.task_groups
    if not groups:
        raise InvalidArgumentError(f"there are no {rules.what}: submit at least one")
    if len(groups) > rules.max_groups:
        raise InvalidArgumentError(
            f"there are {len(groups):,} groups of {rules.what}, and at most {rules.max_groups:,} are allowed"
        )
    count = sum(len(group.inputs) for group in groups)
    if count > rules.max_tasks:
        raise InvalidArgumentError(
            f"there are {count:,} {rules.what}, and at most {rules.max_tasks:,} are allowed: submit some that "
            "submit the others"
        )
    clusters = list(message.cluster_slug_lookup)
    identifiers = [_identifier(each, position) for position, each in enumerate(message.identifier_lookup)]
    displays = [_display(each, f"display_lookup[{position}]") for position, each in enumerate(message.display_lookup)]
    places: dict[tuple[int, int], int] = {}
    parsed = []
    for position, group in enumerate(groups):
        name = f"task_groups[{position}]"
        _check_columns(group, name, len(clusters), len(identifiers), len(displays))
        inputs = list(group.inputs)
        _check_inputs(inputs, name, rules.max_input_bytes)
        pairs = zip(group.cluster_slug_pointers, group.identifier_pointers, strict=True)
        parsed.append(
            ParsedGroup(
                places=[places.setdefault(pair, len(places)) for pair in pairs],
                displays=[displays[pointer] for pointer in group.display_pointers],
                inputs=inputs,
                max_retries=list(group.max_retries_values),
                are_optional=list(group.optional_values) or [False] * len(inputs),
                dependencies=_dependencies(group.dependencies_on_other_groups, position, len(groups)),
            )
        )
    _check_order(parsed)
    return Parsed(parsed, [(clusters[cluster], identifiers[identifier]) for cluster, identifier in places])


def from_legacy(
    tasks: Sequence[core_pb2.SingleTaskSubmission], *, max_tasks: int = MAX_LEGACY_TASKS
) -> core_pb2.TaskSubmissions:
    """Turn tasks that name each other one by one into groups; tasks are in one if all their ties are equal.

    Raises:
        InvalidArgumentError: There are too many, or one depends on a task that is not there.
    """
    if len(tasks) > max_tasks:
        raise InvalidArgumentError(
            f"there are {len(tasks):,} tasks, and at most {max_tasks:,} are allowed in this form: use task_groups"
        )
    dependents: defaultdict[int, set[int]] = defaultdict(set)
    for position, task in enumerate(tasks):
        for other in task.dependencies:
            if not 0 <= other < len(tasks):
                raise InvalidArgumentError(f"task {position} depends on task {other}, and there are {len(tasks)} tasks")
            dependents[other].add(position)
    groups: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    for position, task in enumerate(tasks):
        ties = frozenset(task.dependencies), frozenset(dependents[position])
        groups.setdefault(ties, []).append(position)
    group_of = {task: number for number, members in enumerate(groups.values()) for task in members}
    message = core_pb2.TaskSubmissions()
    lookup = _Lookups(message)
    for (dependencies, _), members in groups.items():
        group = message.task_groups.add(
            dependencies_on_other_groups=sorted({group_of[task] for task in dependencies}),
        )
        for position in members:
            lookup.add(group, tasks[position])
    return message


class Submissions:
    """Reads submissions, and knows clusters and queues.

    Args:
        store: Where clusters and queues are kept.
        settings: What is allowed.
        fresh_seconds: How long clusters and queues are believed to be as they were read.
        monotonic: Seconds that only grow.
    """

    def __init__(
        self,
        store: SubmissionStore,
        settings: Settings,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._subtask_rules = Rules(
            settings.max_subtasks, max(MAX_GROUPS, settings.max_subtasks), settings.max_task_input_bytes, "subtasks"
        )
        self._root_rules = Rules(
            MAX_ROOT_TASKS, max(MAX_GROUPS, settings.max_subtasks), settings.max_task_input_bytes, "root tasks"
        )
        self._clusters: dict[tuple[UUID, str], tuple[float, Cluster]] = {}
        self._queues: dict[int, tuple[float, list[Queue]]] = {}
        self._by_place: dict[tuple[int, str, int, int], int] = {}
        self._by_number: dict[int, Queue] = {}

    async def groups(
        self, team: UUID, message: core_pb2.TaskSubmissions, *, default_cluster: int, is_root: bool
    ) -> list[NewGroup]:
        """Read a submission.

        Args:
            team: Who submits it.
            message: What it says.
            default_cluster: Number of the cluster of tasks that name none; 0 for the team's default cluster.
            is_root: Whether these are the root tasks of a job, and not what a task submits.

        Raises:
            InvalidArgumentError: It breaks a rule.
            NotFoundError: There is no such cluster.
        """
        parsed = parse_submissions(message, self._root_rules if is_root else self._subtask_rules)
        queues = await self._places(team, parsed.places, default_cluster)
        return [
            NewGroup(
                # By position: with names, this takes a third longer.
                list(
                    map(
                        NewTask,
                        [queues[place] for place in group.places],
                        group.displays,
                        group.inputs,
                        group.max_retries,
                        group.are_optional,
                    )
                ),
                group.dependencies,
            )
            for group in parsed.groups
        ]

    def from_legacy(self, tasks: Sequence[core_pb2.SingleTaskSubmission]) -> core_pb2.TaskSubmissions:
        """Turn tasks that name each other one by one into groups; see `from_legacy` of this module."""
        return from_legacy(tasks)

    async def cluster(self, team: UUID, slug: str) -> Cluster:
        """Return a cluster by slug; an empty one means the team's default cluster, which is made when first needed.

        Raises:
            NotFoundError: There is no such cluster; close ones are named.
        """
        known = self._clusters.get((team, slug))
        if known is not None and self._monotonic() - known[0] < self._fresh_seconds:
            return known[1]
        read_at = self._monotonic()
        found = await self._store.cluster(team, slug) if slug else await self._default(team)
        if found is None:
            self._clusters.pop((team, slug), None)
            slugs = [cluster.slug for cluster in await self._store.clusters(team)]
            raise NotFoundError(f"there is no cluster {slug}{did_you_mean(slug, slugs)}")
        self._clusters[team, slug] = read_at, found
        return found

    async def cluster_number(self, team: UUID, slug: str) -> int:
        """Return the number of a cluster by slug.

        Raises:
            NotFoundError: There is no such cluster.
        """
        return (await self.cluster(team, slug)).number

    def forget_cluster(self, team: UUID, slug: str) -> None:
        """Look a cluster up again when it is asked for, because it was changed or deleted."""
        for key, (_, cluster) in list(self._clusters.items()):
            if key[0] == team and cluster.slug == slug:
                del self._clusters[key]

    async def queues(self, cluster: int) -> list[Queue]:
        """Return the queues of a cluster: the same list as long as there are no others."""
        known = self._queues.get(cluster)
        if known is not None and self._monotonic() - known[0] < self._fresh_seconds:
            return known[1]
        read_at = self._monotonic()
        read = await self._store.queues(cluster)
        # Another task may have read them meanwhile, and may know of one more.
        known = self._queues.get(cluster)
        if known is not None and set(read) <= set(known[1]):
            read = known[1]
        self._queues[cluster] = read_at, read
        self._learn(read)
        return read

    async def queue(self, number: int) -> Queue | None:
        """Return a queue by number."""
        known = self._by_number.get(number)
        if known is None:
            known = await self._store.queue(number)
            if known is not None:
                self._learn([known])
                self._add(known.cluster, [known])
        return known

    async def _default(self, team: UUID) -> Cluster:
        for _ in range(_ATTEMPTS):
            try:
                return await self._store.ensure_default_cluster(
                    team, slug=make_slug("default"), display_name="Default", now_us=now_us()
                )
            except ConflictError:
                continue
        raise ConflictError("no slug was found for the default cluster: try again")

    async def _places(self, team: UUID, places: Iterable[_Place], default_cluster: int) -> list[int]:
        """Return the number of the queue of each place, creating those that are missing."""
        keys = []
        for slug, identifier in places:
            cluster = default_cluster if not slug and default_cluster else await self.cluster_number(team, slug)
            keys.append((cluster, identifier.name, identifier.major, identifier.minor))
        missing: defaultdict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for cluster, *identifier_parts in dict.fromkeys(keys):
            if (cluster, *identifier_parts) not in self._by_place:
                missing[cluster].append(tuple(identifier_parts))  # type: ignore[arg-type]
        for cluster, identifiers in missing.items():
            # Sorted, so that two processes that create the same ones never wait for each other.
            created = await self._store.add_queues(cluster, sorted(identifiers))
            self._learn(created)
            self._add(cluster, created)
        return [self._by_place[key] for key in keys]

    def _add(self, cluster: int, queues: Iterable[Queue]) -> None:
        """Put queues into the list of their cluster, if that was read before."""
        known = self._queues.get(cluster)
        if known is not None:
            more = [queue for queue in queues if queue not in known[1]]
            if more:
                self._queues[cluster] = known[0], known[1] + more

    def _learn(self, queues: Iterable[Queue]) -> None:
        # Queues are never changed nor deleted.
        for queue in queues:
            self._by_number[queue.number] = queue
            self._by_place[queue.cluster, queue.name, queue.major, queue.minor] = queue.number


class _Lookups:
    """Fills the lookups of a message; equal values share a place."""

    def __init__(self, message: core_pb2.TaskSubmissions) -> None:
        self._message = message
        self._clusters: dict[str, int] = {}
        self._displays: dict[str, int] = {}
        self._identifiers: dict[tuple[str, str], int] = {}

    def add(self, group: core_pb2.TaskSubmissionGroup, task: core_pb2.SingleTaskSubmission) -> None:
        """Add a task to a group."""
        if task.cluster_slug not in self._clusters:
            self._message.cluster_slug_lookup.append(task.cluster_slug)
        if task.display not in self._displays:
            self._message.display_lookup.append(task.display)
        identifier = task.identifier.name, task.identifier.version
        if identifier not in self._identifiers:
            self._message.identifier_lookup.append(task.identifier)
        group.cluster_slug_pointers.append(self._clusters.setdefault(task.cluster_slug, len(self._clusters)))
        group.display_pointers.append(self._displays.setdefault(task.display, len(self._displays)))
        group.identifier_pointers.append(self._identifiers.setdefault(identifier, len(self._identifiers)))
        group.max_retries_values.append(task.max_retries)
        group.inputs.append(task.input)


def _identifier(message: core_pb2.TaskIdentifier, position: int) -> TaskIdentifier:
    try:
        return TaskIdentifier.parse(message.name, message.version)
    except ValueError as error:
        raise InvalidArgumentError(f"identifier_lookup[{position}]: {error}") from None


def _display(text: str, name: str) -> str:
    if not text:
        raise InvalidArgumentError(f"{name} must not be empty: say what people shall read of the task")
    return text[:MAX_DISPLAY_CHARACTERS].replace("\0", "\ufffd")


def _check_columns(
    group: core_pb2.TaskSubmissionGroup, name: str, clusters: int, identifiers: int, displays: int
) -> None:
    count = len(group.inputs)
    if not count:
        raise InvalidArgumentError(f"{name} has no inputs: a group needs at least one task")
    for column in _COLUMNS:
        if len(getattr(group, column)) != count:
            raise InvalidArgumentError(
                f"{name}.{column} has {len(getattr(group, column))} entries for {count} inputs: give one for each"
            )
    if group.optional_values and len(group.optional_values) != count:
        raise InvalidArgumentError(
            f"{name}.optional_values has {len(group.optional_values)} entries for {count} inputs: give one for each, "
            "or none"
        )
    for column, lookup, size in (
        ("identifier_pointers", "identifier_lookup", identifiers),
        ("cluster_slug_pointers", "cluster_slug_lookup", clusters),
        ("display_pointers", "display_lookup", displays),
    ):
        if (highest := max(getattr(group, column))) >= size:
            raise InvalidArgumentError(f"{name}.{column} points to {highest}, and {lookup} has {size} entries")
    if (lowest := min(group.max_retries_values)) < 0 or max(group.max_retries_values) >= MAX_RETRIES:
        raise InvalidArgumentError(
            f"{name}.max_retries_values must be between 0 and {MAX_RETRIES - 1:,}"
            + (f", not {lowest}" if lowest < 0 else "")
        )


def _check_inputs(inputs: Sequence[bytes], name: str, max_bytes: int) -> None:
    if max(map(len, inputs)) > max_bytes:
        position, size = next((position, len(each)) for position, each in enumerate(inputs) if len(each) > max_bytes)
        raise InvalidArgumentError(
            f"the input of task {position} of {name} has {size:,} bytes, and at most {max_bytes:,} are allowed: put "
            "what is large into the job's cache or a file, and hand over its name"
        )


def _dependencies(pointers: Iterable[int], position: int, count: int) -> list[int]:
    found = sorted(set(pointers))
    if found and found[-1] >= count:
        raise InvalidArgumentError(
            f"task_groups[{position}] depends on group {found[-1]}, and there are {count} groups"
        )
    if position in found:
        raise InvalidArgumentError(f"task_groups[{position}] depends on itself, which is a cycle")
    return found


def _check_order(groups: Sequence[ParsedGroup]) -> None:
    """Refuse groups that wait for each other: their tasks could never be executed."""
    if all(not group.dependencies or group.dependencies[-1] < place for place, group in enumerate(groups)):
        return  # each waits for earlier ones only, as clients write it
    waits = [len(group.dependencies) for group in groups]
    dependents: defaultdict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        for other in group.dependencies:
            dependents[other].append(position)
    ready = [position for position, count in enumerate(waits) if not count]
    for position in ready:
        for other in dependents[position]:
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)  # and is looked at too
    if len(ready) < len(groups):
        stuck = [str(position) for position, count in enumerate(waits) if count][:5]
        raise InvalidArgumentError(f"the dependencies of task_groups {', '.join(stuck)} are, or lie behind, a cycle")
