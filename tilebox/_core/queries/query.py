"""A query for datapoints as a value, checked before anything is sent."""

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
    """Which datapoints of one dataset.

    Args:
        what: The dataset or collection by name, for messages and progress bars.
        dataset: The dataset.
        schema: Its fields.
        collections: The collections to look in; none means all.
        interval: When.
        area: Where, or None.
        filter: Conditions on fields, or None.
        skip_data: Whether to leave out everything but time, id and ingestion time.
        limit: How many at the most, or None.
        is_descending: From the latest to the earliest.
        availability: The interval in which datapoints are known to lie, or None.
    """

    what: str
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
        """Return the message of this query, without a page."""
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
        """Return the message of one page of this query."""
        request = self.request()
        request.page.CopyFrom(page)
        return request

    def arrow_request(self) -> datapoints_pb2.QueryArrowRequest:
        """Return the message that asks for the whole answer as an Arrow stream."""
        order = query_pb2.SORT_DIRECTION_DESCENDING if self.is_descending else query_pb2.SORT_DIRECTION_ASCENDING
        return datapoints_pb2.QueryArrowRequest(query=self.request(), order=order, limit=self.limit)

    @property
    def title(self) -> str:
        """What a progress bar calls this query: the name, and the interval if there is one, days without their hours."""
        if self.interval == intervals.ALWAYS:
            return self.what
        ends = (self.interval.start.astimezone(UTC), self.interval.end.astimezone(UTC))
        are_days = all(end.time() == time() for end in ends)
        first, last = (end.isoformat(" ", "minutes")[: 10 if are_days else 16] for end in ends)
        return f"{self.what} {first} to {last}"

    @property
    def shown_interval(self) -> TimeInterval:
        """The part of the interval that a progress bar covers: without times in which nothing is known to be."""
        whole = self.interval
        if self.availability is None:
            return whole
        start = max(whole.start, self.availability.start)
        end = min(whole.end, self.availability.end)
        return intervals.TimeInterval(start, end) if start < end else whole


def conditions(
    *,
    schema: Schema,
    temporal_extent: Any,
    spatial_extent: Any,
    filter: Any,  # noqa: A002 the name that the public API has
    limit: Any = None,
) -> dict[str, Any]:
    """Read the conditions that a caller gave into arguments of `Query`.

    Raises:
        ValueError: One makes no sense.
        TypeError: One is of a type that it cannot have.
    """
    if filter is not None:
        if not isinstance(filter, filters.Expression):
            raise TypeError(f'filter must be built with field("name"), not given as a {type(filter).__name__}')
        filters.check(filter, schema)
    return {
        "interval": intervals.ALWAYS if temporal_extent is None else intervals.parse(temporal_extent),
        "area": None if spatial_extent is None else areas.to_wire(spatial_extent),
        "filter": filter,
        "limit": positive(limit, "limit"),
    }


def positive(value: Any, name: str) -> int | None:
    """Return a number of datapoints that a caller gave, or None.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is less than one.
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
    """Return the collections of a query if a request can name them.

    Raises:
        ValueError: They are none, which the wire takes for all, or too many.
    """
    distinct = tuple(dict.fromkeys(collections))
    if not distinct:
        raise ValueError("collections is empty, so that nothing could be found; pass None to look in all of them")
    if len(distinct) > MAX_COLLECTIONS:
        raise ValueError(
            f"a query looks in at most {MAX_COLLECTIONS} collections, not {len(distinct)}; pass None for all of them, "
            "or query in turns"
        )
    return distinct
