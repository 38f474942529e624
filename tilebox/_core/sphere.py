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

from tilebox._core import antimeridian
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt

MAP_STEP_DEGREES = 1.0
"""Edges that follow the map get a vertex at least this often."""

_COLUMN_DEGREES = 90
_CHUNK_ROWS = 256


def intersects(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints share a point with the area. Where they only touch, rounding decides."""
    return _bools(_s2().intersects(to_sphere(footprints), _prepared(area)))


def area_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints lie wholly in the area."""
    return _bools(_s2().covers(_prepared(area), to_sphere(footprints)))


def footprint_covers(footprints: npt.NDArray[np.object_], area: shapely.Geometry) -> npt.NDArray[np.bool_]:
    """Tell which footprints have the whole area in them."""
    return _bools(_s2().covers(to_sphere(footprints), _prepared(area)))


def to_sphere(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return the S2 geographies of points, polygons and multi-polygons (n,), none of them None.

    Raises:
        MissingExtraError: S2 is not installed.
    """
    result = np.empty(len(geometries), dtype=object)
    special = antimeridian.wide(shapely.bounds(geometries).reshape(-1, 4))
    result[special] = [_from_special(geometry) for geometry in geometries[special]]
    (plain,) = np.nonzero(~special)
    for start in range(0, len(plain), _CHUNK_ROWS):
        rows = plain[start : start + _CHUNK_ROWS]
        result[rows] = _from_plain(geometries[rows])
    return result


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


def _bools(values: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(values, dtype=bool)


def _s2() -> ModuleType:
    try:
        import spherely
    except ImportError as error:
        raise MissingExtraError("a spherical filter", "server") from error
    return spherely  # type: ignore[no-any-return]
