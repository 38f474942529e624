"""The orbits: the mission's published design comes out of the published elements."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from support.datapoints.stac_items import needs_real_items, real_items

pytest.importorskip("sgp4", reason="needs the dependency group demo")

from demo import acquisitions, land, orbits
from demo.clouds import CloudField
from demo.mgrs import tile_names
from demo.orbits import REVOLUTION_SECONDS, SATELLITES, SWATH_KM, propagate, to_degrees

from tilebox._core import stac

DAY = acquisitions.FIRST_DAY
SENTINEL_2A, SENTINEL_2B, SENTINEL_2C = SATELLITES
each_satellite = pytest.mark.parametrize("satellite", SATELLITES, ids=lambda satellite: satellite.code)


def track(satellite, days=1.0, step_seconds=10.0):
    return propagate(satellite, DAY.timestamp() + np.arange(0, days * 86400, step_seconds))


def crossings(ground, *, descending=True):
    """Times and longitudes at which the equator is crossed."""
    z = ground.position[:, 2]
    found = np.flatnonzero((z[:-1] > 0) & (z[1:] <= 0) if descending else (z[:-1] <= 0) & (z[1:] > 0))
    part = z[found] / (z[found] - z[found + 1])
    seconds = ground.seconds[found] + part * (ground.seconds[1] - ground.seconds[0])
    longitude = np.degrees(np.unwrap(np.radians(to_degrees(ground.position)[:, 0])))
    return seconds, longitude[found] + part * (longitude[found + 1] - longitude[found])


def kilometres_beside(one, other):
    """How far to the side of one track another runs; early or late on it does not count."""
    right = np.cross(one.heading, one.position)
    assert orbits.EARTH_RADIUS_KM * np.linalg.norm(one.position - other.position, axis=1).max() < 100
    return orbits.EARTH_RADIUS_KM * np.abs(np.sum((other.position - one.position) * right, axis=1))


@each_satellite
def test_the_elements_have_their_checksums(satellite):
    for line in satellite.two_line_elements:
        digits = sum(1 if character == "-" else int(character) for character in line[:68] if character in "-0123456789")
        assert len(line) == 69
        assert digits % 10 == int(line[68])


@pytest.mark.parametrize(
    ("satellite", "number", "epoch"),
    [
        (SENTINEL_2A, 40697, "2026-03-20T04:39:02"),
        (SENTINEL_2B, 42063, "2026-03-20T04:28:32"),
        (SENTINEL_2C, 60989, "2026-03-16T03:58:26"),
    ],
)
def test_the_elements_are_those_of_the_satellites_in_that_week(satellite, number, epoch):
    assert satellite.record.satnum == number
    assert str(np.datetime64(int(satellite.epoch_seconds), "s")) == epoch


@each_satellite
def test_a_revolution_takes_100_minutes(satellite):
    seconds, _ = crossings(track(satellite))
    assert np.diff(seconds) == pytest.approx(REVOLUTION_SECONDS, abs=0.2)
    assert pytest.approx(100.7, abs=0.01) == REVOLUTION_SECONDS / 60


@each_satellite
def test_the_orbit_is_inclined_as_published(satellite):
    assert np.degrees(satellite.record.inclo) == pytest.approx(98.57, abs=0.02)
    northernmost = np.degrees(np.arcsin(track(satellite).position[:, 2].max()))
    assert northernmost == pytest.approx(180 - 98.57, abs=0.05)


@each_satellite
def test_it_flies_at_786_kilometres(satellite):
    assert track(satellite).altitude_km.mean() == pytest.approx(786 + 6378.137 - 6371, abs=12)


@each_satellite
def test_it_descends_at_half_past_ten(satellite):
    seconds, longitude = crossings(track(satellite, days=7))
    hours = (seconds % 86400 / 3600 + longitude / 15) % 24
    assert len(hours) >= 99
    assert hours == pytest.approx(10.5, abs=0.01)


@each_satellite
def test_it_descends_where_its_relative_orbits_do(satellite):
    """The numbers come from one descent; all others of a cycle must fall into place of themselves."""
    ground = track(satellite, days=10, step_seconds=20)
    assert set(orbits.relative_orbit_at(satellite, ground.seconds)) == set(range(1, 144))
    seconds, longitude = crossings(ground)
    numbers = orbits.relative_orbit_at(satellite, seconds)
    assert set(np.diff(numbers)) == {1, -142}
    difference = (longitude - [orbits.descending_node_degrees(n) for n in numbers] + 180) % 360 - 180
    assert np.abs(difference).max() < 0.05


def test_relative_orbits_are_found_by_their_longitude():
    assert orbits.descending_node_degrees(141) == pytest.approx(-116.0, abs=0.1)
    for number in range(1, 144):
        node = orbits.descending_node_degrees(number)
        assert -180 <= node < 180
        assert orbits.nearest_relative_orbit(node) == number
        assert orbits.nearest_relative_orbit(node + 1.2) == orbits.nearest_relative_orbit(node - 361.2) == number


def test_2b_is_where_the_cycle_takes_it_from_a_product_of_2024():
    """S2B_MSIL2A_20240828T174909_R141_T13TEF exists; 57 cycles later the same track is flown at the same time."""
    later = datetime(2024, 8, 28, 17, 49, 9, tzinfo=UTC).timestamp() + 57 * 10 * 86400
    assert orbits.relative_orbit_at(SENTINEL_2B, np.array([later])) == [141]
    over_colorado = propagate(SENTINEL_2B, later + np.arange(0, 1200.0, 5.0))
    tile = to_degrees(over_colorado.position) - [-104.5, 40.1]
    nearest = np.abs(tile[:, 1]).argmin()
    assert np.abs(tile[nearest, 0]) * 85 < SWATH_KM / 2  # kilometres a degree, that far north
    assert over_colorado.is_descending[nearest]


@each_satellite
def test_the_track_repeats_after_ten_days(satellite):
    first = track(satellite)
    assert kilometres_beside(first, propagate(satellite, first.seconds + 10 * 86400)).max() < 3


def test_2c_flies_half_a_revolution_from_2b_and_sees_its_track_five_days_later():
    leader = track(SENTINEL_2B)
    opposite = np.degrees(np.arccos(np.sum(leader.position * track(SENTINEL_2C).position, axis=1)))
    assert np.median(opposite) == pytest.approx(180, abs=8)
    assert kilometres_beside(leader, propagate(SENTINEL_2C, leader.seconds + 5 * 86400)).max() < 5


def test_2a_follows_2b_by_a_tenth_of_a_revolution():
    behind, leader = (crossings(track(satellite))[0][0] for satellite in (SENTINEL_2A, SENTINEL_2B))
    assert (behind - leader) / REVOLUTION_SECONDS % 1 == pytest.approx(0.104, abs=0.002)


def test_elements_carried_too_far_are_an_error():
    with pytest.raises(ArithmeticError, match="too far from the epoch"):
        propagate(SENTINEL_2C, np.array([DAY.timestamp() + 1000 * 365 * 86400]))


def test_the_swath_is_290_kilometres_wide():
    ground = track(SENTINEL_2B, days=0.1)
    left, right = ground.across(-SWATH_KM / 2), ground.across(SWATH_KM / 2)
    width = orbits.EARTH_RADIUS_KM * np.arccos(np.clip(np.sum(left * right, axis=1), -1, 1))
    assert width == pytest.approx(290, abs=0.1)
    assert np.abs(np.sum((left - right) * ground.heading, axis=1)).max() < 1e-9


def test_right_of_a_satellite_that_flies_south_is_west():
    ground = track(SENTINEL_2B, days=0.1)
    near_equator = ground.is_descending & (np.abs(ground.position[:, 2]) < 0.1)
    right = to_degrees(ground.across(100.0))[near_equator, 0]
    below = to_degrees(ground.position)[near_equator, 0]
    assert ((right - below + 180) % 360 - 180 < 0).all()


@pytest.mark.parametrize(
    ("when", "latitude"),
    [(datetime(2025, 6, 21, 2, 42, tzinfo=UTC), 23.44), (datetime(2025, 12, 21, 15, 3, tzinfo=UTC), -23.44)],
)
def test_the_sun_stands_over_the_tropics_at_the_solstices(when, latitude):
    sun = orbits.sun_direction(np.array([when.timestamp()]))
    assert np.degrees(np.arcsin(sun[0, 2])) == pytest.approx(latitude, abs=0.02)


def test_the_sun_stands_over_greenwich_at_noon():
    noon = np.array([datetime(2025, 4, 15, 12, tzinfo=UTC).timestamp()])  # the equation of time is nil
    assert np.degrees(np.arctan2(*orbits.sun_direction(noon)[0, 1::-1])) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("longitude", "latitude", "tile"),
    [(13.405, 52.52, "33UUU"), (2.35, 48.85, "31UDQ"), (-58.4, -34.6, "21HUB"), (151.2, -33.87, "56HLH")],
)
def test_tiles_of_known_cities(longitude, latitude, tile):
    assert tile_names(np.array([longitude]), np.array([latitude])) == [tile]


@pytest.fixture(scope="module")
def week():
    return dict(acquisitions.collections())


def test_a_week_has_six_collections_of_thousands(week):
    assert list(week) == [f"S2{s}_S2MSI{level}" for s in "ABC" for level in ("1C", "2A")]
    assert all(8_000 < len(columns["time"]) < 9_000 for columns in week.values())


def test_a_week_is_the_same_every_time(week):
    again = dict(acquisitions.collections())
    for name, columns in week.items():
        for field, values in columns.items():
            assert np.array_equal(values, again[name][field]), (name, field)


def test_a_day_of_the_week_is_that_day_computed_alone(week):
    third = datetime(2026, 3, 18, tzinfo=UTC)
    alone = dict(acquisitions.collections(third, 1))["S2B_S2MSI2A"]
    columns = week["S2B_S2MSI2A"]
    chosen = columns["time"].astype("datetime64[D]") == np.datetime64("2026-03-18")
    assert list(np.array(columns["granule_name"])[chosen]) == alone["granule_name"]


def test_every_datapoint_says_that_it_is_computed(week):
    assert all(columns["computed"].all() for columns in week.values())
    assert "computed" in {field["name"] for field in acquisitions.FIELDS}
    assert "No datapoint describes an existing image" in acquisitions.DESCRIPTION


def test_columns_are_the_fields(week):
    names = {"time", "geometry"} | {field["name"] for field in acquisitions.FIELDS}
    assert all(set(columns) == names for columns in week.values())


def test_names_are_unique_and_follow_the_pattern(week):
    names = [name for columns in week.values() for name in columns["granule_name"]]
    assert len(set(names)) == len(names)
    pattern = r"S2[ABC]_MSIL(1C|2A)_\d{8}T\d{6}_N0511_R(0\d\d|1[0-3]\d|14[0-3])_T\d\d[C-X][A-Z]{2}_\d{8}T\d{6}"
    assert all(re.fullmatch(pattern, name) for name in names)


def test_footprints_are_valid_daylit_and_on_land(week):
    columns = week["S2C_S2MSI1C"]
    assert shapely.is_valid(columns["geometry"]).all()
    assert land.touches(columns["geometry"]).all()
    assert (columns["sun_elevation"] >= 10).all()
    west, south, east, north = shapely.total_bounds(columns["geometry"])
    assert (west, east) == (-180, 180)
    assert south > -57
    assert north < 85


def test_footprints_at_the_antimeridian_are_cut_into_two(week):
    columns = week["S2A_S2MSI1C"]
    parts = shapely.get_num_geometries(columns["geometry"])
    assert set(parts) == {1, 2}
    for geometry in columns["geometry"][parts == 2]:
        west, east = sorted(part.bounds[0] for part in geometry.geoms)
        assert west == -180
        assert east > 0


def test_pieces_of_one_swath_meet_without_gap_or_overlap():
    equator = SENTINEL_2B.first_descent.seconds
    pieces = acquisitions._cut_swath(SENTINEL_2B, equator - 1500, equator + 1500)
    tropics = np.abs(to_degrees(pieces.centre)[:, 1]) < 30
    boxes = acquisitions.footprints(pieces.corners[tropics])
    union = shapely.union_all(shapely.buffer(boxes, 1e-7, join_style="mitre"))
    assert union.geom_type == "Polygon"
    assert not union.interiors
    assert union.area == pytest.approx(shapely.area(boxes).sum(), rel=1e-4)


def test_clouds_are_smooth_and_between_0_and_100():
    clouds = CloudField(7)
    positions = np.random.default_rng(1).normal(size=(500, 3))
    positions /= np.linalg.norm(positions, axis=1)[:, None]
    near = positions + 1e-4  # about a kilometre
    near /= np.linalg.norm(near, axis=1)[:, None]
    seconds = np.full(500, DAY.timestamp())
    cover = clouds.cover_percent(positions, seconds)
    assert cover.min() >= 0
    assert cover.max() <= 100
    assert cover.std() > 20
    assert np.abs(cover - clouds.cover_percent(near, seconds)).max() < 2
    assert not np.array_equal(cover, CloudField(8).cover_percent(positions, seconds))


def test_land_is_three_tenths_of_the_globe():
    from demo.projection import project_all

    area = shapely.area(project_all(land.polygons(), step_degrees=2.0)).sum()
    assert area / (4 * np.pi) == pytest.approx(0.29, abs=0.01)


@needs_real_items
def test_computed_swaths_cover_the_footprints_of_their_relative_orbit():
    """The demonstration's orbit against what Copernicus published: all but some percent of each lies inside."""
    items = real_items("sentinel-2-l2a-1000-items.parquet")
    columns = list(stac.to_columns(items, stac.plan(items, None)).columns.values())
    footprints = np.concatenate([c["geometry"] for c in columns])
    relative = np.concatenate([c["relative_orbit"] for c in columns])
    satellite = orbits.SATELLITES[1]
    known = satellite.first_descent
    for number in np.unique(relative):
        node = known.seconds + (number - known.relative_orbit) % 143 * orbits.REVOLUTION_SECONDS
        track = orbits.propagate(satellite, node + np.arange(-1200.0, 0.0, 10.0))
        edges = [orbits.to_degrees(track.across(side)) for side in (-145.0, 145.0)]
        swath = shapely.Polygon(np.concatenate([edges[0], edges[1][::-1]]))
        seen = footprints[relative == number]
        share = shapely.area(shapely.intersection(seen, swath)).sum() / shapely.area(seen).sum()
        # Some are slivers at the swath's edge, of which a kilometre is some percent.
        assert share > 0.94, number
