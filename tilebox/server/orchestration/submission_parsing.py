"""Parsing of task submissions: checks messages of the wire by its rules, before clusters are looked up.

Every report that submits subtasks goes through here, so a message is read column by column: what tasks share (cluster,
identifier, display) is checked once, however many tasks there are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ROOT_TASKS = 10_000
MAX_GROUPS = 64
"""Most groups in one submission, unless the limit on subtasks is higher."""

MAX_LEGACY_TASKS = 1000
MAX_RETRIES = 1 << 31
MAX_DISPLAY_CHARACTERS = 1024

_COLUMNS = ("identifier_pointers", "cluster_slug_pointers", "display_pointers", "max_retries_values")

TargetQueue = tuple[str, TaskIdentifier]
"""The slug of a cluster, and the identifier of the tasks in the queue; an empty slug means the default cluster."""


@dataclass(frozen=True, slots=True)
class ParsedGroup:
    """Tasks with equal dependencies, as columns with one entry a task.

    Args:
        queues: The queue of each task, as a position in `ParsedSubmission.queues`.
        displays: The display text of each task.
        inputs: The serialised parameters of each task.
        max_retries: How often each task may be retried.
        are_optional: Whether each task may fail without failing its job.
        dependencies: Positions of the groups that all tasks depend on, in ascending order.
    """

    queues: Sequence[int]
    displays: Sequence[str]
    inputs: Sequence[bytes]
    max_retries: Sequence[int]
    are_optional: Sequence[bool]
    dependencies: Sequence[int]


@dataclass(frozen=True, slots=True)
class ParsedSubmission:
    """A valid submission, before its clusters are looked up.

    Args:
        groups: Its tasks.
        queues: The queues of its tasks.
    """

    groups: list[ParsedGroup]
    queues: list[TargetQueue]


@dataclass(frozen=True, slots=True)
class SubmissionLimits:
    """Limits on a submission.

    Args:
        max_tasks: Most tasks, in all groups together.
        max_groups: Most groups.
        max_input_bytes: Largest serialised input of a task.
        noun: The word for its tasks in error messages.
    """

    max_tasks: int
    max_groups: int
    max_input_bytes: int
    noun: str


def parse_submission(message: core_pb2.TaskSubmissions, limits: SubmissionLimits) -> ParsedSubmission:
    """Parse and check a submission.

    Args:
        message: The submission as it came over the wire.
        limits: The limits to check.

    Returns:
        The submission, with every pointer into a lookup resolved except those to clusters.

    Raises:
        InvalidArgumentError: The submission is malformed or exceeds a limit.
    """
    groups = message.task_groups
    _check_counts(message, limits)
    clusters = list(message.cluster_slug_lookup)
    identifiers = [_identifier(entry, position) for position, entry in enumerate(message.identifier_lookup)]
    displays = [_display(entry, f"display_lookup[{position}]") for position, entry in enumerate(message.display_lookup)]
    queues: dict[tuple[int, int], int] = {}
    parsed = []
    for position, group in enumerate(groups):
        name = f"task_groups[{position}]"
        _check_columns(group, name, len(clusters), len(identifiers), len(displays))
        inputs = list(group.inputs)
        _check_inputs(inputs, name, limits.max_input_bytes)
        pairs = zip(group.cluster_slug_pointers, group.identifier_pointers, strict=True)
        parsed.append(
            ParsedGroup(
                queues=[queues.setdefault(pair, len(queues)) for pair in pairs],
                displays=[displays[pointer] for pointer in group.display_pointers],
                inputs=inputs,
                max_retries=list(group.max_retries_values),
                are_optional=list(group.optional_values) or [False] * len(inputs),
                dependencies=_dependencies(group.dependencies_on_other_groups, position, len(groups)),
            )
        )
    _check_cycles(parsed)
    return ParsedSubmission(parsed, [(clusters[cluster], identifiers[identifier]) for cluster, identifier in queues])


def group_legacy_tasks(
    tasks: Sequence[core_pb2.SingleTaskSubmission], *, max_tasks: int = MAX_LEGACY_TASKS
) -> core_pb2.TaskSubmissions:
    """Convert tasks of the legacy form, which name their dependencies one by one, into groups.

    Tasks with equal dependencies and equal dependents form one group.

    Args:
        tasks: The tasks; each names others by position.
        max_tasks: Most tasks.

    Returns:
        The same submission, as groups.

    Raises:
        InvalidArgumentError: There are too many tasks, or one depends on a task that does not exist.
    """
    if len(tasks) > max_tasks:
        raise InvalidArgumentError(
            f"there are {len(tasks):,} tasks, and at most {max_tasks:,} are allowed in this form: use task_groups"
        )
    dependents: defaultdict[int, set[int]] = defaultdict(set)
    for position, task in enumerate(tasks):
        for dependency in task.dependencies:
            if not 0 <= dependency < len(tasks):
                raise InvalidArgumentError(
                    f"task {position} depends on task {dependency}, and there are {len(tasks)} tasks"
                )
            dependents[dependency].add(position)
    groups: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    for position, task in enumerate(tasks):
        edges = frozenset(task.dependencies), frozenset(dependents[position])
        groups.setdefault(edges, []).append(position)
    group_of = {task: number for number, members in enumerate(groups.values()) for task in members}
    message = core_pb2.TaskSubmissions()
    lookups = _LookupWriter(message)
    for (dependencies, _), members in groups.items():
        group = message.task_groups.add(
            dependencies_on_other_groups=sorted({group_of[task] for task in dependencies}),
        )
        for position in members:
            lookups.add(group, tasks[position])
    return message


class _LookupWriter:
    """Adds tasks to groups of a message, and fills the lookups of the message; equal values share an entry."""

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


def _check_counts(message: core_pb2.TaskSubmissions, limits: SubmissionLimits) -> None:
    groups = message.task_groups
    if not groups:
        raise InvalidArgumentError(f"there are no {limits.noun}: submit at least one")
    if len(groups) > limits.max_groups:
        raise InvalidArgumentError(
            f"there are {len(groups):,} groups of {limits.noun}, and at most {limits.max_groups:,} are allowed"
        )
    count = sum(len(group.inputs) for group in groups)
    if count > limits.max_tasks:
        raise InvalidArgumentError(
            f"there are {count:,} {limits.noun}, and at most {limits.max_tasks:,} are allowed: submit some that "
            "submit the others"
        )


def _identifier(message: core_pb2.TaskIdentifier, position: int) -> TaskIdentifier:
    try:
        return TaskIdentifier.parse(message.name, message.version)
    except ValueError as error:
        raise InvalidArgumentError(f"identifier_lookup[{position}]: {error}") from None


def _display(text: str, name: str) -> str:
    if not text:
        raise InvalidArgumentError(f"{name} must not be empty: give each task a text to display")
    # PostgreSQL stores no NUL characters.
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
    # The common case of valid inputs runs in C; the offending position is looked up only after a failure.
    if max(map(len, inputs)) > max_bytes:
        position, size = next((position, len(item)) for position, item in enumerate(inputs) if len(item) > max_bytes)
        raise InvalidArgumentError(
            f"the input of task {position} of {name} has {size:,} bytes, and at most {max_bytes:,} are allowed: put "
            "large values into the job's cache or a file, and pass their name"
        )


def _dependencies(pointers: Iterable[int], position: int, count: int) -> list[int]:
    dependencies = sorted(set(pointers))
    if dependencies and dependencies[-1] >= count:
        raise InvalidArgumentError(
            f"task_groups[{position}] depends on group {dependencies[-1]}, and there are {count} groups"
        )
    if position in dependencies:
        raise InvalidArgumentError(f"task_groups[{position}] depends on itself, which is a cycle")
    return dependencies


def _check_cycles(groups: Sequence[ParsedGroup]) -> None:
    """Refuse cyclic dependencies, by Kahn's algorithm: their tasks could never be executed."""
    if all(not group.dependencies or group.dependencies[-1] < position for position, group in enumerate(groups)):
        return  # each group depends on earlier ones only, as clients write them
    open_dependencies = [len(group.dependencies) for group in groups]
    dependents: defaultdict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        for dependency in group.dependencies:
            dependents[dependency].append(position)
    ready = [position for position, count in enumerate(open_dependencies) if not count]
    for position in ready:
        for dependent in dependents[position]:
            open_dependencies[dependent] -= 1
            if not open_dependencies[dependent]:
                ready.append(dependent)  # the loop over `ready` visits it too
    if len(ready) < len(groups):
        stuck = [str(position) for position, count in enumerate(open_dependencies) if count][:5]
        raise InvalidArgumentError(f"the dependencies of task_groups {', '.join(stuck)} form a cycle, or depend on one")
