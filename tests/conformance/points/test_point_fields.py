"""Every kind of field of datapoints, through the store and back."""

from __future__ import annotations

import math
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.datapoints.tables import DAY_MS, new_table, read, rows_of, scenes
from support.datapoints.values import KINDS, ROW

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox.server.points.interface import PointQuery

pytestmark = pytest.mark.anyio

ALL = PointQuery((1,))


@given(rows=st.lists(ROW, min_size=1, max_size=6), compacted=st.booleans())
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
async def test_every_kind_of_field_round_trips(points, rows, compacted):
    table = await new_table(points, KINDS)
    times = {"time": list(range(len(rows)))}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    given = rows_of(KINDS, {**times, **columns})
    half = len(rows) // 2
    await points.ingest(table, 1, given.slice(0, half), allow_existing=False)
    await points.ingest(table, 1, given.slice(half), allow_existing=False)
    if compacted:
        await points.maintain(table)
    found = await read(points, table, ALL)
    assert found.schema.equals(arrow_schema(KINDS))
    assert found.to_pylist() == given.to_pylist()


async def test_missing_values_stay_missing_and_nan_stays_nan(points):
    table = await new_table(points, KINDS)
    names = [field.name for field in KINDS.custom if not field.repeated]
    given = rows_of(KINDS, {"time": [1, 2], **{name: [None, None] for name in names}, "one_double": [math.nan, None]})
    await points.ingest(table, 1, given, allow_existing=False)
    first, second = (await read(points, table, ALL)).to_pylist()
    assert math.isnan(first["one_double"])
    assert second["one_double"] is None
    assert all(second[name] is None for name in names)
    assert all(second[field.name] == [] for field in KINDS.custom if field.repeated)


@given(text=st.text(string.printable + "'`\"\\;%_☃\0", max_size=12))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
async def test_texts_round_trip(points, text):
    table = await new_table(points)
    await points.ingest(table, 1, scenes([DAY_MS], platform=[text]), allow_existing=False)
    assert (await read(points, table, ALL))["platform"].to_pylist() == [text]
