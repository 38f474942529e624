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

from tilebox.server.points.blocks import Blocks
from tilebox.server.points.columns import COLLECTION
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
    fragment: lance.LanceFragment = field(compare=False)


@lru_cache(maxsize=_OPENED)
def _opened(opening: _Opening) -> FragmentSession:
    return opening.fragment.open_session(columns=list(opening.columns))


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
    """A fragment and what it holds."""

    fragment: lance.LanceFragment
    held: Held

    @property
    def collections(self) -> Mapping[int, Summary]:
        """What it holds of each collection."""
        return self.held.collections

    @property
    def rows(self) -> int:
        """Number of datapoints in it."""
        return self.held.blocks.rows

    def take(self, positions: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """Read datapoints by their positions among those that are not deleted."""
        opened = _opened(_Opening(*_lasting_key(self.fragment), tuple(columns), self.fragment))
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
        parts: Those fragments.
        is_everything: Whether they are all fragments of the version.
    """

    parts: tuple[FragmentContents, ...]
    is_everything: bool

    @classmethod
    def of(
        cls, contents: tuple[FragmentContents, ...], collections: Iterable[int] | None, start_ms: int, end_ms: int
    ) -> Selection:
        """Select by collections (None: any) and time."""
        parts = tuple(one for one in contents if one.matches(collections, start_ms, end_ms))
        return cls(parts, len(parts) == len(contents))

    @property
    def rows(self) -> int:
        """Number of all datapoints in them, whether asked for or not."""
        return sum(one.rows for one in self.parts)

    @property
    def fragments(self) -> list[lance.LanceFragment] | None:
        """What a scanner takes: the fragments, or None for all."""
        return None if self.is_everything else [one.fragment for one in self.parts]

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

    def with_times(self, times: NDArray[np.int64]) -> tuple[Selection, NDArray[np.bool_]]:
        """Return those fragments that seem to have rows of exactly these times, and which times these are."""
        found = [one.held.blocks.moments.may_have(times) for one in self.parts]
        parts = tuple(one for one, own in zip(self.parts, found, strict=True) if own.any())
        any_has = np.any(found, axis=0) if found else np.zeros(len(times), np.bool_)
        return Selection(parts, self.is_everything and len(parts) == len(self.parts)), any_has

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


class Contents:
    """The contents of all fragments of a table, for any version of it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[FragmentKey, Held] = {}
        self._versions: dict[int, tuple[FragmentContents, ...]] = {}

    def of(self, dataset: lance.LanceDataset) -> tuple[FragmentContents, ...]:
        """Return the contents of a version's fragments, reading those that are new."""
        with self._lock:
            contents = self._versions.get(dataset.version)
        if contents is None:
            fragments = {_key(fragment): fragment for fragment in dataset.get_fragments()}
            with self._lock:
                unknown = [fragment for key, fragment in fragments.items() if key not in self._known]
            found = _read(dataset, unknown) if unknown else {}
            contents = self._remember(dataset.version, fragments, found)
        return contents

    def learn(self, dataset: lance.LanceDataset, before: tuple[FragmentContents, ...], rows: pa.Table) -> None:
        """Take over what rows that were just appended as one fragment hold, so that it need not be read."""
        old = {one.fragment.fragment_id for one in before}
        new = [fragment for fragment in dataset.get_fragments() if fragment.fragment_id not in old]
        if len(new) == 1 and new[0].physical_rows == rows.num_rows:
            numbers = np.asarray(rows[COLLECTION].combine_chunks())
            with self._lock:
                self._known = {**self._known, _key(new[0]): Held.of(numbers, times_of(rows), _NONE)}

    def _remember(
        self,
        version: int,
        fragments: Mapping[FragmentKey, lance.LanceFragment],
        found: Mapping[FragmentKey, Held],
    ) -> tuple[FragmentContents, ...]:
        with self._lock:
            known = {**self._known, **found}
            contents = tuple(FragmentContents(fragment, known[key]) for key, fragment in fragments.items())
            self._known = known
            self._versions[version] = contents
            if len(self._versions) > _KEPT_VERSIONS:
                self._forget()
            return contents

    def _forget(self) -> None:
        """Keep the newest versions and what they refer to."""
        newest = sorted(self._versions)[-_KEPT_VERSIONS // 2 :]
        self._versions = {version: self._versions[version] for version in newest}
        used = {_key(one.fragment) for contents in self._versions.values() for one in contents}
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


def _lasting_key(fragment: lance.LanceFragment) -> tuple[str, str]:
    """Return names that no fragment of any other table has, of this place or of an earlier one there."""
    metadata = fragment.metadata
    return metadata.files[0].path, _deletions(metadata)


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
