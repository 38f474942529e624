"""Bounds of footprints and areas that hold whichever way edges run, straight on the map or along great circles.

Great circles between two meridians stay between them and bulge towards the nearer pole, so longitudes need no
care beyond the antimeridian, and latitudes are raised by what the longest edge can rise. Everything is rounded
outwards: an index that compares such bounds may keep too much, and loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from tilebox._core.geometry import antimeridian, sphere

if TYPE_CHECKING:
    import numpy.typing as npt

_MARGIN_DEGREES = 1e-9
# A tenth of a millimetre: far above the rounding of any predicate, far below what a footprint is known to.

_MAX_BOXES = 16
_NARROW_DEGREES = 10


def of_footprints(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Return west, south, east, north (n, 4), west > east where a footprint crosses, NaN where there is none."""
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    crossing, moved = antimeridian.moved_east(geometries, bounds)
    plain, special = ~antimeridian.wide(bounds), antimeridian.wide(bounds) & ~crossing
    spans = np.zeros(len(bounds))
    spans[plain] = _edge_spans(geometries[plain], bounds[plain])
    bounds[crossing] = shapely.bounds(moved).reshape(-1, 4)
    spans[crossing] = _edge_spans(moved, bounds[crossing])
    bounds[crossing, 2] -= 360
    for row in np.nonzero(special)[0]:
        bounds[row], spans[row] = _special_bounds(geometries[row])
    _bulge(bounds, spans)
    return _outwards(bounds)


def of_plain(bounds: npt.NDArray[np.float64], longest_edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the same for footprints that are not `antimeridian.wide`, of which more is known.

    Args:
        bounds: Their bounds on the map (n, 4).
        longest_edges: The degrees of longitude that no edge of each exceeds (n,).
    """
    bounds, widths = bounds.copy(), bounds[:, 2] - bounds[:, 0]
    _bulge(bounds, np.where(widths > _NARROW_DEGREES, longest_edges, widths))
    return _outwards(bounds)


def of_area(geometry: shapely.Geometry, spherical: bool) -> npt.NDArray[np.float64]:
    """Return boxes (n, 4), west <= east, that together hold an area whose edges are of that kind."""
    bounds = shapely.bounds([geometry])
    special = bool(antimeridian.wide(bounds)[0])
    parts = shapely.get_parts(antimeridian.cut(geometry) if special else geometry)
    boxes = shapely.bounds(parts).reshape(-1, 4)
    if len(boxes) > _MAX_BOXES:
        boxes = _split(np.array([[*_enclosing(boxes)]]))
    if spherical:
        span = _special_bounds(geometry)[1] if special else bounds[0, 2] - bounds[0, 0]
        _bulge(boxes, np.full(len(boxes), span))
        boxes = _with_poles(boxes, geometry)
    return _without_contained(_with_twins(_outwards(boxes, full_at_poles=spherical)))


def _special_bounds(geometry: shapely.Geometry) -> tuple[tuple[float, float, float, float], float]:
    """Return the bounds of a wide geometry, and the degrees of longitude that its longest edge spans."""
    west, south, east, north = _enclosing(shapely.bounds(shapely.get_parts(antimeridian.cut(geometry))))
    rings = antimeridian.rings(geometry)
    if any(ring.turns for ring in rings) and south < 0 < north:
        south, north = -90.0, 90.0  # Great circles may put the ring's smaller side at the other pole.
    spans = [max(ring.longest_edge, sphere.MAP_STEP_DEGREES) for ring in rings]
    return (west, south, east, north), max(spans, default=0.0)


def _enclosing(boxes: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    west, east = antimeridian.arc(boxes[:, [0, 2]])
    return west, float(boxes[:, 1].min()), east, float(boxes[:, 3].max())


def _edge_spans(geometries: npt.NDArray[np.object_], bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the degrees of longitude that no edge exceeds: the width, or for wide ones the longest edge."""
    spans = np.nan_to_num(bounds[:, 2] - bounds[:, 0])
    (rows,) = np.nonzero(spans > _NARROW_DEGREES)
    points, owner = shapely.get_coordinates(geometries[rows], return_index=True)
    if len(points):
        # A step from one ring to the next counts too, which can only widen.
        steps = np.where(owner[1:] == owner[:-1], np.abs(np.diff(points[:, 0])), 0)
        starts = np.searchsorted(owner, np.arange(len(rows)))
        spans[rows] = np.maximum.reduceat(np.append(steps, 0), starts)
    return spans


def _bulge(bounds: npt.NDArray[np.float64], spans: npt.NDArray[np.float64]) -> None:
    """Raise north and lower south, in place, to where great circles of that many degrees of longitude may rise.

    Between two points of one latitude the great circle rises highest, to atan(tan(latitude) / cos(span / 2)).
    """
    sharpen = np.cos(np.radians(np.minimum(spans, 180)) / 2)
    for column, sign in ((1, -1), (3, 1)):
        latitude = np.radians(bounds[:, column])
        risen = sign * np.degrees(np.arctan2(np.abs(np.sin(latitude)), np.cos(latitude) * sharpen))
        bounds[:, column] = np.where(sign * latitude > 0, risen, bounds[:, column])


def _outwards(bounds: npt.NDArray[np.float64], full_at_poles: bool = True) -> npt.NDArray[np.float64]:
    """Widen bounds by the margin, and to all longitudes where they reach a pole, which has them all."""
    widened = bounds + _MARGIN_DEGREES * np.array([-1, -1, 1, 1])
    if full_at_poles:
        with np.errstate(invalid="ignore"):
            polar = (widened[:, 1] <= -90) | (widened[:, 3] >= 90)
        widened[polar, 0], widened[polar, 2] = -180, 180
    return np.clip(widened, [-180, -90, -180, -90], [180, 90, 180, 90])


def _split(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cut boxes with west > east at the antimeridian."""
    crossing = boxes[:, 0] > boxes[:, 2]
    eastern, western = boxes.copy(), boxes[crossing].copy()
    eastern[crossing, 2], western[:, 0] = 180, -180
    return np.concatenate([eastern, western])


def _with_poles(boxes: npt.NDArray[np.float64], geometry: shapely.Geometry) -> npt.NDArray[np.float64]:
    """Open boxes of rings round the globe to the pole that great circles may choose."""
    if any(ring.turns for ring in antimeridian.rings(geometry)) and boxes[:, 1].min() < 0 < boxes[:, 3].max():
        return np.array([[-180.0, -90.0, 180.0, 90.0]])
    return boxes


def _with_twins(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Add what lies on the antimeridian a second time, at its other longitude."""
    twins = [boxes]
    for column, side in ((0, 180.0), (2, -180.0)):
        twin = boxes[boxes[:, column] == -side].copy()
        twin[:, [0, 2]] = side
        twins.append(twin)
    return np.concatenate(twins)


def _without_contained(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Drop boxes that lie in another one, and repeats."""
    boxes = np.unique(boxes, axis=0)
    west, south, east, north = boxes.T
    holds = (west[:, None] <= west) & (south[:, None] <= south) & (east[:, None] >= east) & (north[:, None] >= north)
    return np.compress(holds.sum(axis=0) == 1, boxes, axis=0)
