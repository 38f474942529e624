"""Parsing of callers' arguments about jobs (tasks, clusters, states, ids), before any request is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from tilebox._core.jobs.job import Cluster, Job
from tilebox._core.jobs.states import JobState, TaskState
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
from tilebox._core.tasks import subtasks
from tilebox._core.values import ids

if TYPE_CHECKING:
    from random import Random
    from uuid import UUID

    from tilebox._core.values.intervals import TimeInterval

MAX_NAME = 100
"""The largest number of characters in the name of a query for jobs."""

State = TypeVar("State", JobState, TaskState)


def submission(job_name: Any, tasks: Any, clusters: Any, max_retries: Any) -> tuple[str, core_pb2.TaskSubmissions]:
    """Parse the arguments of a submission.

    Args:
        job_name: The name of the job, or the root tasks if it has no name.
        tasks: One or several root tasks; None if `job_name` has them.
        clusters: One cluster, or one per task; None for the default cluster.
        max_retries: The number of times that each task is retried after a failed attempt.

    Returns:
        The name of the job and its root tasks.

    Raises:
        TypeError: A task is not a task, or is a task class; or the name is not a string.
        ValueError: There is no task, the number of clusters differs from that of tasks, the name is empty, or
            `max_retries` is out of range.
    """
    if tasks is None and not isinstance(job_name, str):
        job_name, tasks = None, job_name
    message = subtasks.root_tasks(tasks, clusters, max_retries)
    if job_name is None:
        # The display of a task that has not run is the name of its class.
        job_name = message.display_lookup[0]
    return text(job_name, "job_name"), message


def job_id(value: Job | UUID | str) -> UUID:
    """Return the id of a job, given as a job or as its id.

    Raises:
        ValueError: The text is not a UUID.
        TypeError: The value is neither a job nor an id.
    """
    return value.id if isinstance(value, Job) else ids.parse(value, name="job id")


def slug(value: Any) -> str:
    """Return the slug of a cluster, given as a cluster or as its slug.

    Raises:
        ValueError: The slug is empty.
        TypeError: The value is neither a cluster nor a string.
    """
    if isinstance(value, Cluster):
        return value.slug
    if not isinstance(value, str):
        raise TypeError(f"a cluster must be a Cluster or a slug, not a {type(value).__name__}")
    return text(value, "the slug of a cluster")


def job_filters(
    temporal_extent: Any, automation_ids: Any, job_states: Any, name: str | None, task_states: Any, clusters: Any
) -> job_pb2.QueryFilters:
    """Return the filters of a query for jobs; an argument that is None does not filter.

    Raises:
        ValueError: A value is malformed.
        TypeError: A value has the wrong type.
    """
    submitted = interval(temporal_extent)
    if name is not None and len(text(name, "name")) > MAX_NAME:
        raise ValueError(f"name must have at most {MAX_NAME} characters")

    return job_pb2.QueryFilters(
        time_interval=None if submitted is None else submitted.to_wire(),
        automation_ids=[ids.to_wire(ids.parse(value, name="automation id")) for value in _as_list(automation_ids)],
        states=[f"JOB_STATE_{_state(JobState, value)}" for value in _as_list(job_states)],
        name=name or "",
        task_states=[f"TASK_STATE_{_state(TaskState, value)}" for value in _as_list(task_states)],
        cluster_slugs=[slug(value) for value in _as_list(clusters)],
    )


def interval(value: Any) -> TimeInterval | None:
    """Parse an optional time interval.

    Raises:
        ValueError: The interval is malformed.
        TypeError: The value has a type that cannot be an interval.
    """
    if value is None:
        return None
    # Imported here, because it imports numpy, which takes longer than everything else.
    from tilebox._core.values import intervals

    return intervals.parse(value)


def count(value: Any) -> int | None:
    """Parse a limit; None means all.

    Raises:
        TypeError: The limit is not an integer.
        ValueError: The limit is not positive.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"limit must be an integer, not {value!r}")
    if value <= 0:
        raise ValueError(f"limit must be positive, but is {value}")
    return value


def seconds(value: Any) -> float | None:
    """Parse a timeout in seconds; None means no timeout.

    Raises:
        TypeError: The timeout is not a number.
        ValueError: The timeout is negative.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise ValueError(f"timeout must not be negative, but is {value}")
    return float(value)


def make_trace_parent(random: Random, *, trace_id: int | None = None, flags: int = 1) -> str:
    """Return a unique W3C trace parent, in a given trace or in a new one."""
    trace_id = random.getrandbits(128) or 1 if trace_id is None else trace_id
    return f"00-{trace_id:032x}-{random.getrandbits(64) or 1:016x}-{flags:02x}"


def text(value: Any, name: str, *, may_be_empty: bool = False) -> str:
    """Return a string argument.

    Args:
        value: The argument.
        name: The name of the argument in error messages.
        may_be_empty: Whether to accept the empty string.

    Raises:
        TypeError: The value is not a string.
        ValueError: The value is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not a {type(value).__name__}")
    if not value and not may_be_empty:
        raise ValueError(f"{name} must not be empty")
    return value


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return list(value)
    return [value]


def _state(kind: type[State], value: Any) -> State:
    if not isinstance(value, str):
        raise TypeError(f"a state must be a {kind.__name__} or its name, not a {type(value).__name__}")
    try:
        return kind(value.upper())
    except ValueError:
        names = ", ".join(state for state in kind if state != "UNSPECIFIED")
        raise ValueError(f"{value!r} is not a {kind.__name__}; the states are {names}") from None
