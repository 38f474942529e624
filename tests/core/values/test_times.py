"""Time scalars, intervals, and everything that stands for an interval."""

from __future__ import annotations

import doctest
import warnings
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytz
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.values import intervals
from tilebox._core.values.intervals import ALWAYS, EPOCH, TimeInterval, parse, parse_scalar

DAY = datetime(2024, 8, 1, tzinfo=UTC)
MOMENTS = st.datetimes(
    min_value=datetime(1900, 1, 1),
    max_value=datetime(2200, 1, 1),
    timezones=st.sampled_from([UTC, ZoneInfo("Asia/Tokyo")]),
)


def test_doctests():
    assert doctest.testmod(intervals).failed == 0


def test_printed_form_and_equality_of_the_documentation():
    half_open = TimeInterval(datetime(2017, 1, 1), datetime(2023, 1, 1), end_inclusive=False)
    closed = TimeInterval(datetime(2017, 1, 1), datetime(2022, 12, 31, 23, 59, 59, 999999), end_inclusive=True)
    assert str(half_open) == repr(half_open) == "[2017-01-01T00:00:00.000 UTC, 2023-01-01T00:00:00.000 UTC)"
    assert str(closed) == "[2017-01-01T00:00:00.000 UTC, 2022-12-31T23:59:59.999 UTC]"
    assert half_open == closed
    assert len({half_open, closed}) == 1
    assert str(closed.to_half_open()) == str(half_open)


def test_brackets_separator_and_precision_can_be_chosen():
    interval = TimeInterval(DAY, DAY + timedelta(1), start_exclusive=True, end_inclusive=True)
    assert str(interval) == "(2024-08-01T00:00:00.000 UTC, 2024-08-02T00:00:00.000 UTC]"
    assert (
        interval.format(endpoints=False, sep=" - ", timespec="minutes") == "2024-08-01T00:00 UTC - 2024-08-02T00:00 UTC"
    )
    assert str(TimeInterval(EPOCH, EPOCH)) == "<empty>"


def test_other_zones_keep_the_instant():
    tokyo = pytz.timezone("Asia/Tokyo").localize(datetime(2017, 1, 1, 11, 45, 25, 679000))
    assert parse_scalar(tokyo) == datetime(2017, 1, 1, 2, 45, 25, 679000, tzinfo=UTC)
    interval = TimeInterval(DAY, DAY + timedelta(1))
    shifted = interval.astimezone(ZoneInfo("Asia/Tokyo"))
    assert shifted == interval
    assert hash(shifted) == hash(interval)
    assert "09:00:00.000 JST" in str(shifted)


@pytest.mark.parametrize("start", ["2024-01-01", 5, None, date(2024, 1, 1)])
def test_an_interval_takes_datetimes_only(start):
    with pytest.raises(TypeError, match="start must be a datetime"):
        TimeInterval(start, DAY)


@given(MOMENTS, MOMENTS, st.booleans(), st.booleans())
def test_wire_and_half_open_form_keep_an_interval(one, other, start_exclusive, end_inclusive):
    interval = TimeInterval(min(one, other), max(one, other), start_exclusive, end_inclusive)
    assert TimeInterval.from_wire(interval.to_wire()) == interval
    assert interval.to_half_open() == interval
    assert interval.to_half_open().to_half_open() == interval.to_half_open()


@given(MOMENTS)
def test_a_scalar_is_exactly_its_millisecond_however_it_is_written(moment):
    millisecond = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    wanted = TimeInterval(millisecond, millisecond, end_inclusive=True)
    utc = moment.astimezone(UTC)
    for scalar in (moment, utc.isoformat(), utc.replace(tzinfo=None).isoformat(" "), pd.Timestamp(moment)):
        assert parse(scalar) == wanted
    assert parse(np.datetime64(utc.replace(tzinfo=None), "ns")) == wanted
    assert parse(np.datetime64(utc.replace(tzinfo=None), "us")) == wanted


@pytest.mark.parametrize(
    ("scalar", "wanted"),
    [
        ("2024", "2024-01-01T00:00:00"),
        ("2024-03", "2024-03-01T00:00:00"),
        ("2024-08-01 00:00:01.362", "2024-08-01T00:00:01.362000"),
        ("2024-08-01T02:00:00+02:00", "2024-08-01T00:00:00"),
        ("2024-08-01T00:00:00Z", "2024-08-01T00:00:00"),
        (1_722_470_400, "2024-08-01T00:00:00"),
        (1_722_470_400.25, "2024-08-01T00:00:00.250000"),
        (np.int64(1_722_470_400), "2024-08-01T00:00:00"),
        (-1, "1969-12-31T23:59:59"),
        (date(2024, 8, 1), "2024-08-01T00:00:00"),
        (np.datetime64("1969-12-31T23:59:59.999999999"), "1969-12-31T23:59:59.999999"),
        (xr.DataArray(np.datetime64("2024-08-01", "ns")), "2024-08-01T00:00:00"),
    ],
)
def test_scalars(scalar, wanted):
    assert parse_scalar(scalar) == datetime.fromisoformat(wanted).replace(tzinfo=UTC)


def test_nanoseconds_are_cut_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_scalar(pd.Timestamp("2024-08-01T00:00:00.123456789")).microsecond == 123456


INDEX = pd.date_range("2024-08-01", periods=3, freq="D")
ITERABLES = {
    "list": list(INDEX),
    "strings": ["2024-08-01", "2024-08-02", "2024-08-03"],
    "seconds": [1_722_470_400, 1_722_643_200],
    "generator": None,
    "index": INDEX,
    "zoned index": INDEX.tz_localize("UTC"),
    "series": pd.Series(INDEX, index=[7, 8, 9]),
    "numpy": INDEX.to_numpy(),
    "microseconds": INDEX.to_numpy().astype("datetime64[us]"),
    "data array": xr.DataArray(INDEX),
    "coordinate": xr.Dataset(coords={"time": INDEX}).time,
    "dataset": xr.Dataset(coords={"time": INDEX}),
    "frame": pd.DataFrame({"time": INDEX}),
    "three datetimes": (moment for moment in INDEX.to_pydatetime()),
}


@pytest.mark.parametrize("name", ITERABLES)
def test_an_iterable_reaches_from_its_first_to_its_last_time(name):
    value = (f"2024-08-0{day}" for day in (1, 2, 3)) if name == "generator" else ITERABLES[name]
    assert parse(value) == TimeInterval(DAY, DAY + timedelta(2), end_inclusive=True)


def test_only_a_tuple_is_half_open():
    assert parse(("2024-08-01", "2024-08-02")) == TimeInterval(DAY, DAY + timedelta(1))
    assert parse(["2024-08-01", "2024-08-02"]) == TimeInterval(DAY, DAY + timedelta(1), end_inclusive=True)
    interval = TimeInterval(DAY, DAY, start_exclusive=True)
    assert parse(interval) is interval


def test_a_datapoint_stands_for_its_time():
    datapoint = xr.Dataset(coords={"time": INDEX}).isel(time=1)
    wanted = TimeInterval(DAY + timedelta(1), DAY + timedelta(1), end_inclusive=True)
    assert parse(datapoint) == parse(datapoint.time) == parse(datapoint.time.values) == wanted


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], ValueError, "the iterable is empty"),
        (np.array([], "datetime64[ns]"), ValueError, "the iterable is empty"),
        (xr.Dataset(), ValueError, "an empty result has none"),
        (("2024", "2023"), ValueError, "swap the two"),
        (["2024", "2023"], ValueError, "sort the times"),
        (("2022", "2023", "2024"), ValueError, "for a series of times, give a list"),
        (pd.NaT, ValueError, "drop missing times"),
        ([INDEX[0], pd.NaT], ValueError, "drop missing times"),
        (np.datetime64("NaT"), ValueError, "drop missing times"),
        (float("nan"), ValueError, "drop missing times"),
        ("yesterday", ValueError, "is not an ISO 8601 time"),
        ("2024-13-01", ValueError, "is not an ISO 8601 time"),
        (1_722_470_400_000, ValueError, "not milliseconds"),
        (1e300, ValueError, "years 1 to 9999"),
        (True, TypeError, "a bool is not a time"),
        (b"2024", TypeError, "is not a time"),
        (None, TypeError, "is not a time interval"),
        (object(), TypeError, "is not a time interval"),
        ([object()], TypeError, "is not a time"),
    ],
)
def test_malformed_intervals_are_refused_with_advice(value, error, message):
    with pytest.raises(error, match=message):
        parse(value)


def test_all_times_survive_their_half_open_form():
    assert ALWAYS.to_half_open().end == ALWAYS.end
    assert not ALWAYS.is_empty


def test_a_time_that_clocks_skip_or_repeat_equals_the_same_instant_elsewhere():
    skipped = datetime(1951, 5, 6, 0, 0, tzinfo=ZoneInfo("Asia/Tokyo"))
    repeated = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    for moment in (skipped, repeated, repeated.replace(fold=1)):
        interval = TimeInterval(moment, moment, end_inclusive=True)
        elsewhere = interval.astimezone(UTC)
        assert interval == elsewhere
        assert hash(interval) == hash(elsewhere)
    assert TimeInterval(repeated, repeated, end_inclusive=True) != TimeInterval(
        repeated.replace(fold=1), repeated.replace(fold=1), end_inclusive=True
    )
