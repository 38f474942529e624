"""The orbits of Sentinel-2, propagated with SGP4 from published elements, and their ground tracks.

The two-line elements are genuine: they were published for the three satellites in March 2026, with catalogue numbers,
epochs and checksums. For some weeks before and after, SGP4 propagates them with errors of a few kilometres. The ground
track, a swath of constant width and the elevation of the sun are computed from them.

The orbit is sun-synchronous, crosses the equator southwards at 10:30 local mean solar time, and repeats its ground
track after 143 revolutions, which take 10 days. 2B and 2C fly half a revolution apart; 2A follows 2B by a tenth of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy.typing as npt
    from sgp4.api import Satrec

    Floats = npt.NDArray[np.float64]

REVOLUTIONS_PER_CYCLE = 143
CYCLE_DAYS = 10
REVOLUTION_SECONDS = CYCLE_DAYS * 86400.0 / REVOLUTIONS_PER_CYCLE
SWATH_KM = 290.0
EARTH_RADIUS_KM = 6371.0

# Longitude of the descending node of relative orbit 1, fitted to footprints that Copernicus published for the relative
# orbits 41, 55, 84, 98 and 141.
FIRST_DESCENDING_NODE_DEGREES = 168.44
NODE_SPACING_DEGREES = 360.0 * CYCLE_DAYS / REVOLUTIONS_PER_CYCLE

_JULIAN_DAY_OF_1970 = 2440587.5
_WGS84_FLATTENING = 1 / 298.257223563
_NODE_STEP_SECONDS = 10.0


@dataclass(frozen=True)
class Satellite:
    """One satellite of the constellation.

    Args:
        name: Its name, used in the field `platform`.
        code: The first three characters of its product names.
        two_line_elements: Its published mean elements (TLE).
    """

    name: str
    code: str
    two_line_elements: tuple[str, str]

    @cached_property
    def record(self) -> Satrec:
        """The elements, parsed by sgp4.

        Raises:
            MissingExtraError: sgp4 is not installed.
        """
        try:
            from sgp4.api import Satrec
        except ImportError as error:
            raise MissingExtraError("propagating orbits", "demo") from error

        return Satrec.twoline2rv(*self.two_line_elements)

    @property
    def epoch_seconds(self) -> float:
        """The epoch of the elements, in seconds since 1970."""
        return _unix_seconds(self.record.jdsatepoch, self.record.jdsatepochF)

    @cached_property
    def first_descent(self) -> Descent:
        """The first descending node after the epoch."""
        track = propagate(self, self.epoch_seconds + np.arange(0.0, 1.1 * REVOLUTION_SECONDS, _NODE_STEP_SECONDS))
        height = track.position[:, 2]
        before = int(np.flatnonzero((height[:-1] > 0) & (height[1:] <= 0))[0])
        part = height[before] / (height[before] - height[before + 1])
        seconds = float(track.seconds[before] + part * _NODE_STEP_SECONDS)
        longitude = to_degrees(propagate(self, np.array([seconds])).position)[0, 0]
        return Descent(seconds, nearest_relative_orbit(float(longitude)))


SATELLITES = (
    Satellite(
        "SENTINEL-2A",
        "S2A",
        (
            "1 40697U 15028A   26079.19377485 -.00000072  00000+0 -11026-4 0  9994",
            "2 40697  98.5642 155.3327 0001269  98.1407 261.9920 14.30816376561005",
        ),
    ),
    Satellite(
        "SENTINEL-2B",
        "S2B",
        (
            "1 42063U 17013A   26079.18648189  .00000015  00000+0  22231-4 0  9995",
            "2 42063  98.5694 155.2271 0001161  93.5553 266.5763 14.30810963471912",
        ),
    ),
    Satellite(
        "SENTINEL-2C",
        "S2C",
        (
            "1 60989U 24157A   26075.16558042  .00000129  00000-0  65710-4 0  9997",
            "2 60989  98.5677 151.2852 0000884 109.8893 250.2385 14.30816791 79683",
        ),
    ),
)


@dataclass(frozen=True)
class Descent:
    """A descending node: a passage through the equator from north to south.

    Args:
        seconds: Time in seconds since 1970.
        relative_orbit: Number of the ground track, 1 to 143.
    """

    seconds: float
    relative_orbit: int


@dataclass(frozen=True)
class GroundTrack:
    """The points below a satellite at some times. Unless stated otherwise, arrays have shape (times,).

    Args:
        seconds: Seconds since 1970.
        position: Earth-fixed unit vectors to the points below the satellite, shape (times, 3).
        heading: Earth-fixed unit vectors of the direction of these points, shape (times, 3).
        altitude_km: Height above the mean sphere.
    """

    seconds: Floats
    position: Floats
    heading: Floats
    altitude_km: Floats

    def across(self, kilometres: float) -> Floats:
        """Return unit vectors to points at a distance beside the track.

        Args:
            kilometres: Distance on the ground, positive to the right of the flight direction.

        Returns:
            Earth-fixed unit vectors, shape (times, 3).
        """
        angle = kilometres / EARTH_RADIUS_KM
        right = np.cross(self.heading, self.position)
        return np.asarray(np.cos(angle) * self.position + np.sin(angle) * right)

    @property
    def is_descending(self) -> npt.NDArray[np.bool_]:
        """Whether the satellite flies south."""
        return np.asarray(self.heading[:, 2] < 0)


def propagate(satellite: Satellite, seconds: Floats) -> GroundTrack:
    """Compute the ground track of a satellite.

    Args:
        satellite: The satellite.
        seconds: Seconds since 1970, shape (times,).

    Raises:
        ArithmeticError: The times are too far from the epoch for SGP4.
        MissingExtraError: sgp4 is not installed.
    """
    days = _julian_days(seconds)
    whole = np.floor(days)
    errors, position, velocity = satellite.record.sgp4_array(whole, days - whole)
    if errors.any():
        raise ArithmeticError(
            f"SGP4 failed with error {errors[errors != 0][0]}: the times are too far from the epoch of the elements"
        )
    sidereal_radians = np.radians(sidereal_degrees(days))
    position, velocity = _rotate(position, sidereal_radians), _rotate(velocity, sidereal_radians)
    spin = np.array([0.0, 0.0, 7.292115e-5])
    velocity -= np.cross(spin, position)
    distance = np.linalg.norm(position, axis=1)
    position /= distance[:, None]
    along = velocity - np.sum(velocity * position, axis=1)[:, None] * position
    return GroundTrack(seconds, position, along / np.linalg.norm(along, axis=1)[:, None], distance - EARTH_RADIUS_KM)


def to_degrees(vectors: Floats) -> Floats:
    """Return geodetic longitudes and latitudes of Earth-fixed unit vectors.

    Args:
        vectors: Shape (..., 3).

    Returns:
        Degrees, shape (..., 2), longitude first, in [-180, 180].
    """
    longitude = np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0]))
    across = np.hypot(vectors[..., 0], vectors[..., 1]) * (1 - _WGS84_FLATTENING) ** 2
    return np.stack([longitude, np.degrees(np.arctan2(vectors[..., 2], across))], axis=-1)


def sun_direction(seconds: Floats) -> Floats:
    """Return Earth-fixed unit vectors towards the sun, accurate to about 0.01 degrees.

    The formula is the low-precision one of the Astronomical Almanac.

    Args:
        seconds: Seconds since 1970, shape (times,).
    """
    days = _julian_days(seconds) - 2451545.0
    mean_longitude = np.radians(280.460 + 0.9856474 * days)
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = mean_longitude + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 4e-7 * days)
    inertial = np.stack(
        [np.cos(longitude), np.cos(tilt) * np.sin(longitude), np.sin(tilt) * np.sin(longitude)], axis=-1
    )
    return _rotate(inertial, np.radians(sidereal_degrees(days + 2451545.0)))


def sun_elevation_degrees(vectors: Floats, seconds: Floats) -> Floats:
    """Return the elevation of the sun above the horizon of Earth-fixed points, in degrees.

    Args:
        vectors: Unit vectors, shape (times, 3).
        seconds: Seconds since 1970, shape (times,).
    """
    return np.asarray(np.degrees(np.arcsin(np.sum(vectors * sun_direction(seconds), axis=1))))


def descending_node_degrees(relative_orbit: int) -> float:
    """Return the longitude of the descending node of a relative orbit, 1 to 143, in degrees."""
    longitude = FIRST_DESCENDING_NODE_DEGREES - (relative_orbit - 1) * NODE_SPACING_DEGREES
    return (longitude + 180.0) % 360.0 - 180.0


def nearest_relative_orbit(longitude: float) -> int:
    """Return the relative orbit, 1 to 143, whose descending node is nearest to a longitude in degrees."""
    tracks_west = round((FIRST_DESCENDING_NODE_DEGREES - longitude) / (360.0 / REVOLUTIONS_PER_CYCLE))
    # Each revolution descends ten tracks west of the previous one.
    revolutions = tracks_west * pow(CYCLE_DAYS, -1, REVOLUTIONS_PER_CYCLE)
    return revolutions % REVOLUTIONS_PER_CYCLE + 1


def relative_orbit_at(satellite: Satellite, seconds: Floats) -> npt.NDArray[np.int64]:
    """Return the relative orbit, 1 to 143, of a satellite at some times.

    An orbit begins at the ascending node, half a revolution before its descending node.

    Args:
        satellite: The satellite.
        seconds: Seconds since 1970, within some months of the elements' epoch, shape (times,).
    """
    node = satellite.first_descent
    revolutions = np.floor((seconds - node.seconds) / REVOLUTION_SECONDS + 0.5).astype(np.int64)
    return np.asarray((node.relative_orbit - 1 + revolutions) % REVOLUTIONS_PER_CYCLE + 1)


def sidereal_degrees(julian_days: Floats) -> Floats:
    """Return Greenwich mean sidereal time as an angle in degrees, in the shape of the input."""
    days = julian_days - 2451545.0
    return np.asarray((280.46061837 + 360.98564736629 * days) % 360.0)


def _julian_days(seconds: Floats) -> Floats:
    return np.asarray(seconds / 86400.0 + _JULIAN_DAY_OF_1970)


def _unix_seconds(whole_days: float, part: float) -> float:
    return (whole_days - _JULIAN_DAY_OF_1970 + part) * 86400.0


def _rotate(vectors: Floats, angles: Floats) -> Floats:
    """Rotate inertial vectors into the Earth-fixed frame."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)
