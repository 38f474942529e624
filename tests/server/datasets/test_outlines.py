"""Footprints of a batch: the fast check of convex polygons agrees with the full check of every footprint."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from tilebox._core.geometry import matching
from tilebox.server.datasets.footprints import Footprints, _are_convex, _by_axis

PENTAGON = [(0.0, 3.0), (-2.9, 0.9), (-1.8, -2.4), (1.8, -2.4), (2.9, 0.9)]
PENTAGRAM = [PENTAGON[place] for place in (0, 2, 4, 1, 3)]

# Few different coordinates, so that vertices repeat, and edges overlap, cross and reverse.
coarse = st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float))
anywhere = st.tuples(st.floats(-200, 200), st.floats(-95, 95))
outlines = st.lists(coarse, min_size=3, max_size=6) | st.lists(anywhere, min_size=3, max_size=5)
polygons = outlines.map(Polygon)
footprints = st.one_of(
    polygons,
    st.builds(lambda x, y, w, h: box(x, y, x + w, y + h), *[st.floats(-180, 180)] * 2, *[st.floats(0, 40)] * 2),
    polygons.map(lambda polygon: MultiPolygon([polygon])),
    anywhere.map(Point),
    st.just(box(0, 0, 9, 9).difference(box(1, 1, 2, 2))),
    st.just(Polygon()),
)
values = st.lists(st.one_of(footprints.map(lambda shape: shapely.to_wkb(shape, flavor="iso")), st.none(), st.binary()))


def check(column: pa.Array) -> None:
    found = Footprints(column)
    expected = matching.problems(column.to_numpy(zero_copy_only=False))
    assert found.problems() == expected
    if not expected:
        assert np.array_equal(found.bounds(), matching.footprint_bounds(column.to_pylist()), equal_nan=True)


@given(values=values)
@example(values=[shapely.to_wkb(Polygon(PENTAGON)), shapely.to_wkb(Polygon(PENTAGRAM))])
@example(values=[shapely.to_wkb(box(0, -89, 120, 89.5)), shapely.to_wkb(box(-180, -90, -179, 90))])
def test_a_batch_gives_the_same_result_as_each_footprint_alone(values: list[bytes | None]) -> None:
    check(pa.array(values, pa.binary()))
    check(pa.array([None, *values, None], pa.binary()).slice(1, len(values)))


@given(polygon=polygons)
def test_every_footprint_alone(polygon: Polygon) -> None:
    check(pa.array([shapely.to_wkb(polygon, flavor="iso")], pa.binary()))


@pytest.mark.parametrize(
    ("ring", "convex"),
    [
        (PENTAGON, True),
        (PENTAGON[::-1], True),
        (PENTAGRAM, False),
        ([(0, 0), (4, 0), (4, 4), (0, 3)], True),
        ([(0, 0), (4, 0), (4, 4), (3, 1)], False),
        ([(0, 0), (2, 0), (4, 0), (4, 4)], False),  # a vertex in the middle of an edge: left to the full check
        ([(0, 0), (4, 4), (4, 0), (0, 4)], False),
        ([(0, 0), (0, 0), (0, 0), (0, 0)], False),
    ],
)
def test_convex_rings_are_recognised(ring: list[tuple[float, float]], convex: bool) -> None:
    numbers = np.array([[*ring, ring[0]]], dtype=float).reshape(1, -1)
    assert _are_convex(_by_axis(numbers)).tolist() == [convex]


def test_binary_of_another_byte_order_and_many_lengths() -> None:
    shapes = [box(0, 0, 1, 1), Polygon(PENTAGON), Point(3, 4), box(5, 5, 8, 9)]
    mixed = [shapely.to_wkb(shape, byte_order=order) for shape in shapes for order in (0, 1)]
    check(pa.array(mixed * 3, pa.binary()))
