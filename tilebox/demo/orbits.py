"""The Sentinel-2 reference orbit, propagated with SGP4, and what is seen from it.

The mission publishes its orbit as a design, and keeps to it within a few kilometres: sun-synchronous, descending
through the equator at 10:30 local mean solar time, 143 revolutions in 10 days, after which the ground track
repeats. The mean elements here are *derived from that design*, not measured: the mean motion and the inclination
are solved for so that SGP4's own secular rates repeat and follow the sun exactly. No element set of a tracking
service is used, so the swaths lie where the real ones do, within some kilometres, but a place is passed up to some
minutes earlier or later than in truth.

The three satellites fly in one orbit. 2B and 2C are half a revolution apart, which makes each see the track of the
other five days later. 2A, in its extended mission, flies 36 degrees from 2B; that it is three days behind (rather
than ahead) in the track's cycle is an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
DESCENDING_NODE_HOURS = 10.5
ECCENTRICITY = 0.0001
SWATH_KM = 290.0
EARTH_RADIUS_KM = 6371.0
TROPICAL_YEAR_DAYS = 365.24219

# Longitude of the descending node of relative orbit 1, fitted to footprints that Copernicus published for relative
# orbits 41, 55, 84, 98 and 141.
FIRST_DESCENDING_NODE_DEGREES = 168.44
NODE_SPACING_DEGREES = 360.0 * CYCLE_DAYS / REVOLUTIONS_PER_CYCLE

# A day on which Sentinel-2B flew relative orbit 141; every tenth day after it does so too.
_ANCHOR_DAY = datetime(2024, 8, 28, tzinfo=UTC)
_ANCHOR_RELATIVE_ORBIT = 141

# SGP4 counts days from here.
_SGP4_EPOCH = datetime(1949, 12, 31, tzinfo=UTC)
_WGS84_FLATTENING = 1 / 298.257223563


@dataclass(frozen=True)
class Satellite:
    """One satellite of the constellation.

    Args:
        name: Its name, as in the field `platform`.
        code: The three characters that its products begin with.
        days_behind: Days by which it follows Sentinel-2B over the same ground track.
    """

    name: str
    code: str
    days_behind: int


SATELLITES = (
    Satellite("SENTINEL-2A", "S2A", 3),
    Satellite("SENTINEL-2B", "S2B", 0),
    Satellite("SENTINEL-2C", "S2C", 5),
)


@dataclass(frozen=True)
class Elements:
    """Mean elements at an epoch, in SGP4's terms.

    Args:
        epoch: The time at which they hold: a descent through the equator.
        mean_motion: Kozai mean motion in radians per minute.
        inclination: In radians.
        node: Right ascension of the ascending node, in radians.
    """

    epoch: datetime
    mean_motion: float
    inclination: float
    node: float

    @classmethod
    def of_reference_orbit(cls, satellite: Satellite, day: datetime) -> Elements:
        """Derive the elements of a satellite at its first daylit equator crossing of relative orbit 141 before a day.

        Args:
            satellite: Which satellite.
            day: The epoch lies within the ten days before it.
        """
        offset = timedelta(days=satellite.days_behind)
        cycles = (day - offset - _ANCHOR_DAY) // timedelta(days=CYCLE_DAYS)
        longitude = descending_node_degrees(_ANCHOR_RELATIVE_ORBIT)
        # The node crosses each longitude at one local time, which is what sun-synchronous means.
        universal_hours = (DESCENDING_NODE_HOURS - longitude / 15.0) % 24
        epoch = _ANCHOR_DAY + cycles * timedelta(days=CYCLE_DAYS) + offset + timedelta(hours=universal_hours)
        mean_motion, inclination = _repeating_orbit()
        right_ascension = np.radians(sidereal_degrees(_julian_days(np.array([epoch.timestamp()])))[0] + longitude)
        return cls(epoch, mean_motion, inclination, float((right_ascension + np.pi) % (2 * np.pi)))

    @cached_property
    def record(self) -> Satrec:
        """The elements as SGP4 wants them."""
        return _record(self.mean_motion, self.inclination, self.node, self.epoch)


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


def propagate(elements: Elements, seconds: Floats) -> GroundTrack:
    """Compute the ground track of a satellite.

    Args:
        elements: Its mean elements.
        seconds: Seconds since 1970, shape (times,).

    Raises:
        ArithmeticError: SGP4 cannot carry the elements that far.
    """
    days = _julian_days(seconds)
    whole = np.floor(days)
    errors, position, velocity = elements.record.sgp4_array(whole, days - whole)
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


def relative_orbit_at(elements: Elements, seconds: Floats) -> npt.NDArray[np.int64]:
    """Return the relative orbit, 1 to 143, that a satellite flies at some times.

    An orbit is counted from the ascending node, a quarter of a revolution before its northernmost point.
    """
    period = CYCLE_DAYS * 86400.0 / REVOLUTIONS_PER_CYCLE
    revolutions = np.floor((seconds - elements.epoch.timestamp()) / period + 0.5).astype(np.int64)
    return np.asarray((_ANCHOR_RELATIVE_ORBIT - 1 + revolutions) % REVOLUTIONS_PER_CYCLE + 1)


def sidereal_degrees(julian_days: Floats) -> Floats:
    """Return Greenwich mean sidereal time as an angle, shape as given."""
    days = julian_days - 2451545.0
    return np.asarray((280.46061837 + 360.98564736629 * days) % 360.0)


def _julian_days(seconds: Floats) -> Floats:
    return np.asarray(seconds / 86400.0 + 2440587.5)


def _rotate(vectors: Floats, angles: Floats) -> Floats:
    """Turn inertial vectors into Earth-fixed ones."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=1)


def _repeating_orbit() -> tuple[float, float]:
    """Solve for the mean motion (radians per minute) and inclination (radians) that repeat and follow the sun."""
    # With the node turning as the sun does, one day is one turn of the Earth under the orbital plane.
    revolution_rate = 2 * np.pi * REVOLUTIONS_PER_CYCLE / (CYCLE_DAYS * 1440.0)
    node_rate = 2 * np.pi / (TROPICAL_YEAR_DAYS * 1440.0)
    mean_motion, inclination = revolution_rate, np.radians(98.6)
    for _ in range(20):
        record = _record(mean_motion, inclination, 0.0, _ANCHOR_DAY)
        mean_motion += revolution_rate - (record.mdot + record.argpdot)
        # The node's rate goes with the cosine of the inclination.
        inclination = np.arccos(np.cos(inclination) * node_rate / record.nodedot)
    return float(mean_motion), float(inclination)


def _record(mean_motion: float, inclination: float, node: float, epoch: datetime) -> Satrec:
    try:
        from sgp4.api import WGS72, Satrec
    except ImportError as error:
        raise MissingExtraError("propagating orbits", "demo") from error

    record = Satrec()
    record.sgp4init(
        WGS72,
        "i",
        0,
        (epoch - _SGP4_EPOCH) / timedelta(days=1),
        0.0,  # drag: the real satellites are kept in their orbit by manoeuvres
        0.0,
        0.0,
        ECCENTRICITY,
        np.pi / 2,
        inclination,
        np.pi / 2,  # mean anomaly: a quarter turn after the perigee, which is northernmost, comes the descent
        mean_motion,
        node,
    )
    return record
