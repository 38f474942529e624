"""In which pieces to read a long answer: slices of the order (time, id) of at most so many rows.

A plan is a histogram of an answer's times, taken by one scan of the time column, so its memory does not
grow with the answer. A bin that holds too many rows is counted again on a finer scale when it is reached,
down to the millisecond, and one millisecond is cut at ids.
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
"""A bin of fewer rows is better read whole, even if a smaller slice was asked for, than counted again."""


class Counted(Protocol):
    """An answer that can be counted without reading it."""

    def times(self, keys: KeyRange) -> Iterable[NDArray[np.int64]]:
        """Yield the times of the datapoints in a range, in any order."""

    def ids(self, keys: KeyRange) -> list[bytes]:
        """Return the ids of the datapoints in a range, in order."""


@dataclass(slots=True)
class Plan:
    """Where the datapoints of an answer lie in time."""

    answer: Counted
    keys: KeyRange
    width_ms: int
    # Number of datapoints in front of each bin, and in the end the number of all; shape (bins + 1,).
    before: NDArray[np.int64]
    finer: dict[int, Plan | Millisecond] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Counted, keys: KeyRange) -> Plan:
        """Count an answer within a range of keys whose ends are whole milliseconds."""
        width_ms = max(1, -(-(keys.end_ms - keys.start_ms) // MAX_BINS))
        bins = max(1, -(-(keys.end_ms - keys.start_ms) // width_ms))
        counts = np.zeros(bins, dtype=np.int64)
        for times in answer.times(keys):
            counts += np.bincount((times - keys.start_ms) // width_ms, minlength=bins)
        return cls(answer, keys, width_ms, np.concatenate(([0], np.cumsum(counts))))

    def slice_from(self, position: Key, rows: int, *, least: int, descending: bool = False) -> KeyRange | None:
        """Return the next part of the answer to read.

        Args:
            position: Up to where it has been read: the lowest key left, or the end of what is left if descending.
            rows: How many rows it should have at most.
            least: Up to how many rows a bin is not worth dividing.
            descending: From the latest to the earliest.

        Returns:
            A range that starts (ends) at the position or behind it, or None at the end of the answer.
        """
        return self._before(position, rows, least) if descending else self._from(position, rows, least)

    def _from(self, position: Key, rows: int, least: int) -> KeyRange | None:
        position = max(position, self.keys.low)
        while position < self.keys.high:
            # The first bin from here on that holds anything.
            here = (position[0] - self.keys.start_ms) // self.width_ms
            first = int(np.searchsorted(self.before, self.before[here], side="right")) - 1
            if first >= len(self.before) - 1:
                return None
            position = max(position, (self._start(first), b""))
            last = int(np.searchsorted(self.before, self.before[first] + rows, side="right")) - 1
            if last > first or self._rows_in(first) <= least:
                return KeyRange(position, (self._start(max(last, first + 1)), b""))
            part = self._finer(first).slice_from(position, rows, least=least)
            if part is not None:
                return part
            position = (self._start(first + 1), b"")
        return None

    def _before(self, position: Key, rows: int, least: int) -> KeyRange | None:
        position = min(position, self.keys.high)
        while position > self.keys.low:
            behind = -(-(KeyRange(self.keys.low, position).end_ms - self.keys.start_ms) // self.width_ms)
            # The last bin up to here that holds anything.
            last = int(np.searchsorted(self.before, self.before[behind], side="left")) - 1
            if last < 0:
                return None
            position = min(position, (self._start(last + 1), b""))
            first = int(np.searchsorted(self.before, self.before[last + 1] - rows, side="left"))
            if first <= last or self._rows_in(last) <= least:
                return KeyRange((self._start(min(first, last)), b""), position)
            part = self._finer(last).slice_from(position, rows, least=least, descending=True)
            if part is not None:
                return part
            position = (self._start(last), b"")
        return None

    def _start(self, index: int) -> int:
        return min(self.keys.start_ms + index * self.width_ms, self.keys.end_ms)

    def _rows_in(self, index: int) -> int:
        return int(self.before[index + 1] - self.before[index])

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
    """The ids of one millisecond that holds too many datapoints for one slice."""

    keys: KeyRange
    ids: list[bytes]

    def slice_from(self, position: Key, rows: int, *, least: int, descending: bool = False) -> KeyRange | None:
        """Return the next part to read, as `Plan.slice_from` does."""
        del least
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
