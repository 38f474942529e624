"""Times: scalars, intervals, and what else may stand for an interval.

A time scalar is a `datetime`, an ISO 8601 string, or Unix seconds; numpy and pandas times count too.
Without a zone it is UTC. The server stores times in milliseconds, so one scalar means its millisecond.

>>> from datetime import datetime
>>> print(TimeInterval(datetime(2017, 1, 1), datetime(2023, 1, 1)))
[2017-01-01T00:00:00.000 UTC, 2023-01-01T00:00:00.000 UTC)
>>> print(parse("2023-05-01 12:45:33.423"))
[2023-05-01T12:45:33.423 UTC, 2023-05-01T12:45:33.423 UTC]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from tilebox._core.protocol.tilebox.v1 import query_pb2

if TYPE_CHECKING:
    from datetime import tzinfo

    import xarray as xr

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_YEAR_OR_MONTH = re.compile(r"(\d{4})(?:-(\d{2}))?")

TimeScalar = Union[datetime, str, int, float, np.datetime64]  # noqa: UP007 `|` would evaluate the quoted names below
"""A point in time: a datetime, an ISO 8601 string (UTC unless it names an offset), or Unix seconds."""

TimeIntervalLike = Union[
    "TimeInterval", TimeScalar, tuple[TimeScalar, TimeScalar], Iterable[TimeScalar], "xr.DataArray", "xr.Dataset"
]
"""What stands for an interval: see `parse`."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TimeInterval:
    """An interval between two times. Half-open, `[start, end)`, unless it says otherwise.

    Two intervals are equal if they hold the same microseconds, whatever their brackets and time zones.

    Args:
        start: Its beginning; UTC if it has no zone.
        end: Its end; UTC if it has no zone.
        start_exclusive: Whether `start` itself is outside.
        end_inclusive: Whether `end` itself is inside.

    Raises:
        TypeError: A time is no datetime.
        ValueError: A time is NaT, or the end lies before the start.
    """

    start: datetime
    end: datetime
    start_exclusive: bool = False
    end_inclusive: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _as_datetime(self.start, "start"))
        object.__setattr__(self, "end", _as_datetime(self.end, "end"))
        if self.end < self.start:
            raise ValueError(
                f"the interval ends ({self.end.isoformat()}) before it starts ({self.start.isoformat()}); swap the two"
            )

    def to_half_open(self) -> TimeInterval:
        """Return the same interval as `[start, end)`; times have microseconds, so that is the step."""
        start = self.start + _MICROSECOND if self.start_exclusive else self.start
        end = self.end + _MICROSECOND if self.end_inclusive and self.end < _LATEST else self.end
        return TimeInterval(start, max(start, end))

    def astimezone(self, zone: tzinfo | None) -> TimeInterval:
        """Return the same interval with its times in another zone."""
        return TimeInterval(
            self.start.astimezone(zone), self.end.astimezone(zone), self.start_exclusive, self.end_inclusive
        )

    @property
    def is_empty(self) -> bool:
        """Whether no microsecond lies inside."""
        half_open = self.to_half_open()
        return half_open.start >= half_open.end

    def format(self, endpoints: bool = True, sep: str = ", ", timespec: str = "milliseconds") -> str:
        """Write the interval in mathematical notation.

        Args:
            endpoints: Whether to write the brackets.
            sep: What to write between the two times.
            timespec: Precision of the times, as in `datetime.isoformat`.
        """
        if self.start == self.end == EPOCH and not self.end_inclusive:
            # How a collection without datapoints describes its availability.
            return "<empty>"
        times = sep.join(
            f"{time.replace(tzinfo=None).isoformat(timespec=timespec)} {time.tzname()}"
            for time in (self.start, self.end)
        )
        if not endpoints:
            return times
        return f"{'(' if self.start_exclusive else '['}{times}{']' if self.end_inclusive else ')'}"

    def to_wire(self) -> query_pb2.TimeInterval:
        """Return the message of this interval."""
        return query_pb2.TimeInterval(
            start_time=_timestamp(self.start),
            end_time=_timestamp(self.end),
            start_exclusive=self.start_exclusive,
            end_inclusive=self.end_inclusive,
        )

    @classmethod
    def from_wire(cls, message: query_pb2.TimeInterval) -> TimeInterval:
        """Read the message of an interval."""
        start = message.start_time.ToDatetime(tzinfo=UTC)
        end = message.end_time.ToDatetime(tzinfo=UTC)
        return cls(start, end, message.start_exclusive, message.end_inclusive)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeInterval):
            return NotImplemented
        return self._bounds() == other._bounds()

    def __hash__(self) -> int:
        return hash(self._bounds())

    def __repr__(self) -> str:
        return self.format()

    def _bounds(self) -> tuple[datetime, datetime]:
        # In UTC: a time that its zone's clocks show twice, or never, equals none of another zone (PEP 495).
        half_open = self.astimezone(UTC).to_half_open()
        return half_open.start, half_open.end


def parse(value: Any) -> TimeInterval:
    """Read what stands for an interval.

    Args:
        value: One of

            - a `TimeInterval`, which stays as it is;
            - a tuple of two scalars: the half-open interval `[start, end)`;
            - one scalar: exactly its millisecond;
            - any other iterable of scalars (list, array, index, `data.time`) or a dataset with a `time`:
              from the first to the last of them, both included. A list of two counts as such an
              iterable: only a tuple is half-open.

    Raises:
        ValueError: It is empty, not a time, or ends before it starts.
        TypeError: It is of a type that cannot be a time.
    """
    if isinstance(value, TimeInterval):
        return value
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"a tuple is an interval (start, end); this one has {len(value)} items: make it a list")
        return TimeInterval(parse_scalar(value[0]), parse_scalar(value[1]))
    if _is_scalar(value):
        time = _whole_millisecond(parse_scalar(value))
        return TimeInterval(time, time, end_inclusive=True)
    first, last = _ends(value)
    start, end = _whole_millisecond(parse_scalar(first)), _whole_millisecond(parse_scalar(last))
    if end < start:
        raise ValueError(
            f"the last time ({end.isoformat()}) lies before the first ({start.isoformat()}); "
            "sort the times, or give a tuple (start, end)"
        )
    return TimeInterval(start, end, end_inclusive=True)


def parse_scalar(value: Any) -> datetime:
    """Read a point in time, finer parts than microseconds cut off.

    Raises:
        ValueError: It is no time.
        TypeError: It is of a type that cannot be a time.
    """
    if isinstance(value, datetime):
        return _as_datetime(value, "time")
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not _is_scalar(value):
        raise TypeError(f"a {type(value).__name__} is no time; give a datetime, an ISO 8601 string or Unix seconds")
    array = np.asarray(value)
    if array.dtype.kind == "M":
        return _from_datetime64(array)
    item: Any = array.item()
    if isinstance(item, bool):
        raise TypeError("a bool is no time; give a datetime, an ISO 8601 string or Unix seconds")
    if isinstance(item, (int, float)):
        return _from_seconds(item)
    if isinstance(item, (str, datetime)):
        return parse_scalar(item)
    raise TypeError(f"{item!r} is no time; give a datetime, an ISO 8601 string or Unix seconds")


def _as_datetime(value: Any, name: str) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(
            f"{name} must be a datetime, not a {type(value).__name__}; only tuples such as (start, end) take strings"
        )
    if value != value:  # noqa: PLR0124 only NaT differs from itself
        raise ValueError(f"{name} is NaT, which is no time; drop missing times first")
    if type(value) is not datetime:
        # pandas' Timestamp; its nanoseconds are cut off, and it must not warn of that.
        value = datetime(
            value.year,
            value.month,
            value.day,
            value.hour,
            value.minute,
            value.second,
            value.microsecond,
            value.tzinfo,
            fold=value.fold,
        )
    time: datetime = value
    return time if time.utcoffset() is not None else time.replace(tzinfo=UTC)


def _parse_text(text: str) -> datetime:
    stripped = text.strip()
    short = _YEAR_OR_MONTH.fullmatch(stripped)
    try:
        if short:
            return datetime(int(short[1]), int(short[2] or 1), 1, tzinfo=UTC)
        time = datetime.fromisoformat(stripped)
    except ValueError:
        raise ValueError(f"{text!r} is no ISO 8601 time; write it like '2023-05-01T12:45:33.423'") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _from_datetime64(array: Any) -> datetime:
    if np.isnat(array):
        raise ValueError("a time is NaT; drop missing times first")
    # Floor division, so that times before 1970 are cut downwards like all others.
    microseconds = int(array.astype("datetime64[us]").astype(np.int64))
    return _shifted(timedelta(microseconds=microseconds), array)


def _from_seconds(seconds: float) -> datetime:
    if seconds != seconds:  # noqa: PLR0124 only NaN differs from itself
        raise ValueError("a time is NaN; drop missing times first")
    try:
        return _shifted(timedelta(seconds=seconds), seconds)
    except OverflowError:
        raise ValueError(
            f"{seconds} seconds since 1970 is outside the years 1 to 9999; divide if it counts milliseconds"
        ) from None


def _shifted(delta: timedelta, value: object) -> datetime:
    try:
        return EPOCH + delta
    except OverflowError:
        raise ValueError(
            f"{value} is outside the years 1 to 9999; numbers are seconds since 1970, not milliseconds"
        ) from None


def _whole_millisecond(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, (str, bytes, date, int, float, np.generic)):
        return True
    # A datapoint's time, an array without dimensions; pandas' NaT is a datetime.
    return getattr(value, "ndim", None) == 0


def _ends(value: Any) -> tuple[Any, Any]:
    if hasattr(value, "data_vars") or hasattr(value, "columns"):
        if "time" not in value:
            raise ValueError("the dataset has no times (an empty result has none): check `'time' in data` before")
        value = value["time"]
        if getattr(value, "ndim", None) == 0:
            return value, value
    # pandas' columns count by label; by position they go through `iloc`.
    items: Any = getattr(value, "iloc", value)
    if hasattr(items, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, dict):
        count = len(value)
    elif isinstance(value, Iterable):
        items = list(value)
        count = len(items)
    else:
        raise TypeError(
            f"a {type(value).__name__} is no time interval; give a TimeInterval, a tuple (start, end), "
            "one time, or an iterable of times"
        )
    if count == 0:
        raise ValueError("no times to load: the iterable is empty; check its length before")
    return items[0], items[-1]


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time.astimezone(UTC))
    return message


ALWAYS = TimeInterval(datetime.min.replace(tzinfo=UTC), _LATEST, end_inclusive=True)
"""All times that a datetime can hold."""
