"""The answer to a query: one version of a table, a range of keys, and conditions.

Indexes prune in Lance, geometry is then tested exactly here. A long answer is read in slices of its
order, each scanned and sorted on its own, so that memory does not grow with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tilebox._core.geometry.matching import area_boxes, matches
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import GEOMETRY
from tilebox.errors import InvalidArgumentError
from tilebox.server.points import keys
from tilebox.server.points.columns import COLLECTION, filled, footprints
from tilebox.server.points.index import spatial_copies
from tilebox.server.points.interface import MAX_BATCH_ROWS, PointQuery
from tilebox.server.points.keys import FIRST_KEY, LAST_KEY, Key, KeyRange
from tilebox.server.points.lance import sql
from tilebox.server.points.lance.plans import SMALL_BIN_ROWS, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import lance
    from numpy.typing import NDArray

    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.index.fragments import FragmentContents, Selection
    from tilebox.server.points.index.spatial_copies import Hits, PlaceFile
    from tilebox.server.points.lance.table import Table, Version

SLICE_BYTES = 48 << 20
"""Bytes of one slice of a stream at most, unless a single datapoint is larger."""

_SCANNED_ROWS = 8_192

# An index lists the rows it finds one by one, 70 ms a million. Beyond these numbers, and this share of the
# rows that could be scanned instead, it is left aside.
_LISTED_ROWS = 20_000
_LISTED_SHARE = 0.25

# Footprints may lie so many times as close together as if they were spread evenly over the globe.
_CROWDING = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query finds in a version of a table.

    Args:
        table: The table, for the plans that it keeps.
        version: The version that is read.
        query: The query; its snapshot and `after` are resolved.
        wanted: Columns of the answer.
        keys: The range of keys that is left to read.
        conditions: Conditions in SQL apart from keys and collections.
    """

    table: Table
    version: Version
    query: PointQuery
    wanted: pa.Schema
    keys: KeyRange
    conditions: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, query: PointQuery) -> Answer:
        """Prepare to answer a query.

        Raises:
            InvalidArgumentError: The snapshot is gone, `after` is no datapoint of the query, or a condition
                does not fit the schema.
        """
        version = table.at(query.snapshot)
        latest = version if query.snapshot is None else table.latest()
        schema = latest.schema
        wanted = latest.columns if query.fields is None else arrow_schema(schema.select(query.fields))
        whole = _asked(query)
        answer = cls(table, version, query, wanted, whole, _conditions(query, schema, version))
        return answer if query.after is None else answer._behind(query.after)

    def count(self) -> int:
        """Return how many datapoints there are."""
        if self.query.area is None and not self.keys.cuts_ids:
            scanner = self._scanner(self.keys, [])
            return int(scanner.count_rows()) if scanner else 0
        columns = ["id"] if self.keys.cuts_ids else []
        return sum(part.num_rows for part in self._read(self.keys, columns))

    def slices(self, rows: int, max_bytes: int = SLICE_BYTES) -> Iterator[tuple[pa.Table, bool]]:
        """Read the answer in order, in tables of about so many rows and bytes at most; none is empty.

        With each comes whether it is known to be the last.
        """
        left, descending = self.keys, self.query.descending
        plan: Plan | None = None
        least = SMALL_BIN_ROWS
        if not self._has_at_most(rows):
            plan = self.plan()
        while left:
            part = left if plan is None else self._next_slice(plan, left, rows, least)
            if part is None:
                return
            found = self.fetch(part, max_bytes if rows > 1 else None)
            if found is None:
                rows, plan = max(1, rows // 4), self.plan()
                least = min(least, rows)
                continue
            left = KeyRange(left.low, part.low) if descending else KeyRange(part.high, left.high)
            if found.num_rows:
                yield found, not left

    def fetch(self, part: KeyRange, max_bytes: int | None = None) -> pa.Table | None:
        """Read a part of the answer in order, or None if it has more bytes than allowed."""
        tables, size = [], 0
        for table in self._read(part, self.wanted.names):
            size += table.nbytes
            if max_bytes is not None and size > max_bytes:
                return None
            tables.append(table)
        found = pa.concat_tables(tables) if tables else self.wanted.empty_table()
        return filled(keys.in_order(found, descending=self.query.descending), self.wanted)

    def hand_out(self, datapoint: bytes) -> None:
        """Take note of a datapoint of the answer behind which the next page will start, which then need not look."""
        self.table.hand_out(self._cursor(datapoint))

    def plan(self) -> Plan:
        """Return where in time the answer lies; one plan serves all pages of a query."""
        asked = replace(self.query, after=None, fields=None, limit=None, descending=False, snapshot=self.version.number)
        plan: Plan = self.table.plan(asked, lambda: Plan.of(self, self._held(_asked(asked))))
        return plan

    def times(self, part: KeyRange) -> Iterator[NDArray[np.int64]]:
        """Yield the times of at least the datapoints in a range, in any order."""
        placed, rest = self._placed(self._selected(part))
        yield from (hits.times for hits in self._hits(part, placed))
        for batch in self._scan(part, ["time"], rest):
            yield keys.times_of(pa.Table.from_batches([batch]))

    def ids(self, part: KeyRange) -> list[bytes]:
        """Return the ids of the datapoints in a range of one millisecond, in order."""
        scanner = self._scanner(part, ["id"])
        return sorted(scanner.to_table()["id"].to_pylist()) if scanner else []

    def _next_slice(self, plan: Plan, left: KeyRange, rows: int, least: int) -> KeyRange | None:
        descending = self.query.descending
        part = plan.slice_from(left.high if descending else left.low, rows, least=least, descending=descending)
        return None if part is None else part & left

    def _has_at_most(self, rows: int) -> bool:
        """Tell whether the answer is so short, or likely to be, that it needs no plan."""
        selection = self._selected(self.keys)
        if selection.rows <= rows:
            return True
        near = selection.rows_near(self.keys.start_ms, self.keys.end_ms)
        if near * self._share_of_globe() <= rows / 4:
            # Likely few, so not counted first: should there be many after all, the bound on bytes stops the read.
            return True
        if self.query.after is not None or near > 4 * rows:
            # Further pages find the plan of the first; and what is likely long is better counted whole.
            return False
        scanner = self._scanner(self.keys, ["time"], limit=rows + 1)
        return scanner is None or sum(batch.num_rows for batch in scanner.to_batches()) <= rows

    def _share_of_globe(self) -> float:
        """Estimate which share of footprints the area asked for touches; they are not spread evenly."""
        area = self.query.area
        if area is None:
            return 1.0
        boxes = area_boxes(area.geometry, area.spherical)
        degrees = sum((east - west + 1) * (north - south + 1) for west, south, east, north in boxes)
        return min(1.0, _CROWDING * degrees / (360 * 180))

    def _held(self, part: KeyRange) -> KeyRange:
        """Narrow a range down to the times that the table holds, and widen it to whole milliseconds."""
        mine = [one for number, one in self.version.summary.items() if number in self.query.collections]
        if not mine:
            return KeyRange((0, b""), (0, b""))
        first, last = min(one.first_ms for one in mine), max(one.last_ms for one in mine)
        start, end = max(part.start_ms, first), min(part.end_ms, last + 1)
        return KeyRange((start, b""), (max(start, end), b""))

    def _behind(self, after: bytes) -> Answer:
        part = KeyRange(keys.key_of(after), keys.behind(after))
        if not (part & self.keys) or not self._exists(after):
            raise InvalidArgumentError(
                "the page cursor belongs to another query or its datapoint was deleted; start the query again"
            )
        left = KeyRange(self.keys.low, part.low) if self.query.descending else KeyRange(part.high, self.keys.high)
        return replace(self, keys=left)

    def _cursor(self, datapoint: bytes) -> object:
        return self.version.number, self.query.collections, datapoint

    def _exists(self, datapoint: bytes) -> bool:
        known = self.table.has_handed_out(self._cursor(datapoint))
        return known or find(self.version, self.query.collections, datapoint, ["id"]) is not None

    def _read(self, part: KeyRange, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the datapoints of a range in any order, tested exactly."""
        needed = [*columns, *(("time", "id") if part.cuts_ids else ())]
        if self.query.area is not None:
            needed.append(GEOMETRY.name)
        stored, selection = self.version.stored_names, self._selected(part)
        names = [name for name in dict.fromkeys(needed) if name in stored]
        near = None if self.conditions else selection.near(part.start_ms, part.end_ms)
        if near is not None:
            for one, positions in near:
                exact = self._exactly(one, positions, part)
                if len(exact):
                    yield one.take(self.version.dataset, exact, names)
            return
        placed, rest = self._placed(selection)
        for batch in chain(spatial_copies.read(self._hits(part, placed)), self._scan(part, names, rest)):
            rows = filled(pa.Table.from_batches([batch]), self._stored(names))
            yield self._refined(keys.within(rows, part))

    def _exactly(self, one: FragmentContents, positions: NDArray[np.int64], part: KeyRange) -> NDArray[np.int64]:
        """Keep those positions whose datapoints are of the collections and the range asked for.

        A column or two of some rows too many take 0.2 ms; all columns of them could take any amount of memory.
        """
        is_mixed = not one.collections.keys() <= set(self.query.collections)
        names = ["time", *(["id"] if part.cuts_ids else []), *([COLLECTION] if is_mixed else [])]
        rows = one.take(self.version.dataset, positions, names)
        times = keys.times_of(rows)
        kept = (times >= part.start_ms) & (times < part.end_ms)
        if part.cuts_ids:
            kept &= keys.are_within(rows, part)
        if is_mixed:
            kept &= np.isin(np.asarray(rows[COLLECTION]), self.query.collections)
        return positions[kept]

    def _refined(self, rows: pa.Table) -> pa.Table:
        area = self.query.area
        if area is None or not rows.num_rows:
            return rows
        found = matches(footprints(rows[GEOMETRY.name]), area.geometry, area.mode.value, area.spherical)
        return rows.filter(pa.array(found))

    def _selected(self, part: KeyRange) -> Selection:
        """Return the fragments to look in."""
        collections = self.query.collections if part else ()
        return self.version.select(collections, part.start_ms, part.end_ms)

    def _stored(self, names: list[str]) -> pa.Schema:
        return pa.schema([self.version.stored.field(name) for name in names])

    def _placed(self, selection: Selection) -> tuple[list[tuple[FragmentContents, PlaceFile]], Selection]:
        """Divide fragments into those that an area is looked for in by place, and the others."""
        if self.query.area is None or self.query.where is not None:
            return [], selection
        found = [(one, self.table.places.of(one, self.version.number)) for one in selection.parts]
        placed = [(one, file) for one, file in found if file is not None]
        rest = tuple(one for one, file in found if file is None)
        return placed, replace(selection, parts=rest, is_everything=selection.is_everything and not placed)

    def _hits(self, part: KeyRange, placed: list[tuple[FragmentContents, PlaceFile]]) -> Iterator[Hits]:
        if self.query.area is not None:
            boxes = np.array(sql.boxes_of(self.query.area), dtype=np.float64).reshape(-1, 4)
            for one, file in placed:
                yield file.search(boxes, part.start_ms, part.end_ms, self.query.collections, one.held.gone)

    def _scan(self, part: KeyRange, columns: list[str], selection: Selection) -> Iterator[pa.RecordBatch]:
        scanner = self._scanner(part, columns, selection)
        yield from scanner.to_batches() if scanner else ()

    def _scanner(
        self, part: KeyRange, columns: list[str], selection: Selection | None = None, *, limit: int | None = None
    ) -> lance.LanceScanner | None:
        """Return what scans a range, in some fragments or all; None if there is nothing in them."""
        collections, start_ms, end_ms = self.query.collections, part.start_ms, part.end_ms
        selection = selection or self._selected(part)
        if not selection.parts:
            return None
        near = selection.rows_near(start_ms, end_ms)
        is_wide = near > _LISTED_ROWS and near > _LISTED_SHARE * selection.rows
        conditions = [*self.conditions]
        if selection.has_other_than(collections):
            conditions.append(sql.in_collections(collections))
        if selection.reaches_beyond(start_ms, end_ms) or part.cuts_ids:
            conditions.append(sql.in_key_range(part, by_index=self.query.area is None or near <= _LISTED_ROWS))
        return self.version.dataset.scanner(
            columns=columns,
            filter=sql.all_of(conditions) or None,
            fragments=selection.fragments,
            limit=limit,
            batch_size=_SCANNED_ROWS,
            use_scalar_index=self.query.area is not None or not is_wide,
            # Where few rows are left over, only theirs are read: by default Lance unpacks most columns of fragments
            # without index whole, before it tests a row.
            late_materialization=None if is_wide else True,
        )


def find(version: Version, collections: tuple[int, ...], datapoint: bytes, columns: list[str]) -> pa.Table | None:
    """Return one datapoint by id as a table of one row, or None."""
    time_ms = keys.milliseconds_of(datapoint)
    selection = version.select(collections, time_ms, time_ms + 1)
    # The collection is tested here: a further condition would make Lance read the columns in two steps. It is not
    # even read where all are alike: Lance unpacks the whole of a constant column for one value, 2 ms a million.
    is_mixed = selection.has_other_than(collections)
    read = [*columns, COLLECTION] if is_mixed else columns
    near = selection.near(time_ms, time_ms + 1)
    if near is None:
        found = version.dataset.scanner(
            columns=read,
            filter=sql.has_id([datapoint]),
            fragments=selection.fragments,
            late_materialization=True,
        ).to_table()
    else:
        found = _take_one(version.dataset, near, datapoint, read)
    if not found.num_rows or (is_mixed and found[COLLECTION][0].as_py() not in collections):
        return None
    return found.select(columns)


def _take_one(
    dataset: lance.LanceDataset,
    near: list[tuple[FragmentContents, NDArray[np.int64]]],
    datapoint: bytes,
    columns: list[str],
) -> pa.Table:
    """Read one datapoint if it is at one of the positions given: first ids, a column that takes 0.1 ms, then it."""
    wanted = np.frombuffer(datapoint, dtype=">u8")
    for one, positions in near:
        at = positions[(keys.id_words(one.take(dataset, positions, ["id"])["id"]) == wanted).all(axis=1)]
        if len(at):
            return one.take(dataset, at, columns)
    return pa.table({name: [] for name in columns})


def batches_of(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cut a table into batches of the size that streams promise."""
    yield from rows.combine_chunks().to_batches(max_chunksize=MAX_BATCH_ROWS)


def _asked(query: PointQuery) -> KeyRange:
    low: Key = FIRST_KEY if query.start_ms is None else (query.start_ms, b"")
    high: Key = LAST_KEY if query.end_ms is None else (query.end_ms, b"")
    if query.first_id is not None:
        low = max(low, keys.key_of(query.first_id))
    if query.last_id is not None:
        high = min(high, keys.behind(query.last_id))
    return KeyRange(max(low, FIRST_KEY), min(high, LAST_KEY))


def _conditions(query: PointQuery, schema: Schema, version: Version) -> tuple[str, ...]:
    conditions = []
    columns = version.stored_names
    if query.where is not None:
        conditions.append(sql.condition(query.where, schema, columns))
    if query.area is not None:
        if GEOMETRY.name not in columns:
            raise InvalidArgumentError("the dataset has no geometry, so it cannot be queried by area")
        conditions.append(sql.may_touch(query.area))
    return tuple(conditions)
