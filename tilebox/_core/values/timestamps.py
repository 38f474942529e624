"""Conversion of protobuf's seconds and nanoseconds to 64-bit nanoseconds and back.

Values that do not fit raise an error; they never wrap around.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_SECOND = 10**9
_MAX_SECONDS, _MAX_NANOS = divmod(2**63 - 1, _SECOND)

Array = np.ndarray[Any, Any]


class ItemError(ValueError):
    """A value of a column that cannot be stored.

    Args:
        item: The position of the value in the flat column.
        reason: Why it cannot be stored.
    """

    def __init__(self, item: int, reason: str) -> None:
        super().__init__(reason)
        self.item = item


def find_row(offsets: Array | None, item: int) -> int:
    """Return the row of an item, by the row offsets of a list column; without offsets, each item is a row."""
    return item if offsets is None else int(np.searchsorted(offsets, item, side="right")) - 1


def raise_first(wrong: Array, reason: str) -> None:
    """Raise `ItemError` for the first item for which `wrong` is true."""
    if wrong.any():
        raise ItemError(int(wrong.argmax()), reason)


def nanoseconds_of_timestamps(seconds: Array, nanos: Array) -> Array:
    """Return timestamps as nanoseconds since 1970, from their int64 `seconds` and `nanos`.

    Raises:
        ItemError: A time does not fit `datetime64[ns]`, or its nanoseconds are outside 0 to 999,999,999.
    """
    raise_first((nanos < 0) | (nanos >= _SECOND), "the nanoseconds of a timestamp must be 0 to 999,999,999")
    # Negative times count back from the next second: the range of int64 nanoseconds begins within a second, so the
    # product of the plain seconds would overflow there.
    negative = seconds < 0
    whole, part = seconds + negative, nanos - _SECOND * negative
    _check_range(whole, part, "times must lie within 1677-09-21 and 2262-04-11")
    total: Array = whole * _SECOND + part
    return total


def nanoseconds_of_durations(seconds: Array, nanos: Array) -> Array:
    """Return durations in nanoseconds, from their int64 `seconds` and `nanos`.

    Raises:
        ItemError: A duration does not fit `timedelta64[ns]`, or its seconds and nanoseconds differ in sign.
    """
    mixed = (np.sign(seconds) * np.sign(nanos) < 0) | (np.abs(nanos) >= _SECOND)
    raise_first(mixed, "the nanoseconds of a duration must be below one second and have the sign of its seconds")
    _check_range(seconds, nanos, "durations must be within 292 years")
    return seconds * _SECOND + nanos


def split(ticks: Array, per_second: int, *, floor: bool) -> tuple[Array, Array]:
    """Split times into seconds and nanoseconds.

    Args:
        ticks: Times as int64, in ticks.
        per_second: The number of ticks in a second, 1 to 1,000,000,000.
        floor: Whether to round seconds down, as timestamps do, rather than towards zero, as durations do.
    """
    seconds = np.floor_divide(ticks, per_second)
    if not floor:
        seconds += (ticks < 0) & (seconds * per_second != ticks)
    return seconds, (ticks - seconds * per_second) * (_SECOND // per_second)


def _check_range(seconds: Array, nanos: Array, reason: str) -> None:
    beyond = (seconds > _MAX_SECONDS) | (seconds < -_MAX_SECONDS)
    edge = (seconds == _MAX_SECONDS) & (nanos > _MAX_NANOS) | (seconds == -_MAX_SECONDS) & (nanos < -_MAX_NANOS)
    raise_first(beyond | edge, reason)
