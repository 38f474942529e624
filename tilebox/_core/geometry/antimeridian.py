"""Polygons that cross the antimeridian or enclose a pole, interpreted ring by ring and cut at the edge of the map.

Longitude is a circle, so the coordinates of a ring do not say which way round its edges go, nor which side is inside.
These rules decide; `docs/guide/geometries.md` repeats them for users:

- An edge that spans more than 180 degrees of longitude goes the short way round.
- An axis-aligned box is taken literally if its vertices run counter-clockwise, as in
  `shapely.box(-179.5, -10, 179.5, 10)`. If they run clockwise, which is what `shapely.box` makes of west > east,
  its long edges go the short way too. A box 360 degrees wide goes all the way round in either order.
- A ring that was cut at the antimeridian before has an edge along it. That edge is taken literally.
- A ring that goes once round the globe encloses the pole on its smaller side.
- A ring that crosses itself on the map has great circles for edges, if that undoes the crossing: it is a coarse
  outline that passes close to a pole.
- A ring that encloses more than half of the globe stands for its outside, if it runs clockwise or crosses the
  antimeridian: the strip of an orbit encloses both poles and is written that way.

Only geometries that are at least 180 degrees wide or leave [-180, 180] need this. They are rare; `may_wrap` finds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.affinity import translate

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

HALF_GLOBE = 2 * math.pi
"""Half of the unit sphere, in steradians."""

# Adding and subtracting 360 loses the last bits; rounding to a tenth of a micrometre restores the given number.
_DECIMALS = 12

# A hole that reaches beyond its polygon by less than this share of its area does so through rounding.
_HOLE_TOLERANCE = 1e-9


def may_wrap(bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which geometries may cross the antimeridian or enclose a pole.

    Args:
        bounds: The bounds of the geometries in degrees, NaN where there is none, shape (n, 4).

    Returns:
        One boolean for each geometry, shape (n,).
    """
    west, _, east, _ = bounds.T
    with np.errstate(invalid="ignore"):
        wraps: npt.NDArray[np.bool_] = (west < -180) | (east > 180) | (east - west >= 180)
    return wraps


def shift_crossing(
    geometries: npt.NDArray[np.object_], bounds: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.object_]]:
    """Find the geometries that cross the antimeridian in the simplest way, and shift them to [0, 360].

    They are narrower than 180 degrees once 360 is added to their negative longitudes, which holds for most footprints
    of sensors there. They need no ring-by-ring interpretation, so the whole array is handled at once.

    Args:
        geometries: Geometries and None, shape (n,).
        bounds: Their bounds in degrees, shape (n, 4).

    Returns:
        Which geometries these are, shape (n,), and those geometries with longitudes in [0, 360], shape (m,).
    """
    west, _, east, _ = bounds.T
    crosses = may_wrap(bounds) & (west >= -180) & (east <= 180) & ((west > -180) | (east < 180))
    # A rectangle may be a box that is taken literally.
    crosses[crosses] = shapely.area(geometries[crosses]) < shapely.area(shapely.box(*bounds[crosses].T))
    shifted = shapely.transform(geometries[crosses], _to_east_longitudes)
    is_narrow = ~may_wrap(shapely.bounds(shifted).reshape(-1, 4) - np.array([180, 0, 180, 0]))
    crosses[crosses] = is_narrow
    return crosses, shifted[is_narrow]


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed ring with continuous longitudes, which run on beyond 180 where it crosses the antimeridian.

    Args:
        coordinates: Longitude and latitude of the vertices in degrees, shape (n, 2). The last vertex is the first one,
            a multiple of 360 degrees of longitude apart.
        is_literal: Whether every edge goes the way its given longitudes say.
    """

    coordinates: npt.NDArray[np.float64]
    is_literal: bool

    @classmethod
    def from_coordinates(cls, coordinates: npt.NDArray[np.float64]) -> Ring:
        """Interpret the vertices of a ring by the rules of this module.

        Args:
            coordinates: Longitude and latitude in degrees, the first vertex repeated as the last, shape (n, 2).
        """
        if _is_literal_box(coordinates):
            return cls(coordinates, is_literal=True)
        ring = cls._unrolled(coordinates)
        if ring.is_simple:
            return ring
        curved = cls._unrolled(_along_great_circles(coordinates))
        return curved if curved.is_simple else ring

    @classmethod
    def _unrolled(cls, coordinates: npt.NDArray[np.float64]) -> Ring:
        longitude = coordinates[:, 0]
        given = np.diff(longitude)
        jumps = np.abs(given) > 180
        if _is_cut_at_antimeridian(longitude):
            jumps &= np.abs(given) != 360
        if not jumps.any():
            return cls(coordinates, is_literal=True)
        steps = np.where(jumps, given - np.copysign(360, given), given)
        unrolled = coordinates.copy()
        unrolled[1:, 0] = longitude[0] + np.cumsum(steps)
        # Sums accumulate rounding errors; every vertex differs from the given one by an exact multiple of 360.
        unrolled[:, 0] = longitude + 360 * np.round((unrolled[:, 0] - longitude) / 360)
        return cls(unrolled, is_literal=False)

    @property
    def is_simple(self) -> bool:
        """Whether the ring neither crosses nor touches itself."""
        return bool(shapely.is_simple(shapely.LineString(self.coordinates)))

    @property
    def winding_number(self) -> int:
        """How many times the ring goes round the globe, eastwards counted positive."""
        return round(float(self.coordinates[-1, 0] - self.coordinates[0, 0]) / 360)

    @property
    def width(self) -> float:
        """Degrees of longitude between the westernmost and the easternmost vertex."""
        return float(np.ptp(self.coordinates[:, 0]))

    @property
    def longest_edge(self) -> float:
        """Degrees of longitude of the longest edge. An edge of more than 180 follows its parallel and counts as 0."""
        steps = np.abs(np.diff(self.coordinates[:, 0]))
        return float(steps[steps <= 180].max(initial=0))

    @property
    def signed_area(self) -> float:
        """Steradians between the ring and the equator. Eastward edges in the north count positive.

        The trapezoidal rule over the sine of latitude: a strip of longitude between the equator and a parallel covers
        its width in radians times the sine of the latitude.
        """
        sine = np.sin(np.radians(self.coordinates[:, 1]))
        steps = np.radians(np.diff(self.coordinates[:, 0]))
        return float(np.sum(steps * (sine[1:] + sine[:-1])) / 2)

    @property
    def is_large(self) -> bool:
        """Whether the ring may enclose half of the globe or has an edge of more than 180 degrees.

        On the sphere such a ring does not say which side is inside, or has edges that are no great circles.
        """
        spans = np.abs(np.diff(self.coordinates[:, 0]))
        return bool(spans.max() > 180) or (not self.winding_number and abs(self.signed_area) > 0.75 * HALF_GLOBE)

    @property
    def is_inverted(self) -> bool:
        """Whether the ring stands for the side that is outside of it on the map."""
        area = self.signed_area
        # A positive area means clockwise on the map, since eastward edges in the north count positive.
        return abs(area) > HALF_GLOBE and self.width < 360 and (not self.is_literal or area > 0)

    def region(self) -> shapely.Geometry:
        """Return the enclosed region, within [-180, 180] and with straight edges on the map."""
        if self.winding_number:
            return _wrap_polygon(self._closed_at_pole())
        wrapped = _wrap_polygon(shapely.Polygon(self.coordinates))
        return shapely.difference(_globe(), wrapped) if self.is_inverted else wrapped

    def _closed_at_pole(self) -> shapely.Geometry:
        # Three turns, so that the middle one has its neighbours and both ends lie beyond the map.
        turn = 360.0 * self.winding_number
        start = self.coordinates[:-1] - np.array([360 * round(self.coordinates[0, 0] / 360), 0])
        turns = np.concatenate([start + np.array([turn * number, 0]) for number in (-1, 0, 1)])
        turns = np.vstack([turns, start[0] + np.array([2 * turn, 0])])
        area = self.signed_area * np.sign(turn)
        pole = 90.0 if area > 0 or (area == 0 and turn > 0) else -90.0
        polygon = shapely.Polygon([*turns, (turns[-1, 0], pole), (turns[0, 0], pole)])
        return shapely.intersection(shapely.make_valid(polygon), _globe())


def rings(geometry: shapely.Geometry) -> list[Ring]:
    """Return all rings of a polygon or multi-polygon, exteriors and holes; other geometries have none."""
    polygons = [part for part in shapely.get_parts(geometry) if isinstance(part, shapely.Polygon)]
    return [Ring.from_coordinates(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygons)]


def cut(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return the region that a geometry covers, cut at the antimeridian and closed at the poles.

    Args:
        geometry: A point, polygon or multi-polygon whose longitudes lie in [-360, 360].

    Returns:
        A geometry with longitudes in [-180, 180] and straight edges on the map.
    """
    if not isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return shapely.transform(geometry, _wrap_points)
    return _only_polygons(shapely.unary_union([_cut_polygon(part) for part in shapely.get_parts(geometry)]))


def problem(geometry: shapely.Geometry) -> str | None:
    """Return why a polygon or multi-polygon that may wrap is not valid on the globe, or None if it is valid."""
    if not isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return None
    for ring in rings(geometry):
        reason = _ring_problem(ring)
        if reason:
            return reason
    # Overlaps between polygons are allowed: near a pole the map stretches outlines until they overlap.
    if any(_has_stray_hole(part) for part in shapely.get_parts(geometry)):
        return "a hole reaches beyond its polygon"
    return None if shapely.area(cut(geometry)) > 0 else "it has no area"


def shortest_arc(intervals: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the shortest arc of longitude that covers all given intervals.

    Args:
        intervals: West and east of each interval in degrees, shape (n, 2).

    Returns:
        West and east of the arc in degrees; west > east if it crosses the antimeridian.

    Example:
        >>> shortest_arc(np.array([[170.0, 180.0], [-180.0, -175.0]]))
        (170.0, -175.0)
    """
    ordered = intervals[np.argsort(intervals[:, 0])]
    covered_to = np.maximum.accumulate(ordered[:, 1])
    gaps = np.append(ordered[1:, 0], ordered[0, 0] + 360) - covered_to
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 0:
        return -180.0, 180.0
    return float(ordered[(widest + 1) % len(ordered), 0]), float(covered_to[widest])


def _cut_polygon(polygon: shapely.Polygon) -> shapely.Geometry:
    exterior, *holes = (ring.region() for ring in rings(polygon))
    return shapely.difference(exterior, shapely.unary_union(holes)) if holes else exterior


def _ring_problem(ring: Ring) -> str | None:
    if abs(ring.winding_number) > 1:
        return "a ring goes round the globe more than once"
    if ring.winding_number:
        return None if ring.is_simple else "a ring crosses itself"
    reason = shapely.is_valid_reason(shapely.Polygon(ring.coordinates))
    return None if reason == "Valid Geometry" else str(reason)


def _has_stray_hole(polygon: shapely.Polygon) -> bool:
    exterior, *holes = (ring.region() for ring in rings(polygon))
    stray = shapely.area(shapely.difference(holes, exterior))
    return bool((stray > _HOLE_TOLERANCE * shapely.area(holes)).any())


def _is_literal_box(coordinates: npt.NDArray[np.float64]) -> bool:
    if len(coordinates) != 5:
        return False
    longitude, latitude = coordinates.T
    across, up = np.diff(longitude), np.diff(latitude)
    if not (((across == 0) != (up == 0)).all() and ((across[:-1] == 0) != (across[1:] == 0)).all()):
        return False
    counter_clockwise = np.sum(across * (latitude[1:] + latitude[:-1])) < 0
    return bool(counter_clockwise or np.ptp(longitude) == 360)


def _along_great_circles(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a ring whose edges follow great circles, with vertices at most one degree of arc apart.

    The added vertices are spherical linear interpolations (Shoemake's slerp) between the given ones.
    """
    longitude, latitude = np.radians(coordinates).T
    units = np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    arcs = np.arccos(np.clip(np.sum(units[1:] * units[:-1], axis=1), -1, 1))
    counts = np.maximum(np.ceil(np.degrees(arcs)), 1).astype(int)
    edge = np.repeat(np.arange(len(counts)), counts)
    fraction = (np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[edge]
    is_given = fraction == 0
    # The sine of the angle divides, and is 0 where two vertices coincide. Given vertices are copied below anyway.
    angle = np.where(is_given, 1, arcs[edge])
    start, end = np.sin((1 - fraction) * angle) / np.sin(angle), np.sin(fraction * angle) / np.sin(angle)
    x, y, z = (start[:, None] * units[edge] + end[:, None] * units[edge + 1]).T
    dense = np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))
    dense[is_given] = coordinates[:-1]
    return np.vstack([dense, coordinates[-1:]])


def _is_cut_at_antimeridian(longitude: npt.NDArray[np.float64]) -> bool:
    return bool(((np.abs(longitude[1:]) == 180) & (longitude[1:] == longitude[:-1])).any())


def _wrap_polygon(polygon: shapely.Geometry) -> shapely.Geometry:
    polygon = polygon if shapely.is_valid(polygon) else shapely.make_valid(polygon)
    west, _, east, _ = shapely.bounds(polygon)
    turns = range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    if list(turns) == [0]:
        return _only_polygons(polygon)
    pieces = [shapely.intersection(polygon, shapely.box(360 * n - 180, -90, 360 * n + 180, 90)) for n in turns]
    return _only_polygons(shapely.unary_union([_shift_back(piece, n) for piece, n in zip(pieces, turns, strict=True)]))


def _shift_back(piece: shapely.Geometry, turns: int) -> shapely.Geometry:
    if not turns:
        return piece
    shifted = translate(piece, -360 * turns)
    return shapely.transform(shifted, lambda points: np.column_stack([np.round(points[:, 0], _DECIMALS), points[:, 1]]))


def _only_polygons(geometry: shapely.Geometry) -> shapely.Geometry:
    """Drop the points and lines that remain where pieces only touched."""
    if isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return geometry
    return shapely.unary_union(list(_iter_polygons(shapely.get_parts(geometry))))


def _iter_polygons(parts: Iterable[shapely.Geometry]) -> Iterable[shapely.Geometry]:
    for part in parts:
        if isinstance(part, shapely.Polygon):
            yield part
        elif isinstance(part, shapely.MultiPolygon):
            yield from part.geoms


def _wrap_points(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    longitude = points[:, 0]
    is_outside = np.abs(longitude) > 180
    wrapped = np.round(longitude - np.copysign(360, longitude), _DECIMALS)
    return np.column_stack([np.where(is_outside, wrapped, longitude), points[:, 1]])


def _to_east_longitudes(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]])


def _globe() -> shapely.Polygon:
    return shapely.box(-180, -90, 180, 90)
