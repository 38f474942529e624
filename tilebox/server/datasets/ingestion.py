"""Writing and deleting datapoints: a batch is checked whole, then stored whole, or not at all."""

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
from tilebox.server.datasets import arrow_batches
from tilebox.server.datasets.batch_checks import (
    Problem,
    footprints,
    rejection,
    row_problems,
    undecodable,
    unknown_field_problems,
)
from tilebox.server.datasets.catalogue import now_us
from tilebox.server.points.columns import with_boxes
from tilebox.server.points.identity.ids import with_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from tilebox._core.schema.fields import Schema
    from tilebox.server.datasets.catalogue import Catalogue
    from tilebox.server.points.interface import Ingested, Points
    from tilebox.server.store.interface import Collection, Team

MAX_BATCH_DATAPOINTS = 8192

# So much is checked in the loop, in a millisecond or two: the way into a thread and back takes longer when it is busy.
_SMALL_BYTES = 1 << 16
_KNOWN_COLLECTIONS = 10_000
_GIVEN = frozenset({ID.name, INGESTION_TIME.name})


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: how many datapoints are new or known, and all ids, 16 bytes each, in its order."""

    created: int
    existing: int
    ids: bytes


class Ingestion:
    """The verbs that change datapoints.

    Args:
        catalogue: Where collections are found.
        points: Where datapoints are kept.
    """

    def __init__(self, catalogue: Catalogue, points: Points) -> None:
        self._catalogue = catalogue
        self._points = points
        self._datasets: dict[UUID, UUID] = {}

    async def ingest(self, team: Team, collection: UUID, values: Sequence[bytes], *, allow_existing: bool) -> Stored:
        """Store a batch of serialised datapoints in a collection, all or none.

        Args:
            team: Whose collection it is.
            collection: Id of the collection.
            values: Serialised messages of the dataset's type; id and ingestion time in them are ignored.
            allow_existing: Whether datapoints that are there already are passed over rather than refused.

        Raises:
            NotFoundError: The team has no such collection.
            InvalidArgumentError: Datapoints are rejected; the message lists which and why.
            ConflictError: Datapoints exist, and `allow_existing` is false.
        """
        _check_size(values)
        size = sum(map(len, values))
        return await self._ingest(team, collection, values, size, _prepare_messages, allow_existing=allow_existing)

    async def ingest_stream(self, team: Team, collection: UUID, stream: pa.Buffer, *, allow_existing: bool) -> Stored:
        """Store a batch of datapoints that comes as an Arrow IPC stream, all or none; the rest is as for `ingest`."""
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
    ) -> Stored:
        async with self._catalogue.gates.shared(await self._dataset_of(team, collection)):
            found, dataset = await self._catalogue.home(team, collection)
            if size <= _SMALL_BYTES:
                table = prepare(dataset.schema, found, batch)
            else:
                table = await anyio.to_thread.run_sync(prepare, dataset.schema, found, batch)
            if not table.num_rows:
                return Stored(0, 0, b"")
            stored = await self._store(found, table, allow_existing=allow_existing)
        return Stored(stored.created, stored.existing, _joined_ids(table))

    async def _dataset_of(self, team: Team, collection: UUID) -> UUID:
        """Return which dataset a collection is of, which never changes: the look-up that matters comes behind its gate."""
        known = self._datasets.get(collection)
        if known is None:
            known = (await self._catalogue.collection(team, collection)).dataset
            if len(self._datasets) >= _KNOWN_COLLECTIONS:
                self._datasets.clear()
            self._datasets[collection] = known
        return known

    async def delete(self, team: Team, collection: UUID, ids: Sequence[bytes]) -> int:
        """Delete datapoints of a collection by id, all or none, and return how many.

        Raises:
            NotFoundError: The team has no such collection, or the collection lacks one of the ids.
        """
        if len(ids) > MAX_BATCH_DATAPOINTS:
            raise InvalidArgumentError(f"at most {MAX_BATCH_DATAPOINTS} datapoint_ids in a request, not {len(ids)}")
        found = await self._catalogue.collection(team, collection)
        if not ids:
            return 0
        async with self._catalogue.gates.shared(found.dataset):
            return await self._points.delete(found.dataset, found.number, list(dict.fromkeys(ids)))

    async def _store(self, collection: Collection, table: pa.Table, *, allow_existing: bool) -> Ingested:
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
    """Decode, check and name a batch of messages. Runs in a thread if it is large."""
    try:
        rows = messages.to_arrow(schema, values)
    except ValueError:
        raise rejection(len(values), undecodable(schema, values)) from None
    return _named(schema, collection, rows, unknown_field_problems(schema, values, _encoded(schema, rows)))


def _encoded(schema: Schema, rows: pa.RecordBatch) -> list[bytes]:
    """Return the canonical serialisation of datapoints without what the server gives."""
    return messages.from_arrow(schema, rows.select([name for name in rows.schema.names if name not in _GIVEN]))


def _prepare_stream(schema: Schema, collection: Collection, stream: pa.Buffer) -> pa.Table:
    """Read, check and name a batch of columns. Runs in a thread if it is large."""
    try:
        table = arrow_schema.from_stream(stream)
        if table.num_rows > arrow_schema.MAX_INGESTED_ROWS:
            raise InvalidArgumentError(  # noqa: TRY301
                f"at most {arrow_schema.MAX_INGESTED_ROWS} datapoints in a request, not {table.num_rows}; send several requests"
            )
        rows, problems = arrow_batches.checked(schema, table)
    except InvalidArgumentError:
        raise
    except ValueError as error:
        raise InvalidArgumentError(f"{error}; nothing of this batch was stored") from error
    return _named(schema, collection, rows, problems)


def _named(schema: Schema, collection: Collection, rows: pa.RecordBatch, problems: list[Problem]) -> pa.Table:
    """Finish the checks of a batch, and give its datapoints their ids."""
    found = footprints(schema, rows)
    problems = [*problems, *row_problems(schema, rows, found)]
    if problems:
        raise rejection(rows.num_rows, problems)
    table = with_identity(schema, collection.id, pa.Table.from_batches([rows]), now_us())
    return table if found is None else with_boxes(table, found.bounds())


def _joined_ids(table: pa.Table) -> bytes:
    """Return the ids of datapoints, 16 bytes each, one behind the other."""
    ids = arrow_schema.combine_chunks(table["id"])
    data = ids.buffers()[1]
    return data.slice(ids.offset * 16, len(ids) * 16).to_pybytes()  # type: ignore[no-any-return]
