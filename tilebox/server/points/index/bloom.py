"""A filter on the times of rows: exact for few rows, a Bloom filter for many.

A negative answer is certain. A positive one of a Bloom filter is wrong once in a thousand times.

An id carries its time, so datapoints whose times do not occur are new, and an ingest learns it without reading rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilebox.server.points.identity.digests import mix64

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A small ingest is filtered exactly. There may be hundreds of small fragments, and as many Bloom filters, each wrong
# once in a thousand times, would nearly always have a false positive among them for a hundred times.
_EXACT_ROWS = 1_024

# Rounding up to a power of two makes it two to four bytes a row: 30 MB for ten million rows.
_BITS_PER_ROW = 16
_PROBES = 6
_STEP_BITS = np.uint64(32)
_NO_BITS = np.array([], np.uint8)


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """A set of times that answers whether it may contain a time.

    Args:
        exact: All times in ascending order, if they are few.
        bits: Otherwise a Bloom filter whose size is a power of two, eight bits per byte.
    """

    exact: NDArray[np.int64] | None
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> TimeFilter:
        """Build the filter of times in milliseconds since 1970, shape (rows,)."""
        if len(times) <= _EXACT_ROWS:
            return cls(np.sort(times), _NO_BITS)
        size = 1 << (len(times) * _BITS_PER_ROW - 1).bit_length()
        bits = np.zeros(size, np.bool_)
        for indices in _bit_indices(times, size):
            bits[indices] = True
        return cls(None, np.packbits(bits, bitorder="little"))

    def may_contain(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which times may be in the filter: all that are, and hardly any other; shape (n,)."""
        if self.exact is not None:
            return is_in_sorted(times, self.exact)
        found = np.ones(len(times), np.bool_)
        for indices in _bit_indices(times, len(self.bits) * 8):
            found &= (self.bits[indices >> 3] >> (indices & 7)) & 1 == 1
        return found


def is_in_sorted(times: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which times are in an array that is in ascending order; shape (n,)."""
    if not len(ordered):
        return np.zeros(len(times), np.bool_)
    indices = np.minimum(np.searchsorted(ordered, times), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[indices] == times
    return found


def _bit_indices(times: NDArray[np.int64], size: int) -> list[NDArray[np.intp]]:
    """Return the bits of each time, one array per probe, by double hashing."""
    words = mix64(times.astype(np.uint64))
    # An odd step is coprime to the size, so the probes of a time differ.
    step = (words >> _STEP_BITS) | np.uint64(1)
    return [((words + np.uint64(probe) * step) & np.uint64(size - 1)).astype(np.intp) for probe in range(_PROBES)]
