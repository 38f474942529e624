"""Which times occur among rows: of few rows all times, of many a Bloom filter.

A filter's no is certain, its yes is wrong once in a thousand times.

An id carries its time, so datapoints whose times do not occur are new, and nothing has to be read to know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilebox.server.points.identity.digests import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of a small ingest's rows all times are kept: hundreds of filters that are wrong once in a thousand times would, for a
# hundred times, nearly always be wrong somewhere.
_EXACT_ROWS = 1_024

# Two to four bytes a row: 30 MB for ten million rows.
_BITS_PER_ROW = 16
_PROBES = 6
_STEP_BITS = np.uint64(32)
_NO_BITS = np.array([], np.uint8)


@dataclass(frozen=True, slots=True)
class Moments:
    """The times of rows.

    Args:
        exact: All of them, ascending, if they are few.
        bits: Otherwise a number of bits that is a power of two, eight a byte.
    """

    exact: NDArray[np.int64] | None
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> Moments:
        """Remember times."""
        if len(times) <= _EXACT_ROWS:
            return cls(np.sort(times), _NO_BITS)
        size = 1 << (len(times) * _BITS_PER_ROW - 1).bit_length()
        bits = np.zeros(size, np.bool_)
        for places in _places(times, size):
            bits[places] = True
        return cls(None, np.packbits(bits, bitorder="little"))

    def may_have(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which times may be among those remembered; all that are, and hardly any other."""
        if self.exact is not None:
            return are_among(times, self.exact)
        found = np.ones(len(times), np.bool_)
        for places in _places(times, len(self.bits) * 8):
            found &= (self.bits[places >> 3] >> (places & 7)) & 1 == 1
        return found


def are_among(times: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which times are among others, which are in ascending order."""
    if not len(ordered):
        return np.zeros(len(times), np.bool_)
    places = np.minimum(np.searchsorted(ordered, times), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[places] == times
    return found


def _places(times: NDArray[np.int64], size: int) -> list[NDArray[np.intp]]:
    """Return which bits stand for each time."""
    words = mixed(times.astype(np.uint64))
    step = (words >> _STEP_BITS) | np.uint64(1)
    return [((words + np.uint64(probe) * step) & np.uint64(size - 1)).astype(np.intp) for probe in range(_PROBES)]
