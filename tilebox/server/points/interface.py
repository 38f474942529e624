"""What the server asks of the store of datapoints: a dozen verbs, one conformance suite.

A table holds the datapoints of one dataset, in the Arrow form of its schema (`_core/arrow.py`) plus
columns of the store's own, whose names start with an underscore. Every verb is a coroutine and safe to
call from many tasks at once. What a verb acknowledged has reached the disk and survives power loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    import pyarrow as pa
    import shapely

    from tilebox._core.queries.filters import Expression
    from tilebox._core.schema.fields import Schema

MAX_BATCH_ROWS = 65_536
"""Rows of one batch of a stream at most, which bounds the memory of both ends."""


class AreaMode(Enum):
    """How a footprint must lie to the area of a query."""

    INTERSECTS = "intersects"
    AREA_CONTAINS_FOOTPRINT = "filter_contains_geometry"
    FOOTPRINT_CONTAINS_AREA = "geometry_contains_filter"


@dataclass(frozen=True, slots=True)
class Area:
    """The spatial part of a query.

    Args:
        geometry: In degrees, longitude before latitude; may cross the antimeridian.
        mode: How footprints must lie to it.
        spherical: Edges are great circles if true, straight lines in longitude and latitude if not.
    """

    geometry: shapely.Geometry
    mode: AreaMode = AreaMode.INTERSECTS
    spherical: bool = False


@dataclass(frozen=True, slots=True)
class PointQuery:
    """Which datapoints, in which order. Results are ordered by (time, id).

    Args:
        collections: Numbers of the collections to look in; none finds nothing.
        start_ms: First millisecond since 1970 to include, or None.
        end_ms: First millisecond since 1970 to exclude, or None.
        first_id: Smallest id to include, or None. Ids compare as (time, bytes).
        last_id: Largest id to include, or None.
        after: Id of the datapoint that the answer starts behind, in the order asked for.
        area: Where, or None.
        where: Conditions on fields, checked against the schema, or None.
        fields: Names of the fields to return besides the metadata; None means all.
        descending: From the latest to the earliest.
        limit: How many at the most, or None.
        snapshot: The version of the table to read, as an earlier answer named it, or None for now.
    """

    collections: tuple[int, ...]
    start_ms: int | None = None
    end_ms: int | None = None
    first_id: bytes | None = None
    last_id: bytes | None = None
    after: bytes | None = None
    area: Area | None = None
    where: Expression | None = None
    fields: tuple[str, ...] | None = None
    descending: bool = False
    limit: int | None = None
    snapshot: int | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a batch.

    Args:
        created: Number of new datapoints.
        existing: Number of those that were there already, repeats inside the batch included.
    """

    created: int
    existing: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The datapoints of one collection: how many, and the times of the first and the last in ms since 1970."""

    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Maintained:
    """What one round of upkeep did to a table."""

    fragments_before: int
    fragments_after: int
    indexed_rows: int
    removed_bytes: int
    actions: tuple[str, ...] = field(default=())


class PointStream(Protocol):
    """An answer under way: the snapshot it reads, and its batches."""

    snapshot: int
    schema: pa.Schema

    def __aiter__(self) -> AsyncIterator[pa.RecordBatch]: ...


class Points(Protocol):
    """The store of datapoints."""

    async def create(self, table: UUID, schema: Schema) -> None:
        """Create the table of a new dataset. A table that exists with this schema is left as it is."""

    async def drop(self, table: UUID) -> None:
        """Remove a table with everything in it. A table that does not exist is no error."""

    async def evolve(self, table: UUID, schema: Schema) -> None:
        """Give a table the columns that a changed schema adds; their values are missing."""

    async def ingest(self, table: UUID, collection: int, rows: pa.Table, *, allow_existing: bool) -> Ingested:
        """Store datapoints whose ids are known, in one commit.

        Args:
            table: The table.
            collection: Number of the collection they belong to.
            rows: Datapoints in the Arrow form of the table's schema, metadata included; may have the boxes of
                `columns.with_boxes`.
            allow_existing: Whether ids that exist are passed over; if not, one such id refuses the batch.

        Raises:
            ConflictError: An id exists and `allow_existing` is false; nothing was stored.
        """

    async def delete(self, table: UUID, collection: int, ids: list[bytes]) -> int:
        """Delete datapoints of a collection, all or none, and return how many.

        Raises:
            NotFoundError: The collection lacks one of them; nothing was deleted.
        """

    async def delete_collection(self, table: UUID, collection: int) -> None:
        """Delete all datapoints of a collection."""

    async def find(self, table: UUID, collections: tuple[int, ...], datapoint: bytes) -> pa.Table | None:
        """Return one datapoint by id as a table of one row, or None."""

    async def page(self, table: UUID, query: PointQuery, *, max_bytes: int) -> tuple[pa.Table, bool]:
        """Return the first datapoints of a query, bounded by its limit and by bytes, and whether more follow.

        At least one datapoint is returned if there is any, however large it is.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query.
        """

    def stream(self, table: UUID, query: PointQuery) -> AbstractAsyncContextManager[PointStream]:
        """Open the whole answer of a query as batches in order, all from one snapshot.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query, or the snapshot is gone.
        """

    async def count(self, table: UUID, query: PointQuery) -> int:
        """Return how many datapoints a query finds, its limit set aside."""

    async def summary(self, table: UUID) -> dict[int, Summary]:
        """Return what each collection that has datapoints holds, by number."""

    async def maintain(self, table: UUID) -> Maintained:
        """Compact small fragments, bring indexes up to date and remove versions nobody reads any more."""

    async def close(self) -> None:
        """Let go of all files and threads."""
