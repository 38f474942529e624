"""Plans for reading a long answer in slices of its order (time, id) of bounded numbers of rows.

A plan is a histogram of the answer's times, built by one scan of the time column, so its memory does not
grow with the answer. A bin with too many rows gets a histogram of its own when it is reached, down to the
millisecond; a single millisecond is divided at ids.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tilebox.server.points.keys import Key, KeyRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_BINS = 65_536

SMALL_BIN_ROWS = 4_096
"""A bin with fewer rows is read whole even for a smaller slice, which is faster than counting it again."""


class Countable(Protocol):
    """An answer whose times and ids can be read without its other columns."""

    def times(self, keys: KeyRange) -> Iterable[NDArray[np.int64]]:
        """Yield the times of the datapoints in a range, in any order, in milliseconds since 1970."""

    def ids(self, keys: KeyRange) -> list[bytes]:
        """Return the ids of the datapoints in a range, in order."""


@dataclass(slots=True)
class Plan:
    """A histogram of the times of an answer.

    Args:
        answer: The answer.
        keys: The range of keys that the histogram covers; its ends are whole milliseconds.
        width_ms: Width of a bin in milliseconds.
        cumulative: Number of datapoints before each bin, and at the end the total; shape (bins + 1,).
        finer: Plans of bins with too many rows, by index.
    """

    answer: Countable
    keys: KeyRange
    width_ms: int
    cumulative: NDArray[np.int64]
    finer: dict[int, Plan | Millisecond] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Countable, keys: KeyRange) -> Plan:
        """Count the times of an answer in a range of keys whose ends are whole milliseconds."""
        width_ms = max(1, -(-(keys.end_ms - keys.start_ms) // MAX_BINS))
        bins = max(1, -(-(keys.end_ms - keys.start_ms) // width_ms))
        counts = np.zeros(bins, dtype=np.int64)
        for times in answer.times(keys):
            counts += np.bincount((times - keys.start_ms) // width_ms, minlength=bins)
        return cls(answer, keys, width_ms, np.concatenate(([0], np.cumsum(counts))))

    def slice_from(self, position: Key, rows: int, *, min_bin_rows: int, descending: bool = False) -> KeyRange | None:
        """Return the next slice of the answer to read.

        Args:
            position: The first key that was not read; or if descending, the first key that was read.
            rows: Most rows that the slice should have.
            min_bin_rows: Most rows of a bin that is not divided.
            descending: Whether to read from the latest to the earliest.

        Returns:
            A range that begins at or after the position (or ends at or before it), or None at the end of the answer.
        """
        if descending:
            return self._slice_before(position, rows, min_bin_rows)
        return self._slice_after(position, rows, min_bin_rows)

    def _slice_after(self, position: Key, rows: int, min_bin_rows: int) -> KeyRange | None:
        position = max(position, self.keys.low)
        while position < self.keys.high:
            # The first bin from the position on that is not empty.
            current = (position[0] - self.keys.start_ms) // self.width_ms
            first = int(np.searchsorted(self.cumulative, self.cumulative[current], side="right")) - 1
            if first >= len(self.cumulative) - 1:
                return None
            position = max(position, (self._start(first), b""))
            last = int(np.searchsorted(self.cumulative, self.cumulative[first] + rows, side="right")) - 1
            if last > first or self._rows_in(first) <= min_bin_rows:
                return KeyRange(position, (self._start(max(last, first + 1)), b""))
            part = self._finer(first).slice_from(position, rows, min_bin_rows=min_bin_rows)
            if part is not None:
                return part
            position = (self._start(first + 1), b"")
        return None

    def _slice_before(self, position: Key, rows: int, min_bin_rows: int) -> KeyRange | None:
        position = min(position, self.keys.high)
        while position > self.keys.low:
            end = -(-(KeyRange(self.keys.low, position).end_ms - self.keys.start_ms) // self.width_ms)
            # The last bin up to the position that is not empty.
            last = int(np.searchsorted(self.cumulative, self.cumulative[end], side="left")) - 1
            if last < 0:
                return None
            position = min(position, (self._start(last + 1), b""))
            first = int(np.searchsorted(self.cumulative, self.cumulative[last + 1] - rows, side="left"))
            if first <= last or self._rows_in(last) <= min_bin_rows:
                return KeyRange((self._start(min(first, last)), b""), position)
            part = self._finer(last).slice_from(position, rows, min_bin_rows=min_bin_rows, descending=True)
            if part is not None:
                return part
            position = (self._start(last), b"")
        return None

    def _start(self, index: int) -> int:
        return min(self.keys.start_ms + index * self.width_ms, self.keys.end_ms)

    def _rows_in(self, index: int) -> int:
        return int(self.cumulative[index + 1] - self.cumulative[index])

    def _finer(self, index: int) -> Plan | Millisecond:
        if index not in self.finer:
            keys = KeyRange((self._start(index), b""), (self._start(index + 1), b""))
            if keys.end_ms - keys.start_ms > 1:
                self.finer[index] = Plan.of(self.answer, keys)
            else:
                self.finer[index] = Millisecond(keys, self.answer.ids(keys))
        return self.finer[index]


@dataclass(frozen=True, slots=True)
class Millisecond:
    """A plan for one millisecond that has too many datapoints for one slice: its ids in order."""

    keys: KeyRange
    ids: list[bytes]

    def slice_from(self, position: Key, rows: int, *, min_bin_rows: int, descending: bool = False) -> KeyRange | None:
        """Return the next slice to read, as `Plan.slice_from` does."""
        del min_bin_rows
        time_ms = self.keys.start_ms
        if descending:
            stop = len(self.ids) if position >= self.keys.high else bisect_left(self.ids, position[1])
            start = max(0, stop - rows)
        else:
            start = bisect_left(self.ids, position[1]) if position > self.keys.low else 0
            stop = min(len(self.ids), start + rows)
        if start == stop:
            return None
        return KeyRange((time_ms, self.ids[start]), (time_ms, self.ids[stop - 1] + b"\0"))
