"""A query for datapoints, checked by the client before it sends a request."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import UTC, time
from typing import TYPE_CHECKING, Any

from tilebox._core.protocol.datasets.v1 import data_access_pb2
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.queries import areas, filters
from tilebox._core.values import ids, intervals

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.schema.fields import Schema
    from tilebox._core.values.intervals import TimeInterval

MAX_COLLECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query for datapoints of one dataset.

    Args:
        target: The name of the dataset or collection, for error messages and progress bars.
        dataset: The id of the dataset.
        schema: The fields of the dataset.
        collections: The ids of the collections to query; empty for all.
        interval: The time interval.
        area: The spatial filter, or None.
        filter: The conditions on fields, or None.
        skip_data: Whether to leave out all fields except time, id and ingestion time.
        limit: The maximum number of datapoints, or None.
        is_descending: Whether the latest datapoints come first.
        availability: The interval in which all datapoints are known to lie, or None.
    """

    target: str
    dataset: UUID
    schema: Schema
    collections: tuple[UUID, ...]
    interval: TimeInterval
    area: data_access_pb2.SpatialFilter | None = None
    filter: filters.Expression | None = None
    skip_data: bool = False
    limit: int | None = None
    is_descending: bool = False
    availability: TimeInterval | None = None

    def request(self) -> data_access_pb2.QueryRequest:
        """Return the protobuf message of this query, without pagination."""
        conditions = data_access_pb2.QueryFilters(
            time_interval=self.interval.to_wire(),
            spatial_extent=self.area,
            expressions=[] if self.filter is None else [filters.to_wire(self.filter)],
        )
        return data_access_pb2.QueryRequest(
            dataset_id=ids.to_wire(self.dataset),
            collection_ids=map(ids.to_wire, self.collections),
            filters=conditions,
            skip_data=self.skip_data,
        )

    def page_request(self, page: query_pb2.Pagination) -> data_access_pb2.QueryRequest:
        """Return the protobuf message that requests one page of this query."""
        request = self.request()
        request.page.CopyFrom(page)
        return request

    def arrow_request(self) -> datapoints_pb2.QueryArrowRequest:
        """Return the protobuf message that requests the whole answer as an Arrow stream."""
        order = query_pb2.SORT_DIRECTION_DESCENDING if self.is_descending else query_pb2.SORT_DIRECTION_ASCENDING
        return datapoints_pb2.QueryArrowRequest(query=self.request(), order=order, limit=self.limit)

    @property
    def title(self) -> str:
        """The title of a progress bar: the target, and the interval unless it is unbounded, whole days without hours."""
        if self.interval == intervals.ALWAYS:
            return self.target
        ends = (self.interval.start.astimezone(UTC), self.interval.end.astimezone(UTC))
        are_days = all(end.time() == time() for end in ends)
        first, last = (end.isoformat(" ", "minutes")[: 10 if are_days else 16] for end in ends)
        return f"{self.target} {first} to {last}"

    @property
    def progress_interval(self) -> TimeInterval:
        """The interval that a progress bar covers: the part of the query's interval in which datapoints can lie."""
        whole = self.interval
        if self.availability is None:
            return whole
        start = max(whole.start, self.availability.start)
        end = min(whole.end, self.availability.end)
        return intervals.TimeInterval(start, end) if start < end else whole


def parse_conditions(
    *,
    schema: Schema,
    temporal_extent: Any,
    spatial_extent: Any,
    filter: Any,  # noqa: A002 the name that the public API has
    limit: Any = None,
) -> dict[str, Any]:
    """Parse the conditions of a query as users give them.

    Args:
        schema: The fields of the dataset.
        temporal_extent: Whatever `intervals.parse` accepts, or None for all times.
        spatial_extent: Whatever `areas.to_wire` accepts, or None.
        filter: An expression built with `field`, or None.
        limit: The maximum number of datapoints, or None.

    Returns:
        The corresponding arguments of `Query`.

    Raises:
        ValueError: A condition has an invalid value, or the filter does not fit the schema.
        TypeError: A condition has a wrong type.
    """
    if filter is not None:
        if not isinstance(filter, filters.Expression):
            raise TypeError(f'filter must be built with field("name"), not given as a {type(filter).__name__}')
        filters.check(filter, schema)
    return {
        "interval": intervals.ALWAYS if temporal_extent is None else intervals.parse(temporal_extent),
        "area": None if spatial_extent is None else areas.to_wire(spatial_extent),
        "filter": filter,
        "limit": check_positive(limit, "limit"),
    }


def check_positive(value: Any, name: str) -> int | None:
    """Return a positive number as an int, or None.

    Args:
        value: The number that the user gave, or None.
        name: The name of the argument, for the error message.

    Raises:
        TypeError: The value is not a whole number.
        ValueError: The value is less than one.
    """
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number or None, not {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return number


def check_collections(collections: tuple[UUID, ...]) -> tuple[UUID, ...]:
    """Return the distinct collections of a query.

    Raises:
        ValueError: There are no collections, which would mean all of them on the wire, or more than a request may name.
    """
    distinct = tuple(dict.fromkeys(collections))
    if not distinct:
        raise ValueError("collections is empty, so no datapoint can match; pass None to query all collections")
    if len(distinct) > MAX_COLLECTIONS:
        raise ValueError(
            f"a query names at most {MAX_COLLECTIONS} collections, not {len(distinct)}; pass None to query all of "
            "them, or split them over several queries"
        )
    return distinct
