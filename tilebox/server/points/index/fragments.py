"""What each fragment of a table holds: how many datapoints of which collection, and from when to when.

Kept in memory by fragment and deletion file, neither of which ever changes, so the figures heal
themselves: whatever another process committed is a fragment that is not known yet, and is read once.
They answer `summary`, and tell a query which fragments cannot matter, whether indexed or not.
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
from tilebox.server.points.index.bloom import are_among
from tilebox.server.points.index.time_blocks import Blocks
from tilebox.server.points.interface import Summary
from tilebox.server.points.keys import times_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import lance
    from lance.fragment import FragmentMetadata, FragmentSession
    from numpy.typing import NDArray

FragmentKey = tuple[int, str]
_KEPT_VERSIONS = 16

# Up to so many rows in so many fragments are read by their positions: a millisecond a fragment, and one for each
# 3,000 rows. For more, one scan of all is faster.
_TAKEN_ROWS = 6_144
_TAKEN_FRAGMENTS = 3

_NONE = np.array([], dtype=np.int64)

# Opening the columns of a fragment takes a quarter of the time of a look-up. Each keeps a file open.
_OPENED = 64


@dataclass(frozen=True, slots=True)
class _Opening:
    """Some columns of a fragment to open, told by its data file and deletion file, which never change."""

    data: str
    deletions: str
    columns: tuple[str, ...]
    number: int = field(compare=False)
    dataset: lance.LanceDataset = field(compare=False)


@lru_cache(maxsize=_OPENED)
def _opened(opening: _Opening) -> FragmentSession:
    fragment = opening.dataset.get_fragment(opening.number)
    assert fragment is not None  # noqa: S101 - the version has it
    return fragment.open_session(columns=list(opening.columns))


@dataclass(frozen=True, slots=True)
class Held:
    """What a fragment holds: by collection, and by time in the order of its rows; and which rows are deleted."""

    collections: Mapping[int, Summary]
    blocks: Blocks
    gone: NDArray[np.int64]

    @classmethod
    def of(cls, collections: NDArray[np.int32], times: NDArray[np.int64], gone: NDArray[np.int64]) -> Held:
        """Sum up rows; both arrays have the shape (rows,), times in milliseconds since 1970."""
        return cls(summarised(collections, times), Blocks.of(times), gone)


@dataclass(frozen=True, slots=True)
class FragmentContents:
    """A fragment and what it holds, without a handle: one would keep the version alive that it was taken from.

    Args:
        number: Its number in the table.
        data: The name of its data file, which no other fragment has, of this place or of an earlier one there.
        deletions: What tells its deletion file from earlier ones; empty if it has none.
        held: What it holds.
    """

    number: int
    data: str
    deletions: str
    held: Held

    @classmethod
    def of(cls, fragment: lance.LanceFragment, held: Held) -> FragmentContents:
        """Describe a fragment."""
        metadata = fragment.metadata
        return cls(fragment.fragment_id, str(metadata.files[0].path), _deletions(metadata), held)

    @property
    def collections(self) -> Mapping[int, Summary]:
        """What it holds of each collection."""
        return self.held.collections

    @property
    def rows(self) -> int:
        """Number of datapoints in it."""
        return self.held.blocks.rows

    def handle(self, dataset: lance.LanceDataset) -> lance.LanceFragment:
        """Return the fragment itself, of a version that has it."""
        fragment = dataset.get_fragment(self.number)
        assert fragment is not None  # noqa: S101 - the version has it
        return fragment

    def take(self, dataset: lance.LanceDataset, positions: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """Read datapoints by their positions among those that are not deleted, from a version that has them."""
        opened = _opened(_Opening(self.data, self.deletions, tuple(columns), self.number, dataset))
        rows: pa.Table = opened.take(positions.tolist())  # type: ignore[no-untyped-call]  # Lance says no types here
        return rows

    def matches(self, collections: Iterable[int] | None, start_ms: int, end_ms: int) -> bool:
        """Tell whether datapoints of these collections (None: of any) and times may be in it."""
        numbers = self.collections if collections is None else collections
        held = (self.collections.get(number) for number in numbers)
        return any(one is not None and one.first_ms < end_ms and one.last_ms >= start_ms for one in held)


@dataclass(frozen=True, slots=True)
class Selection:
    """The fragments of a version that may hold what a query asks for.

    Args:
        dataset: The version.
        parts: Those fragments.
        is_everything: Whether they are all fragments of the version.
    """

    dataset: lance.LanceDataset
    parts: tuple[FragmentContents, ...]
    is_everything: bool

    @property
    def rows(self) -> int:
        """Number of all datapoints in them, whether asked for or not."""
        return sum(one.rows for one in self.parts)

    @property
    def fragments(self) -> list[lance.LanceFragment] | None:
        """What a scanner takes: the fragments, or None for all."""
        return None if self.is_everything else [one.handle(self.dataset) for one in self.parts]

    def has_other_than(self, collections: Iterable[int]) -> bool:
        """Tell whether datapoints of further collections are among them."""
        asked = frozenset(collections)
        return any(number not in asked for one in self.parts for number in one.collections)

    def reaches_beyond(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether datapoints of other times are among them."""
        held = [summary for one in self.parts for summary in one.collections.values()]
        return any(one.first_ms < start_ms or one.last_ms >= end_ms for one in held)

    def rows_near(self, start_ms: int, end_ms: int) -> float:
        """Estimate how many datapoints lie in a time, taking them for evenly spread in each fragment."""
        held = [summary for one in self.parts for summary in one.collections.values()]
        return sum(one.count * _overlap(one, start_ms, end_ms) for one in held)

    def near(self, start_ms: int, end_ms: int) -> list[tuple[FragmentContents, NDArray[np.int64]]] | None:
        """Return the positions of at least the datapoints of a time, by fragment, or None if they are many."""
        found, rows = [], 0
        for one in self.parts:
            positions = one.held.blocks.near(start_ms, end_ms)
            rows += len(positions)
            if len(positions):
                found.append((one, positions))
            if rows > _TAKEN_ROWS or len(found) > _TAKEN_FRAGMENTS:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Inventory:
    """What all fragments of a version hold.

    Args:
        parts: The fragments.
        recent: The times of all rows in those fragments that know them exactly, ascending. There may be hundreds of
            such fragments between two rounds of upkeep, too many for an ingest to ask each of them.
    """

    parts: tuple[FragmentContents, ...]
    recent: NDArray[np.int64]

    @classmethod
    def of(cls, parts: tuple[FragmentContents, ...]) -> Inventory:
        """Sum up fragments."""
        exact = [one.held.blocks.moments.exact for one in parts]
        times = np.concatenate([_NONE, *(one for one in exact if one is not None)])
        times.sort()
        return cls(parts, times)

    def extended(self, part: FragmentContents) -> Inventory:
        """Return the inventory with a further fragment."""
        times, recent = part.held.blocks.moments.exact, self.recent
        if times is not None:
            recent = np.insert(recent, np.searchsorted(recent, times), times)
        return Inventory((*self.parts, part), recent)

    def select(
        self, dataset: lance.LanceDataset, collections: Iterable[int] | None, start_ms: int, end_ms: int
    ) -> Selection:
        """Select fragments by collections (None: any) and time."""
        parts = tuple(one for one in self.parts if one.matches(collections, start_ms, end_ms))
        return Selection(dataset, parts, len(parts) == len(self.parts))

    def with_times(self, dataset: lance.LanceDataset, times: NDArray[np.int64]) -> tuple[Selection, NDArray[np.bool_]]:
        """Return those fragments that seem to have rows of exactly these times, and which times these are."""
        parts, any_has = self.parts, are_among(times, self.recent)
        if not any_has.any():
            parts = tuple(one for one in parts if one.held.blocks.moments.exact is None)
        kept = []
        for one in parts:
            has = one.held.blocks.moments.may_have(times)
            if has.any():
                kept.append(one)
                any_has |= has
        return Selection(dataset, tuple(kept), len(kept) == len(self.parts)), any_has


class Contents:
    """The contents of all fragments of a table, for any version of it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[FragmentKey, Held] = {}
        self._versions: dict[int, Inventory] = {}

    def of(self, dataset: lance.LanceDataset) -> Inventory:
        """Return what a version's fragments hold, reading those that are new."""
        with self._lock:
            inventory = self._versions.get(dataset.version)
        if inventory is None:
            fragments = {_key(fragment): fragment for fragment in dataset.get_fragments()}
            with self._lock:
                held = {key: self._known[key] for key in fragments if key in self._known}
            unknown = [fragment for key, fragment in fragments.items() if key not in held]
            if unknown:
                held.update(_read(dataset, unknown))
            parts = tuple(FragmentContents.of(fragment, held[key]) for key, fragment in fragments.items())
            inventory = Inventory.of(parts)
            self._remember(dataset.version, inventory, held)
        return inventory

    def learn(self, dataset: lance.LanceDataset, before: Inventory, rows: pa.Table) -> None:
        """Take over what rows hold that were appended to the version before as one fragment, so that nothing is read."""
        numbers = dataset.fragment_ids()
        if len(numbers) != len(before.parts) + 1:
            return
        new = dataset.get_fragment(max(numbers))
        if new is None or new.physical_rows != rows.num_rows:
            return
        held = Held.of(np.asarray(combine_chunks(rows[COLLECTION])), times_of(rows), _NONE)
        self._remember(dataset.version, before.extended(FragmentContents.of(new, held)), {_key(new): held})

    def _remember(self, version: int, inventory: Inventory, held: Mapping[FragmentKey, Held]) -> None:
        with self._lock:
            self._known.update(held)
            self._versions[version] = inventory
            if len(self._versions) > _KEPT_VERSIONS:
                self._forget()

    def _forget(self) -> None:
        """Keep the newest versions and what they refer to."""
        newest = sorted(self._versions)[-_KEPT_VERSIONS // 2 :]
        self._versions = {version: self._versions[version] for version in newest}
        used = {(one.number, one.deletions) for inventory in self._versions.values() for one in inventory.parts}
        self._known = {key: value for key, value in self._known.items() if key in used}


def joined(parts: Iterable[Mapping[int, Summary]]) -> dict[int, Summary]:
    """Add up what several fragments hold of each collection."""
    total: dict[int, Summary] = {}
    for part in parts:
        for number, held in part.items():
            other = total.get(number)
            if other is None:
                total[number] = held
            else:
                first_ms, last_ms = min(held.first_ms, other.first_ms), max(held.last_ms, other.last_ms)
                total[number] = Summary(held.count + other.count, first_ms, last_ms)
    return total


def summarised(collections: NDArray[np.int32], times: NDArray[np.int64]) -> dict[int, Summary]:
    """Return what rows hold of each collection.

    Args:
        collections: Numbers, shape (n,).
        times: Milliseconds since 1970, shape (n,).
    """
    found = {}
    for number in np.unique(collections):
        own = times[collections == number]
        found[int(number)] = Summary(len(own), int(own.min()), int(own.max()))
    return found


def _overlap(held: Summary, start_ms: int, end_ms: int) -> float:
    length_ms = held.last_ms + 1 - held.first_ms
    return max(0, min(end_ms, held.last_ms + 1) - max(start_ms, held.first_ms)) / length_ms


def _key(fragment: lance.LanceFragment) -> FragmentKey:
    return fragment.fragment_id, _deletions(fragment.metadata)


def _deletions(metadata: FragmentMetadata) -> str:
    deletions = metadata.deletion_file
    return "" if deletions is None else f"{deletions.read_version}-{deletions.id}"


def _read(dataset: lance.LanceDataset, fragments: list[lance.LanceFragment]) -> dict[FragmentKey, Held]:
    by_id = {fragment.fragment_id: fragment for fragment in fragments}
    scanner = dataset.scanner(columns=[COLLECTION, "time"], fragments=fragments, with_row_address=True)
    found = {}
    # A scan goes through fragments and their rows in order, so that one fragment at a time is held in memory.
    for owner, pieces in groupby(_pieces(scanner), key=itemgetter(0)):
        _, numbers, times, offsets = zip(*pieces, strict=True)
        gone = _others(np.concatenate(offsets), by_id[owner].physical_rows)
        found[_key(by_id[owner])] = Held.of(np.concatenate(numbers), np.concatenate(times), gone)
    return found


def _pieces(
    scanner: lance.LanceScanner,
) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield fragment, collections, times and offsets of rows that were scanned together."""
    for batch in scanner.to_batches():
        rows = pa.Table.from_batches([batch])
        numbers, times = np.asarray(rows[COLLECTION]), times_of(rows)
        addresses = np.asarray(rows["_rowaddr"]).astype(np.int64)
        owners = addresses >> 32
        for owner in np.unique(owners):
            own = owners == owner
            yield int(owner), numbers[own], times[own], addresses[own] & 0xFFFFFFFF


def _others(offsets: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return which of so many rows are not among those given."""
    return _NONE if len(offsets) == rows else np.setdiff1d(np.arange(rows), offsets, assume_unique=True)
