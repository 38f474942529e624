"""Parsing of job filters: intervals of time and of ids, states and names, checked by the wire's rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tilebox.errors import InvalidArgumentError
from tilebox.server.api.messages import values
from tilebox.server.orchestration.records import JobFilter
from tilebox.server.rules.task_states import JobState, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.protocol.tilebox.v1.query_pb2 import IDInterval, TimeInterval
    from tilebox._core.protocol.workflows.v1 import job_pb2

MAX_NAME_CHARACTERS = 100
MAX_ENTRIES = 100

_TAIL_BITS = 80
_LAST_ID = (1 << 128) - 1
_LAST_MS = (1 << 48) - 1

State = TypeVar("State", JobState, TaskState)


def job_filter(filters: job_pb2.QueryFilters) -> JobFilter:
    """Parse the filters of a query.

    Raises:
        InvalidArgumentError: A filter is malformed or exceeds a limit.
    """
    has_times, has_ids = filters.HasField("time_interval"), filters.HasField("id_interval")
    if has_times and has_ids:
        raise InvalidArgumentError("filters must have at most one of time_interval and id_interval")
    if len(filters.name) > MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"filters.name must have at most {MAX_NAME_CHARACTERS} characters")
    for name in ("automation_ids", "cluster_slugs"):
        if len(getattr(filters, name)) > MAX_ENTRIES:
            raise InvalidArgumentError(f"filters.{name} must have at most {MAX_ENTRIES} entries")
    start_us, end_us = microseconds(filters.time_interval) if has_times else (None, None)
    first, last = id_range(filters.id_interval) if has_ids else (None, None)
    return interval_filter(
        start_us,
        end_us,
        first=first,
        last=last,
        states=_states(JobState, filters.states, "filters.states"),
        name=filters.name,
        task_states=_states(TaskState, filters.task_states, "filters.task_states"),
        automations=[automation.bytes for automation in values.ids(filters.automation_ids, "filters.automation_ids")],
        clusters=list(filters.cluster_slugs),
    )


def time_filter(interval: TimeInterval, *, is_set: bool) -> JobFilter:
    """Parse an optional time interval of submission; without one, the filter matches all jobs.

    Raises:
        InvalidArgumentError: It is malformed.
    """
    return interval_filter(*microseconds(interval)) if is_set else JobFilter()


def younger_than(job_filter: JobFilter, age_us: int, now_us: int) -> JobFilter:
    """Restrict a filter to jobs of a maximum age.

    Args:
        job_filter: The filter.
        age_us: Largest time since the submission, in microseconds.
        now_us: The current time, in microseconds since 1970.

    Raises:
        InvalidArgumentError: The age is negative.
    """
    if age_us < 0:
        raise InvalidArgumentError("job_max_age must not be negative")
    recent = interval_filter(now_us - age_us, None)
    return replace(
        job_filter, start_us=max(job_filter.start_us, recent.start_us), first=max(job_filter.first, recent.first)
    )


def interval_filter(
    start_us: int | None,
    end_us: int | None,
    *,
    first: bytes | None = None,
    last: bytes | None = None,
    **others: object,
) -> JobFilter:
    """Return a filter of jobs by their time of submission.

    The filter restricts ids too: ids begin with the millisecond of submission, and their index finds the jobs directly.

    Args:
        start_us: Start of the interval in microseconds since 1970, or None.
        end_us: End of the interval, exclusive, or None.
        first: Smallest id, or None.
        last: Largest id, or None.
        others: Other fields of the filter.
    """
    fields: dict[str, object] = dict(others)
    if start_us is not None:
        fields |= {"start_us": start_us, "first": _id(_millisecond(start_us) << _TAIL_BITS)}
    if end_us is not None:
        fields |= {"end_us": end_us, "last": _id(((_millisecond(end_us) + 1) << _TAIL_BITS) - 1)}
    fields |= {name: value for name, value in (("first", first), ("last", last)) if value is not None}
    return JobFilter(**fields)  # type: ignore[arg-type]


def microseconds(interval: TimeInterval) -> tuple[int, int]:
    """Convert a time interval to a half-open range of microseconds since 1970.

    Raises:
        InvalidArgumentError: The start or the end is missing or out of range, or the end is before the start.
    """
    start, end = values.nanoseconds(interval)
    first = start // 1000 + 1 if interval.start_exclusive else -(-start // 1000)
    behind = end // 1000 + 1 if interval.end_inclusive else -(-end // 1000)
    return first, behind


def id_range(interval: IDInterval) -> tuple[bytes, bytes]:
    """Convert an interval of ids to the smallest and the largest id in it.

    Raises:
        InvalidArgumentError: The start or the end is missing or malformed, or the end is before the start.
    """
    if not interval.HasField("start_id") or not interval.HasField("end_id"):
        raise InvalidArgumentError("id_interval must have start_id and end_id")
    start = int.from_bytes(values.id_bytes(interval.start_id, "id_interval.start_id"), "big")
    end = int.from_bytes(values.id_bytes(interval.end_id, "id_interval.end_id"), "big")
    if end < start:
        raise InvalidArgumentError("the end of id_interval is before its start; ids are ordered by time")
    return _id(start + 1 if interval.start_exclusive else start), _id(end if interval.end_inclusive else end - 1)


def _states(kind: type[State], numbers: Iterable[int], name: str) -> list[State]:
    try:
        return [kind(number) for number in numbers]
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from None


def _millisecond(microseconds: int) -> int:
    return min(max(microseconds // 1000, 0), _LAST_MS)


def _id(number: int) -> bytes:
    return min(max(number, 0), _LAST_ID).to_bytes(16, "big")
