"""Writing and deleting datapoints: a batch is checked whole, then stored whole, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from tilebox._core import geometry, messages
from tilebox._core.fields import GEOMETRY, FieldKind
from tilebox.errors import ConflictError, InvalidArgumentError
from tilebox.server.points.identity import with_identity
from tilebox.server.services.catalogue import now_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from google.protobuf.message import Message

    from tilebox._core.fields import Schema
    from tilebox.server.points.interface import Ingested, Points
    from tilebox.server.services.catalogue import Catalogue
    from tilebox.server.store.interface import Collection, Team

MAX_BATCH_DATAPOINTS = 8192
MAX_QUERYABLE_STRING_LENGTH = 1024
MAX_LISTED_PROBLEMS = 20

# Ids carry the time in 48 bits of milliseconds, and results carry it in 64 bits of nanoseconds, which is the tighter.
_FIRST_TIME_MS, _LAST_TIME_MS = -9_223_372_036_854, 9_223_372_036_854
_SCAN_ROWS = 64

# Only footprints are looked for by area; other fields may hold whatever geometry there is.
_ALL_GEOMETRIES = (*geometry.KINDS, "LineString", "LinearRing", "MultiPoint", "MultiLineString", "GeometryCollection")


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: how many datapoints are new or known, and all ids in the order of the batch."""

    created: int
    existing: int
    ids: list[bytes]


class Ingestion:
    """The verbs that change datapoints.

    Args:
        catalogue: Where collections are found.
        points: Where datapoints are kept.
    """

    def __init__(self, catalogue: Catalogue, points: Points) -> None:
        self._catalogue = catalogue
        self._points = points

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
        found = await self._catalogue.collection(team, collection)
        async with self._catalogue.gates.shared(found.dataset):
            dataset = await self._catalogue.get(team, found.dataset)
            if not values:
                return Stored(0, 0, [])
            table, ids = await anyio.to_thread.run_sync(_prepare, dataset.schema, found, values)
            stored = await self._store(found, table, allow_existing=allow_existing)
        return Stored(stored.created, stored.existing, ids)

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
        raise _rejection(len(values), [(row, "it is empty") for row in empty])


def _prepare(schema: Schema, collection: Collection, values: Sequence[bytes]) -> tuple[pa.Table, list[bytes]]:
    """Decode, check and name a batch. Runs in a thread."""
    try:
        rows = messages.to_arrow(schema, values)
    except ValueError:
        raise _rejection(len(values), _undecodable(schema, values)) from None
    problems = [
        *_unknown_field_problems(schema, values),
        *_time_problems(rows),
        *_string_problems(schema, rows),
        *_geometry_problems(schema, rows),
    ]
    if problems:
        raise _rejection(len(values), problems)
    table = with_identity(schema, collection.id, pa.Table.from_batches([rows]), now_us())
    return table, table["id"].to_pylist()


def _undecodable(schema: Schema, values: Sequence[bytes]) -> list[tuple[int, str]]:
    """Find all rows that cannot be decoded; blocks of rows that can are passed at once."""
    problems = []
    for start in range(0, len(values), _SCAN_ROWS):
        block = values[start : start + _SCAN_ROWS]
        if _decoding_problem(schema, block) is not None:
            for row, value in enumerate(block, start):
                problem = _decoding_problem(schema, [value])
                if problem is not None:
                    problems.append((row, problem.removeprefix("row 0").removeprefix(":").strip()))
    return problems


def _decoding_problem(schema: Schema, values: Sequence[bytes]) -> str | None:
    try:
        messages.to_arrow(schema, values)
    except ValueError as error:
        return str(error)
    return None


def _unknown_field_problems(schema: Schema, values: Sequence[bytes]) -> list[tuple[int, str]]:
    """Find values of fields that the dataset lacks, which would be lost without a word."""
    message_class = _message_class(schema)
    problems = []
    for row, value in enumerate(values):
        try:
            unknown = UnknownFieldSet(message_class.FromString(value))
        except DecodeError as error:
            problems.append((row, f"it is not a datapoint of this dataset: {error}"))
            continue
        if len(unknown):
            numbers = sorted({field.field_number for field in unknown})  # type: ignore[attr-defined]
            problems.append(
                (
                    row,
                    f"it has fields that the dataset lacks, of number {', '.join(map(str, numbers))}; was the type changed?",
                )
            )
    return problems


@lru_cache(maxsize=256)
def _message_class(schema: Schema) -> type[Message]:
    return GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


def _time_problems(rows: pa.RecordBatch) -> list[tuple[int, str]]:
    column = rows.column("time")
    milliseconds = column.cast("int64").to_numpy(zero_copy_only=False)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    outside = ~missing & ~((milliseconds >= _FIRST_TIME_MS) & (milliseconds <= _LAST_TIME_MS))
    return [
        *((int(row), "time is missing") for row in np.flatnonzero(missing)),
        *((int(row), "time is out of range (1677-09-22 to 2262-04-11)") for row in np.flatnonzero(outside)),
    ]


def _string_problems(schema: Schema, rows: pa.RecordBatch) -> list[tuple[int, str]]:
    problems = []
    for field in schema:
        if field.queryable and field.kind is FieldKind.STRING and not field.repeated:
            lengths = pc.utf8_length(rows.column(field.name)).fill_null(0).to_numpy()
            reason = f"field {field.name!r} is queryable and has more than {MAX_QUERYABLE_STRING_LENGTH} characters"
            problems += [(int(row), reason) for row in np.flatnonzero(lengths > MAX_QUERYABLE_STRING_LENGTH)]
    return problems


def _geometry_problems(schema: Schema, rows: pa.RecordBatch) -> list[tuple[int, str]]:
    problems = []
    for field in schema:
        if field.kind is FieldKind.GEOMETRY and not field.repeated:
            required = field.name == GEOMETRY.name
            kinds = geometry.KINDS if required else _ALL_GEOMETRIES
            found = geometry.problems(rows.column(field.name).to_numpy(zero_copy_only=False), kinds=kinds)
            problems += [(row, f"field {field.name!r}: {reason}") for row, reason in found]
            if required:
                missing = rows.column(field.name).is_null().to_numpy(zero_copy_only=False)
                problems += [(int(row), f"field {field.name!r} is missing") for row in np.flatnonzero(missing)]
    return problems


def _rejection(total: int, problems: Iterable[tuple[int, str]]) -> InvalidArgumentError:
    """Return one error that lists the rejected datapoints by their position in the batch."""
    problems = sorted(set(problems))
    rejected = len({row for row, _ in problems})
    listed = "; ".join(f"datapoint {row}: {reason}" for row, reason in problems[:MAX_LISTED_PROBLEMS])
    more = len(problems) - MAX_LISTED_PROBLEMS
    tail = f"; and {more} more problems" if more > 0 else ""
    return InvalidArgumentError(
        f"{rejected} of {total} datapoints rejected, nothing of this batch was stored: {listed}{tail}"
    )
