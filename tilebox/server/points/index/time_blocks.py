"""The first and the last time of each block of rows in a fragment (a zone map).

Rows are written in order of time, so a short interval touches few blocks, and their rows are read by position, which
takes a third of the time of an index look-up. Where rows are mixed, as in a fragment merged from many scattered ones,
many blocks touch an interval, and the index serves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilebox.server.points.index.bloom import TimeFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Ten million rows take 600 kB at this size, and reading one block too many costs less than finding where to stop.
BLOCK_ROWS = 256


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """The times of the rows of a fragment, by block. Deleted rows do not count.

    Args:
        rows: Number of rows.
        first_ms: The earliest time of each block, shape (blocks,).
        last_ms: The latest time of each block, shape (blocks,).
        filter: A filter on the times of all rows.
    """

    rows: int
    first_ms: NDArray[np.int64]
    last_ms: NDArray[np.int64]
    filter: TimeFilter

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> TimeBlocks:
        """Divide at least one row into blocks, given their times in the order in which they are stored."""
        starts = np.arange(0, len(times), BLOCK_ROWS)
        first_ms, last_ms = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
        return cls(len(times), first_ms, last_ms, TimeFilter.of(times))

    def positions_near(self, start_ms: int, end_ms: int) -> NDArray[np.int64]:
        """Return the positions of at least the rows whose times are in a half-open interval, ascending."""
        blocks = np.flatnonzero((self.first_ms < end_ms) & (self.last_ms >= start_ms))
        positions = (blocks[:, np.newaxis] * BLOCK_ROWS + np.arange(BLOCK_ROWS)).ravel()
        return positions[positions < self.rows]
