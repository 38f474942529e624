"""Geometries that callers give: units, kinds and accepted forms."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from tilebox._core.ingest.rows import encode
from tilebox._core.queries import areas
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema

SCHEMA = Schema.of(
    DatasetKind.SPATIOTEMPORAL,
    [
        Field(name="outline", kind=FieldKind.GEOMETRY, type_name="datasets.v1.Geometry"),
        Field(name="outlines", kind=FieldKind.GEOMETRY, type_name="datasets.v1.Geometry", repeated=True),
    ],
)
BOX = shapely.box(10, 50, 11, 51)
LINE = shapely.LineString([(0, 0), (1, 1)])
TIMES = ["2024-01-01", "2024-01-02", "2024-01-03"]


def frame(crs, geometries=(BOX, None, BOX), **columns):
    return geopandas.GeoDataFrame({"time": TIMES, **columns}, geometry=list(geometries), crs=crs)


@pytest.mark.parametrize("crs", [None, 4326, "OGC:CRS84", 4979], ids=str)
def test_geometries_in_degrees_are_accepted(crs):
    assert encode(SCHEMA, frame(crs)).table()["geometry"].null_count == 1
    assert areas.to_wire(shapely.set_srid(BOX, crs if isinstance(crs, int) else 0)).geometry.wkb == BOX.wkb


@pytest.mark.parametrize(
    ("crs", "name"), [(32632, "EPSG:32632"), (3857, "Pseudo-Mercator"), ("+proj=laea +lat_0=52", "not in degrees")]
)
def test_other_coordinate_reference_systems_are_refused(crs, name):
    metres = frame(4326).to_crs(crs)
    forms = [
        metres,
        metres.rename_geometry("shape"),
        {"time": TIMES, "geometry": metres.geometry},
        {"time": TIMES, "geometry": metres.geometry.array},
        frame(4326, outline=metres.geometry),
    ]
    for data in forms:
        with pytest.raises(ValueError, match=name) as caught:
            encode(SCHEMA, data)
        assert ".to_crs(4326)" in str(caught.value)
    assert encode(SCHEMA, metres.to_crs(4326)).rows == 3


def test_an_srid_other_than_wgs84_is_refused():
    utm = shapely.set_srid(BOX, 32632)
    for value in (utm, shapely.to_wkb(utm, include_srid=True)):
        with pytest.raises(ValueError, match=r"Record 1: Field 'geometry': .*EPSG:32632.*to_crs\(4326\)") as caught:
            encode(SCHEMA, {"time": TIMES, "geometry": [BOX, value, None]})
        assert "1 of 3 records" in str(caught.value)
    with pytest.raises(ValueError, match=r"Record 2: Field 'outlines'.*EPSG:32632"):
        encode(SCHEMA, {"time": TIMES, "outlines": [[], [BOX], [BOX, utm]]})
    with pytest.raises(ValueError, match=r"EPSG:32632.*to_crs\(4326\)"):
        areas.to_wire({"geometry": utm, "mode": "intersects"})


@pytest.mark.parametrize(
    ("footprint", "reason"),
    [
        (LINE, "a LineString cannot be used, only Point, Polygon, MultiPolygon"),
        (shapely.MultiPoint([(1, 2)]), "a MultiPoint cannot be used"),
        (shapely.Polygon(), "the Polygon is empty"),
        (shapely.Point(), "the Point is empty"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "a LineString cannot be used"),
    ],
    ids=str,
)
def test_invalid_footprints_are_refused_by_the_client(footprint, reason):
    values = [BOX, None, footprint]
    with pytest.raises(ValueError, match=f"Record 2: Field 'geometry': {reason}"):
        encode(SCHEMA, {"time": TIMES, "geometry": values})
    if isinstance(footprint, shapely.Geometry):
        with pytest.raises(ValueError, match=f"Record 0: Field 'geometry': {reason}"):
            encode(SCHEMA, {"time": TIMES, "geometry": [footprint.wkb, b"", BOX.wkb]})


def test_custom_geometry_fields_accept_every_kind():
    table = encode(SCHEMA, {"time": TIMES, "outline": [LINE, None, BOX]}).table()
    assert table["outline"].to_pylist() == [LINE.wkb, None, BOX.wkb]
    with pytest.raises(ValueError, match="Record 0: Field 'outline': the LineString is empty"):
        encode(SCHEMA, {"time": TIMES, "outline": [shapely.LineString(), None, BOX]})


class Interface:
    __geo_interface__ = shapely.geometry.mapping(BOX)


@pytest.mark.parametrize(
    "area",
    [
        shapely.geometry.mapping(BOX),
        {"type": "Feature", "geometry": shapely.geometry.mapping(BOX), "properties": {}},
        Interface(),
        {"geometry": shapely.geometry.mapping(BOX), "mode": "intersects"},
        {"geometry": Interface()},
    ],
    ids=["mapping", "feature", "interface", "mapping in area", "interface in area"],
)
def test_areas_may_be_geojson(area):
    assert shapely.from_wkb(areas.to_wire(area).geometry.wkb).equals(BOX)


@pytest.mark.parametrize("area", [frame(4326), frame(4326).geometry], ids=["frame", "series"])
def test_a_column_of_geometries_is_refused_as_an_area(area):
    for given in (area, {"geometry": area}):
        with pytest.raises(TypeError, match=r"one geometry, not a Geo.*\.to_crs\(4326\)\.union_all\(\)"):
            areas.to_wire(given)


@pytest.mark.parametrize(
    "area",
    [
        {"type": "FeatureCollection", "features": []},
        {"type": "Polygon"},
        {"type": "Nope", "coordinates": []},
        {"type": "Feature", "geometry": None},
    ],
    ids=str,
)
def test_malformed_geojson_is_refused_as_an_area(area):
    with pytest.raises(ValueError, match="not GeoJSON of one geometry"):
        areas.to_wire(area)


def test_the_row_number_of_an_error_is_right_in_a_large_batch():
    values = np.full(20_000, BOX, dtype=object)
    values[19_999] = LINE
    with pytest.raises(ValueError, match=r"1 of 20000 records.*\nRecord 19999: "):
        encode(SCHEMA, {"time": np.zeros(20_000, "M8[ms]"), "geometry": values})
