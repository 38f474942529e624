"""Footprints and areas on the sphere, whose edges are great circles; S2 decides.

S2 wants polygons that are valid on the sphere: no edge twice, none crossing another. Where great circles
between the given vertices make a polygon invalid (a long edge may bulge over its neighbour), its
edges follow the straight lines of the map instead. So do those of boxes and rings that
`antimeridian.py` takes the long way round, which no great circle does.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox._core.geometry import antimeridian
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy.typing as npt

MAP_STEP_DEGREES = 1.0
"""Edges that follow the map get a vertex at least this often."""

_COLUMN_DEGREES = 90
_CHUNK_ROWS = 256
_SHRINKAGE = 1e-9
# A millimetre for the largest footprints.


def intersects(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints share a point with the area. Where they only touch, rounding decides."""
    prepared = _prepared(area)
    found = _in_chunks(_s2().intersects, prepared, footprints)
    # A corner counts to its polygon when S2 covers, not when it intersects; only a point can tell.
    (points,) = np.nonzero(~found & (_are_points(footprints) | isinstance(area, shapely.Point)))
    covers = _s2().covered_by if isinstance(area, shapely.Point) else _s2().covers
    found[points] = _in_chunks(covers, prepared, footprints[points])
    return found


def area_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints lie wholly in the area, a millimetre granted."""
    prepared = _prepared(area)
    found = _in_chunks(_s2().covers, prepared, footprints)
    # S2 finds an edge that runs along a part of another on either side of it. The shrunk footprint is clear of it.
    (doubtful,) = np.nonzero(~found)
    doubtful = doubtful[_in_chunks(_s2().intersects, prepared, footprints[doubtful])]
    found[doubtful] = _in_chunks(_s2().covers, prepared, _shrunk(footprints[doubtful]))
    return found


def footprint_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints have the whole area in them, a millimetre granted."""
    found = _in_chunks(_s2().covered_by, _prepared(area), footprints)
    (doubtful,) = np.nonzero(~found)
    smaller = _prepared(_shrunk(np.array([area], dtype=object))[0])
    found[doubtful] = _in_chunks(_s2().covered_by, smaller, footprints[doubtful])
    return found


def to_sphere(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return the S2 geographies of points, polygons and multi-polygons (n,), none of them None.

    Raises:
        MissingExtraError: S2 is not installed.
    """
    result = np.empty(len(geometries), dtype=object)
    special = _is_special(geometries)
    result[special] = [_from_special(geometry) for geometry in geometries[special]]
    if not special.all():
        result[~special] = _from_plain(geometries[~special])
    return result


def _in_chunks(
    predicate: Callable[[Any, Any], Any], area: Any, footprints: npt.NDArray[np.object_]
) -> npt.NDArray[np.bool_]:
    """Ask for a few footprints at a time: geographies are large, and one that S2 refuses makes its chunk slow."""
    found = np.zeros(len(footprints), dtype=bool)
    for start in range(0, len(footprints), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        found[rows] = predicate(area, to_sphere(footprints[rows]))
    return found


def _is_special(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Tell which geometries are wide, or touch a place that has more than one longitude."""
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    touches: npt.NDArray[np.bool_] = (np.abs(bounds) == [180, 90, 180, 90]).any(axis=1)
    crossing, _ = antimeridian.moved_east(geometries, bounds)
    return touches | (antimeridian.wide(bounds) & ~crossing)


def _are_points(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = shapely.get_type_id(geometries) == shapely.GeometryType.POINT
    return found


def _shrunk(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return geometries slightly smaller about the middle of their bounds; wide ones as they are."""
    points, owner = shapely.get_coordinates(geometries, return_index=True)
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    shrink = np.where(antimeridian.wide(bounds), 0, _SHRINKAGE)[:, None]
    smaller: npt.NDArray[np.object_] = shapely.set_coordinates(
        shapely.force_2d(geometries), points + (middle[owner] - points) * shrink[owner]
    )
    return smaller


def _from_plain(geometries: npt.NDArray[np.object_]) -> Any:
    # S2 refuses repeated vertices, which sensors' footprints often have.
    clean = shapely.remove_repeated_points(geometries)
    try:
        return _s2().from_wkb(_wkb(clean))
    except RuntimeError:
        return [_from_one(geometry) for geometry in clean]


def _from_special(geometry: shapely.Geometry) -> Any:
    if any(ring.is_large for ring in antimeridian.rings(geometry)):
        return _from_map(antimeridian.cut(geometry))
    return _from_one(geometry)


def _from_one(geometry: shapely.Geometry) -> Any:
    return _union([_from_part(part) for part in shapely.get_parts(geometry)])


def _from_part(part: shapely.Geometry) -> Any:
    # What is too small for S2 to tell all its vertices apart is left as a line or a point.
    return (
        _built(part)
        or _from_map(antimeridian.cut(part))
        or _built(shapely.LineString(shapely.get_coordinates(part)))
        or _built(shapely.Point(shapely.get_coordinates(part)[0]))
    )


def _from_map(region: shapely.Geometry) -> Any:
    """Build a region of the map column by column, each narrow enough that S2 takes its inside for its inside."""
    dense = shapely.segmentize(region, MAP_STEP_DEGREES)
    columns = [shapely.box(west, -90, west + _COLUMN_DEGREES, 90) for west in range(-180, 180, _COLUMN_DEGREES)]
    pieces = shapely.get_parts(shapely.intersection(dense, columns))
    polygons = [piece for piece in pieces if isinstance(piece, shapely.Polygon) and not shapely.is_empty(piece)]
    built = [_built(shapely.segmentize(polygon, MAP_STEP_DEGREES)) for polygon in polygons]
    return _union([geography for geography in built if geography])


def _built(geometry: shapely.Geometry) -> Any:
    """Return the geography of a geometry, or None where S2 finds it invalid."""
    try:
        return _s2().from_wkb(shapely.to_wkb(_joined(geometry), output_dimension=2))
    except RuntimeError:
        return None


def _union(geographies: list[Any]) -> Any:
    return reduce(_s2().union, geographies) if geographies else None


def _joined(geometry: shapely.Geometry) -> shapely.Geometry:
    """Give the places with more than one longitude a single one, so that pieces meet there exactly."""

    def join(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        longitude, latitude = points.T
        longitude = np.where(longitude == -180, 180, longitude)
        return np.column_stack([np.where(np.abs(latitude) == 90, 0, longitude), latitude])

    return shapely.remove_repeated_points(shapely.transform(geometry, join))


def _prepared(area: shapely.Geometry) -> Any:
    geography = to_sphere(np.array([area], dtype=object))[0]
    _s2().prepare(geography)
    return geography


def _wkb(geometries: npt.NDArray[np.object_]) -> Any:
    return shapely.to_wkb(geometries, output_dimension=2)


def _s2() -> ModuleType:
    try:
        import spherely
    except ImportError as error:
        raise MissingExtraError("a spherical filter", "server") from error
    return spherely  # type: ignore[no-any-return]
