r"""The order of datapoints, (time, id), as Python values and as arrays.

A key is `(ms, id bytes)`. Ranges of keys are half-open; `(ms, b"")` lies in front of all datapoints of
its millisecond, and `(ms, id + b"\0")` right behind a datapoint, because no id is longer than 16 bytes.
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
    """Datapoints from `low` to before `high`."""

    low: Key
    high: Key

    @property
    def start_ms(self) -> int:
        """First millisecond that may hold a datapoint of the range."""
        return self.low[0]

    @property
    def end_ms(self) -> int:
        """First millisecond behind the range."""
        return self.high[0] + (1 if self.high[1] else 0)

    @property
    def cuts_ids(self) -> bool:
        """Whether an end lies inside a millisecond."""
        return bool(self.low[1] or self.high[1])

    def __bool__(self) -> bool:
        return self.low < self.high

    def __and__(self, other: KeyRange) -> KeyRange:
        return KeyRange(max(self.low, other.low), min(self.high, other.high))


def milliseconds_of(datapoint: bytes) -> int:
    """Return the time that an id carries: its first 48 bits, signed."""
    return int.from_bytes(datapoint[:6], "big", signed=True)


def key_of(datapoint: bytes) -> Key:
    """Return the key of the datapoint of an id."""
    return milliseconds_of(datapoint), datapoint


def behind(datapoint: bytes) -> Key:
    """Return the first key behind a datapoint."""
    return milliseconds_of(datapoint), datapoint + b"\0"


def times_of(rows: pa.Table) -> NDArray[np.int64]:
    """Return the times of rows in milliseconds."""
    return np.asarray(combine_chunks(rows["time"]).view(pa.int64()))


def id_words(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """Return ids as an array of shape (n, 2), words that compare as the bytes do."""
    array = combine_chunks(column) if isinstance(column, pa.ChunkedArray) else column
    values = np.frombuffer(array.buffers()[1] or b"", dtype=">u8", count=2 * (array.offset + len(array)))
    return values.reshape(-1, 2)[array.offset :].astype(np.uint64)


def times_of_ids(ids: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Return the times that ids carry, in milliseconds."""
    return id_words(ids)[:, 0].astype(np.int64) >> 16


def in_order(rows: pa.Table, *, descending: bool = False) -> pa.Table:
    """Return rows by (time, id)."""
    words = id_words(rows["id"])
    # An id begins with its time, so its first word orders all but datapoints whose digests begin alike.
    first = words[:, 0].view(np.int64)
    order = None
    if not _is_sorted(first, words[:, 1]):
        order = np.argsort(first, kind="stable")
        ordered = first[order]
        if (ordered[:-1] == ordered[1:]).any():
            order = np.lexsort((words[:, 1], first))
    if descending:
        order = (np.arange(rows.num_rows) if order is None else order)[::-1]
    return rows if order is None else rows.take(pa.array(order))


def within(rows: pa.Table, keys: KeyRange) -> pa.Table:
    """Drop the rows outside a range of keys, whose times are within it already."""
    if not keys.cuts_ids or not rows.num_rows:
        return rows
    kept = are_within(rows, keys)
    return rows if kept.all() else rows.filter(pa.array(kept))


def are_within(rows: pa.Table, keys: KeyRange) -> NDArray[np.bool_]:
    """Tell which rows are inside a range of keys, whose times are within it already; shape (rows,)."""
    times, words = times_of(rows), id_words(rows["id"])
    kept = np.ones(rows.num_rows, dtype=bool)
    low_ms, low_id = keys.low
    if low_id:
        kept &= (times > low_ms) | ((times == low_ms) & ~_are_before(words, low_id))
    high_ms, high_id = keys.high
    if high_id:
        kept &= (times < high_ms) | ((times == high_ms) & _are_before(words, high_id))
    return kept


def _is_sorted(first: NDArray[np.int64], second: NDArray[np.uint64]) -> bool:
    if (first[:-1] > first[1:]).any():
        return False
    tied = np.flatnonzero(first[:-1] == first[1:])
    return bool((second[tied] <= second[tied + 1]).all())


def _are_before(words: NDArray[np.uint64], bound: bytes) -> NDArray[np.bool_]:
    """Compare ids with a bound of up to 17 bytes, the last of which is then zero."""
    padded = bound[:ID_BYTES].ljust(ID_BYTES, b"\0")
    high, low = (np.uint64(int.from_bytes(padded[start : start + 8], "big")) for start in (0, 8))
    before = (words[:, 0] < high) | ((words[:, 0] == high) & (words[:, 1] < low))
    if len(bound) > ID_BYTES:
        before |= (words[:, 0] == high) & (words[:, 1] == low)
    return np.asarray(before)
