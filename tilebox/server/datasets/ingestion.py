"""Ingestion and deletion of datapoints: a batch is checked completely, then stored completely or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pyarrow as pa

from tilebox._core.columns import messages
from tilebox._core.schema import arrow_schema
from tilebox._core.schema.fields import ID, INGESTION_TIME
from tilebox.errors import ConflictError, InvalidArgumentError
from tilebox.server.clock import now_us
from tilebox.server.datasets import arrow_batches
from tilebox.server.datasets.batch_checks import (
    Problem,
    decoding_problems,
    footprints,
    rejection,
    row_problems,
    unknown_field_problems,
)
from tilebox.server.points.columns import with_boxes
from tilebox.server.points.identity.ids import with_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from tilebox._core.schema.fields import Schema
    from tilebox.server.datasets.catalogue import Catalogue
    from tilebox.server.points.interface import IngestResult, Points
    from tilebox.server.store.interface import Collection, Team

MAX_BATCH_DATAPOINTS = 8192

# Batches up to this size are checked on the event loop, in a millisecond or two. Moving them to a thread and back
# takes longer when the server is busy.
_MAX_INLINE_BYTES = 1 << 16
_CACHED_COLLECTIONS = 10_000
_SET_BY_SERVER = frozenset({ID.name, INGESTION_TIME.name})


@dataclass(frozen=True, slots=True)
class IngestedBatch:
    """The result of a batch.

    Args:
        created: Number of new datapoints.
        existing: Number of datapoints that existed already.
        ids: The ids of all datapoints, 16 bytes each, in the order of the batch.
    """

    created: int
    existing: int
    ids: bytes


class Ingestion:
    """The service that ingests and deletes datapoints.

    Args:
        catalogue: Finds datasets and collections.
        points: Stores datapoints.
    """

    def __init__(self, catalogue: Catalogue, points: Points) -> None:
        self._catalogue = catalogue
        self._points = points
        self._datasets: dict[UUID, UUID] = {}

    async def ingest(
        self, team: Team, collection: UUID, values: Sequence[bytes], *, allow_existing: bool
    ) -> IngestedBatch:
        """Store a batch of serialised datapoints in a collection, all or none.

        Args:
            team: The team that owns the collection.
            collection: Id of the collection.
            values: Serialised messages of the dataset's type. Their ids and ingestion times are ignored.
            allow_existing: Whether to skip datapoints that exist; otherwise one rejects the batch.

        Raises:
            NotFoundError: The team has no such collection.
            InvalidArgumentError: Datapoints are rejected; the message lists them with the reasons.
            ConflictError: A datapoint exists and `allow_existing` is false.
        """
        _check_size(values)
        size = sum(map(len, values))
        return await self._ingest(team, collection, values, size, _prepare_messages, allow_existing=allow_existing)

    async def ingest_stream(
        self, team: Team, collection: UUID, stream: pa.Buffer, *, allow_existing: bool
    ) -> IngestedBatch:
        """Store a batch of datapoints from an Arrow IPC stream, all or none. Otherwise like `ingest`."""
        return await self._ingest(team, collection, stream, stream.size, _prepare_stream, allow_existing=allow_existing)

    async def _ingest(
        self,
        team: Team,
        collection: UUID,
        batch: Any,
        size: int,
        prepare: Callable[[Schema, Collection, Any], pa.Table],
        *,
        allow_existing: bool,
    ) -> IngestedBatch:
        async with self._catalogue.locks.shared(await self._dataset_of(team, collection)):
            record, dataset = await self._catalogue.collection_with_dataset(team, collection)
            if size <= _MAX_INLINE_BYTES:
                table = prepare(dataset.schema, record, batch)
            else:
                table = await anyio.to_thread.run_sync(prepare, dataset.schema, record, batch)
            if not table.num_rows:
                return IngestedBatch(0, 0, b"")
            result = await self._store(record, table, allow_existing=allow_existing)
        return IngestedBatch(result.created, result.existing, _joined_ids(table))

    async def _dataset_of(self, team: Team, collection: UUID) -> UUID:
        """Return the dataset of a collection, from a cache since it never changes. The caller checks it under the lock."""
        dataset = self._datasets.get(collection)
        if dataset is None:
            dataset = (await self._catalogue.collection(team, collection)).dataset
            if len(self._datasets) >= _CACHED_COLLECTIONS:
                self._datasets.clear()
            self._datasets[collection] = dataset
        return dataset

    async def delete(self, team: Team, collection: UUID, ids: Sequence[bytes]) -> int:
        """Delete datapoints of a collection by id, all or none, and return how many.

        Raises:
            NotFoundError: The team has no such collection, or the collection lacks one of the ids.
        """
        if len(ids) > MAX_BATCH_DATAPOINTS:
            raise InvalidArgumentError(f"at most {MAX_BATCH_DATAPOINTS} datapoint_ids in a request, not {len(ids)}")
        record = await self._catalogue.collection(team, collection)
        if not ids:
            return 0
        async with self._catalogue.locks.shared(record.dataset):
            return await self._points.delete(record.dataset, record.number, list(dict.fromkeys(ids)))

    async def _store(self, collection: Collection, table: pa.Table, *, allow_existing: bool) -> IngestResult:
        try:
            return await self._points.ingest(
                collection.dataset, collection.number, table, allow_existing=allow_existing
            )
        except ConflictError as error:
            raise ConflictError(f"collection {collection.name}: {error}; nothing of this batch was stored") from None


def _check_size(values: Sequence[bytes]) -> None:
    if len(values) > MAX_BATCH_DATAPOINTS:
        raise InvalidArgumentError(
            f"at most {MAX_BATCH_DATAPOINTS} datapoints in a request, not {len(values)}; send several requests"
        )
    if not all(values):
        empty = [row for row, value in enumerate(values) if not value]
        raise rejection(len(values), [(row, "it is empty") for row in empty])


def _prepare_messages(schema: Schema, collection: Collection, values: Sequence[bytes]) -> pa.Table:
    """Decode and check a batch of messages, and assign ids. Runs in a thread if the batch is large."""
    try:
        rows = messages.to_arrow(schema, values)
    except ValueError:
        # The error names only the first row, so decode again to list all of them.
        raise rejection(len(values), decoding_problems(schema, values)) from None
    return _finish(schema, collection, rows, unknown_field_problems(schema, values, _encoded(schema, rows)))


def _encoded(schema: Schema, rows: pa.RecordBatch) -> list[bytes]:
    """Return the canonical serialisation of datapoints, without the fields that the server sets."""
    return messages.from_arrow(schema, rows.select([name for name in rows.schema.names if name not in _SET_BY_SERVER]))


def _prepare_stream(schema: Schema, collection: Collection, stream: pa.Buffer) -> pa.Table:
    """Read and check a batch of columns, and assign ids. Runs in a thread if the batch is large."""
    try:
        table = arrow_schema.from_stream(stream)
        if table.num_rows > arrow_schema.MAX_INGESTED_ROWS:
            raise InvalidArgumentError(  # noqa: TRY301
                f"at most {arrow_schema.MAX_INGESTED_ROWS} datapoints in a request, not {table.num_rows}; send several requests"
            )
        rows, problems = arrow_batches.validate(schema, table)
    except InvalidArgumentError:
        raise
    except ValueError as error:
        raise InvalidArgumentError(f"{error}; nothing of this batch was stored") from error
    return _finish(schema, collection, rows, problems)


def _finish(schema: Schema, collection: Collection, rows: pa.RecordBatch, problems: list[Problem]) -> pa.Table:
    """Check the values of a batch, and assign ids and bounding boxes."""
    decoded = footprints(schema, rows)
    problems = [*problems, *row_problems(schema, rows, decoded)]
    if problems:
        raise rejection(rows.num_rows, problems)
    table = with_identity(schema, collection.id, pa.Table.from_batches([rows]), now_us())
    return table if decoded is None else with_boxes(table, decoded.bounds())


def _joined_ids(table: pa.Table) -> bytes:
    """Return the ids of datapoints as one byte string, 16 bytes each."""
    ids = arrow_schema.combine_chunks(table["id"])
    data = ids.buffers()[1]
    return data.slice(ids.offset * 16, len(ids) * 16).to_pybytes()  # type: ignore[no-any-return]
