"""Time scalars, time intervals, and the values that convert to an interval.

A time scalar is a `datetime`, an ISO 8601 string, or Unix seconds. Times of numpy and pandas are accepted too.
A time without a zone is UTC. The server stores times in milliseconds, so a single scalar means its whole millisecond.

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
_GIVE_A_TIME = "give a datetime, an ISO 8601 string or Unix seconds"

TimeScalar = Union[datetime, str, int, float, np.datetime64]  # noqa: UP007 `|` would evaluate the quoted names below
"""A point in time: a datetime, an ISO 8601 string (UTC unless it names an offset), or Unix seconds."""

TimeIntervalLike = Union[
    "TimeInterval", TimeScalar, tuple[TimeScalar, TimeScalar], Iterable[TimeScalar], "xr.DataArray", "xr.Dataset"
]
"""A value that converts to an interval; `parse` lists the rules."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TimeInterval:
    """An interval between two times, half-open (`[start, end)`) by default.

    Two intervals are equal if they contain the same microseconds, whatever their brackets and time zones.

    Args:
        start: The start time; UTC if it has no zone.
        end: The end time; UTC if it has no zone.
        start_exclusive: Whether the interval excludes `start` itself.
        end_inclusive: Whether the interval includes `end` itself.

    Raises:
        TypeError: `start` or `end` is not a datetime.
        ValueError: A time is NaT, or the end is before the start.
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
                f"the end of the interval ({self.end.isoformat()}) is before its start ({self.start.isoformat()}); "
                "swap the two"
            )

    def to_half_open(self) -> TimeInterval:
        """Return the same interval as `[start, end)`.

        A bound that has to move does so by one microsecond, the resolution of a datetime.
        """
        start = self.start + _MICROSECOND if self.start_exclusive else self.start
        end = self.end + _MICROSECOND if self.end_inclusive and self.end < _LATEST else self.end
        return TimeInterval(start, max(start, end))

    def astimezone(self, zone: tzinfo | None) -> TimeInterval:
        """Return the same interval with its times in another time zone."""
        return TimeInterval(
            self.start.astimezone(zone), self.end.astimezone(zone), self.start_exclusive, self.end_inclusive
        )

    @property
    def is_empty(self) -> bool:
        """Whether the interval contains no microsecond."""
        half_open = self.to_half_open()
        return half_open.start >= half_open.end

    def format(self, endpoints: bool = True, sep: str = ", ", timespec: str = "milliseconds") -> str:
        """Return the interval as text, in mathematical notation.

        Args:
            endpoints: Whether to write the brackets.
            sep: The separator between the two times.
            timespec: The precision of the times, as in `datetime.isoformat`.
        """
        if self.start == self.end == EPOCH and not self.end_inclusive:
            # The server describes the availability of an empty collection as this interval.
            return "<empty>"
        times = sep.join(
            f"{time.replace(tzinfo=None).isoformat(timespec=timespec)} {time.tzname()}"
            for time in (self.start, self.end)
        )
        if not endpoints:
            return times
        return f"{'(' if self.start_exclusive else '['}{times}{']' if self.end_inclusive else ')'}"

    def to_wire(self) -> query_pb2.TimeInterval:
        """Convert the interval to its protobuf message."""
        return query_pb2.TimeInterval(
            start_time=_timestamp(self.start),
            end_time=_timestamp(self.end),
            start_exclusive=self.start_exclusive,
            end_inclusive=self.end_inclusive,
        )

    @classmethod
    def from_wire(cls, message: query_pb2.TimeInterval) -> TimeInterval:
        """Read an interval from its protobuf message."""
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
        # In UTC, because a time that its own zone shows twice or skips equals no time of another zone (PEP 495).
        half_open = self.astimezone(UTC).to_half_open()
        return half_open.start, half_open.end


def parse(value: Any) -> TimeInterval:
    """Convert a caller's argument to an interval.

    Args:
        value: One of

            - a `TimeInterval`, which is returned unchanged;
            - a tuple of two scalars: the half-open interval `[start, end)`;
            - one scalar: exactly its millisecond;
            - any other iterable of scalars (list, array, index, `data.time`), or a dataset with a `time`:
              from the first to the last time, both included. A list of two is such an iterable too;
              only a tuple is half-open.

    Raises:
        ValueError: The value is empty, is not a time, or its end is before its start.
        TypeError: The value has a type that cannot be a time.
    """
    if isinstance(value, TimeInterval):
        return value
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(
                f"a tuple must be an interval (start, end), but this one has {len(value)} items; for a series of "
                "times, give a list"
            )
        return TimeInterval(parse_scalar(value[0]), parse_scalar(value[1]))
    if _is_scalar(value):
        time = _whole_millisecond(parse_scalar(value))
        return TimeInterval(time, time, end_inclusive=True)
    first, last = _ends(value)
    start, end = _whole_millisecond(parse_scalar(first)), _whole_millisecond(parse_scalar(last))
    if end < start:
        raise ValueError(
            f"the last time ({end.isoformat()}) is before the first ({start.isoformat()}); "
            "sort the times, or give a tuple (start, end)"
        )
    return TimeInterval(start, end, end_inclusive=True)


def parse_scalar(value: Any) -> datetime:
    """Convert a caller's argument to a point in time, truncated to microseconds.

    Raises:
        ValueError: The value is not a time, or is outside the years 1 to 9999.
        TypeError: The value has a type that cannot be a time.
    """
    if isinstance(value, datetime):
        return _as_datetime(value, "time")
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not _is_scalar(value):
        raise TypeError(f"a {type(value).__name__} is not a time; {_GIVE_A_TIME}")
    array = np.asarray(value)
    if array.dtype.kind == "M":
        return _from_datetime64(array)
    item: Any = array.item()
    if isinstance(item, bool):
        raise TypeError(f"a bool is not a time; {_GIVE_A_TIME}")
    if isinstance(item, (int, float)):
        return _from_seconds(item)
    if isinstance(item, (str, datetime)):
        return parse_scalar(item)
    raise TypeError(f"{item!r} is not a time; {_GIVE_A_TIME}")


def _as_datetime(value: Any, name: str) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(
            f"{name} must be a datetime, not a {type(value).__name__}; only tuples such as (start, end) take strings"
        )
    if value != value:  # noqa: PLR0124 only NaT differs from itself
        raise ValueError(f"{name} is NaT; drop missing times first")
    if type(value) is not datetime:
        # A pandas Timestamp. Its own `to_pydatetime` warns when it drops nanoseconds; this must not.
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
        raise ValueError(f"{text!r} is not an ISO 8601 time; write it like '2023-05-01T12:45:33.423'") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _from_datetime64(array: Any) -> datetime:
    if np.isnat(array):
        raise ValueError("a time is NaT; drop missing times first")
    # This conversion floors, so times before 1970 are truncated downwards like all others.
    microseconds = int(array.astype("datetime64[us]").astype(np.int64))
    return _since_epoch(timedelta(microseconds=microseconds), array)


def _from_seconds(seconds: float) -> datetime:
    if seconds != seconds:  # noqa: PLR0124 only NaN differs from itself
        raise ValueError("a time is NaN; drop missing times first")
    try:
        return _since_epoch(timedelta(seconds=seconds), seconds)
    except OverflowError:
        raise ValueError(
            f"{seconds} seconds since 1970 is outside the years 1 to 9999; if it counts milliseconds, divide by 1000"
        ) from None


def _since_epoch(delta: timedelta, value: object) -> datetime:
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
    # The time of one datapoint is an array without dimensions.
    return getattr(value, "ndim", None) == 0


def _ends(value: Any) -> tuple[Any, Any]:
    if hasattr(value, "data_vars") or hasattr(value, "columns"):
        if "time" not in value:
            raise ValueError("the dataset has no times, as an empty result has none; check `'time' in data` first")
        value = value["time"]
        if getattr(value, "ndim", None) == 0:
            return value, value
    # Indexing a pandas column goes by label; `iloc` goes by position.
    items: Any = getattr(value, "iloc", value)
    if hasattr(items, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, dict):
        count = len(value)
    elif isinstance(value, Iterable):
        items = list(value)
        count = len(items)
    else:
        raise TypeError(
            f"a {type(value).__name__} is not a time interval; give a TimeInterval, a tuple (start, end), "
            "one time, or an iterable of times"
        )
    if count == 0:
        raise ValueError("there are no times to load, because the iterable is empty; check its length first")
    return items[0], items[-1]


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time.astimezone(UTC))
    return message


ALWAYS = TimeInterval(datetime.min.replace(tzinfo=UTC), _LATEST, end_inclusive=True)
"""The interval of all times that a datetime can hold."""
