"""Statistics of the fragments of a table: datapoints and time span of each collection, and times by block.

They are cached by fragment and deletion file, neither of which ever changes, so the cache needs no
invalidation: a commit of another process makes an unknown fragment, which is read once. The statistics
answer `summary`, and let a query skip fragments that cannot match, whether they are indexed or not.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tilebox._core.schema.arrow_schema import combine_chunks
from tilebox.server.points.columns import COLLECTION
from tilebox.server.points.index.bloom import is_in_sorted
from tilebox.server.points.index.time_blocks import TimeBlocks
from tilebox.server.points.interface import Summary
from tilebox.server.points.keys import times_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import lance
    from lance.fragment import FragmentMetadata, FragmentSession
    from numpy.typing import NDArray

FragmentKey = tuple[int, str]
_CACHED_VERSIONS = 16

# Rows are read by position up to these limits: it takes a millisecond per fragment, and one per 3,000 rows. Beyond
# them, one scan over all fragments is faster.
_MAX_TAKE_ROWS = 6_144
_MAX_TAKE_FRAGMENTS = 3

_EMPTY = np.array([], dtype=np.int64)

# Opening the columns of a fragment takes a quarter of the time of a look-up. Each session keeps a file open.
_CACHED_SESSIONS = 64


@dataclass(frozen=True, slots=True)
class _SessionKey:
    """The columns of a fragment to open. Its data file and deletion file, which never change, make the cache key."""

    data: str
    deletions: str
    columns: tuple[str, ...]
    number: int = field(compare=False)
    dataset: lance.LanceDataset = field(compare=False)


@lru_cache(maxsize=_CACHED_SESSIONS)
def _open_session(key: _SessionKey) -> FragmentSession:
    fragment = key.dataset.get_fragment(key.number)
    assert fragment is not None  # noqa: S101 - the version has it
    return fragment.open_session(columns=list(key.columns))


@dataclass(frozen=True, slots=True)
class FragmentStatistics:
    """Statistics of a fragment: summaries by collection, times by block, and the positions of deleted rows."""

    collections: Mapping[int, Summary]
    blocks: TimeBlocks
    deleted: NDArray[np.int64]

    @classmethod
    def of(
        cls, collections: NDArray[np.int32], times: NDArray[np.int64], deleted: NDArray[np.int64]
    ) -> FragmentStatistics:
        """Compute the statistics of rows.

        Args:
            collections: Collection numbers of the rows that are not deleted, shape (rows,).
            times: Their times in milliseconds since 1970, shape (rows,).
            deleted: Offsets of the deleted rows.
        """
        return cls(summarize(collections, times), TimeBlocks.of(times), deleted)


@dataclass(frozen=True, slots=True)
class FragmentInfo:
    """A fragment and its statistics, without a handle, which would keep the fragment's version in memory.

    Args:
        number: Its number in the table.
        data: The name of its data file, unique even among tables that were dropped and created anew.
        deletions: An identifier of its deletion file; empty if it has none.
        statistics: Its statistics.
    """

    number: int
    data: str
    deletions: str
    statistics: FragmentStatistics

    @classmethod
    def of(cls, fragment: lance.LanceFragment, statistics: FragmentStatistics) -> FragmentInfo:
        """Describe a fragment of an open version."""
        metadata = fragment.metadata
        return cls(fragment.fragment_id, str(metadata.files[0].path), _deletions(metadata), statistics)

    @property
    def collections(self) -> Mapping[int, Summary]:
        """The summary of each collection in it, by number."""
        return self.statistics.collections

    @property
    def rows(self) -> int:
        """The number of datapoints in it."""
        return self.statistics.blocks.rows

    def handle(self, dataset: lance.LanceDataset) -> lance.LanceFragment:
        """Return the fragment itself from a version that has it."""
        fragment = dataset.get_fragment(self.number)
        assert fragment is not None  # noqa: S101 - the version has it
        return fragment

    def take(self, dataset: lance.LanceDataset, positions: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """Read rows by position, where deleted rows do not count, from a version that has the fragment."""
        session = _open_session(_SessionKey(self.data, self.deletions, tuple(columns), self.number, dataset))
        rows: pa.Table = session.take(positions.tolist())  # type: ignore[no-untyped-call]  # untyped in Lance
        return rows

    def matches(self, collections: Iterable[int] | None, start_ms: int, end_ms: int) -> bool:
        """Tell whether the fragment may have datapoints of these collections (None: any) in a half-open interval."""
        numbers = self.collections if collections is None else collections
        summaries = (self.collections.get(number) for number in numbers)
        return any(
            summary is not None and summary.first_ms < end_ms and summary.last_ms >= start_ms for summary in summaries
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """The fragments of a version that may have results of a query.

    Args:
        dataset: The version.
        parts: The fragments.
        is_everything: Whether they are all fragments of the version.
    """

    dataset: lance.LanceDataset
    parts: tuple[FragmentInfo, ...]
    is_everything: bool

    @property
    def rows(self) -> int:
        """The number of all datapoints in the fragments, whether they match or not."""
        return sum(part.rows for part in self.parts)

    @property
    def fragments(self) -> list[lance.LanceFragment] | None:
        """The fragments in the form that a scanner takes, where None means all."""
        return None if self.is_everything else [part.handle(self.dataset) for part in self.parts]

    def has_other_collections(self, collections: Iterable[int]) -> bool:
        """Tell whether the fragments hold datapoints of collections beside these."""
        wanted = frozenset(collections)
        return any(number not in wanted for part in self.parts for number in part.collections)

    def has_times_outside(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether the fragments hold datapoints outside of a half-open interval."""
        return any(summary.first_ms < start_ms or summary.last_ms >= end_ms for summary in self._summaries())

    def estimate_rows(self, start_ms: int, end_ms: int) -> float:
        """Estimate how many datapoints are in a half-open interval, as if each fragment spread them evenly."""
        return sum(summary.count * _overlap(summary, start_ms, end_ms) for summary in self._summaries())

    def positions_near(self, start_ms: int, end_ms: int) -> list[tuple[FragmentInfo, NDArray[np.int64]]] | None:
        """Return, by fragment, positions that include all datapoints of an interval; None if there are many."""
        found, rows = [], 0
        for part in self.parts:
            positions = part.statistics.blocks.positions_near(start_ms, end_ms)
            rows += len(positions)
            if len(positions):
                found.append((part, positions))
            if rows > _MAX_TAKE_ROWS or len(found) > _MAX_TAKE_FRAGMENTS:
                return None
        return found

    def _summaries(self) -> Iterator[Summary]:
        return (summary for part in self.parts for summary in part.collections.values())


@dataclass(frozen=True, slots=True)
class Inventory:
    """All fragments of a version with their statistics.

    Args:
        parts: The fragments.
        recent: The times of all rows in fragments with an exact time filter, ascending. There may be hundreds of
            such fragments between two rounds of maintenance, too many for an ingest to check each of them.
    """

    parts: tuple[FragmentInfo, ...]
    recent: NDArray[np.int64]

    @classmethod
    def of(cls, parts: tuple[FragmentInfo, ...]) -> Inventory:
        """Build the inventory of fragments."""
        exact = [part.statistics.blocks.filter.exact for part in parts]
        times = np.concatenate([_EMPTY, *(values for values in exact if values is not None)])
        times.sort()
        return cls(parts, times)

    def extended(self, part: FragmentInfo) -> Inventory:
        """Return the inventory with one more fragment."""
        times, recent = part.statistics.blocks.filter.exact, self.recent
        if times is not None:
            recent = np.insert(recent, np.searchsorted(recent, times), times)
        return Inventory((*self.parts, part), recent)

    def select(
        self, dataset: lance.LanceDataset, collections: Iterable[int] | None, start_ms: int, end_ms: int
    ) -> Selection:
        """Select the fragments that may have datapoints of collections (None: any) in a half-open interval."""
        parts = tuple(part for part in self.parts if part.matches(collections, start_ms, end_ms))
        return Selection(dataset, parts, len(parts) == len(self.parts))

    def with_times(self, dataset: lance.LanceDataset, times: NDArray[np.int64]) -> tuple[Selection, NDArray[np.bool_]]:
        """Select the fragments that may have rows with exactly these times.

        Returns:
            The fragments, and which of the times may exist, shape (times,).
        """
        parts, may_exist = self.parts, is_in_sorted(times, self.recent)
        if not may_exist.any():
            parts = tuple(part for part in parts if part.statistics.blocks.filter.exact is None)
        selected = []
        for part in parts:
            may_have = part.statistics.blocks.filter.may_contain(times)
            if may_have.any():
                selected.append(part)
                may_exist |= may_have
        return Selection(dataset, tuple(selected), len(selected) == len(self.parts)), may_exist


class StatisticsCache:
    """The inventories of the versions of a table. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[FragmentKey, FragmentStatistics] = {}
        self._versions: dict[int, Inventory] = {}

    def inventory_of(self, dataset: lance.LanceDataset) -> Inventory:
        """Return the inventory of a version. Read only the fragments that are new."""
        with self._lock:
            inventory = self._versions.get(dataset.version)
        if inventory is None:
            fragments = {_key(fragment): fragment for fragment in dataset.get_fragments()}
            with self._lock:
                statistics = {key: self._known[key] for key in fragments if key in self._known}
            unknown = [fragment for key, fragment in fragments.items() if key not in statistics]
            if unknown:
                statistics.update(_read(dataset, unknown))
            parts = tuple(FragmentInfo.of(fragment, statistics[key]) for key, fragment in fragments.items())
            inventory = Inventory.of(parts)
            self._remember(dataset.version, inventory, statistics)
        return inventory

    def record_append(self, dataset: lance.LanceDataset, before: Inventory, rows: pa.Table) -> None:
        """Compute the inventory of a version from the rows that it appended, so that nothing is read back.

        Args:
            dataset: The new version.
            before: The inventory of the version before it.
            rows: The appended rows. If they did not become exactly one fragment, nothing is recorded.
        """
        numbers = dataset.fragment_ids()
        if len(numbers) != len(before.parts) + 1:
            return
        new = dataset.get_fragment(max(numbers))
        if new is None or new.physical_rows != rows.num_rows:
            return
        statistics = FragmentStatistics.of(np.asarray(combine_chunks(rows[COLLECTION])), times_of(rows), _EMPTY)
        inventory = before.extended(FragmentInfo.of(new, statistics))
        self._remember(dataset.version, inventory, {_key(new): statistics})

    def _remember(
        self, version: int, inventory: Inventory, statistics: Mapping[FragmentKey, FragmentStatistics]
    ) -> None:
        with self._lock:
            self._known.update(statistics)
            self._versions[version] = inventory
            if len(self._versions) > _CACHED_VERSIONS:
                self._evict()

    def _evict(self) -> None:
        """Keep the newest versions and the statistics of their fragments."""
        newest = sorted(self._versions)[-_CACHED_VERSIONS // 2 :]
        self._versions = {version: self._versions[version] for version in newest}
        used = {(part.number, part.deletions) for inventory in self._versions.values() for part in inventory.parts}
        self._known = {key: value for key, value in self._known.items() if key in used}


def merge_summaries(parts: Iterable[Mapping[int, Summary]]) -> dict[int, Summary]:
    """Merge the summaries of several fragments by collection."""
    total: dict[int, Summary] = {}
    for part in parts:
        for number, summary in part.items():
            other = total.get(number)
            if other is None:
                total[number] = summary
            else:
                first_ms, last_ms = min(summary.first_ms, other.first_ms), max(summary.last_ms, other.last_ms)
                total[number] = Summary(summary.count + other.count, first_ms, last_ms)
    return total


def summarize(collections: NDArray[np.int32], times: NDArray[np.int64]) -> dict[int, Summary]:
    """Return a summary of each collection that occurs in rows.

    Args:
        collections: Collection numbers, shape (n,).
        times: Milliseconds since 1970, shape (n,).
    """
    summaries = {}
    for number in np.unique(collections):
        own = times[collections == number]
        summaries[int(number)] = Summary(len(own), int(own.min()), int(own.max()))
    return summaries


def _overlap(summary: Summary, start_ms: int, end_ms: int) -> float:
    """Return the share of a collection's time span that is in an interval."""
    length_ms = summary.last_ms + 1 - summary.first_ms
    return max(0, min(end_ms, summary.last_ms + 1) - max(start_ms, summary.first_ms)) / length_ms


def _key(fragment: lance.LanceFragment) -> FragmentKey:
    return fragment.fragment_id, _deletions(fragment.metadata)


def _deletions(metadata: FragmentMetadata) -> str:
    deletions = metadata.deletion_file
    return "" if deletions is None else f"{deletions.read_version}-{deletions.id}"


def _read(dataset: lance.LanceDataset, fragments: list[lance.LanceFragment]) -> dict[FragmentKey, FragmentStatistics]:
    by_id = {fragment.fragment_id: fragment for fragment in fragments}
    scanner = dataset.scanner(columns=[COLLECTION, "time"], fragments=fragments, with_row_address=True)
    statistics = {}
    # A scan yields fragments and their rows in order, so only one fragment at a time is in memory.
    for owner, pieces in groupby(_pieces(scanner), key=itemgetter(0)):
        _, numbers, times, offsets = zip(*pieces, strict=True)
        deleted = _missing_offsets(np.concatenate(offsets), by_id[owner].physical_rows)
        statistics[_key(by_id[owner])] = FragmentStatistics.of(np.concatenate(numbers), np.concatenate(times), deleted)
    return statistics


def _pieces(
    scanner: lance.LanceScanner,
) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield fragment number, collections, times and offsets of rows, split where a batch spans fragments."""
    for batch in scanner.to_batches():
        rows = pa.Table.from_batches([batch])
        numbers, times = np.asarray(rows[COLLECTION]), times_of(rows)
        # A row address is the number of the fragment in the upper 32 bits, and the offset of the row in the lower.
        addresses = np.asarray(rows["_rowaddr"]).astype(np.int64)
        owners = addresses >> 32
        for owner in np.unique(owners):
            own = owners == owner
            yield int(owner), numbers[own], times[own], addresses[own] & 0xFFFFFFFF


def _missing_offsets(offsets: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return the offsets below `rows` that are not in an array."""
    return _EMPTY if len(offsets) == rows else np.setdiff1d(np.arange(rows), offsets, assume_unique=True)
