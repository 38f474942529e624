"""Parsing of values in requests of several services: ids, times and page limits, checked by the wire's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
    from tilebox._core.protocol.tilebox.v1.query_pb2 import Pagination, TimeInterval

# The range of protobuf timestamps: years 1 to 9999.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799


def id_bytes(message: ID, name: str) -> bytes:
    """Return an id as 16 bytes.

    Raises:
        InvalidArgumentError: The id does not have 16 bytes, or all of them are zero.
    """
    if len(message.uuid) != 16:
        raise InvalidArgumentError(f"{name} must be a UUID of 16 bytes, not {len(message.uuid)} bytes")
    if not any(message.uuid):
        raise InvalidArgumentError(f"{name} must not be the nil UUID")
    return message.uuid


def required_id(message: ID, name: str, *, is_set: bool) -> UUID:
    """Parse a required id.

    Args:
        message: The id.
        name: The field's name, for error messages.
        is_set: Whether the request has the field.

    Raises:
        InvalidArgumentError: The id is missing or malformed.
    """
    if not is_set:
        raise InvalidArgumentError(f"{name} is required")
    return UUID(bytes=id_bytes(message, name))


def optional_id(message: ID, name: str, *, is_set: bool) -> UUID | None:
    """Parse an optional id.

    Args:
        message: The id.
        name: The field's name, for error messages.
        is_set: Whether the request has the field.

    Raises:
        InvalidArgumentError: The id is malformed.
    """
    return UUID(bytes=id_bytes(message, name)) if is_set else None


def ids(messages: Iterable[ID], name: str) -> list[UUID]:
    """Parse a list of ids.

    Raises:
        InvalidArgumentError: One of the ids is malformed.
    """
    return [UUID(bytes=id_bytes(message, f"{name}[{position}]")) for position, message in enumerate(messages)]


def nanoseconds(interval: TimeInterval) -> tuple[int, int]:
    """Return the start and the end of a time interval, in nanoseconds since 1970.

    Raises:
        InvalidArgumentError: The start or the end is missing or out of range, or the end is before the start.
    """
    if not interval.HasField("start_time") or not interval.HasField("end_time"):
        raise InvalidArgumentError("time_interval must have start_time and end_time")
    start, end = _nanoseconds(interval.start_time, "start_time"), _nanoseconds(interval.end_time, "end_time")
    if end < start:
        raise InvalidArgumentError("the end of time_interval is before its start")
    return start, end


def page_limit(page: Pagination, *, default: int, maximum: int) -> int:
    """Return the number of entries of a page.

    Args:
        page: The requested page.
        default: The number if the request names none.
        maximum: The largest number; a higher limit means this one.

    Raises:
        InvalidArgumentError: The limit is below 1.
    """
    if not page.HasField("limit"):
        return min(default, maximum)
    if page.limit < 1:
        raise InvalidArgumentError(f"page.limit must be at least 1, not {page.limit}")
    return min(page.limit, maximum)


def _nanoseconds(time: Timestamp, name: str) -> int:
    if not (_MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos < 1_000_000_000):
        raise InvalidArgumentError(f"time_interval.{name} must be a time between the years 1 and 9999")
    return time.seconds * 1_000_000_000 + time.nanos
