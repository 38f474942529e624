import sys

import antimeridian as reference
import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box
from shapely.geometry.polygon import orient
from support.datapoints.globe import (
    RELATIONS,
    Orbit,
    Sheet,
    Star,
    degrees,
    overlap,
    planar_oracle,
    scattered,
    spherical_oracle,
    vectors,
)

from tilebox._core.geometry import antimeridian
from tilebox._core.geometry.matching import (
    MODES,
    area_boxes,
    area_from_box,
    check_area,
    footprint_bounds,
    matches,
    normalise,
    problems,
)
from tilebox.errors import MissingExtraError

ERS = Polygon([(177.993407, 74.983185), (176.605009, 74.074615), (179.563047, 73.727752), (-178.904076, 74.61847)])
FIJI = Polygon([(176.8, -19.2), (-178.2, -19.0), (-178.4, -15.7), (177.0, -16.0)])
CHUKOTKA = Polygon([(158, 61), (175, 61.5), (-173, 63.5), (-169.5, 66.2), (-175, 68), (179, 69.8), (160, 70)])
NORTH_CAP = Polygon([(-120, 80), (0, 75), (120, 82)])
SOUTH_CAP = Polygon([(-120, -80), (0, -75), (120, -82)])
SOUTH_CAP_CLOSED = Polygon([(-180, -70), (-180, -90), (180, -90), (180, -70), (90, -72), (0, -70), (-90, -71)])
HALF = box(-90, -80, 90, 80)

GOLDEN = {
    "ers": (ERS, [(178.8, 74.4), (179.9, 74.0), (-179.5, 74.4)], [(0, 74.4), (-178, 74.4), (176, 74.5)]),
    "ers clockwise": (shapely.reverse(ERS), [(178.8, 74.4), (-179.5, 74.4)], [(0, 74.4), (-178, 74.4)]),
    "fiji": (FIJI, [(179.99, -17), (-179.99, -17), (178, -18)], [(0, -17), (-177, -17), (176, -17)]),
    "fiji beyond 180": (
        Polygon([(176.8, -19.2), (181.8, -19.0), (181.6, -15.7), (177.0, -16.0)]),
        [(179.99, -17), (-179.99, -17), (178, -18)],
        [(0, -17), (-177, -17), (176, -17)],
    ),
    "fiji cut": (
        MultiPolygon([box(177, -19, 180, -16), box(-180, -19, -178.3, -16)]),
        [(179.99, -17), (-179.99, -17), (178, -18)],
        [(0, -17), (-177, -17), (176, -17)],
    ),
    "chukotka": (CHUKOTKA, [(165, 66), (180, 66), (-172, 65)], [(0, 66), (150, 66), (-160, 66)]),
    "north cap": (NORTH_CAP, [(0, 89.9), (60, 86), (-150, 85)], [(0, 70), (0, -89.9), (180, 60)]),
    "north cap clockwise": (shapely.reverse(NORTH_CAP), [(0, 89.9), (60, 86)], [(0, 70), (0, -89.9)]),
    "south cap": (SOUTH_CAP, [(0, -89.9), (60, -86), (-150, -85)], [(0, -70), (0, 89.9), (180, -60)]),
    "south cap closed": (SOUTH_CAP_CLOSED, [(0, -89.9), (60, -80), (179, -75)], [(0, -60), (0, 89.9)]),
    "cap box": (box(-180, 60, 180, 90), [(0, 89), (-179.9, 61), (179.9, 61)], [(0, 59), (0, -89)]),
    "359 degrees": (box(-179.5, -10, 179.5, 10), [(0, 0), (179, 9), (-179, -9)], [(179.9, 0), (-179.9, 0), (0, 11)]),
    "west > east": (box(179.5, -10, -179.5, 10), [(179.9, 0), (-179.9, 0)], [(0, 0), (179, 9), (-179, -9)]),
    "world": (box(-180, -90, 180, 90), [(0, 0), (0, 89.9), (179.9, -89)], []),
    "world clockwise": (shapely.reverse(box(-180, -90, 180, 90)), [(0, 0), (0, 89.9), (179.9, -89)], []),
    "half": (HALF, [(0, 0), (89, 30), (-89, -30)], [(91, 0), (-91, 0), (180, 0)]),
    "hemisphere": (box(-90, -90, 90, 90), [(0, 0), (89, 30), (-89, -80)], [(91, 0), (-91, 0), (180, 0)]),
    "tiny": (box(10, 50, 10.00001, 50.00001), [(10.000005, 50.000005)], [(10.00002, 50), (9.9999, 50)]),
    "repeated vertices": (
        Polygon([(0, 0), (0, 0), (10, 0), (10, 10), (10, 10), (10, 10), (0, 10)]),
        [(5, 5)],
        [(11, 5), (-1, 5)],
    ),
    "pole corner": (box(0, 80, 10, 90), [(5, 85), (5, 89.9)], [(15, 85), (180, 85)]),
    "hole": (
        Polygon([(170, 0), (-170, 0), (-170, 20), (170, 20)], [[(175, 5), (-175, 5), (-175, 15), (175, 15)]]),
        [(172, 10), (-172, 10), (180, 2)],
        [(179, 10), (-179, 10), (0, 10)],
    ),
    "ring round the pole": (
        Polygon([(-120, 50), (0, 50), (120, 50)], [[(-120, 80), (0, 80), (120, 80)]]),
        [(0, 75), (180, 75), (-60, 76)],
        [(0, 89.9), (60, 88), (0, 45)],
    ),
}


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_points_match_only_inside_the_footprint(name, spherical):
    footprint, inside, outside = GOLDEN[name]
    assert problems([footprint]) == []
    found = [matches([footprint], Point(place), "intersects", spherical)[0] for place in inside + outside]
    assert found == [True] * len(inside) + [False] * len(outside)
    as_area = matches([Point(place) for place in inside + outside], footprint, "filter_contains_geometry", spherical)
    assert as_area.tolist() == found


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_bounds_overlap_for_every_point_inside(name, spherical):
    footprint, inside, _ = GOLDEN[name]
    for place in inside:
        assert overlap(footprint_bounds([footprint])[0], area_boxes(Point(place), spherical))
        assert overlap(footprint_bounds([Point(place)])[0], area_boxes(footprint, spherical))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_a_footprint_covers_itself(name, spherical):
    footprint = GOLDEN[name][0]
    for mode in MODES:
        assert matches([footprint], footprint, mode, spherical).all(), mode


@pytest.mark.parametrize("name", GOLDEN)
def test_normalised_geometries_are_valid_and_within_the_map(name):
    normalised = normalise([GOLDEN[name][0]])[0]
    assert normalised.is_valid
    west, south, east, north = normalised.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    assert normalise([normalised])[0].equals(normalised)


@pytest.mark.parametrize("name", ["ers", "fiji", "chukotka", "north cap", "south cap"])
def test_cutting_agrees_with_the_antimeridian_package(name):
    polygon = orient(GOLDEN[name][0])
    expected = reference.fix_polygon(polygon, great_circle=False, fix_winding=name != "south cap")
    difference = shapely.symmetric_difference(normalise([polygon])[0], expected)
    assert difference.area < 1e-6  # the package rounds to seven decimals where it cuts


def test_a_crossing_granule_does_not_match_the_prime_meridian():
    prime_meridian = box(-0.001, -90, 0.001, 90)
    assert ERS.intersects(prime_meridian)
    for spherical in (False, True):
        assert not matches([ERS], prime_meridian, "intersects", spherical)[0]


def test_bounds_of_crossing_footprints_have_west_beyond_east():
    (west, south, east, north), missing, cap, plain = footprint_bounds([ERS, None, NORTH_CAP, box(1, 2, 3, 4)])
    assert west == pytest.approx(176.605009)
    assert east == pytest.approx(-178.904076)
    assert 73.7 < south < 73.727752
    assert 74.983185 < north < 75
    assert np.isnan(missing).all()
    assert cap.tolist() == [-180, pytest.approx(75), 180, 90]
    assert plain.tolist() == pytest.approx([1, 2, 3, 4], abs=0.01)


def test_bounds_of_separate_parts_take_the_shorter_way_round():
    parts = MultiPolygon([box(160, 0, 170, 5), box(-175, 0, -170, 5)])
    assert footprint_bounds([parts])[0][[0, 2]].tolist() == pytest.approx([160, -170])


def test_arrays_may_hold_binary_or_be_empty():
    binary = [shapely.to_wkb(ERS), None, shapely.to_wkb(FIJI)]
    assert matches(binary, FIJI, "intersects", False).tolist() == [False, False, True]
    assert matches(binary, FIJI, "intersects", True).tolist() == [False, False, True]
    assert problems(binary) == []
    assert np.array_equal(footprint_bounds(binary)[2], footprint_bounds([FIJI])[0])
    assert normalise(binary)[1] is None
    for empty in ([], np.array([], dtype=object)):
        assert footprint_bounds(empty).shape == (0, 4)
        assert normalise(empty).shape == (0,)
        assert matches(empty, FIJI, "intersects", True).shape == (0,)
        assert problems(empty) == []


def test_a_polygon_too_small_for_s2_counts_as_a_point():
    speck = box(10, 50, 10 + 2e-15, 50 + 2e-14)
    assert problems([speck]) == []
    assert matches([speck], box(9, 49, 11, 51), "filter_contains_geometry", True)[0]


def test_a_spherical_filter_without_s2_names_the_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "spherely", None)
    with pytest.raises(MissingExtraError, match=r"a spherical filter needs .*tilebox-open\[server\]"):
        matches([ERS], ERS, "intersects", True)


def test_an_area_of_many_parts_has_few_boxes():
    islands = MultiPolygon([box(west, 0, west + 1, 1) for west in range(160, 200, 2)])
    boxes = area_boxes(islands, False)
    assert [box[:1] + box[2:3] for box in boxes] == [
        (-180, pytest.approx(-161)),
        (pytest.approx(160), 180),
    ]


@settings(max_examples=200)
@given(st.lists(st.deferred(lambda: anything), min_size=1, max_size=5))
def test_shifting_crossing_geometries_in_bulk_agrees_with_cutting_each(geometries):
    values = np.array([*geometries, None], dtype=object)
    crossing, shifted = antimeridian.shift_crossing(values, shapely.bounds(values))
    assert not crossing[-1]
    for geometry, bulk in zip(values[crossing], shifted, strict=True):
        assume(shapely.is_valid(bulk))
        assert antimeridian.problem(geometry) is None
        assert shapely.symmetric_difference(antimeridian.cut(geometry), antimeridian.cut(bulk)).area < 1e-6
        assert all(ring.winding_number == 0 and not ring.is_inverted for ring in antimeridian.rings(geometry))


def test_altitudes_are_ignored():
    high = shapely.force_3d(ERS, 700_000)
    for spherical in (False, True):
        assert matches(
            [high, shapely.to_wkb(high, output_dimension=3)], ERS, "geometry_contains_filter", spherical
        ).all()


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (shapely.LineString([(0, 0), (1, 1)]), "a LineString cannot be used, only Point, Polygon, MultiPolygon"),
        (shapely.GeometryCollection([Point(0, 0)]), "a GeometryCollection cannot be used"),
        (Polygon(), "the Polygon is empty"),
        (Point(), "the Point is empty"),
        (Point(0, 95), "latitude 95 is beyond 90 degrees; are longitude and latitude swapped?"),
        (Point(400, 0), "longitude 400 is beyond 360 degrees"),
        (Point(float("nan"), 0), "not finite"),
        (Polygon([(0, 0), (float("inf"), 0), (1, 1)]), "not finite"),
        (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), "Self-intersection"),
        (Polygon([(175, 0), (-175, 10), (-175, 0), (175, 10)]), "Self-intersection"),
        (Polygon([(0, 0), (10, 0), (0, 0)]), "not valid"),
        (Polygon([(170, 0), (-170, 0), (170, 0)]), "not valid"),
        (Polygon([(-120, 80), (0, 80), (20, 85), (20, 75), (0, 82), (120, 80)]), "a ring crosses itself"),
        (MultiPolygon([box(0, 0, 10, 10), box(5, 5, 15, 15)]), "Self-intersection"),
        (
            Polygon([(170, 0), (190, 0), (190, 9), (170, 9)], [[(185, 1), (195, 1), (195, 2), (185, 2)]]),
            "a hole reaches",
        ),
        (b"not a geometry", "well-known binary"),
        ("POINT (0 0)", "not a geometry but a str"),
    ],
)
def test_problems_name_row_and_reason(geometry, reason):
    ((row, message),) = problems([None, geometry, ERS])
    assert row == 1
    assert reason in message


def test_allowed_kinds_may_be_restricted():
    assert problems([Point(0, 0), ERS], kinds=("Polygon",)) == [(0, "a Point cannot be used, only Polygon")]


def test_invalid_areas_and_modes_are_refused():
    check_area(ERS)
    for wrong, reason in (
        (None, "NoneType"),
        ("POINT (0 0)", "str"),
        (shapely.LineString([(0, 0), (1, 1)]), "LineStr"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_area(wrong)
    with pytest.raises(ValueError, match="mode must be one of intersects"):
        matches([ERS], ERS, "touches", False)


def test_areas_from_boxes():
    assert area_from_box(177, -20, -178, -15).area == pytest.approx(25)
    assert area_from_box(177, -20, 182, -15).equals(area_from_box(177, -20, -178, -15))
    assert area_from_box(-179.5, -10, 179.5, 10).area == pytest.approx(359 * 20)
    assert area_from_box(-180, -90, 180, 90).area == 360 * 180
    for wrong in (
        (0, 10, 5, 10),
        (0, 20, 5, 10),
        (3, 0, 3, 1),
        (0, -95, 5, 0),
        (0, 0, float("nan"), 1),
        (0, 0, 500, 1),
    ):
        with pytest.raises(ValueError, match="box"):
            area_from_box(*wrong)


def test_boundaries_count_as_inside_on_the_map():
    area = box(0, 0, 10, 10)
    footprints = [Point(10, 5), box(10, 0, 20, 10), box(0, 0, 5, 5), box(10.1, 0, 20, 10)]
    assert matches(footprints, area, "intersects", False).tolist() == [True, True, True, False]
    assert matches(footprints, area, "filter_contains_geometry", False).tolist() == [True, False, True, False]


def test_corners_count_as_inside_on_the_sphere():
    area, corner = box(0, 0, 10, 10), Point(10, 10)
    assert matches([corner], area, "intersects", True)[0]
    assert matches([corner], area, "filter_contains_geometry", True)[0]
    assert matches([area], corner, "intersects", True)[0]


def test_180_and_minus_180_are_the_same_meridian():
    places = [Point(180, 5), Point(-180, 5), box(170, 0, 180, 10), box(-180, 0, -170, 10)]
    for area in (box(170, 0, 180, 10), box(-180, 0, -170, 10)):
        assert matches(places, area, "intersects", False).all()
        assert matches(places[:2], area, "filter_contains_geometry", False).all()
        for place in places:
            assert overlap(footprint_bounds([place])[0], area_boxes(area, False))
    assert matches(places, Point(180, 5), "geometry_contains_filter", False).all()


def test_longitudes_at_the_antimeridian_and_poles_are_equivalent_on_the_sphere():
    for first, second in (
        (Point(180, 5), Point(-180, 5)),
        (Point(10, 90), Point(-100, 90)),
        (Point(190, 0), Point(-170, 0)),
    ):
        assert matches([first], second, "intersects", True)[0]
        assert overlap(footprint_bounds([first])[0], area_boxes(second, True))
    for side in (180, -180):
        assert matches([Point(side, 5)], box(179, 0, 182, 10), "filter_contains_geometry", True)[0]


@pytest.mark.parametrize(
    "tile", [box(0, 0, 1, 1), box(0, 3, 1, 4), box(4, 0, 6, 1), box(9, 5, 10, 8), box(0, 0, 10, 9)]
)
def test_tiles_along_the_edges_of_an_area_lie_in_it_on_the_sphere(tile):
    area = box(0, 0, 10, 10)
    assert matches([tile], area, "filter_contains_geometry", True)[0]
    assert matches([area], tile, "geometry_contains_filter", True)[0]


@pytest.mark.parametrize("tile", [box(-0.001, 0, 1, 1), box(9, 5, 10.001, 8), box(20, 0, 21, 1), box(0, 9, 1, 10.1)])
def test_tiles_beyond_the_edges_of_an_area_do_not_lie_in_it_on_the_sphere(tile):
    area = box(0, 0, 10, 10)
    assert not matches([tile], area, "filter_contains_geometry", True)[0]
    assert not matches([area], tile, "geometry_contains_filter", True)[0]


ORBITS = [Orbit(0, 1.2), Orbit(100, 1.2), Orbit(-75, 5), Orbit(179, 12), Orbit(20, 12), Orbit(90, 12)]


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("orbit", ORBITS, ids=str)
def test_a_whole_orbit_contains_the_points_below_it(orbit, spherical):
    places = scattered(4000)
    sure = orbit.sees(places)
    points = np.array([Point(place) for place in degrees(places)], dtype=object)
    # A few points lie in the gaps between frames.
    for footprint, missed_at_most in ((orbit.polygon, 0), (orbit.frames, 0.02 * (sure == 1).sum())):
        assert problems([footprint]) == []
        found = matches(points, footprint, "filter_contains_geometry", spherical)
        assert ((sure == 1) & ~found).sum() <= missed_at_most
        assert not ((sure == -1) & found).any()
        bounds, boxes = footprint_bounds([footprint])[0], area_boxes(footprint, spherical)
        for point in points[found][:200]:
            assert overlap(bounds, area_boxes(point, spherical))
            assert overlap(footprint_bounds([point])[0], boxes)


longitudes = st.floats(-180, 180)
distances = st.lists(st.floats(0.5, 40), min_size=3, max_size=9).map(tuple)
places = st.one_of(
    st.tuples(longitudes, st.floats(-90, 90)),
    st.tuples(st.sampled_from([-180.0, 179.0, 180.0, -179.5]), st.floats(-80, 80)),
    st.tuples(longitudes, st.sampled_from([-90.0, -85.0, 85.0, 90.0])),
)
small_distances = st.lists(st.floats(0.01, 5), min_size=3, max_size=6).map(tuple)
stars = st.builds(Star, places, st.one_of(distances, small_distances), st.booleans())


def _is_robust(relation, first, second):
    """Return whether a slightly smaller or larger second shape gives the same answer, so that rounding cannot decide."""
    return all(
        relation(first, second) == relation(first, near) for near in (_scaled(second, 0.999), _scaled(second, 1.001))
    )


def _scaled(shape, factor):
    return type(shape)(**{**shape.__dict__, "distances": tuple(factor * reach for reach in shape.distances)})


@settings(max_examples=300)
@given(stars, stars, st.sampled_from(MODES))
@example(Star((0, 90), (20, 20, 20)), Star((180, 89), (2, 2, 2, 2)), "geometry_contains_filter")
@example(Star((180, 0), (9, 9, 9, 9)), Star((-179, 1), (3, 3, 3), clockwise=True), "geometry_contains_filter")
def test_spherical_matches_agree_with_the_gnomonic_oracle(footprint, area, mode):
    # A star of three vertices may have its centre outside. Its ring may then run the other way round.
    expected = spherical_oracle(footprint, area, mode)
    assume(expected is not None)
    assume(_is_robust(lambda a, b: spherical_oracle(a, b, mode), footprint, area))
    assume(not problems([footprint.polygon, area.polygon]))
    assert matches([footprint.polygon], area.polygon, mode, True)[0] == expected
    if expected:
        assert overlap(footprint_bounds([footprint.polygon])[0], area_boxes(area.polygon, True))


sheets = st.builds(
    Sheet,
    st.tuples(st.one_of(longitudes, st.sampled_from([180.0, -180.0, 175.0])), st.floats(-60, 60)),
    st.lists(st.floats(0.5, 29), min_size=3, max_size=9).map(tuple),
    st.floats(0.3, 3),
    st.booleans(),
)


@settings(max_examples=300)
@given(sheets, sheets, st.sampled_from(MODES))
@example(Sheet((180, 0), (5, 5, 5, 5)), Sheet((-179, 0), (1, 1, 1, 1)), "geometry_contains_filter")
def test_cartesian_matches_agree_with_shifting(footprint, area, mode):
    assume(_is_robust(lambda a, b: planar_oracle(a, b, mode), footprint, area))
    expected = planar_oracle(footprint, area, mode)
    assert problems([footprint.polygon, area.polygon]) == []
    assert matches([footprint.polygon], area.polygon, mode, False)[0] == expected
    if expected:
        assert overlap(footprint_bounds([footprint.polygon])[0], area_boxes(area.polygon, False))


boxes_anywhere = (
    st.tuples(longitudes, st.floats(-90, -1), longitudes, st.floats(1, 90))
    .filter(lambda sides: sides[0] != sides[2])
    .map(lambda sides: box(*sides))
)
caps = st.builds(
    lambda start, gaps, latitudes, sign: Polygon(
        [((start + 360 * sum(gaps[:n]) / sum(gaps) + 180) % 360 - 180, sign * latitudes[n]) for n in range(4)]
    ),
    longitudes,
    st.lists(st.floats(1, 1.5), min_size=4, max_size=4),
    st.lists(st.floats(20, 89), min_size=4, max_size=4),
    st.sampled_from([-1, 1]),
)
orbits = st.builds(Orbit, longitudes, st.floats(0.5, 12), st.floats(0.1, 0.95))
anything = st.one_of(
    stars.map(lambda star: star.polygon),
    sheets.map(lambda sheet: sheet.polygon),
    places.map(Point),
    boxes_anywhere,
    caps,
    orbits.map(lambda orbit: orbit.strip(0, orbit.part, 100)),
    st.sampled_from([geometry for geometry, _, _ in GOLDEN.values()]),
)


@settings(max_examples=400)
@given(st.lists(anything, min_size=1, max_size=4), anything, st.sampled_from(MODES), st.booleans())
def test_pruning_never_drops_a_match(footprints, area, mode, spherical):
    assume(not problems([*footprints, area]))
    boxes = area_boxes(area, spherical)
    found = matches(footprints, area, mode, spherical)
    for bounds, match in zip(footprint_bounds(footprints), found, strict=True):
        assert overlap(bounds, boxes) or not match
    assert all(-180 <= west <= east <= 180 and -90 <= south <= north <= 90 for west, south, east, north in boxes)


@settings(max_examples=200)
@given(caps, st.lists(places, min_size=1, max_size=20))
def test_rings_round_a_pole_enclose_what_lies_poleward(cap, visited):
    assume(not problems([cap]))
    corners = shapely.get_coordinates(cap)[:-1]
    corners = corners[np.argsort(corners[:, 0])]
    sign = np.sign(corners[0, 1])
    longitude, latitude = np.array(visited).T
    edge = np.interp(longitude, corners[:, 0], corners[:, 1], period=360)
    clear = np.abs(sign * latitude - sign * edge) > 1e-6
    expected = sign * latitude > sign * edge
    found = matches([Point(place) for place in visited], cap, "filter_contains_geometry", False)
    assert np.array_equal(found[clear], expected[clear])


@settings(max_examples=200)
@given(st.lists(anything, min_size=1, max_size=4), anything, st.booleans())
def test_spatial_relations_are_consistent(footprints, area, spherical):
    assume(not problems([*footprints, area]))
    found = {mode: matches(footprints, area, mode, spherical) for mode in RELATIONS}
    assert (found["intersects"] >= found["filter_contains_geometry"]).all()
    assert (found["intersects"] >= found["geometry_contains_filter"]).all()
    turned = [matches([area], footprint, "intersects", spherical)[0] for footprint in footprints]
    assert found["intersects"].tolist() == turned


def test_vectors_and_degrees_of_the_oracle_are_inverse():
    given_places = degrees(scattered(100))
    assert np.allclose(degrees(vectors(given_places)), given_places)
