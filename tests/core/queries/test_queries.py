"""Areas, ids and queries as a caller writes them."""

from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from tilebox._core.protocol.datasets.v1 import data_access_pb2 as wire
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.queries import areas
from tilebox._core.queries import query as queries
from tilebox._core.queries.filters import field
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox._core.values import ids, intervals

SCHEMA = Schema.of(DatasetKind.SPATIOTEMPORAL, [Field(name="n", kind=FieldKind.INT64, queryable=True)])
BOX = shapely.box(1, 2, 3, 4)


def test_an_area_is_a_geometry_or_a_dict():
    plain = areas.to_wire(BOX)
    assert shapely.from_wkb(plain.geometry.wkb).equals(BOX)
    assert plain.mode == wire.SPATIAL_FILTER_MODE_INTERSECTS
    assert plain.coordinate_system == wire.SPATIAL_COORDINATE_SYSTEM_CARTESIAN
    for mode, number in [("filter_contains_geometry", 2), ("geometry_contains_filter", 3), ("contains", 2)]:
        message = areas.to_wire({"geometry": BOX, "mode": mode, "coordinate_system": "Spherical"})
        assert (message.mode, message.coordinate_system) == (number, wire.SPATIAL_COORDINATE_SYSTEM_SPHERICAL)


@pytest.mark.parametrize(
    ("area", "error", "message"),
    [
        ("POINT (1 2)", TypeError, "shapely geometry"),
        ({"mode": "intersects"}, TypeError, "shapely geometry"),
        (shapely.Polygon(), ValueError, "is empty"),
        ({"geometry": BOX, "mode": "near"}, ValueError, "must be one of intersects"),
        ({"geometry": BOX, "coordinate_system": 5}, ValueError, "must be one of cartesian"),
        ({"geometry": BOX, "buffer": 5}, ValueError, "has no key 'buffer'"),
    ],
)
def test_invalid_areas_are_refused(area, error, message):
    with pytest.raises(error, match=message):
        areas.to_wire(area)


def test_ids_are_accepted_in_many_forms():
    identity = uuid4()
    text = str(identity)
    for form in (identity, text, identity.bytes, np.str_(text), xr.DataArray(text), np.array(text)):
        assert ids.parse(form) == identity
    for forms in ([text, identity], np.array([text, text]), pd.Series([text, text], index=[4, 5])):
        assert ids.parse_many(forms) == [identity, identity]
    data = xr.Dataset(coords={"id": ("time", [text, text])})
    assert ids.parse_many(data) == ids.parse_many(data.id) == [identity, identity]
    assert ids.parse_many(data.isel(time=0)) == ids.parse_many(text) == [identity]
    with pytest.raises(ValueError, match="no column `id`"):
        ids.parse_many(xr.Dataset())


def test_ids_sort_by_time_also_before_1970():
    before, after = ((n).to_bytes(6, "big", signed=True) + bytes(10) for n in (-1, 1))
    assert before > after
    assert sorted([after, before], key=ids.sort_key) == [before, after]


def test_a_query_becomes_messages():
    conditions = queries.parse_conditions(
        schema=SCHEMA, temporal_extent=("2024", "2025"), spatial_extent=BOX, filter=field("n") > 3, limit=np.int64(5)
    )
    query = queries.Query(
        target="d", dataset=UUID(int=1), schema=SCHEMA, collections=(UUID(int=2),), is_descending=True, **conditions
    )
    request = query.page_request(query_pb2.Pagination(limit=7))
    assert request.page.limit == 7
    assert intervals.TimeInterval.from_wire(request.filters.time_interval) == intervals.parse(("2024", "2025"))
    assert request.filters.expressions[0].comparison.field_name == "n"
    arrow = query.arrow_request()
    assert (arrow.limit, arrow.order) == (5, query_pb2.SORT_DIRECTION_DESCENDING)
    assert not arrow.query.HasField("page")


def test_the_progress_interval_is_limited_to_the_availability():
    query = queries.Query(
        target="d",
        dataset=UUID(int=1),
        schema=SCHEMA,
        collections=(),
        interval=intervals.ALWAYS,
        availability=intervals.parse(["2024", "2025"]),
    )
    assert query.progress_interval == intervals.parse(("2024", "2025"))


@pytest.mark.parametrize(
    ("extent", "title"),
    [
        (None, "Ships/AIS"),
        (("2026-03-16", "2026-03-17"), "Ships/AIS 2026-03-16 to 2026-03-17"),
        (("2026-03-16", "2026-03-16T12:30+02:00"), "Ships/AIS 2026-03-16 00:00 to 2026-03-16 10:30"),
    ],
)
def test_the_title_of_a_query_has_its_interval(extent, title):
    interval = intervals.ALWAYS if extent is None else intervals.parse(extent)
    query = queries.Query(target="Ships/AIS", dataset=uuid4(), schema=SCHEMA, collections=(), interval=interval)
    assert query.title == title
