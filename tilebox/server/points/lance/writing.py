"""Writing datapoints: batches that wait together become one commit, each still all or nothing.

A writer runs alone: in its process by the queue in `lance.py`, among processes by the store's lock.
So what it finds stored stays as it is until it has committed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tilebox._core.schema.arrow_schema import combine_chunks
from tilebox._core.schema.fields import GEOMETRY
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.points import keys
from tilebox.server.points.columns import BOX, COLLECTION, check_form, footprints, stored_rows
from tilebox.server.points.interface import Ingested
from tilebox.server.points.lance import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lance.fragment import FragmentMetadata

    from tilebox.server.points.lance.table import Table, Version

# Up to so many ids are looked up in the index; for more, the ids of their times are scanned.
_LOOKED_UP_IDS = 1_000
_READ_WHOLE_SHARE = 0.3
_NAMED_IDS = 3


@dataclass(slots=True, eq=False)  # to look for one among those that wait must not compare their rows
class Batch:
    """A batch that waits to be stored, and then what became of it."""

    collection: int
    rows: pa.Table
    allow_existing: bool
    outcome: Ingested | Exception | None = None

    def result(self) -> Ingested:
        """Return what became of it, or raise it."""
        if isinstance(self.outcome, Ingested):
            return self.outcome
        raise self.outcome or RuntimeError("the batch was not stored yet")


@dataclass(slots=True)
class _Commit:
    """New rows of several batches on their way into one commit."""

    stored: pa.Schema
    accepted: list[tuple[Batch, pa.Table, int]] = field(default_factory=list)
    checked: set[pa.Schema] = field(default_factory=set)

    def rows(self) -> pa.Table:
        """Return all new rows in the form of the table, in order."""
        alike: dict[pa.Schema, list[tuple[int, pa.Table]]] = {}
        for batch, rows, _ in self.accepted:
            alike.setdefault(rows.schema, []).append((batch.collection, rows))
        tables = []
        for parts in alike.values():
            # One conversion for all: it costs a millisecond or two however few the rows.
            numbers = np.repeat([number for number, _ in parts], [rows.num_rows for _, rows in parts])
            joined = pa.concat_tables([rows for _, rows in parts])
            tables.append(stored_rows(joined, pa.array(numbers, pa.int32()), self.stored))
        return keys.in_order(pa.concat_tables(tables))


def store(table: Table, batches: list[Batch]) -> None:
    """Store batches in one commit, and note in each what became of it.

    A batch that is refused leaves the others as they are. If the commit fails, none is stored.
    """
    try:
        version = table.latest()
        commit = _Commit(version.stored)
        seen = _stored_ids(version, _all_ids(batches))
        for batch in batches:
            try:
                names = batch.rows.column_names
                if len(batches) > 1 and GEOMETRY.name in names and BOX not in names:
                    # A broken geometry is told here, where it refuses one batch; later all are read together.
                    footprints(batch.rows[GEOMETRY.name])
                seen = _accept(batch, seen, commit)
            except (ConflictError, InvalidArgumentError) as error:
                batch.outcome = error
        if any(rows.num_rows for _, rows, _ in commit.accepted):
            table.append(version, commit.rows())
        for batch, rows, existing in commit.accepted:
            batch.outcome = Ingested(created=rows.num_rows, existing=existing)
    except Exception as error:  # noqa: BLE001 every waiting caller must hear of it, whatever it is
        for batch in batches:
            batch.outcome = batch.outcome or error


def delete(table: Table, collection: int, ids: list[bytes]) -> int:
    """Delete datapoints of a collection, all or none, and return how many.

    Raises:
        NotFoundError: The collection lacks one of them; nothing was deleted.
    """
    version = table.latest()
    wanted = sorted(set(ids))
    found = _addresses(version, collection, wanted)
    missing = [datapoint for datapoint in wanted if datapoint not in found]
    if missing:
        raise NotFoundError(f"the collection has no datapoint {_named(missing)}; nothing was deleted")
    if found:
        _remove(table, version, np.fromiter(found.values(), dtype=np.uint64))
    return len(found)


def delete_collection(table: Table, collection: int) -> None:
    """Delete all datapoints of a collection."""
    version = table.latest()
    changed: list[FragmentMetadata] = []
    gone: list[int] = []
    for one in version.contents:
        if collection in one.collections:
            condition = f"{COLLECTION} = {int(collection)}"
            rest = one.handle(version.dataset).delete(condition) if len(one.collections) > 1 else None
            _note(one.number, rest, changed, gone)
    if changed or gone:
        table.remove(version, changed, gone)


def _accept(batch: Batch, seen: pa.Array, commit: _Commit) -> pa.Array:
    """Add the new rows of a batch to a commit and return all ids that are taken from then on."""
    if batch.rows.schema not in commit.checked:
        check_form(batch.rows.schema, commit.stored)
        commit.checked.add(batch.rows.schema)
    _check_values(batch.rows)
    ids = combine_chunks(batch.rows["id"])
    existing = np.asarray(pc.is_in(ids, value_set=seen)) if len(seen) else np.zeros(len(ids), dtype=bool)
    if existing.any() and not batch.allow_existing:
        taken = pc.unique(ids.filter(pa.array(existing))).to_pylist()
        raise ConflictError(
            f"{len(taken)} of {len(ids)} datapoints exist already: {_named(taken)}; nothing was stored, "
            "allow existing ones to store only what is new"
        )
    new = ~existing
    new[new] = _first_of_each(ids.filter(pa.array(new)) if existing.any() else ids)
    rows = batch.rows if new.all() else batch.rows.filter(pa.array(new))
    commit.accepted.append((batch, rows, len(ids) - rows.num_rows))
    return pa.concat_arrays([seen, combine_chunks(rows["id"])]) if rows.num_rows else seen


def _check_values(rows: pa.Table) -> None:
    if rows["id"].null_count or rows["time"].null_count:
        raise InvalidArgumentError("every datapoint needs a time and an id")
    if (keys.times_of_ids(rows["id"]) != keys.times_of(rows)).any():
        raise InvalidArgumentError("every id must start with the milliseconds of its datapoint's time")


def _first_of_each(ids: pa.Array) -> np.ndarray:
    # Ids carry their times, so the times of most batches, each later than the one before, tell it sooner.
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
    """Return at least those of the given ids that are stored; others with similar times may be among them."""
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
    if len(ids) <= _LOOKED_UP_IDS:
        condition = sql.has_id(ids.to_pylist())
    else:
        # Reading all ids of a fragment takes a quarter of the time of reading half of them by their times.
        is_wide = selection.rows_near(start_ms, end_ms) > _READ_WHOLE_SHARE * selection.rows
        condition = None if is_wide else sql.in_key_range(span)
    scanner = version.dataset.scanner(columns=["id"], filter=condition, fragments=selection.fragments)
    return pa.concat_arrays([nothing, *(batch["id"] for batch in scanner.to_batches())])


def _addresses(version: Version, collection: int, ids: list[bytes]) -> dict[bytes, int]:
    """Return the row addresses of the given ids that a collection has."""
    found: dict[bytes, int] = {}
    for start in range(0, len(ids), _LOOKED_UP_IDS):
        part = ids[start : start + _LOOKED_UP_IDS]
        rows = version.dataset.scanner(
            columns=["id"],
            filter=sql.all_of((sql.has_id(part), sql.in_collections((collection,)))),
            with_row_address=True,
        ).to_table()
        found.update(zip(rows["id"].to_pylist(), rows["_rowaddr"].to_pylist(), strict=True))
    return found


def _remove(table: Table, version: Version, addresses: np.ndarray) -> None:
    changed: list[FragmentMetadata] = []
    gone: list[int] = []
    owners, offsets = addresses >> np.uint64(32), addresses & np.uint64(0xFFFFFFFF)
    for one in version.contents:
        own = offsets[owners == one.number]
        if len(own):
            _note(one.number, one.handle(version.dataset).delete_rows(own.tolist()), changed, gone)
    table.remove(version, changed, gone)


def _note(number: int, rest: FragmentMetadata | None, changed: list[FragmentMetadata], gone: list[int]) -> None:
    if rest is None:
        gone.append(number)
    else:
        changed.append(rest)


def _named(ids: list[bytes]) -> str:
    names = ", ".join(_hyphenated(datapoint) for datapoint in ids[:_NAMED_IDS])
    return names if len(ids) <= _NAMED_IDS else f"{names} and {len(ids) - _NAMED_IDS} more"


def _hyphenated(datapoint: bytes) -> str:
    digits = datapoint.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
