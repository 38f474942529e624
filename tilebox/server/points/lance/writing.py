"""Writing datapoints: batches that wait together share one commit, each still all or nothing.

Only one writer of a table runs at a time: `store.py` serialises those of its process, and the writer lock those of
other processes. So the stored ids cannot change between the check for duplicates and the commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tilebox._core.schema.arrow_schema import combine_chunks
from tilebox._core.schema.fields import GEOMETRY
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.points import keys
from tilebox.server.points.columns import BOX, COLLECTION, check_columns, decode_footprints, stored_rows
from tilebox.server.points.interface import IngestResult
from tilebox.server.points.lance import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lance.fragment import FragmentMetadata

    from tilebox.server.points.lance.table import Table, Version

# Up to this many ids are looked up in the index; for more, all ids in their time span are scanned.
_MAX_LOOKUP_IDS = 1_000
# A time span with more than this share of the rows is not filtered, because reading all ids is faster then.
_MAX_FILTERED_SHARE = 0.3
_MAX_LISTED_IDS = 3


@dataclass(slots=True, eq=False)  # identity, because finding a batch in a list must not compare rows
class Batch:
    """A batch that waits to be stored, and later its outcome."""

    collection: int
    rows: pa.Table
    allow_existing: bool
    outcome: IngestResult | Exception | None = None

    def result(self) -> IngestResult:
        """Return the outcome, or raise it if it is an error."""
        if isinstance(self.outcome, IngestResult):
            return self.outcome
        raise self.outcome or RuntimeError("the batch has not been stored yet")


@dataclass(slots=True)
class _Commit:
    """The new rows of several batches for one commit."""

    stored: pa.Schema
    accepted: list[tuple[Batch, pa.Table, int]] = field(default_factory=list)
    checked: set[pa.Schema] = field(default_factory=set)

    def rows(self) -> pa.Table:
        """Return all new rows with the columns of the table, sorted."""
        by_schema: dict[pa.Schema, list[tuple[int, pa.Table]]] = {}
        for batch, rows, _ in self.accepted:
            by_schema.setdefault(rows.schema, []).append((batch.collection, rows))
        tables = []
        for parts in by_schema.values():
            # One conversion for all rows of a schema, because it takes a millisecond or two however few they are.
            numbers = np.repeat([number for number, _ in parts], [rows.num_rows for _, rows in parts])
            joined = pa.concat_tables([rows for _, rows in parts])
            tables.append(stored_rows(joined, pa.array(numbers, pa.int32()), self.stored))
        return keys.sort_rows(pa.concat_tables(tables))


def store(table: Table, batches: list[Batch]) -> None:
    """Store batches in one commit, and set the outcome of each.

    A batch that is rejected does not affect the others. If the commit fails, none is stored.
    """
    try:
        version = table.latest()
        commit = _Commit(version.stored)
        seen = _stored_ids(version, _all_ids(batches))
        for batch in batches:
            try:
                names = batch.rows.column_names
                if len(batches) > 1 and GEOMETRY.name in names and BOX not in names:
                    # Decode geometries here, where a broken one rejects only its batch. Later all are one table.
                    decode_footprints(batch.rows[GEOMETRY.name])
                seen = _accept(batch, seen, commit)
            except (ConflictError, InvalidArgumentError) as error:
                batch.outcome = error
        if any(rows.num_rows for _, rows, _ in commit.accepted):
            table.append(version, commit.rows())
        for batch, rows, existing in commit.accepted:
            batch.outcome = IngestResult(created=rows.num_rows, existing=existing)
    except Exception as error:  # noqa: BLE001 every waiting caller must get the error
        for batch in batches:
            batch.outcome = batch.outcome or error


def delete(table: Table, collection: int, ids: list[bytes]) -> int:
    """Delete datapoints of a collection, all or none, and return how many.

    Raises:
        NotFoundError: The collection does not have one of the ids; nothing was deleted.
    """
    version = table.latest()
    unique_ids = sorted(set(ids))
    addresses = _row_addresses(version, collection, unique_ids)
    missing = [datapoint for datapoint in unique_ids if datapoint not in addresses]
    if missing:
        raise NotFoundError(f"the collection has no datapoint {_listed(missing)}; nothing was deleted")
    if addresses:
        _remove(table, version, np.fromiter(addresses.values(), dtype=np.uint64))
    return len(addresses)


def delete_collection(table: Table, collection: int) -> None:
    """Delete all datapoints of a collection."""
    version = table.latest()
    deletions = _Deletions()
    for fragment in version.fragments:
        if collection in fragment.collections:
            condition = f"{COLLECTION} = {int(collection)}"
            rest = fragment.handle(version.dataset).delete(condition) if len(fragment.collections) > 1 else None
            deletions.add(fragment.number, rest)
    if deletions.changed or deletions.removed:
        table.remove(version, deletions.changed, deletions.removed)


def _accept(batch: Batch, seen: pa.Array, commit: _Commit) -> pa.Array:
    """Add the new rows of a batch to a commit, and return all ids that exist after that."""
    if batch.rows.schema not in commit.checked:
        check_columns(batch.rows.schema, commit.stored)
        commit.checked.add(batch.rows.schema)
    _check_values(batch.rows)
    ids = combine_chunks(batch.rows["id"])
    existing = np.asarray(pc.is_in(ids, value_set=seen)) if len(seen) else np.zeros(len(ids), dtype=bool)
    if existing.any() and not batch.allow_existing:
        taken = pc.unique(ids.filter(pa.array(existing))).to_pylist()
        raise ConflictError(
            f"{len(taken)} of {len(ids)} datapoints exist already: {_listed(taken)}; nothing was stored, "
            "set allow_existing to store only the new ones"
        )
    new = ~existing
    new[new] = _first_occurrences(ids.filter(pa.array(new)) if existing.any() else ids)
    rows = batch.rows if new.all() else batch.rows.filter(pa.array(new))
    commit.accepted.append((batch, rows, len(ids) - rows.num_rows))
    return pa.concat_arrays([seen, combine_chunks(rows["id"])]) if rows.num_rows else seen


def _check_values(rows: pa.Table) -> None:
    if rows["id"].null_count or rows["time"].null_count:
        raise InvalidArgumentError("every datapoint needs a time and an id")
    if (keys.times_of_ids(rows["id"]) != keys.times_of(rows)).any():
        raise InvalidArgumentError("every id must start with the milliseconds of its datapoint's time")


def _first_occurrences(ids: pa.Array) -> np.ndarray:
    """Tell which rows hold the first occurrence of their id, shape (rows,)."""
    # Times that ascend strictly, as in most batches, prove it sooner than comparing the ids, which begin with them.
    if (np.diff(keys.times_of_ids(ids)) > 0).all() or pc.count_distinct(ids).as_py() == len(ids):
        return np.ones(len(ids), dtype=bool)
    words = keys.id_words(ids)
    order = np.lexsort((words[:, 1], words[:, 0]))
    ordered = words[order]
    first = np.ones(len(words), dtype=bool)
    first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return first


def _all_ids(batches: Iterable[Batch]) -> pa.Array:
    chunks = [chunk for batch in batches for chunk in batch.rows["id"].chunks]
    return pa.chunked_array(chunks, type=pa.binary(keys.ID_BYTES)).combine_chunks().drop_null()


def _stored_ids(version: Version, ids: pa.Array) -> pa.Array:
    """Return the given ids that are stored, possibly with others of similar times."""
    nothing = pa.array([], pa.binary(keys.ID_BYTES))
    if not len(ids):
        return nothing
    times = keys.times_of_ids(ids)
    selection, may_exist = version.inventory.with_times(version.dataset, times)
    if not selection.parts:
        return nothing
    ids, times = ids.filter(pa.array(may_exist)), times[may_exist]
    start_ms, end_ms = int(times.min()), int(times.max()) + 1
    span = keys.KeyRange((start_ms, b""), (end_ms, b""))
    condition: str | None
    if len(ids) <= _MAX_LOOKUP_IDS:
        condition = sql.has_id(ids.to_pylist())
    else:
        # Reading all ids of a fragment takes a quarter of the time of reading half of them filtered by time.
        is_wide = selection.estimate_rows(start_ms, end_ms) > _MAX_FILTERED_SHARE * selection.rows
        condition = None if is_wide else sql.in_key_range(span)
    scanner = version.dataset.scanner(columns=["id"], filter=condition, fragments=selection.fragments)
    return pa.concat_arrays([nothing, *(batch["id"] for batch in scanner.to_batches())])


def _row_addresses(version: Version, collection: int, ids: list[bytes]) -> dict[bytes, int]:
    """Return the row addresses of the given ids that a collection has."""
    found: dict[bytes, int] = {}
    for start in range(0, len(ids), _MAX_LOOKUP_IDS):
        part = ids[start : start + _MAX_LOOKUP_IDS]
        rows = version.dataset.scanner(
            columns=["id"],
            filter=sql.all_of((sql.has_id(part), sql.in_collections((collection,)))),
            with_row_address=True,
        ).to_table()
        found.update(zip(rows["id"].to_pylist(), rows["_rowaddr"].to_pylist(), strict=True))
    return found


def _remove(table: Table, version: Version, addresses: np.ndarray) -> None:
    deletions = _Deletions()
    owners, offsets = addresses >> np.uint64(32), addresses & np.uint64(0xFFFFFFFF)
    for fragment in version.fragments:
        own = offsets[owners == fragment.number]
        if len(own):
            deletions.add(fragment.number, fragment.handle(version.dataset).delete_rows(own.tolist()))
    table.remove(version, deletions.changed, deletions.removed)


@dataclass(slots=True)
class _Deletions:
    """The fragments that a deletion changes, and the numbers of those that it leaves without rows."""

    changed: list[FragmentMetadata] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)

    def add(self, number: int, rest: FragmentMetadata | None) -> None:
        """Add a fragment after a deletion; None means that no rows are left."""
        if rest is None:
            self.removed.append(number)
        else:
            self.changed.append(rest)


def _listed(ids: list[bytes]) -> str:
    names = ", ".join(str(UUID(bytes=datapoint)) for datapoint in ids[:_MAX_LISTED_IDS])
    return names if len(ids) <= _MAX_LISTED_IDS else f"{names} and {len(ids) - _MAX_LISTED_IDS} more"
