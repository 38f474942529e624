"""Spatial relations on the sphere, where edges are great circles, computed by S2.

S2 requires polygons that are valid on the sphere: no edge occurs twice, and no two edges cross. Where great circles
between the given vertices make a polygon invalid (a long edge may bulge over its neighbour), its edges follow the
straight lines of the map instead. So do the edges of boxes and rings that go the long way round by the rules of
`antimeridian.py`, since a great circle takes the short way.
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
"""The greatest distance between vertices of an edge that follows the map."""

# Narrow enough that S2 cannot mistake the outside of a column for its inside.
_COLUMN_DEGREES = 90

# Geographies are large in memory, and a geometry that S2 rejects sends its whole chunk down the slow path.
_CHUNK_ROWS = 256

# A millimetre for the largest footprints.
_SHRINK_FRACTION = 1e-9


def intersects(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Return which footprints share a point with the area.

    Rounding decides where they only touch.

    Args:
        footprints: Valid points, polygons and multi-polygons, none of them None, shape (n,).
        area: The query area.

    Returns:
        One boolean for each footprint, shape (n,).
    """
    prepared = _prepared_geography(area)
    result = _in_chunks(_s2().intersects, prepared, footprints)
    # S2 counts a corner as part of its polygon in `covers`, but not in `intersects`. Only points are affected.
    (points,) = np.nonzero(~result & (_are_points(footprints) | isinstance(area, shapely.Point)))
    covers = _s2().covered_by if isinstance(area, shapely.Point) else _s2().covers
    result[points] = _in_chunks(covers, prepared, footprints[points])
    return result


def area_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Return which footprints lie entirely in the area, with a tolerance of a millimetre.

    Args:
        footprints: Valid points, polygons and multi-polygons, none of them None, shape (n,).
        area: The query area.

    Returns:
        One boolean for each footprint, shape (n,).
    """
    prepared = _prepared_geography(area)
    result = _in_chunks(_s2().covers, prepared, footprints)
    # Rounding puts an edge that runs along a part of another on either side of it. A shrunk footprint is clear of it.
    (doubtful,) = np.nonzero(~result)
    doubtful = doubtful[_in_chunks(_s2().intersects, prepared, footprints[doubtful])]
    result[doubtful] = _in_chunks(_s2().covers, prepared, _shrink(footprints[doubtful]))
    return result


def footprint_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Return which footprints contain the entire area, with a tolerance of a millimetre.

    Args:
        footprints: Valid points, polygons and multi-polygons, none of them None, shape (n,).
        area: The query area.

    Returns:
        One boolean for each footprint, shape (n,).
    """
    result = _in_chunks(_s2().covered_by, _prepared_geography(area), footprints)
    (doubtful,) = np.nonzero(~result)
    smaller = _prepared_geography(_shrink(np.array([area], dtype=object))[0])
    result[doubtful] = _in_chunks(_s2().covered_by, smaller, footprints[doubtful])
    return result


def to_sphere(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Convert geometries to S2 geographies.

    Args:
        geometries: Valid points, polygons and multi-polygons, none of them None, shape (n,).

    Returns:
        One geography for each geometry, shape (n,).

    Raises:
        MissingExtraError: The extra `server`, which has S2, is not installed.
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
    result = np.zeros(len(footprints), dtype=bool)
    for start in range(0, len(footprints), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        result[rows] = predicate(area, to_sphere(footprints[rows]))
    return result


def _is_special(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Return which geometries may wrap, or touch a pole or the antimeridian, where longitude is ambiguous."""
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    touches: npt.NDArray[np.bool_] = (np.abs(bounds) == [180, 90, 180, 90]).any(axis=1)
    crossing, _ = antimeridian.shift_crossing(geometries, bounds)
    return touches | (antimeridian.may_wrap(bounds) & ~crossing)


def _are_points(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = shapely.get_type_id(geometries) == shapely.GeometryType.POINT
    return result


def _shrink(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Scale geometries down slightly about the middle of their bounds; those that may wrap stay as they are."""
    points, owner = shapely.get_coordinates(geometries, return_index=True)
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    shrink = np.where(antimeridian.may_wrap(bounds), 0, _SHRINK_FRACTION)[:, None]
    smaller: npt.NDArray[np.object_] = shapely.set_coordinates(
        shapely.force_2d(geometries), points + (middle[owner] - points) * shrink[owner]
    )
    return smaller


def _from_plain(geometries: npt.NDArray[np.object_]) -> Any:
    # S2 rejects repeated vertices, which are common in footprints of sensors.
    clean = shapely.remove_repeated_points(geometries)
    try:
        return _s2().from_wkb(_wkb(clean))
    except RuntimeError:
        return [_from_parts(geometry) for geometry in clean]


def _from_special(geometry: shapely.Geometry) -> Any:
    if any(ring.is_large for ring in antimeridian.rings(geometry)):
        return _from_map(antimeridian.cut(geometry))
    return _from_parts(geometry)


def _from_parts(geometry: shapely.Geometry) -> Any:
    return _union([_from_part(part) for part in shapely.get_parts(geometry)])


def _from_part(part: shapely.Geometry) -> Any:
    # S2 cannot tell the vertices of a tiny polygon apart. Such a polygon becomes a line or a point.
    return (
        _try_build(part)
        or _from_map(antimeridian.cut(part))
        or _try_build(shapely.LineString(shapely.get_coordinates(part)))
        or _try_build(shapely.Point(shapely.get_coordinates(part)[0]))
    )


def _from_map(region: shapely.Geometry) -> Any:
    """Build the geography of a region with straight edges on the map, from columns that S2 cannot misinterpret."""
    dense = shapely.segmentize(region, MAP_STEP_DEGREES)
    columns = [shapely.box(west, -90, west + _COLUMN_DEGREES, 90) for west in range(-180, 180, _COLUMN_DEGREES)]
    pieces = shapely.get_parts(shapely.intersection(dense, columns))
    polygons = [piece for piece in pieces if isinstance(piece, shapely.Polygon) and not shapely.is_empty(piece)]
    geographies = [_try_build(shapely.segmentize(polygon, MAP_STEP_DEGREES)) for polygon in polygons]
    return _union([geography for geography in geographies if geography])


def _try_build(geometry: shapely.Geometry) -> Any:
    """Return the geography of a geometry, or None if S2 rejects it."""
    try:
        return _s2().from_wkb(shapely.to_wkb(_unify_longitudes(geometry), output_dimension=2))
    except RuntimeError:
        return None


def _union(geographies: list[Any]) -> Any:
    return reduce(_s2().union, geographies) if geographies else None


def _unify_longitudes(geometry: shapely.Geometry) -> shapely.Geometry:
    """Give points on the antimeridian and at the poles one longitude each, so that pieces meet there exactly."""

    def unify(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        longitude, latitude = points.T
        longitude = np.where(longitude == -180, 180, longitude)
        return np.column_stack([np.where(np.abs(latitude) == 90, 0, longitude), latitude])

    return shapely.remove_repeated_points(shapely.transform(geometry, unify))


def _prepared_geography(area: shapely.Geometry) -> Any:
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
