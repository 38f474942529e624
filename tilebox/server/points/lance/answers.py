"""The answer to a query: one version of a table, a range of keys, and conditions.

Lance prunes rows by index; geometry is then tested exactly here. A long answer is read in slices of its
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
from tilebox.server.points.columns import COLLECTION, decode_footprints, with_missing_columns
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
    from tilebox.server.points.index.fragments import FragmentInfo, Selection
    from tilebox.server.points.index.spatial_copies import Hits, SpatialCopy
    from tilebox.server.points.lance.table import Table, Version

SLICE_BYTES = 48 << 20
"""Most bytes in one slice of a stream, unless a single datapoint is larger."""

_SCAN_BATCH_ROWS = 8_192

# An index lists the rows that it finds one by one, which takes 70 ms per million. It is not used when it would list
# more than this number of rows and more than this share of the rows that a scan would read.
_MAX_INDEX_ROWS = 20_000
_MAX_INDEX_SHARE = 0.25

# Footprints are assumed to be up to this many times as dense in an area as if they were spread evenly over the globe.
_MAX_DENSITY = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of a query in one version of a table, which are read on demand.

    Args:
        table: The table, which caches plans.
        version: The version to read.
        query: The query; `version` and `keys` reflect its `snapshot` and `after`.
        wanted: The columns of the results.
        keys: The range of keys to read.
        conditions: SQL conditions beside those on keys and collections.
    """

    table: Table
    version: Version
    query: PointQuery
    wanted: pa.Schema
    keys: KeyRange
    conditions: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, query: PointQuery) -> Answer:
        """Prepare the answer to a query.

        Raises:
            InvalidArgumentError: The snapshot is gone, `after` is not a result of the query, or a condition
                does not fit the schema.
        """
        version = table.at(query.snapshot)
        latest = version if query.snapshot is None else table.latest()
        schema = latest.schema
        wanted = latest.columns if query.fields is None else arrow_schema(schema.select(query.fields))
        answer = cls(table, version, query, wanted, _key_range(query), _conditions(query, schema, version))
        return answer if query.after is None else answer._resumed_after(query.after)

    def count(self) -> int:
        """Return the number of results."""
        if self.query.area is None and not self.keys.has_id_bound:
            scanner = self._scanner(self.keys, [])
            return int(scanner.count_rows()) if scanner else 0
        columns = ["id"] if self.keys.has_id_bound else []
        return sum(part.num_rows for part in self._read(self.keys, columns))

    def slices(self, rows: int, max_bytes: int = SLICE_BYTES) -> Iterator[tuple[pa.Table, bool]]:
        """Read the results in order, in slices of about `rows` rows and at most `max_bytes` bytes.

        Yields:
            A table, which is never empty, and whether it is known to be the last.
        """
        remaining, descending = self.keys, self.query.descending
        plan: Plan | None = None
        min_bin_rows = SMALL_BIN_ROWS
        if not self._has_at_most(rows):
            plan = self.plan()
        while remaining:
            part = remaining if plan is None else self._next_slice(plan, remaining, rows, min_bin_rows)
            if part is None:
                return
            table = self.fetch(part, max_bytes if rows > 1 else None)
            if table is None:
                # Too many bytes: retry with smaller slices.
                rows, plan = max(1, rows // 4), self.plan()
                min_bin_rows = min(min_bin_rows, rows)
                continue
            remaining = KeyRange(remaining.low, part.low) if descending else KeyRange(part.high, remaining.high)
            if table.num_rows:
                yield table, not remaining

    def fetch(self, part: KeyRange, max_bytes: int | None = None) -> pa.Table | None:
        """Read a range of the results in order. Return None if it has more bytes than allowed."""
        tables, size = [], 0
        for table in self._read(part, self.wanted.names):
            size += table.nbytes
            if max_bytes is not None and size > max_bytes:
                return None
            tables.append(table)
        combined = pa.concat_tables(tables) if tables else self.wanted.empty_table()
        return with_missing_columns(keys.sort_rows(combined, descending=self.query.descending), self.wanted)

    def remember_cursor(self, datapoint: bytes) -> None:
        """Remember a result as a page cursor, so that the next page need not look up whether it exists."""
        self.table.remember_cursor(self._cursor(datapoint))

    def plan(self) -> Plan:
        """Return the plan that divides the results into slices. All pages of a query share one."""
        key = replace(self.query, after=None, fields=None, limit=None, descending=False, snapshot=self.version.number)
        plan: Plan = self.table.plan(key, lambda: Plan.of(self, self._stored_range(_key_range(key))))
        return plan

    def times(self, part: KeyRange) -> Iterator[NDArray[np.int64]]:
        """Yield times that include those of all results in a range, in any order."""
        copies, rest = self._split_by_copy(self._selected(part))
        yield from (hits.times for hits in self._hits(part, copies))
        for batch in self._scan(part, ["time"], rest):
            yield keys.times_of(pa.Table.from_batches([batch]))

    def ids(self, part: KeyRange) -> list[bytes]:
        """Return the ids of the results in a range of one millisecond, in order."""
        scanner = self._scanner(part, ["id"])
        return sorted(scanner.to_table()["id"].to_pylist()) if scanner else []

    def _next_slice(self, plan: Plan, remaining: KeyRange, rows: int, min_bin_rows: int) -> KeyRange | None:
        descending = self.query.descending
        position = remaining.high if descending else remaining.low
        part = plan.slice_from(position, rows, min_bin_rows=min_bin_rows, descending=descending)
        return None if part is None else part & remaining

    def _has_at_most(self, rows: int) -> bool:
        """Tell whether the answer is, or is likely to be, so short that it needs no plan."""
        selection = self._selected(self.keys)
        if selection.rows <= rows:
            return True
        estimate = selection.estimate_rows(self.keys.start_ms, self.keys.end_ms)
        if estimate * self._share_of_globe() <= rows / 4:
            # Probably few results. If there are many after all, the bound on bytes stops the read.
            return True
        if self.query.after is not None or estimate > 4 * rows:
            # A further page reuses the plan of the first, and a long answer needs one anyway.
            return False
        scanner = self._scanner(self.keys, ["time"], limit=rows + 1)
        return scanner is None or sum(batch.num_rows for batch in scanner.to_batches()) <= rows

    def _share_of_globe(self) -> float:
        """Estimate the share of footprints that intersect the area of the query, allowing for dense regions."""
        area = self.query.area
        if area is None:
            return 1.0
        boxes = area_boxes(area.geometry, area.spherical)
        degrees = sum((east - west + 1) * (north - south + 1) for west, south, east, north in boxes)
        return min(1.0, _MAX_DENSITY * degrees / (360 * 180))

    def _stored_range(self, part: KeyRange) -> KeyRange:
        """Narrow a range to the times that the collections hold, and widen it to whole milliseconds."""
        summaries = [summary for number, summary in self.version.summary.items() if number in self.query.collections]
        if not summaries:
            return KeyRange((0, b""), (0, b""))
        first = min(summary.first_ms for summary in summaries)
        last = max(summary.last_ms for summary in summaries)
        start, end = max(part.start_ms, first), min(part.end_ms, last + 1)
        return KeyRange((start, b""), (max(start, end), b""))

    def _resumed_after(self, after: bytes) -> Answer:
        part = KeyRange(keys.key_of(after), keys.key_after(after))
        if not (part & self.keys) or not self._exists(after):
            raise InvalidArgumentError(
                "the page cursor belongs to another query or its datapoint was deleted; start the query again"
            )
        if self.query.descending:
            return replace(self, keys=KeyRange(self.keys.low, part.low))
        return replace(self, keys=KeyRange(part.high, self.keys.high))

    def _cursor(self, datapoint: bytes) -> object:
        return self.version.number, self.query.collections, datapoint

    def _exists(self, datapoint: bytes) -> bool:
        known = self.table.knows_cursor(self._cursor(datapoint))
        return known or find(self.version, self.query.collections, datapoint, ["id"]) is not None

    def _read(self, part: KeyRange, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the results in a range, in any order."""
        needed = [*columns, *(("time", "id") if part.has_id_bound else ())]
        if self.query.area is not None:
            needed.append(GEOMETRY.name)
        stored, selection = self.version.stored_names, self._selected(part)
        names = [name for name in dict.fromkeys(needed) if name in stored]
        candidates = None if self.conditions else selection.positions_near(part.start_ms, part.end_ms)
        if candidates is not None:
            for fragment, positions in candidates:
                matching = self._matching_positions(fragment, positions, part)
                if len(matching):
                    yield fragment.take(self.version.dataset, matching, names)
            return
        copies, rest = self._split_by_copy(selection)
        for batch in chain(spatial_copies.read_hits(self._hits(part, copies)), self._scan(part, names, rest)):
            rows = with_missing_columns(pa.Table.from_batches([batch]), self._stored(names))
            yield self._filter_by_area(keys.filter_rows(rows, part))

    def _matching_positions(
        self, fragment: FragmentInfo, positions: NDArray[np.int64], part: KeyRange
    ) -> NDArray[np.int64]:
        """Keep the positions whose datapoints are in the query's collections and in a range.

        Reading a column or two of some superfluous rows takes 0.2 ms, while all of their columns could take any
        amount of memory.
        """
        is_mixed = not fragment.collections.keys() <= set(self.query.collections)
        names = ["time", *(["id"] if part.has_id_bound else []), *([COLLECTION] if is_mixed else [])]
        rows = fragment.take(self.version.dataset, positions, names)
        times = keys.times_of(rows)
        mask = (times >= part.start_ms) & (times < part.end_ms)
        if part.has_id_bound:
            mask &= keys.within_mask(rows, part)
        if is_mixed:
            mask &= np.isin(np.asarray(rows[COLLECTION]), self.query.collections)
        return positions[mask]

    def _filter_by_area(self, rows: pa.Table) -> pa.Table:
        area = self.query.area
        if area is None or not rows.num_rows:
            return rows
        mask = matches(decode_footprints(rows[GEOMETRY.name]), area.geometry, area.mode.value, area.spherical)
        return rows.filter(pa.array(mask))

    def _selected(self, part: KeyRange) -> Selection:
        """Return the fragments that may have results in a range."""
        collections = self.query.collections if part else ()
        return self.version.select(collections, part.start_ms, part.end_ms)

    def _stored(self, names: list[str]) -> pa.Schema:
        return pa.schema([self.version.stored.field(name) for name in names])

    def _split_by_copy(self, selection: Selection) -> tuple[list[tuple[FragmentInfo, SpatialCopy]], Selection]:
        """Divide fragments into those that are searched in their spatial copy, and the others."""
        if self.query.area is None or self.query.where is not None:
            return [], selection
        pairs = [(part, self.table.spatial_copies.get(part, self.version.number)) for part in selection.parts]
        copies = [(part, copy) for part, copy in pairs if copy is not None]
        rest = tuple(part for part, copy in pairs if copy is None)
        return copies, replace(selection, parts=rest, is_everything=selection.is_everything and not copies)

    def _hits(self, part: KeyRange, copies: list[tuple[FragmentInfo, SpatialCopy]]) -> Iterator[Hits]:
        if self.query.area is not None:
            boxes = np.array(sql.boxes_of(self.query.area), dtype=np.float64).reshape(-1, 4)
            for fragment, copy in copies:
                deleted = fragment.statistics.deleted
                yield copy.search(boxes, part.start_ms, part.end_ms, self.query.collections, deleted)

    def _scan(self, part: KeyRange, columns: list[str], selection: Selection) -> Iterator[pa.RecordBatch]:
        scanner = self._scanner(part, columns, selection)
        yield from scanner.to_batches() if scanner else ()

    def _scanner(
        self, part: KeyRange, columns: list[str], selection: Selection | None = None, *, limit: int | None = None
    ) -> lance.LanceScanner | None:
        """Return a scanner of a range in a selection (by default all fragments), or None if no fragment can match."""
        collections, start_ms, end_ms = self.query.collections, part.start_ms, part.end_ms
        selection = selection or self._selected(part)
        if not selection.parts:
            return None
        estimate = selection.estimate_rows(start_ms, end_ms)
        is_wide = estimate > _MAX_INDEX_ROWS and estimate > _MAX_INDEX_SHARE * selection.rows
        conditions = [*self.conditions]
        if selection.has_other_collections(collections):
            conditions.append(sql.in_collections(collections))
        if selection.has_times_outside(start_ms, end_ms) or part.has_id_bound:
            conditions.append(sql.in_key_range(part, by_index=self.query.area is None or estimate <= _MAX_INDEX_ROWS))
        return self.version.dataset.scanner(
            columns=columns,
            filter=sql.all_of(conditions) or None,
            fragments=selection.fragments,
            limit=limit,
            batch_size=_SCAN_BATCH_ROWS,
            use_scalar_index=self.query.area is not None or not is_wide,
            # If few rows match, read columns only for them. By default Lance decodes most columns of a fragment
            # without index completely before it tests a row.
            late_materialization=None if is_wide else True,
        )


def find(version: Version, collections: tuple[int, ...], datapoint: bytes, columns: list[str]) -> pa.Table | None:
    """Return some columns of one datapoint by id as a table of one row, or None."""
    time_ms = keys.time_ms_of(datapoint)
    selection = version.select(collections, time_ms, time_ms + 1)
    # The collection is tested here, because one more condition would make Lance read the columns in two steps. If all
    # rows are of these collections, it is not even read: Lance decodes all of a constant column for one value, which
    # takes 2 ms per million rows.
    is_mixed = selection.has_other_collections(collections)
    names = [*columns, COLLECTION] if is_mixed else columns
    candidates = selection.positions_near(time_ms, time_ms + 1)
    if candidates is None:
        rows = version.dataset.scanner(
            columns=names,
            filter=sql.has_id([datapoint]),
            fragments=selection.fragments,
            late_materialization=True,
        ).to_table()
    else:
        rows = _take_one(version.dataset, candidates, datapoint, names)
    if not rows.num_rows or (is_mixed and rows[COLLECTION][0].as_py() not in collections):
        return None
    return rows.select(columns)


def _take_one(
    dataset: lance.LanceDataset,
    candidates: list[tuple[FragmentInfo, NDArray[np.int64]]],
    datapoint: bytes,
    columns: list[str],
) -> pa.Table:
    """Read one datapoint if it is at one of the candidate positions. Reading their ids first takes 0.1 ms."""
    wanted = np.frombuffer(datapoint, dtype=">u8")
    for fragment, positions in candidates:
        ids = fragment.take(dataset, positions, ["id"])["id"]
        matching = positions[(keys.id_words(ids) == wanted).all(axis=1)]
        if len(matching):
            return fragment.take(dataset, matching, columns)
    return pa.table({name: [] for name in columns})


def batches_of(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Split a table into batches of at most `MAX_BATCH_ROWS` rows."""
    yield from rows.combine_chunks().to_batches(max_chunksize=MAX_BATCH_ROWS)


def _key_range(query: PointQuery) -> KeyRange:
    """Return the range of keys that the times and ids of a query describe."""
    low: Key = FIRST_KEY if query.start_ms is None else (query.start_ms, b"")
    high: Key = LAST_KEY if query.end_ms is None else (query.end_ms, b"")
    if query.first_id is not None:
        low = max(low, keys.key_of(query.first_id))
    if query.last_id is not None:
        high = min(high, keys.key_after(query.last_id))
    return KeyRange(max(low, FIRST_KEY), min(high, LAST_KEY))


def _conditions(query: PointQuery, schema: Schema, version: Version) -> tuple[str, ...]:
    conditions = []
    columns = version.stored_names
    if query.where is not None:
        conditions.append(sql.condition(query.where, schema, columns))
    if query.area is not None:
        if GEOMETRY.name not in columns:
            raise InvalidArgumentError("the dataset has no geometry, so it cannot be queried by area")
        conditions.append(sql.may_intersect(query.area))
    return tuple(conditions)
