"""The interface of the store of datapoints: a dozen verbs, tested by one conformance suite.

A table holds the datapoints of one dataset: the Arrow columns of its schema (`_core/schema/arrow_schema.py`)
plus internal columns, whose names start with an underscore. Every verb is a coroutine, and many tasks may
call it at once. An acknowledged change is on disk and survives power loss.
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
"""Most rows in one batch of a stream. It bounds the memory of both ends."""


class AreaMode(Enum):
    """The spatial relation of a footprint to the area of a query that makes it match."""

    INTERSECTS = "intersects"
    AREA_CONTAINS_FOOTPRINT = "filter_contains_geometry"
    FOOTPRINT_CONTAINS_AREA = "geometry_contains_filter"


@dataclass(frozen=True, slots=True)
class Area:
    """The spatial part of a query.

    Args:
        geometry: A shape in degrees, longitude before latitude; it may cross the antimeridian.
        mode: The relation that footprints must have to it.
        spherical: Whether edges are great circles rather than straight lines in longitude and latitude.
    """

    geometry: shapely.Geometry
    mode: AreaMode = AreaMode.INTERSECTS
    spherical: bool = False


@dataclass(frozen=True, slots=True)
class PointQuery:
    """A query for datapoints. Results are ordered by (time, id).

    Args:
        collections: Numbers of the collections to search; an empty tuple finds nothing.
        start_ms: First millisecond since 1970 to include, or None.
        end_ms: First millisecond since 1970 to exclude, or None.
        first_id: Smallest id to include, or None. Ids compare as (time, bytes).
        last_id: Largest id to include, or None.
        after: Id of the datapoint after which the results start, in the order of the query.
        area: The spatial part, or None.
        where: A filter on fields that was checked against the schema, or None.
        fields: Names of the fields to return besides the metadata; None returns all.
        descending: Whether to order results from the latest to the earliest.
        limit: Most datapoints to return, or None.
        snapshot: The version of the table to read, as an earlier result named it, or None for the newest.
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
class IngestResult:
    """The result of ingesting a batch.

    Args:
        created: Number of new datapoints.
        existing: Number of datapoints that existed already, repeats inside the batch included.
    """

    created: int
    existing: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The number of datapoints in a collection, and the times of the first and the last in ms since 1970."""

    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """The result of one round of maintenance on a table."""

    fragments_before: int
    fragments_after: int
    indexed_rows: int
    removed_bytes: int
    actions: tuple[str, ...] = field(default=())


class PointStream(Protocol):
    """A result that is being streamed: the snapshot it reads, and its batches."""

    snapshot: int
    schema: pa.Schema

    def __aiter__(self) -> AsyncIterator[pa.RecordBatch]: ...


class Points(Protocol):
    """The store of datapoints."""

    async def create(self, table: UUID, schema: Schema) -> None:
        """Create the table of a new dataset. Leave an existing table with this schema unchanged."""

    async def drop(self, table: UUID) -> None:
        """Remove a table with everything in it. Do nothing if it does not exist."""

    async def evolve(self, table: UUID, schema: Schema) -> None:
        """Add the columns that a changed schema adds. Existing rows have no values in them."""

    async def ingest(self, table: UUID, collection: int, rows: pa.Table, *, allow_existing: bool) -> IngestResult:
        """Store datapoints that have their ids, in one commit.

        Args:
            table: The table.
            collection: Number of the collection they belong to.
            rows: Datapoints with the Arrow columns of the table's schema, metadata included; may have the
                bounding boxes of `columns.with_boxes`.
            allow_existing: Whether to skip ids that exist; otherwise one such id rejects the batch.

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

        If any datapoint matches, at least one is returned, however large it is.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query.
        """

    def stream(self, table: UUID, query: PointQuery) -> AbstractAsyncContextManager[PointStream]:
        """Stream all results of a query as batches in order, all from one snapshot.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query, or the snapshot is gone.
        """

    async def count(self, table: UUID, query: PointQuery) -> int:
        """Return how many datapoints match a query, ignoring its limit."""

    async def summary(self, table: UUID) -> dict[int, Summary]:
        """Return a summary of each collection that has datapoints, by collection number."""

    async def maintain(self, table: UUID) -> MaintenanceResult:
        """Compact small fragments, bring indexes up to date and remove versions that no reader needs."""

    async def close(self) -> None:
        """Release all files and threads."""
