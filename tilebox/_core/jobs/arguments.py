"""What callers say about jobs: tasks, clusters, states, ids; read and checked before anything is sent."""

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
"""Characters of a name that jobs are looked for by."""

State = TypeVar("State", JobState, TaskState)


def submission(job_name: Any, tasks: Any, clusters: Any, max_retries: Any) -> tuple[str, core_pb2.TaskSubmissions]:
    """Read what a caller wants submitted.

    Args:
        job_name: The name, or the tasks if there is none.
        tasks: One or several root tasks, or None if they stand in the place of the name.
        clusters: One cluster, or one for each task, or None for the default one.
        max_retries: How many attempts of each may fail.

    Returns:
        The job's name and its root tasks.

    Raises:
        TypeError: A task is none, or is a class; the name is no string.
        ValueError: There is no task, or not a cluster for each; a number or name makes no sense.
    """
    if tasks is None and not isinstance(job_name, str):
        job_name, tasks = None, job_name
    message = subtasks.root_tasks(tasks, clusters, max_retries)
    if job_name is None:
        # Before it runs, a task calls itself like its class.
        job_name = message.display_lookup[0]
    return text(job_name, "job_name"), message


def job_id(value: Job | UUID | str) -> UUID:
    """Read a job, or the id of one.

    Raises:
        ValueError: It is no UUID.
        TypeError: It is neither a job nor an id.
    """
    return value.id if isinstance(value, Job) else ids.parse(value, name="job id")


def slug(value: Any) -> str:
    """Read a cluster or its slug.

    Raises:
        ValueError: The slug is empty.
        TypeError: It is neither a cluster nor a string.
    """
    if isinstance(value, Cluster):
        return value.slug
    if not isinstance(value, str):
        raise TypeError(f"a cluster is given as Cluster or as its slug, a string, not as a {type(value).__name__}")
    return text(value, "the slug of a cluster")


def job_filters(
    temporal_extent: Any, automation_ids: Any, job_states: Any, name: str | None, task_states: Any, clusters: Any
) -> job_pb2.QueryFilters:
    """Read which jobs a caller looks for; what is None does not matter.

    Raises:
        ValueError: A value makes no sense.
        TypeError: A value is of a type that cannot be one.
    """
    submitted = interval(temporal_extent)
    if name is not None and len(text(name, "name")) > MAX_NAME:
        raise ValueError(f"name must have at most {MAX_NAME} characters")
    in_states = [_state(JobState, one) for one in _several(job_states)]
    with_tasks = [_state(TaskState, one) for one in _several(task_states)]
    return job_pb2.QueryFilters(
        time_interval=None if submitted is None else submitted.to_wire(),
        automation_ids=[ids.to_wire(ids.parse(one, name="automation id")) for one in _several(automation_ids)],
        states=[f"JOB_STATE_{state}" for state in in_states],
        name=name or "",
        task_states=[f"TASK_STATE_{state}" for state in with_tasks],
        cluster_slugs=[slug(one) for one in _several(clusters)],
    )


def interval(value: Any) -> TimeInterval | None:
    """Read an interval, if one is given.

    Raises:
        ValueError: It is malformed.
        TypeError: It is of a type that cannot be one.
    """
    if value is None:
        return None
    # Brings numpy, which takes longer to import than all the rest.
    from tilebox._core.values import intervals

    return intervals.parse(value)


def count(value: Any) -> int | None:
    """Read how many of something are wanted; None for all.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not positive.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"limit must be an integer, not {value!r}")
    if value <= 0:
        raise ValueError(f"limit must be positive, but is {value}")
    return value


def seconds(value: Any) -> float | None:
    """Read how long to wait; None for as long as it takes.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {value!r}")
    if not value >= 0:
        raise ValueError(f"timeout must not be negative, but is {value}")
    return float(value)


def make_trace_parent(random: Random, *, trace_id: int | None = None, flags: int = 1) -> str:
    """Return a W3C trace parent that nothing else has, in a given trace if there is one."""
    trace_id = random.getrandbits(128) or 1 if trace_id is None else trace_id
    return f"00-{trace_id:032x}-{random.getrandbits(64) or 1:016x}-{flags:02x}"


def text(value: Any, what: str, *, may_be_empty: bool = False) -> str:
    """Read a string that is not empty.

    Raises:
        TypeError: It is none.
        ValueError: It is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not a {type(value).__name__}")
    if not value and not may_be_empty:
        raise ValueError(f"{what} must not be empty")
    return value


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return list(value)
    return [value]


def _state(kind: type[State], value: Any) -> State:
    if not isinstance(value, str):
        raise TypeError(f"a state is given as {kind.__name__} or as its name, not as a {type(value).__name__}")
    try:
        return kind(value.upper())
    except ValueError:
        names = ", ".join(one for one in kind if one != "UNSPECIFIED")
        raise ValueError(f"{value!r} is no {kind.__name__}; there are {names}") from None
