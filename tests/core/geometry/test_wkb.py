"""Well-known binary by whole columns is what shapely writes."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
import shapely
from shapely import wkt

from tilebox._core.geometry.wkb import encode

OTHERS = [
    None,
    shapely.Point(1, 2),
    shapely.Point(1, 2, 3),
    wkt.loads("POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 1))"),
    wkt.loads("POLYGON Z ((0 0 1, 4 0 1, 4 4 1, 0 0 1))"),
    wkt.loads("MULTIPOLYGON (((0 0, 4 0, 4 4, 0 0)))"),
    wkt.loads("LINEARRING (0 0, 4 0, 4 4, 0 0)"),
    wkt.loads("POLYGON EMPTY"),
    shapely.set_srid(shapely.box(0, 0, 1, 1), 4326),
]


def polygons(*vertices):
    rng = np.random.default_rng(3)
    return [shapely.Polygon(rng.uniform(-90, 90, (count, 2))) for count in vertices]


@pytest.mark.parametrize(
    "geometries",
    [
        [],
        [None],
        polygons(4),
        polygons(4, 4, 4),
        polygons(4, 9, 4, 3, 900),
        OTHERS,
        [*polygons(5, 4), *OTHERS, *polygons(4, 5)],
    ],
    ids=["none", "missing", "one", "alike", "of any length", "others", "all"],
)
def test_it_is_what_shapely_writes(geometries, monkeypatch):
    array = np.array(geometries, dtype=object)
    written = encode(array)
    assert written.type == pa.binary()
    assert written.to_pylist() == shapely.to_wkb(array, flavor="iso").tolist()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert encode(array).tolist() == written.to_pylist()
