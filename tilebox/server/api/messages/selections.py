"""Parsing of datapoint queries: intervals, areas and filters, checked by the wire's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from tilebox._core.geometry import matching
from tilebox._core.protocol.datasets.v1 import data_access_pb2 as access
from tilebox._core.queries import filters
from tilebox.errors import InvalidArgumentError
from tilebox.server.api.messages.values import id_bytes, ids, nanoseconds, optional_id
from tilebox.server.datasets.queries import Selection
from tilebox.server.datasets.records import Area, AreaMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.protocol.tilebox.v1.query_pb2 import IDInterval, TimeInterval
    from tilebox._core.queries.filters import Expression

_MILLISECOND = 1_000_000
_MICROSECOND = 1_000
# A datapoint id is 48 bits of milliseconds, then these bits.
_TAIL_BITS = 80
_MAX_ID_NUMBER = 2 ** (47 + _TAIL_BITS) - 1

_AREA_MODES = {
    access.SPATIAL_FILTER_MODE_UNSPECIFIED: AreaMode.INTERSECTS,
    access.SPATIAL_FILTER_MODE_INTERSECTS: AreaMode.INTERSECTS,
    access.SPATIAL_FILTER_MODE_FILTER_CONTAINS_GEOMETRY: AreaMode.AREA_CONTAINS_FOOTPRINT,
    access.SPATIAL_FILTER_MODE_GEOMETRY_CONTAINS_FILTER: AreaMode.FOOTPRINT_CONTAINS_AREA,
}
_SPHERICAL = {
    access.SPATIAL_COORDINATE_SYSTEM_UNSPECIFIED: False,
    access.SPATIAL_COORDINATE_SYSTEM_CARTESIAN: False,
    access.SPATIAL_COORDINATE_SYSTEM_SPHERICAL: True,
}


def selection(query: access.QueryRequest) -> Selection:
    """Parse the datapoints that a query selects.

    Raises:
        InvalidArgumentError: A part of the query is missing, malformed or exceeds a limit.
    """
    filters_message = query.filters
    has_times, has_ids = filters_message.HasField("time_interval"), filters_message.HasField("datapoint_interval")
    if has_times == has_ids:
        raise InvalidArgumentError("filters must have exactly one of time_interval and datapoint_interval")
    start_ms, end_ms = milliseconds(filters_message.time_interval) if has_times else (None, None)
    first_id, last_id = id_range(filters_message.datapoint_interval) if has_ids else (None, None)
    return Selection(
        dataset=optional_id(query.dataset_id, "dataset_id", is_set=query.HasField("dataset_id")),
        collections=ids(query.collection_ids, "collection_ids"),
        start_ms=start_ms,
        end_ms=end_ms,
        first_id=first_id,
        last_id=last_id,
        area=area(filters_message.spatial_extent) if filters_message.HasField("spatial_extent") else None,
        where=_where(filters_message.expressions),
    )


def milliseconds(interval: TimeInterval) -> tuple[int, int]:
    """Convert a time interval to the half-open range of milliseconds since 1970 whose datapoints lie in it.

    The times of datapoints are whole milliseconds. An interval of one instant selects the millisecond that contains
    the instant, so that a time of higher precision finds the datapoint that was stored with it.

    Raises:
        InvalidArgumentError: The start or the end is missing or out of range, or the end is before the start.
    """
    start, end = nanoseconds(interval)
    if not interval.start_exclusive and end - start == (0 if interval.end_inclusive else _MICROSECOND):
        return start // _MILLISECOND, start // _MILLISECOND + 1
    first = start // _MILLISECOND + 1 if interval.start_exclusive else -(-start // _MILLISECOND)
    stop = end // _MILLISECOND + 1 if interval.end_inclusive else -(-end // _MILLISECOND)
    return first, stop


def id_range(interval: IDInterval) -> tuple[bytes, bytes]:
    """Convert an interval of ids to the smallest and the largest id in it.

    Raises:
        InvalidArgumentError: The start or the end is missing or malformed, or the end is before the start.
    """
    if not interval.HasField("start_id") or not interval.HasField("end_id"):
        raise InvalidArgumentError("datapoint_interval must have start_id and end_id")
    start = _id_number(id_bytes(interval.start_id, "datapoint_interval.start_id"))
    end = _id_number(id_bytes(interval.end_id, "datapoint_interval.end_id"))
    if end < start:
        raise InvalidArgumentError("the end of datapoint_interval is before its start; ids are ordered by time")
    first = start + 1 if interval.start_exclusive else start
    last = end if interval.end_inclusive else end - 1
    return _id_of(first), _id_of(last)


def area(message: access.SpatialFilter) -> Area:
    """Parse a spatial filter.

    Raises:
        InvalidArgumentError: The geometry is missing or invalid, or the mode or the coordinate system is not defined.
    """
    if not message.geometry.wkb:
        raise InvalidArgumentError("spatial_extent.geometry is required")
    if message.mode not in _AREA_MODES or message.coordinate_system not in _SPHERICAL:
        raise InvalidArgumentError("spatial_extent has a mode or coordinate_system that is not defined")
    try:
        shape = shapely.from_wkb(message.geometry.wkb)
        matching.check_area(shape)
    except (ValueError, shapely.errors.ShapelyError) as error:
        raise InvalidArgumentError(f"spatial_extent.geometry: {error}") from None
    return Area(shape, _AREA_MODES[message.mode], _SPHERICAL[message.coordinate_system])


def _where(expressions: Iterable[access.FilterExpression]) -> Expression | None:
    try:
        return filters.from_wire(expressions)
    except ValueError as error:
        raise InvalidArgumentError(f"filters.expressions: {error}") from None


def _id_number(identity: bytes) -> int:
    """Return an id as a number that sorts by time, also before 1970, then by the other bytes."""
    return (int.from_bytes(identity[:6], "big", signed=True) << _TAIL_BITS) | int.from_bytes(identity[6:], "big")


def _id_of(number: int) -> bytes:
    number = max(-_MAX_ID_NUMBER - 1, min(number, _MAX_ID_NUMBER))
    tail = number & ((1 << _TAIL_BITS) - 1)
    return (number >> _TAIL_BITS).to_bytes(6, "big", signed=True) + tail.to_bytes(10, "big")
