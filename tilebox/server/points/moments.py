"""Which times occur among rows: a Bloom filter, so that no is certain, and yes is wrong once in a thousand times.

An id carries its time, so datapoints whose times do not occur are new, and nothing has to be read to know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tilebox.server.points.digests import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Two to four bytes a row: 30 MB for ten million rows.
_BITS_PER_ROW = 16
_FEWEST_BITS = 1 << 10
_PROBES = 6
_STEP_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Moments:
    """The times of rows.

    Args:
        bits: A number of bits that is a power of two, eight a byte.
    """

    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, times: NDArray[np.int64]) -> Moments:
        """Remember times."""
        size = max(_FEWEST_BITS, 1 << (len(times) * _BITS_PER_ROW - 1).bit_length())
        bits = np.zeros(size, np.bool_)
        for places in _places(times, size):
            bits[places] = True
        return cls(np.packbits(bits, bitorder="little"))

    def may_have(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which times may be among those remembered; all that are, and hardly any other."""
        found = np.ones(len(times), np.bool_)
        for places in _places(times, len(self.bits) * 8):
            found &= (self.bits[places >> 3] >> (places & 7)) & 1 == 1
        return found


def _places(times: NDArray[np.int64], size: int) -> list[NDArray[np.intp]]:
    """Return which bits stand for each time."""
    words = mixed(times.astype(np.uint64))
    step = (words >> _STEP_BITS) | np.uint64(1)
    return [((words + np.uint64(probe) * step) & np.uint64(size - 1)).astype(np.intp) for probe in range(_PROBES)]
