"""Bounding boxes of footprints and query areas, valid for straight edges on the map and for great circles.

A great circle between two meridians stays between them and bulges towards the nearer pole. Longitudes therefore need
care at the antimeridian only, and latitudes grow by the rise of the longest edge. All bounds are rounded outwards: an
index that compares them may keep candidates that do not match, but never loses a match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from tilebox._core.geometry import antimeridian, sphere

if TYPE_CHECKING:
    import numpy.typing as npt

# A tenth of a millimetre: far above the rounding of any predicate, far below the accuracy of a footprint.
_MARGIN_DEGREES = 1e-9

# Every box is one more condition in a query of the index; beyond this number one enclosing box stands for all.
_MAX_BOXES = 16

# The great circle of a shorter edge rises so little that the width of the geometry stands in for its longest edge.
_NARROW_DEGREES = 10


def footprint_bounds(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Return the bounds of footprints.

    Args:
        geometries: Valid footprints and None, shape (n,).

    Returns:
        West, south, east, north in degrees, shape (n, 4). West > east where a footprint crosses the antimeridian, NaN
        where there is no footprint.
    """
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    crossing, moved = antimeridian.shift_crossing(geometries, bounds)
    plain, wrapping = ~antimeridian.may_wrap(bounds), antimeridian.may_wrap(bounds) & ~crossing
    spans = np.zeros(len(bounds))
    spans[plain] = _edge_spans(geometries[plain], bounds[plain])
    bounds[crossing] = shapely.bounds(moved).reshape(-1, 4)
    spans[crossing] = _edge_spans(moved, bounds[crossing])
    bounds[crossing, 2] -= 360
    for row in np.nonzero(wrapping)[0]:
        bounds[row], spans[row] = _wrapping_bounds(geometries[row])
    _extend_latitudes(bounds, spans)
    return _round_outwards(bounds)


def plain_footprint_bounds(
    bounds: npt.NDArray[np.float64], longest_edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the bounds of footprints that cannot wrap (`antimeridian.may_wrap`), from measures known already.

    Args:
        bounds: The bounds of the footprints on the map, in degrees, shape (n, 4).
        longest_edges: For each footprint an upper limit of the degrees of longitude that one edge spans, shape (n,).

    Returns:
        West, south, east, north in degrees, shape (n, 4), as `footprint_bounds` returns them.
    """
    bounds, widths = bounds.copy(), bounds[:, 2] - bounds[:, 0]
    _extend_latitudes(bounds, np.where(widths > _NARROW_DEGREES, longest_edges, widths))
    return _round_outwards(bounds)


def area_boxes(geometry: shapely.Geometry, spherical: bool) -> npt.NDArray[np.float64]:
    """Return boxes that together cover a query area.

    Args:
        geometry: The area, a valid point, polygon or multi-polygon.
        spherical: Whether its edges are great circles.

    Returns:
        West, south, east, north in degrees, west <= east, shape (n, 4).
    """
    bounds = shapely.bounds([geometry])
    wrapping = bool(antimeridian.may_wrap(bounds)[0])
    parts = shapely.get_parts(antimeridian.cut(geometry) if wrapping else geometry)
    boxes = shapely.bounds(parts).reshape(-1, 4)
    if len(boxes) > _MAX_BOXES:
        boxes = _split_at_antimeridian(np.array([[*_enclosing_box(boxes)]]))
    if spherical:
        span = _wrapping_bounds(geometry)[1] if wrapping else bounds[0, 2] - bounds[0, 0]
        _extend_latitudes(boxes, np.full(len(boxes), span))
        boxes = _extend_to_poles(boxes, geometry)
    return _drop_contained(_add_antimeridian_copies(_round_outwards(boxes, full_at_poles=spherical)))


def _wrapping_bounds(geometry: shapely.Geometry) -> tuple[tuple[float, float, float, float], float]:
    """Return the bounds of a geometry that may wrap, and the degrees of longitude that its longest edge spans."""
    west, south, east, north = _enclosing_box(shapely.bounds(shapely.get_parts(antimeridian.cut(geometry))))
    rings = antimeridian.rings(geometry)
    if any(ring.winding_number for ring in rings) and south < 0 < north:
        # With great circles for edges, the smaller side of the ring may lie at the other pole.
        south, north = -90.0, 90.0
    spans = [max(ring.longest_edge, sphere.MAP_STEP_DEGREES) for ring in rings]
    return (west, south, east, north), max(spans, default=0.0)


def _enclosing_box(boxes: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    west, east = antimeridian.shortest_arc(boxes[:, [0, 2]])
    return west, float(boxes[:, 1].min()), east, float(boxes[:, 3].max())


def _edge_spans(geometries: npt.NDArray[np.object_], bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return an upper limit of the degrees of longitude of an edge: the width, or the longest edge of wide ones."""
    spans = np.nan_to_num(bounds[:, 2] - bounds[:, 0])
    (rows,) = np.nonzero(spans > _NARROW_DEGREES)
    points, owner = shapely.get_coordinates(geometries[rows], return_index=True)
    if len(points):
        # The step from one ring to the next counts too. It can only raise the limit.
        steps = np.where(owner[1:] == owner[:-1], np.abs(np.diff(points[:, 0])), 0)
        starts = np.searchsorted(owner, np.arange(len(rows)))
        spans[rows] = np.maximum.reduceat(np.append(steps, 0), starts)
    return spans


def _extend_latitudes(bounds: npt.NDArray[np.float64], spans: npt.NDArray[np.float64]) -> None:
    """Move north and south towards the poles, in place, as far as great circles of the given spans can rise.

    A great circle of a given span rises highest between two points of equal latitude. Its vertex then lies at
    atan(tan(latitude) / cos(span / 2)), by Napier's rules for the right spherical triangle of pole, vertex and point.
    """
    sharpen = np.cos(np.radians(np.minimum(spans, 180)) / 2)
    for column, sign in ((1, -1), (3, 1)):
        latitude = np.radians(bounds[:, column])
        risen = sign * np.degrees(np.arctan2(np.abs(np.sin(latitude)), np.cos(latitude) * sharpen))
        bounds[:, column] = np.where(sign * latitude > 0, risen, bounds[:, column])


def _round_outwards(bounds: npt.NDArray[np.float64], full_at_poles: bool = True) -> npt.NDArray[np.float64]:
    """Widen bounds by the margin, and to all longitudes where they reach a pole, where all meridians meet."""
    widened = bounds + _MARGIN_DEGREES * np.array([-1, -1, 1, 1])
    if full_at_poles:
        with np.errstate(invalid="ignore"):
            polar = (widened[:, 1] <= -90) | (widened[:, 3] >= 90)
        widened[polar, 0], widened[polar, 2] = -180, 180
    return np.clip(widened, [-180, -90, -180, -90], [180, 90, 180, 90])


def _split_at_antimeridian(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cut boxes with west > east at the antimeridian."""
    crossing = boxes[:, 0] > boxes[:, 2]
    eastern, western = boxes.copy(), boxes[crossing].copy()
    eastern[crossing, 2], western[:, 0] = 180, -180
    return np.concatenate([eastern, western])


def _extend_to_poles(boxes: npt.NDArray[np.float64], geometry: shapely.Geometry) -> npt.NDArray[np.float64]:
    """Cover the whole globe where great circles decide which pole a ring round the globe encloses."""
    if any(ring.winding_number for ring in antimeridian.rings(geometry)) and boxes[:, 1].min() < 0 < boxes[:, 3].max():
        return np.array([[-180.0, -90.0, 180.0, 90.0]])
    return boxes


def _add_antimeridian_copies(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Repeat the edge of a box that lies on the antimeridian at the other longitude of that meridian."""
    all_boxes = [boxes]
    for column, longitude in ((0, 180.0), (2, -180.0)):
        edges = boxes[boxes[:, column] == -longitude].copy()
        edges[:, [0, 2]] = longitude
        all_boxes.append(edges)
    return np.concatenate(all_boxes)


def _drop_contained(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Drop duplicates and boxes that lie in another one."""
    boxes = np.unique(boxes, axis=0)
    west, south, east, north = boxes.T
    covers = (west[:, None] <= west) & (south[:, None] <= south) & (east[:, None] >= east) & (north[:, None] >= north)
    return np.compress(covers.sum(axis=0) == 1, boxes, axis=0)  # every box covers itself
