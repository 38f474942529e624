"""The orbits of Sentinel-2, propagated with SGP4 from published elements, and what is seen from them.

The two-line elements are genuine: tracking gave them out for the three satellites in March 2026, and their catalogue
numbers, epochs and checksums are in them. SGP4 carries them over some weeks before and after with errors of a few
kilometres. What is seen is computed: the ground track, a swath of constant width, the sun's height.

The orbit is sun-synchronous, descends through the equator at 10:30 local mean solar time, and repeats its ground track
after 143 revolutions, which take 10 days. 2B and 2C fly half a revolution apart; 2A follows 2B by a tenth of one.
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

# Longitude of the descending node of relative orbit 1, fitted to footprints that Copernicus published for relative
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
        name: Its name, as in the field `platform`.
        code: The three characters that its products begin with.
        two_line_elements: Its published mean elements.
    """

    name: str
    code: str
    two_line_elements: tuple[str, str]

    @cached_property
    def record(self) -> Satrec:
        """The elements as SGP4 wants them.

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
        """The time at which the elements hold, in seconds since 1970."""
        return _unix_seconds(self.record.jdsatepoch, self.record.jdsatepochF)

    @cached_property
    def first_descent(self) -> Descent:
        """The first descent through the equator after the epoch."""
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
    """A passage through the equator from north to south.

    Args:
        seconds: When, in seconds since 1970.
        relative_orbit: On which of the 143 ground tracks.
    """

    seconds: float
    relative_orbit: int


@dataclass(frozen=True)
class GroundTrack:
    """Where a satellite is above, at some times; all arrays have shape (times,).

    Args:
        seconds: Seconds since 1970.
        position: Earth-fixed unit vectors to the points below the satellite, shape (times, 3).
        heading: Earth-fixed unit vectors in which these points move, shape (times, 3).
        altitude_km: Height above the mean sphere.
    """

    seconds: Floats
    position: Floats
    heading: Floats
    altitude_km: Floats

    def across(self, kilometres: float) -> Floats:
        """Return unit vectors to the points that lie beside the track.

        Args:
            kilometres: Distance along the ground, positive to the right of the flight.

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
        satellite: Which satellite.
        seconds: Seconds since 1970, shape (times,).

    Raises:
        ArithmeticError: SGP4 cannot carry the elements that far.
        MissingExtraError: sgp4 is not installed.
    """
    days = _julian_days(seconds)
    whole = np.floor(days)
    errors, position, velocity = satellite.record.sgp4_array(whole, days - whole)
    if errors.any():
        raise ArithmeticError(f"SGP4 gave up with error {errors[errors != 0][0]}; the elements' epoch is too far away")
    turn = np.radians(sidereal_degrees(days))
    position, velocity = _rotate(position, turn), _rotate(velocity, turn)
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
    """Return Earth-fixed unit vectors towards the sun, good to about 0.01 degrees.

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
    """Return how high the sun stands above the horizon of Earth-fixed points.

    Args:
        vectors: Unit vectors, shape (times, 3).
        seconds: Seconds since 1970, shape (times,).
    """
    return np.asarray(np.degrees(np.arcsin(np.sum(vectors * sun_direction(seconds), axis=1))))


def descending_node_degrees(relative_orbit: int) -> float:
    """Return the longitude at which a relative orbit, 1 to 143, descends through the equator."""
    longitude = FIRST_DESCENDING_NODE_DEGREES - (relative_orbit - 1) * NODE_SPACING_DEGREES
    return (longitude + 180.0) % 360.0 - 180.0


def nearest_relative_orbit(longitude: float) -> int:
    """Return the relative orbit, 1 to 143, that descends through the equator nearest to a longitude in degrees."""
    tracks_west = round((FIRST_DESCENDING_NODE_DEGREES - longitude) / (360.0 / REVOLUTIONS_PER_CYCLE))
    # Each revolution descends ten tracks west of the one before.
    revolutions = tracks_west * pow(CYCLE_DAYS, -1, REVOLUTIONS_PER_CYCLE)
    return revolutions % REVOLUTIONS_PER_CYCLE + 1


def relative_orbit_at(satellite: Satellite, seconds: Floats) -> npt.NDArray[np.int64]:
    """Return the relative orbit, 1 to 143, that a satellite flies at some times.

    An orbit is counted from the ascending node, half a revolution before its descent.

    Args:
        satellite: Which satellite.
        seconds: Seconds since 1970, within some months of the elements' epoch, shape (times,).
    """
    known = satellite.first_descent
    revolutions = np.floor((seconds - known.seconds) / REVOLUTION_SECONDS + 0.5).astype(np.int64)
    return np.asarray((known.relative_orbit - 1 + revolutions) % REVOLUTIONS_PER_CYCLE + 1)


def sidereal_degrees(julian_days: Floats) -> Floats:
    """Return Greenwich mean sidereal time as an angle, shape as given."""
    days = julian_days - 2451545.0
    return np.asarray((280.46061837 + 360.98564736629 * days) % 360.0)


def _julian_days(seconds: Floats) -> Floats:
    return np.asarray(seconds / 86400.0 + _JULIAN_DAY_OF_1970)


def _unix_seconds(whole_days: float, part: float) -> float:
    return (whole_days - _JULIAN_DAY_OF_1970 + part) * 86400.0


def _rotate(vectors: Floats, angles: Floats) -> Floats:
    """Turn inertial vectors into Earth-fixed ones."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)
