"""A computed week of Sentinel-2 acquisitions: times, footprints, sun elevations and product names.

The rule simplifies that of the mission: the satellites acquire on the descending half of each revolution, between 56
degrees south and 84 north, where the sun is at least 10 degrees above the horizon and the swath touches land. The swath
is cut into slices along the track and in two across it, so a piece measures about 145 km per side. Each piece is
published twice, as level 1C and as level 2A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.affinity import translate

from demo import land
from demo.clouds import CloudField
from demo.mgrs import tile_names
from demo.orbits import (
    REVOLUTION_SECONDS,
    SATELLITES,
    SWATH_KM,
    GroundTrack,
    Satellite,
    propagate,
    relative_orbit_at,
    sun_elevation_degrees,
    to_degrees,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Columns = dict[str, Any]

FIRST_DAY = datetime(2026, 3, 16, tzinfo=UTC)
DAYS = 7
LEVELS = ("L1C", "L2A")
DESCRIPTION = (
    "Demo data. The orbits are propagated with SGP4 from elements published for Sentinel-2A, 2B and 2C in "
    "March 2026. Everything else is computed: footprints and acquisitions by a rule, cloud cover from a random field. "
    "No datapoint describes an existing image."
)

SLICES_PER_REVOLUTION = 276  # of 145 km each
SOUTHERNMOST_DEGREES, NORTHERNMOST_DEGREES = -56.0, 84.0
LOWEST_SUN_DEGREES = 10.0
_SLICE_SECONDS = REVOLUTION_SECONDS / SLICES_PER_REVOLUTION

FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "granule_name", "type": str, "description": "Product name in the pattern of Sentinel-2"},
    {"name": "platform", "type": str, "description": "Satellite", "queryable": True},
    {"name": "tile", "type": str, "description": "100 km grid square of the centre", "queryable": True},
    {"name": "relative_orbit", "type": int, "description": "Ground track, 1 to 143", "queryable": True},
    {"name": "cloud_cover", "type": float, "description": "Percent; random, not weather", "queryable": True},
    {"name": "sun_elevation", "type": float, "description": "Degrees above the horizon", "queryable": True},
    {"name": "altitude_km", "type": float, "description": "Height of the satellite above the mean sphere"},
    {"name": "computed", "type": bool, "description": "Always true: no such image exists", "queryable": True},
)
"""The fields of the demo's dataset, besides those of every spatio-temporal dataset."""


@dataclass(frozen=True)
class Pieces:
    """Pieces of the swath of one satellite. Unless stated otherwise, arrays have shape (pieces,).

    Args:
        satellite: The satellite.
        seconds: Time at which the satellite sees the middle, in seconds since 1970.
        centre: Earth-fixed unit vectors, shape (pieces, 3).
        corners: Longitudes and latitudes, shape (pieces, 4, 2). Longitudes are continuous and may exceed 180.
        relative_orbit: Number of the ground track, 1 to 143.
        altitude_km: Height of the satellite above the mean sphere.
    """

    satellite: Satellite
    seconds: Floats
    centre: Floats
    corners: Floats
    relative_orbit: npt.NDArray[np.int64]
    altitude_km: Floats

    def __getitem__(self, chosen: npt.NDArray[Any]) -> Pieces:
        return Pieces(
            self.satellite,
            self.seconds[chosen],
            self.centre[chosen],
            self.corners[chosen],
            self.relative_orbit[chosen],
            self.altitude_km[chosen],
        )

    def __len__(self) -> int:
        return len(self.seconds)


def collections(first_day: datetime = FIRST_DAY, days: int = DAYS, *, seed: int = 2) -> Iterator[tuple[str, Columns]]:
    """Compute the acquisitions of some days, per collection.

    Equal arguments give equal datapoints, and so equal ids.

    Args:
        first_day: Midnight UTC of the first day.
        days: Number of days.
        seed: Seed of the clouds.

    Yields:
        The name of a collection (`S2A_S2MSI1C`), and its columns as `ingest` takes them.
    """
    clouds = CloudField(seed)
    for satellite in SATELLITES:
        pieces = acquire(satellite, first_day, days)
        shared = _columns(pieces, clouds)
        for level in LEVELS:
            names = product_names(pieces, level, shared["tile"])
            yield f"{satellite.code}_S2MSI{level.removeprefix('L')}", {**shared, "granule_name": names}


def acquire(satellite: Satellite, first_day: datetime, days: int) -> Pieces:
    """Compute the acquisitions of one satellite.

    Args:
        satellite: The satellite.
        first_day: Midnight UTC of the first day.
        days: Number of days.
    """
    pieces = _cut_swath(satellite, first_day.timestamp(), (first_day + timedelta(days=days)).timestamp())
    latitude = to_degrees(pieces.centre)[:, 1]
    seen = (latitude >= SOUTHERNMOST_DEGREES) & (latitude <= NORTHERNMOST_DEGREES)
    seen &= sun_elevation_degrees(pieces.centre, pieces.seconds) >= LOWEST_SUN_DEGREES
    lit = pieces[seen]
    return lit[land.touches(footprints(lit.corners))]


def footprints(corners: Floats) -> npt.NDArray[np.object_]:
    """Return polygons, split in two where they cross the antimeridian.

    Args:
        corners: Longitudes and latitudes, shape (n, corners, 2), with continuous longitudes in [-540, 540].

    Returns:
        Polygons and MultiPolygons with longitudes in [-180, 180], shape (n,).
    """
    polygons = np.asarray(shapely.polygons(np.concatenate([corners, corners[:, :1]], axis=1)))
    west, _, east, _ = shapely.bounds(polygons).T
    for index in np.flatnonzero((west < -180.0) | (east > 180.0)):
        polygons[index] = _cut_at_antimeridian(polygons[index])
    return polygons


def product_names(pieces: Pieces, level: str, tiles: list[str]) -> list[str]:
    """Return product names as Sentinel-2 has them: satellite, level, time, baseline, orbit, tile, time of processing.

    Two pieces of one satellite never share a name: neighbours lie in different tiles, and others differ in time.

    Args:
        pieces: The pieces.
        level: `L1C` or `L2A`.
        tiles: Tile of each piece.
    """
    # Products are published some hours after the acquisition, level 2A after 1C.
    delay_seconds = {"L1C": 2.5 * 3600, "L2A": 4.0 * 3600}[level]
    return [
        f"{pieces.satellite.code}_MSI{level}_{sensed}_N0511_R{orbit:03d}_T{tile}_{processed}"
        for sensed, processed, orbit, tile in zip(
            _stamps(pieces.seconds),
            _stamps(pieces.seconds + delay_seconds),
            pieces.relative_orbit,
            tiles,
            strict=True,
        )
    ]


def _cut_swath(satellite: Satellite, start: float, stop: float) -> Pieces:
    """Cut the whole descending swath between two times into pieces, over land and sea."""
    # Slices count from one fixed descent, so a slice does not depend on the interval that it is computed for.
    origin = satellite.first_descent.seconds
    first, last = (math.ceil((edge - origin) / _SLICE_SECONDS) for edge in (start, stop))
    middle = origin + np.arange(first, last, dtype=np.float64) * _SLICE_SECONDS
    track = propagate(satellite, middle)
    middle = middle[track.is_descending]
    centre = propagate(satellite, middle)
    begin, end = (propagate(satellite, middle + half * _SLICE_SECONDS) for half in (-0.5, 0.5))
    orbit = relative_orbit_at(satellite, middle)
    sides = [
        Pieces(
            satellite,
            middle,
            centre.across((left + right) / 2),
            _corners(begin, end, left, right),
            orbit,
            centre.altitude_km,
        )
        for left, right in ((-SWATH_KM / 2, 0.0), (0.0, SWATH_KM / 2))
    ]
    return _interleave(*sides)


def _corners(begin: GroundTrack, end: GroundTrack, left_km: float, right_km: float) -> Floats:
    vectors = [begin.across(left_km), end.across(left_km), end.across(right_km), begin.across(right_km)]
    degrees = to_degrees(np.stack(vectors, axis=1))
    degrees[..., 0] = np.unwrap(degrees[..., 0], period=360.0, axis=1)
    return degrees


def _interleave(left: Pieces, right: Pieces) -> Pieces:
    def merged(name: str) -> Any:
        pair = np.stack([getattr(left, name), getattr(right, name)], axis=1)
        return pair.reshape(-1, *pair.shape[2:])

    names = ("seconds", "centre", "corners", "relative_orbit", "altitude_km")
    return Pieces(left.satellite, *(merged(name) for name in names))


def _columns(pieces: Pieces, clouds: CloudField) -> Columns:
    degrees = to_degrees(pieces.centre)
    return {
        "time": np.round(pieces.seconds * 1000.0).astype("datetime64[ms]").astype("datetime64[ns]"),
        "geometry": footprints(np.round(pieces.corners, 5)),
        "platform": [pieces.satellite.name] * len(pieces),
        "tile": tile_names(degrees[:, 0], degrees[:, 1]),
        "relative_orbit": pieces.relative_orbit,
        "cloud_cover": clouds.cover_percent(pieces.centre, pieces.seconds),
        "sun_elevation": np.round(sun_elevation_degrees(pieces.centre, pieces.seconds), 3),
        "altitude_km": np.round(pieces.altitude_km, 3),
        "computed": np.ones(len(pieces), dtype=bool),
    }


def _cut_at_antimeridian(polygon: shapely.Polygon) -> shapely.MultiPolygon:
    world = shapely.box(-180.0, -90.0, 180.0, 90.0)
    shifted = [translate(polygon, xoff=degrees) for degrees in (-360.0, 0.0, 360.0)]
    parts = shapely.get_parts(shapely.intersection(shifted, world))
    return shapely.MultiPolygon([part for part in parts if part.area > 0])


def _stamps(seconds: Floats) -> list[str]:
    texts = np.datetime_as_string(seconds.astype("datetime64[s]"))
    return [text.replace("-", "").replace(":", "") for text in texts]
