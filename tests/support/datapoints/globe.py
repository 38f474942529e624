"""Oracles and shapes for the geometry tests. They share neither code nor methods with the code under test.

The spherical oracle projects both geometries gnomonically, which turns great circles into straight lines.
The planar one keeps what it built before the longitudes were wrapped, and tries every whole turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from shapely.affinity import translate

RELATIONS = {
    "intersects": shapely.intersects,
    "filter_contains_geometry": lambda footprint, area: shapely.covers(area, footprint),
    "geometry_contains_filter": shapely.covers,
}


def vectors(points):
    """Unit vectors (n, 3) of longitudes and latitudes (n, 2)."""
    longitude, latitude = np.radians(np.asarray(points, dtype=float)).T
    return np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def degrees(units):
    """Longitudes and latitudes (n, 2) of unit vectors (n, 3)."""
    x, y, z = np.asarray(units).T
    return np.column_stack([np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))])


def distance(first, second):
    """Degrees between unit vectors."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second), axis=-1), np.sum(first * second, axis=-1)))


def frame(centre):
    """Two unit vectors that with the given one make a right-handed frame."""
    other = np.array([1.0, 0, 0]) if abs(centre[0]) < 0.9 else np.array([0, 1.0, 0])
    first = np.cross(centre, other)
    first /= np.linalg.norm(first)
    return first, np.cross(centre, first)


@dataclass(frozen=True)
class Star:
    """A star-shaped polygon on the sphere: a centre, and vertices at bearings and distances from it."""

    centre: tuple[float, float]
    distances: tuple[float, ...]
    clockwise: bool = False

    @property
    def units(self):
        (centre,) = vectors([self.centre])
        east, north = frame(centre)
        bearings = np.linspace(0, 2 * np.pi, len(self.distances), endpoint=False)[:, None]
        reach = np.radians(self.distances)[:, None]
        found = np.cos(reach) * centre + np.sin(reach) * (np.cos(bearings) * east + np.sin(bearings) * north)
        return found[::-1] if self.clockwise else found

    @property
    def polygon(self):
        return shapely.Polygon(degrees(self.units))


def spherical_oracle(footprint, area, mode):
    """Return whether a relation holds between two stars with great-circle edges; None if they are too far apart to decide."""
    centres = vectors([footprint.centre, area.centre])
    if distance(*centres) > max(footprint.distances) + max(area.distances):
        return False
    centre = centres.sum(axis=0) / np.linalg.norm(centres.sum(axis=0))
    east, north = frame(centre)
    flat = []
    for star in (footprint, area):
        units = star.units
        height = units @ centre
        if height.min() < 0.05:
            return None
        flat.append(shapely.Polygon(np.column_stack([units @ east, units @ north]) / height[:, None]))
    # Older versions of shapely divide by zero here.
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool(RELATIONS[mode](*flat))


@dataclass(frozen=True)
class Sheet:
    """A star-shaped polygon on the map, less than half a turn wide."""

    centre: tuple[float, float]
    distances: tuple[float, ...]
    stretch: float = 1.0
    clockwise: bool = False

    @property
    def flat(self):
        bearings = np.linspace(0, 2 * np.pi, len(self.distances), endpoint=False)
        reach = np.asarray(self.distances)
        points = np.column_stack([self.stretch * reach * np.cos(bearings), reach * np.sin(bearings)])
        return shapely.Polygon((points[::-1] if self.clockwise else points) + np.asarray(self.centre))

    @property
    def polygon(self):
        """The polygon as a producer writes it: every longitude in [-180, 180)."""
        return shapely.transform(self.flat, lambda points: np.column_stack([wrapped(points[:, 0]), points[:, 1]]))


def wrapped(longitude):
    return (np.asarray(longitude) + 180) % 360 - 180


def planar_oracle(footprint, area, mode):
    """Return whether a relation holds between two sheets, by trying shifts by every multiple of 360 degrees."""
    return any(bool(RELATIONS[mode](translate(footprint.flat, turn), area.flat)) for turn in (-720, -360, 0, 360, 720))


@dataclass(frozen=True)
class Orbit:
    """The strip that a satellite sees on most of one orbit.

    Args:
        node: Longitude at which it starts northwards over the equator.
        half_width: Degrees that it sees to either side.
        part: Share of the orbit.
    """

    node: float
    half_width: float
    part: float = 0.95
    inclination: float = 98.2

    def track(self, along, across=0.0):
        """Unit vectors of the ground at a share of the orbit, degrees left of the track."""
        angle = 2 * np.pi * np.asarray(along)
        tilt = np.radians(self.inclination)
        position = np.column_stack([np.cos(angle), np.sin(angle) * np.cos(tilt), np.sin(angle) * np.sin(tilt)])
        normal = np.array([0, -np.sin(tilt), np.cos(tilt)])
        offset = np.radians(across)
        units = np.cos(offset) * position + np.sin(offset) * normal
        turn = np.radians(self.node) - np.asarray(along) * np.radians(25)
        x, y, z = units.T
        return np.column_stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y, z])

    def strip(self, start, stop, steps):
        """Return the polygon of a stretch of the orbit."""
        along = np.linspace(start, stop, steps)
        left, right = self.track(along, self.half_width), self.track(along, -self.half_width)
        return shapely.Polygon(degrees(np.vstack([right, left[::-1]])))

    @property
    def polygon(self):
        return self.strip(0, self.part, 400)

    @property
    def frames(self):
        """The same as one polygon a frame, with slight gaps between them."""
        edges = np.linspace(0, self.part, 41)
        return shapely.MultiPolygon([self.strip(a + 1e-4, b - 1e-4, 8) for a, b in pairwise(edges)])

    def sees(self, units):
        """Return whether the strip covers points (n, 3): 1 if inside, -1 if outside, 0 near an edge."""
        track = self.track(np.linspace(0, self.part, 4000))
        apart = np.degrees(np.arccos(np.clip(units @ track.T, -1, 1)))
        nearest = apart.argmin(axis=1)
        away = apart.min(axis=1)
        beside_end = (nearest < 20) | (nearest > 3979)
        verdict = np.where(away < 0.9 * self.half_width, 1, np.where(away > 1.1 * self.half_width, -1, 0))
        return np.where(beside_end & (verdict == 1), 0, verdict)


def scattered(number, seed=0):
    """Unit vectors (n, 3) spread evenly over the sphere."""
    found = np.random.default_rng(seed).normal(size=(number, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def overlap(bounds, boxes):
    """Return whether the bounds of a footprint (west > east allowed) overlap any box, as the pruning of a store does."""
    west, south, east, north = bounds
    pieces = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    return any(w <= b[2] and e >= b[0] and south <= b[3] and north >= b[1] for b in boxes for w, e in pieces)
