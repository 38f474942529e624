"""Where in a fragment which times lie: the first and the last time of every so many of its rows.

Rows are written in order of time, so a short time lies in a few blocks, and these are read by position, which takes
a third of a look-up in an index. Where rows are mixed, as in a fragment merged from many scattered ones, many blocks
touch a time; then the index is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilebox.server.points.index.bloom import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Ten million rows take 600 kB then, and reading a block too much costs less than finding its end.
BLOCK_ROWS = 256


@dataclass(frozen=True, slots=True)
class Blocks:
    """The times of a fragment's rows, deleted ones left out, a block at a time.

    Args:
        rows: Number of rows.
        first_ms: The earliest time of each block, shape (blocks,).
        last_ms: The latest time of each block, shape (blocks,).
        moments: All times.
    """

    rows: int
    first_ms: NDArray[np.int64]
    last_ms: NDArray[np.int64]
    moments: Moments

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> Blocks:
        """Divide rows, of which there is at least one, by their times in the order in which they are stored."""
        starts = np.arange(0, len(times), BLOCK_ROWS)
        first_ms, last_ms = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
        return cls(len(times), first_ms, last_ms, Moments.of(times))

    def near(self, start_ms: int, end_ms: int) -> NDArray[np.int64]:
        """Return the positions of at least those rows whose times lie in a range."""
        blocks = np.flatnonzero((self.first_ms < end_ms) & (self.last_ms >= start_ms))
        positions = (blocks[:, np.newaxis] * BLOCK_ROWS + np.arange(BLOCK_ROWS)).ravel()
        return positions[positions < self.rows]
