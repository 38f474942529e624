"""Values that requests of several services carry: ids, times and page limits, each checked by the wire's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
    from tilebox._core.protocol.tilebox.v1.query_pb2 import Pagination, TimeInterval

# Timestamps of protobuf reach from year 1 to year 9999.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799


def id_bytes(message: ID, name: str) -> bytes:
    """Read an id as its 16 bytes.

    Raises:
        InvalidArgumentError: It does not have 16 bytes, or all are zero.
    """
    if len(message.uuid) != 16:
        raise InvalidArgumentError(f"{name} must be a UUID of 16 bytes, not {len(message.uuid)} bytes")
    if not any(message.uuid):
        raise InvalidArgumentError(f"{name} must not be the nil UUID")
    return message.uuid


def required_id(message: ID, name: str, *, given: bool) -> UUID:
    """Read an id that a request must carry.

    Raises:
        InvalidArgumentError: It is missing or malformed.
    """
    if not given:
        raise InvalidArgumentError(f"{name} is required")
    return UUID(bytes=id_bytes(message, name))


def optional_id(message: ID, name: str, *, given: bool) -> UUID | None:
    """Read an id that a request may carry.

    Raises:
        InvalidArgumentError: It is malformed.
    """
    return UUID(bytes=id_bytes(message, name)) if given else None


def ids(messages: Iterable[ID], name: str) -> list[UUID]:
    """Read a list of ids.

    Raises:
        InvalidArgumentError: One of them is malformed.
    """
    return [UUID(bytes=id_bytes(message, f"{name}[{position}]")) for position, message in enumerate(messages)]


def nanoseconds(interval: TimeInterval) -> tuple[int, int]:
    """Read both ends of an interval, in nanoseconds since 1970.

    Raises:
        InvalidArgumentError: An end is missing or out of range, or it ends before it starts.
    """
    if not interval.HasField("start_time") or not interval.HasField("end_time"):
        raise InvalidArgumentError("time_interval must have start_time and end_time")
    start, end = _nanoseconds(interval.start_time, "start_time"), _nanoseconds(interval.end_time, "end_time")
    if end < start:
        raise InvalidArgumentError("time_interval ends before it starts")
    return start, end


def page_limit(page: Pagination, *, default: int, maximum: int) -> int:
    """Read how many datapoints a page may have; a limit above the maximum means the maximum.

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
        raise InvalidArgumentError(f"time_interval.{name} is no time between the years 1 and 9999")
    return time.seconds * 1_000_000_000 + time.nanos
