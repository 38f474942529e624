r"""Keys that order datapoints by (time, id), as Python values and as arrays.

A key is `(ms, id bytes)`. Ranges of keys are half-open. `(ms, b"")` sorts before all datapoints of
its millisecond, and `(ms, id + b"\0")` right after a datapoint, because no id is longer than 16 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tilebox._core.schema.arrow_schema import combine_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = tuple[int, bytes]

ID_BYTES = 16
FIRST_KEY: Key = (-(2**47), b"")
LAST_KEY: Key = (2**47, b"")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from `low` (included) to `high` (excluded)."""

    low: Key
    high: Key

    @property
    def start_ms(self) -> int:
        """The first millisecond that may hold a datapoint of the range."""
        return self.low[0]

    @property
    def end_ms(self) -> int:
        """The first millisecond after the range."""
        return self.high[0] + (1 if self.high[1] else 0)

    @property
    def has_id_bound(self) -> bool:
        """Whether a bound lies inside a millisecond, so that times alone do not decide."""
        return bool(self.low[1] or self.high[1])

    def __bool__(self) -> bool:
        return self.low < self.high

    def __and__(self, other: KeyRange) -> KeyRange:
        return KeyRange(max(self.low, other.low), min(self.high, other.high))


def time_ms_of(datapoint: bytes) -> int:
    """Return the time of a datapoint from its id: the first 48 bits, signed, in milliseconds since 1970."""
    return int.from_bytes(datapoint[:6], "big", signed=True)


def key_of(datapoint: bytes) -> Key:
    """Return the key of a datapoint from its id."""
    return time_ms_of(datapoint), datapoint


def key_after(datapoint: bytes) -> Key:
    """Return the first key after that of a datapoint."""
    return time_ms_of(datapoint), datapoint + b"\0"


def times_of(rows: pa.Table) -> NDArray[np.int64]:
    """Return the times of rows in milliseconds since 1970, shape (rows,)."""
    return np.asarray(combine_chunks(rows["time"]).view(pa.int64()))


def id_words(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """Return ids as an array of shape (n, 2): big-endian words, which compare as the bytes do."""
    array = combine_chunks(column) if isinstance(column, pa.ChunkedArray) else column
    values = np.frombuffer(array.buffers()[1] or b"", dtype=">u8", count=2 * (array.offset + len(array)))
    return values.reshape(-1, 2)[array.offset :].astype(np.uint64)


def times_of_ids(ids: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return the times that ids carry, in milliseconds since 1970, shape (n,)."""
    return id_words(ids)[:, 0].astype(np.int64) >> 16


def sort_rows(rows: pa.Table, *, descending: bool = False) -> pa.Table:
    """Return rows sorted by (time, id)."""
    words = id_words(rows["id"])
    # An id begins with its time, so its first word decides unless two digests begin alike.
    high_words = words[:, 0].view(np.int64)
    order = None
    if not _is_sorted(high_words, words[:, 1]):
        order = np.argsort(high_words, kind="stable")
        sorted_words = high_words[order]
        if (sorted_words[:-1] == sorted_words[1:]).any():
            order = np.lexsort((words[:, 1], high_words))
    if descending:
        order = (np.arange(rows.num_rows) if order is None else order)[::-1]
    return rows if order is None else rows.take(pa.array(order))


def filter_rows(rows: pa.Table, keys: KeyRange) -> pa.Table:
    """Keep the rows inside a range of keys. Their times must be inside it already."""
    if not keys.has_id_bound or not rows.num_rows:
        return rows
    mask = within_mask(rows, keys)
    return rows if mask.all() else rows.filter(pa.array(mask))


def within_mask(rows: pa.Table, keys: KeyRange) -> NDArray[np.bool_]:
    """Tell which rows are inside a range of keys, shape (rows,). Their times must be inside it already."""
    times, words = times_of(rows), id_words(rows["id"])
    mask = np.ones(rows.num_rows, dtype=bool)
    low_ms, low_id = keys.low
    if low_id:
        mask &= (times > low_ms) | ((times == low_ms) & ~_are_before(words, low_id))
    high_ms, high_id = keys.high
    if high_id:
        mask &= (times < high_ms) | ((times == high_ms) & _are_before(words, high_id))
    return mask


def _is_sorted(high_words: NDArray[np.int64], low_words: NDArray[np.uint64]) -> bool:
    if (high_words[:-1] > high_words[1:]).any():
        return False
    tied = np.flatnonzero(high_words[:-1] == high_words[1:])
    return bool((low_words[tied] <= low_words[tied + 1]).all())


def _are_before(words: NDArray[np.uint64], bound: bytes) -> NDArray[np.bool_]:
    """Tell which ids are less than a bound of up to 17 bytes; a 17th byte is always zero."""
    padded = bound[:ID_BYTES].ljust(ID_BYTES, b"\0")
    high, low = (np.uint64(int.from_bytes(padded[start : start + 8], "big")) for start in (0, 8))
    before = (words[:, 0] < high) | ((words[:, 0] == high) & (words[:, 1] < low))
    if len(bound) > ID_BYTES:
        before |= (words[:, 0] == high) & (words[:, 1] == low)
    return np.asarray(before)
