"""Polygons on the globe, read ring by ring and cut where the map ends.

Longitude is a circle, so the coordinates of a ring leave open which way round its edges go and which
side is inside. They are read by these rules, which `docs/guide/geometries.md` repeats for users:

- An edge that spans more than 180 degrees of longitude goes the other, short way round.
- An axis-aligned box is what it says if its vertices run counter-clockwise, as in
  `shapely.box(-179.5, -10, 179.5, 10)`; clockwise, which is what `shapely.box` makes of west > east,
  its long edges take the short way as well. A box 360 degrees wide goes all round in either order.
- A ring that was cut at the antimeridian before, so that it has an edge along it, is taken as written there.
- A ring that goes once round the globe encloses the pole on its smaller side.
- A ring that crosses itself on the map has great circles for edges if it then no longer does: a coarse
  outline that passes close by a pole.
- A ring that encloses more than half of the globe means its outside instead, if it runs clockwise or
  crosses the antimeridian: the strip of an orbit encloses both poles and is written that way.

Only the few geometries that are 180 degrees wide or leave [-180, 180] come here; `wide` finds them.
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

_DECIMALS = 12
# Adding and subtracting 360 costs the last bits; rounding to a tenth of a micrometre brings back what was written.

_TOLERANCE = 1e-9
# What a hole reaches beyond its polygon below this share of it is rounding.


def wide(bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell which bounds (n, 4; NaN where there is none) may belong to a geometry that crosses the antimeridian or encloses a pole."""
    west, _, east, _ = bounds.T
    with np.errstate(invalid="ignore"):
        found: npt.NDArray[np.bool_] = (west < -180) | (east > 180) | (east - west >= 180)
    return found


def moved_east(
    geometries: npt.NDArray[np.object_], bounds: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.object_]]:
    """Find the plain crossers among geometries, which need no reading ring by ring.

    They are less than half a turn wide once their western longitudes are counted on beyond 180: what most
    sensors write there.

    Args:
        geometries: Geometries and None (n,).
        bounds: Their bounds (n, 4).

    Returns:
        Which they are (n,), and those geometries in [0, 360] (m,).
    """
    west, _, east, _ = bounds.T
    found = wide(bounds) & (west >= -180) & (east <= 180) & ((west > -180) | (east < 180))
    # A rectangle may be a box that is what it says.
    found[found] = shapely.area(geometries[found]) < shapely.area(shapely.box(*bounds[found].T))
    moved = shapely.transform(geometries[found], _eastwards)
    narrow = ~wide(shapely.bounds(moved).reshape(-1, 4) - np.array([180, 0, 180, 0]))
    found[found] = narrow
    return found, moved[narrow]


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed ring whose longitudes run on beyond 180 where it crosses the antimeridian.

    Args:
        coordinates: Longitude and latitude of its vertices (n, 2); the last is the first, whole turns apart.
        is_literal: Whether all edges go the way they are written.
    """

    coordinates: npt.NDArray[np.float64]
    is_literal: bool

    @classmethod
    def of(cls, coordinates: npt.NDArray[np.float64]) -> Ring:
        """Read the ring of those vertices (n, 2), the first repeated as the last."""
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
        written = np.diff(longitude)
        jumps = np.abs(written) > 180
        if _was_cut(longitude):
            jumps &= np.abs(written) != 360
        if not jumps.any():
            return cls(coordinates, is_literal=True)
        steps = np.where(jumps, written - np.copysign(360, written), written)
        unrolled = coordinates.copy()
        unrolled[1:, 0] = longitude[0] + np.cumsum(steps)
        # Sums drift; every vertex is where it was, whole turns apart.
        unrolled[:, 0] = longitude + 360 * np.round((unrolled[:, 0] - longitude) / 360)
        return cls(unrolled, is_literal=False)

    @property
    def is_simple(self) -> bool:
        """Whether it neither crosses nor touches itself."""
        return bool(shapely.is_simple(shapely.LineString(self.coordinates)))

    @property
    def turns(self) -> int:
        """How often the ring goes round the globe, eastwards."""
        return round(float(self.coordinates[-1, 0] - self.coordinates[0, 0]) / 360)

    @property
    def width(self) -> float:
        """Degrees of longitude between its ends."""
        return float(np.ptp(self.coordinates[:, 0]))

    @property
    def longest_edge(self) -> float:
        """Degrees of longitude that its longest edge spans; edges of more than 180 follow their parallel and count 0."""
        steps = np.abs(np.diff(self.coordinates[:, 0]))
        return float(steps[steps <= 180].max(initial=0))

    @property
    def signed_area(self) -> float:
        """Steradians between the ring and the equator, eastward edges in the north counted positive."""
        sine = np.sin(np.radians(self.coordinates[:, 1]))
        steps = np.radians(np.diff(self.coordinates[:, 0]))
        return float(np.sum(steps * (sine[1:] + sine[:-1])) / 2)

    @property
    def is_large(self) -> bool:
        """Whether it may enclose half of the globe or more, or goes the long way: the sphere cannot tell its side."""
        spans = np.abs(np.diff(self.coordinates[:, 0]))
        return bool(spans.max() > 180) or (not self.turns and abs(self.signed_area) > 0.75 * HALF_GLOBE)

    @property
    def means_outside(self) -> bool:
        """Whether the ring stands for the side that it does not enclose on the map."""
        area = self.signed_area
        # Clockwise on the map: the sum over eastward edges in the north is positive.
        return abs(area) > HALF_GLOBE and self.width < 360 and (not self.is_literal or area > 0)

    def region(self) -> shapely.Geometry:
        """Return what the ring encloses, within [-180, 180] and with straight edges on the map."""
        if self.turns:
            return _fold(self._closed_at_pole())
        folded = _fold(shapely.Polygon(self.coordinates))
        return shapely.difference(_globe(), folded) if self.means_outside else folded

    def _closed_at_pole(self) -> shapely.Geometry:
        # Three rounds, so that the middle one has its neighbours and the ends lie beyond what is kept.
        turn = 360.0 * self.turns
        start = self.coordinates[:-1] - np.array([360 * round(self.coordinates[0, 0] / 360), 0])
        rounds = np.concatenate([start + np.array([turn * number, 0]) for number in (-1, 0, 1)])
        rounds = np.vstack([rounds, start[0] + np.array([2 * turn, 0])])
        area = self.signed_area * np.sign(turn)
        pole = 90.0 if area > 0 or (area == 0 and turn > 0) else -90.0
        line = shapely.Polygon([*rounds, (rounds[-1, 0], pole), (rounds[0, 0], pole)])
        return shapely.intersection(shapely.make_valid(line), shapely.box(-180, -90, 180, 90))


def rings(geometry: shapely.Geometry) -> list[Ring]:
    """Return all rings of a polygon or multi-polygon; other kinds have none."""
    polygons = [part for part in shapely.get_parts(geometry) if isinstance(part, shapely.Polygon)]
    return [Ring.of(shapely.get_coordinates(ring)) for ring in shapely.get_rings(polygons)]


def cut(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return what a geometry covers, within [-180, 180], cut at the antimeridian and closed at poles.

    Args:
        geometry: A point, polygon or multi-polygon whose longitudes lie in [-360, 360].
    """
    if not isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return shapely.transform(geometry, _wrap)
    return _polygonal(shapely.unary_union([_cut_polygon(part) for part in shapely.get_parts(geometry)]))


def problem(geometry: shapely.Geometry) -> str | None:
    """Say why a wide polygon or multi-polygon makes no sense on the globe, or None if it does."""
    if not isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return None
    for ring in rings(geometry):
        reason = _ring_problem(ring)
        if reason:
            return reason
    # Whether polygons overlap is not asked: the map stretches outlines by a pole until they do.
    if any(_has_stray_hole(part) for part in shapely.get_parts(geometry)):
        return "a hole reaches beyond its polygon"
    return None if shapely.area(cut(geometry)) > 0 else "it has no area"


def arc(intervals: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return west and east of the shortest arc that covers intervals of longitude (n, 2); west > east if it crosses.

    Example:
        >>> arc(np.array([[170.0, 180.0], [-180.0, -175.0]]))
        (170.0, -175.0)
    """
    ordered = intervals[np.argsort(intervals[:, 0])]
    reached = np.maximum.accumulate(ordered[:, 1])
    gaps = np.append(ordered[1:, 0], ordered[0, 0] + 360) - reached
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 0:
        return -180.0, 180.0
    return float(ordered[(widest + 1) % len(ordered), 0]), float(reached[widest])


def _cut_polygon(polygon: shapely.Polygon) -> shapely.Geometry:
    exterior, *holes = (ring.region() for ring in rings(polygon))
    return shapely.difference(exterior, shapely.unary_union(holes)) if holes else exterior


def _ring_problem(ring: Ring) -> str | None:
    if abs(ring.turns) > 1:
        return "a ring goes round the globe more than once"
    if ring.turns:
        return None if ring.is_simple else "a ring crosses itself"
    reason = shapely.is_valid_reason(shapely.Polygon(ring.coordinates))
    return None if reason == "Valid Geometry" else str(reason)


def _has_stray_hole(polygon: shapely.Polygon) -> bool:
    exterior, *holes = (ring.region() for ring in rings(polygon))
    stray = shapely.area(shapely.difference(holes, exterior))
    return bool((stray > _TOLERANCE * shapely.area(holes)).any())


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
    """Return a ring with vertices added, at most a degree apart, where great circles lead from one to the next."""
    longitude, latitude = np.radians(coordinates).T
    units = np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    apart = np.arccos(np.clip(np.sum(units[1:] * units[:-1], axis=1), -1, 1))
    counts = np.maximum(np.ceil(np.degrees(apart)), 1).astype(int)
    edge = np.repeat(np.arange(len(counts)), counts)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)) / counts[edge]
    given = share == 0
    angle = np.where(given, 1, apart[edge])  # Divided by its sine, which is 0 where two vertices are one.
    start, end = np.sin((1 - share) * angle) / np.sin(angle), np.sin(share * angle) / np.sin(angle)
    x, y, z = (start[:, None] * units[edge] + end[:, None] * units[edge + 1]).T
    dense = np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))
    dense[given] = coordinates[:-1]
    return np.vstack([dense, coordinates[-1:]])


def _was_cut(longitude: npt.NDArray[np.float64]) -> bool:
    return bool(((np.abs(longitude[1:]) == 180) & (longitude[1:] == longitude[:-1])).any())


def _fold(polygon: shapely.Geometry) -> shapely.Geometry:
    polygon = polygon if shapely.is_valid(polygon) else shapely.make_valid(polygon)
    west, _, east, _ = shapely.bounds(polygon)
    turns = range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    if list(turns) == [0]:
        return _polygonal(polygon)
    pieces = [shapely.intersection(polygon, shapely.box(360 * n - 180, -90, 360 * n + 180, 90)) for n in turns]
    return _polygonal(shapely.unary_union([_turned_back(piece, n) for piece, n in zip(pieces, turns, strict=True)]))


def _turned_back(piece: shapely.Geometry, turns: int) -> shapely.Geometry:
    if not turns:
        return piece
    moved = translate(piece, -360 * turns)
    return shapely.transform(moved, lambda points: np.column_stack([np.round(points[:, 0], _DECIMALS), points[:, 1]]))


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    """Drop the points and lines that are left where pieces only touched."""
    if isinstance(geometry, (shapely.Polygon, shapely.MultiPolygon)):
        return geometry
    return shapely.unary_union(list(_polygons(shapely.get_parts(geometry))))


def _polygons(parts: Iterable[shapely.Geometry]) -> Iterable[shapely.Geometry]:
    for part in parts:
        if isinstance(part, shapely.Polygon):
            yield part
        elif isinstance(part, shapely.MultiPolygon):
            yield from part.geoms


def _wrap(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    longitude = points[:, 0]
    outside = np.abs(longitude) > 180
    turned = np.round(longitude - np.copysign(360, longitude), _DECIMALS)
    return np.column_stack([np.where(outside, turned, longitude), points[:, 1]])


def _eastwards(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.where(points[:, 0] < 0, points[:, 0] + 360, points[:, 0]), points[:, 1]])


def _globe() -> shapely.Polygon:
    return shapely.box(-180, -90, 180, 90)
