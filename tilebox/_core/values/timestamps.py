"""Protobuf's seconds and nanoseconds as 64-bit nanoseconds, checked: what does not fit is an error, never wrapped."""

from __future__ import annotations

from typing import Any

import numpy as np

_SECOND = 10**9
_MAX_SECONDS, _MAX_NANOS = divmod(2**63 - 1, _SECOND)

Array = np.ndarray[Any, Any]


class ItemError(ValueError):
    """A value that cannot be kept, by its position in the flat column.

    Args:
        item: Position of the value.
        reason: What is wrong with it.
    """

    def __init__(self, item: int, reason: str) -> None:
        super().__init__(reason)
        self.item = item


def find_row(offsets: Array | None, item: int) -> int:
    """Return the row that an item of a list column belongs to; items of other columns are rows."""
    return item if offsets is None else int(np.searchsorted(offsets, item, side="right")) - 1


def raise_first(wrong: Array, reason: str) -> None:
    """Raise `ItemError` for the first item that is marked as wrong."""
    if wrong.any():
        raise ItemError(int(wrong.argmax()), reason)


def nanoseconds_of_timestamps(seconds: Array, nanos: Array) -> Array:
    """Return nanoseconds since 1970 of int64 `seconds` and `nanos`.

    Raises:
        ItemError: A time does not fit `datetime64[ns]`, or its nanoseconds are not those of one second.
    """
    raise_first((nanos < 0) | (nanos >= _SECOND), "the nanoseconds of a timestamp must be 0 to 999,999,999")
    # Negative times count back from the next second, since the first second of the range is cut short.
    negative = seconds < 0
    whole, part = seconds + negative, nanos - _SECOND * negative
    _check_range(whole, part, "times must lie within 1677-09-21 and 2262-04-11")
    total: Array = whole * _SECOND + part
    return total


def nanoseconds_of_durations(seconds: Array, nanos: Array) -> Array:
    """Return the nanoseconds of durations given as int64 `seconds` and `nanos`.

    Raises:
        ItemError: A duration does not fit `timedelta64[ns]`, or its parts do not go together.
    """
    mixed = (np.sign(seconds) * np.sign(nanos) < 0) | (np.abs(nanos) >= _SECOND)
    raise_first(mixed, "the nanoseconds of a duration must be below one second and have the sign of its seconds")
    _check_range(seconds, nanos, "durations must be within 292 years")
    return seconds * _SECOND + nanos


def split(ticks: Array, per_second: int, *, floor: bool) -> tuple[Array, Array]:
    """Split times into seconds and nanoseconds.

    Args:
        ticks: Times as int64, in units of which a second has `per_second`.
        per_second: 1 to 1,000,000,000.
        floor: Round seconds down, as timestamps do; otherwise towards zero, as durations do.
    """
    seconds = np.floor_divide(ticks, per_second)
    if not floor:
        seconds += (ticks < 0) & (seconds * per_second != ticks)
    return seconds, (ticks - seconds * per_second) * (_SECOND // per_second)


def _check_range(seconds: Array, nanos: Array, reason: str) -> None:
    beyond = (seconds > _MAX_SECONDS) | (seconds < -_MAX_SECONDS)
    edge = (seconds == _MAX_SECONDS) & (nanos > _MAX_NANOS) | (seconds == -_MAX_SECONDS) & (nanos < -_MAX_NANOS)
    raise_first(beyond | edge, reason)
