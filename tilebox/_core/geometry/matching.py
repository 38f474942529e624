"""Footprints of datapoints and areas of queries: which are allowed, where they lie, which match.

Coordinates are degrees, longitude before latitude. Longitudes may lie in [-360, 360] and are wrapped.
What users store stays as it is; all functions here work on what it means (`antimeridian.py` has the
rules). Arrays hold shapely geometries or well-known binary, and None for datapoints without footprint.

Two coordinate systems: *cartesian* edges are straight on the map (longitude, latitude), *spherical*
edges are great circles (`sphere.py`). Bounds hold for both, so one index prunes for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely

from tilebox._core.geometry import antimeridian, extents, sphere
from tilebox._core.geometry.inputs import FOOTPRINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

KINDS = FOOTPRINTS
"""The kinds of geometry that a footprint and an area may have."""

MODES = ("intersects", "filter_contains_geometry", "geometry_contains_filter")
"""How a footprint may lie to an area."""


def check_area(geometry: object) -> None:
    """Refuse what cannot be the area of a query.

    Raises:
        ValueError: It is no valid point, polygon or multi-polygon; the message says why.
    """
    if not isinstance(geometry, shapely.Geometry):
        raise ValueError(f"an area is a shapely geometry, not {type(geometry).__name__}")  # noqa: TRY004 - one class for all
    for _, reason in problems([geometry]):
        raise ValueError(f"a query cannot take this area: {reason}")


def area_from_box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """Return the area of a box in degrees; west > east crosses the antimeridian.

    Example:
        >>> area_from_box(177, -20, -178, -15).bounds
        (-180.0, -20.0, 180.0, -15.0)

    Raises:
        ValueError: South is not below north, both meridians are one, or a number is out of range.
    """
    if not (np.isfinite([west, south, east, north]).all() and -90 <= south < north <= 90):
        raise ValueError(
            f"a box is west, south, east, north with -90 <= south < north <= 90: {west, south, east, north}"
        )
    if not (-360 <= west <= 360 and -360 <= east <= 360 and west != east):
        raise ValueError(f"the box's west and east must differ and lie in [-360, 360]: {west, east}")
    if east - west >= 360:
        return shapely.box(-180, south, 180, north)
    return antimeridian.cut(shapely.box(west, south, east + 360 * (west > east), north))


def as_geometries(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return an array (n,) of shapely geometries and None from geometries or well-known binary.

    Raises:
        shapely.GEOSException: Some binary is malformed.
    """
    values = _as_array(geometries)
    binary = _is_binary(values)
    return _decoded(values, binary, on_invalid="raise") if binary.any() else values


def normalise(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return what geometries cover, within [-180, 180], cut at the antimeridian and closed at poles.

    Args:
        geometries: Points, polygons and multi-polygons without problems; None stays None.
    """
    result = as_geometries(geometries).copy()
    special = antimeridian.wide(shapely.bounds(result).reshape(-1, 4))
    result[special] = [antimeridian.cut(geometry) for geometry in result[special]]
    return result


def footprint_bounds(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Return bounds that hold whatever footprints cover, cartesian or spherical, rounded outwards.

    Args:
        geometries: Points, polygons and multi-polygons without problems.

    Returns:
        West, south, east, north (n, 4) in degrees; west > east where a footprint crosses the antimeridian,
        -180 and 180 where it touches a pole, NaN where there is none.
    """
    return extents.of_footprints(as_geometries(geometries))


def area_boxes(geometry: shapely.Geometry, spherical: bool) -> list[tuple[float, float, float, float]]:
    """Return boxes (west, south, east, north), west <= east, that together hold an area, rounded outwards.

    Compare them with `footprint_bounds`: a footprint that overlaps none of them does not match.

    Args:
        geometry: The area.
        spherical: Whether its edges are great circles.
    """
    boxes = extents.of_area(geometry, spherical)
    return [(west, south, east, north) for west, south, east, north in boxes.tolist()]


def matches(
    footprints: Sequence[object] | npt.NDArray[np.object_],
    geometry: shapely.Geometry,
    mode: str,
    spherical: bool,
) -> npt.NDArray[np.bool_]:
    """Tell exactly which footprints lie to an area as asked.

    Containing counts the boundary (`covers`): an area contains a footprint equal to it, and a point on its
    edge. On the sphere a boundary has no width, and where two geometries only touch rounding decides.

    Args:
        footprints: Points, polygons and multi-polygons without problems; None never matches.
        geometry: The area.
        mode: `intersects`, `filter_contains_geometry` (footprints in the area) or `geometry_contains_filter`
            (footprints with the area in them).
        spherical: Whether edges are great circles.

    Returns:
        One truth value a footprint (n,).

    Raises:
        MissingExtraError: A spherical filter without the extra `server`.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    geometries = as_geometries(footprints)
    found = np.zeros(len(geometries), dtype=bool)
    present = ~shapely.is_missing(geometries)
    decide = _SPHERICAL[mode] if spherical else _CARTESIAN[mode]
    found[present] = decide(geometries[present], geometry)
    return found


def problems(
    geometries: Sequence[object] | npt.NDArray[np.object_], *, kinds: tuple[str, ...] = KINDS
) -> list[tuple[int, str]]:
    """Return the rows that must be refused, each with the reason; None is no problem.

    Args:
        geometries: Geometries or well-known binary.
        kinds: The kinds of geometry that are allowed.
    """
    values = _as_array(geometries)
    found: dict[int, str] = {}
    binary = _is_binary(values)
    if binary.any():
        values = _decoded(values, binary, on_invalid="ignore")
        found = dict.fromkeys(_rows(binary & shapely.is_missing(values)), "not well-formed well-known binary")
    _check_kinds(values, kinds, found)
    _check_range(values, found)
    _check_rings(values, found)
    return sorted(found.items())


def _check_kinds(values: npt.NDArray[np.object_], kinds: tuple[str, ...], found: dict[int, str]) -> None:
    known = shapely.is_geometry(values)
    allowed = [shapely.GeometryType[kind.upper()] for kind in kinds]
    other = known & ~np.isin(shapely.get_type_id(_only(values, known)), allowed)
    for row in _rows(~known & (values != None)):  # noqa: E711 - compared element by element
        found.setdefault(row, f"not a geometry but a {type(values[row]).__name__}")
    for row in _rows(other):
        found.setdefault(row, f"a {values[row].geom_type} cannot be used, only {', '.join(kinds)}")
    for row in _rows(shapely.is_empty(_only(values, _usable(values, found)))):
        found.setdefault(row, f"the {values[row].geom_type} is empty")


def _check_range(values: npt.NDArray[np.object_], found: dict[int, str]) -> None:
    points, rows = shapely.get_coordinates(_only(values, _usable(values, found)), return_index=True)
    with np.errstate(invalid="ignore"):
        infinite = ~np.isfinite(points).all(axis=1)
        latitude = ~infinite & (np.abs(points[:, 1]) > 90)
        longitude = ~infinite & (np.abs(points[:, 0]) > 360)
    for bad, column, text in (
        (infinite, None, "a coordinate is not finite"),
        (latitude, 1, "latitude {:g} is beyond 90 degrees; are longitude and latitude swapped?"),
        (longitude, 0, "longitude {:g} is beyond 360 degrees"),
    ):
        for row, point in zip(rows[bad].tolist(), points[bad], strict=True):
            found.setdefault(row, text if column is None else text.format(point[column]))


def _check_rings(values: npt.NDArray[np.object_], found: dict[int, str]) -> None:
    usable = _usable(values, found)
    special = usable & antimeridian.wide(shapely.bounds(_only(values, usable)).reshape(-1, 4))
    crossing, moved = antimeridian.moved_east(values, shapely.bounds(_only(values, special)).reshape(-1, 4))
    special[crossing] = ~shapely.is_valid(moved)
    plain = usable & ~special & ~crossing
    for row in _rows(plain & ~shapely.is_valid(_only(values, plain))):
        found[row] = f"the {values[row].geom_type} is not valid: {shapely.is_valid_reason(values[row])}"
    for row in _rows(special):
        reason = antimeridian.problem(values[row])
        if reason:
            found[row] = f"the {values[row].geom_type} is not valid: {reason}"


def _cartesian_intersects(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    return shapely.intersects(area, footprints) | _on_seam(area, footprints)


def _cartesian_area_covers(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    points = shapely.get_type_id(footprints) == shapely.GeometryType.POINT
    return shapely.covers(area, footprints) | (points & _on_seam(area, footprints))


def _cartesian_footprint_covers(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    found = shapely.covered_by(area, footprints)
    return found | _on_seam(area, footprints) if isinstance(geometry, shapely.Point) else found


_CARTESIAN = {
    "intersects": _cartesian_intersects,
    "filter_contains_geometry": _cartesian_area_covers,
    "geometry_contains_filter": _cartesian_footprint_covers,
}
_SPHERICAL = {
    "intersects": sphere.intersects,
    "filter_contains_geometry": sphere.area_covers,
    "geometry_contains_filter": sphere.footprint_covers,
}


def _prepared(geometry: shapely.Geometry) -> shapely.Geometry:
    area: shapely.Geometry = normalise([geometry])[0]
    shapely.prepare(area)
    return area


def _on_seam(area: shapely.Geometry, footprints: npt.NDArray[np.object_]) -> Any:
    """Tell which footprints meet the area on the antimeridian from its other side: 180 and -180 are one place."""
    west, _, east, _ = shapely.bounds(area)
    if west > -180 and east < 180:
        return np.zeros(len(footprints), dtype=bool)
    seam = [shapely.LineString([(side, -90), (side, 90)]) for side in (-180, 180)]
    touched = shapely.intersection(area, seam)
    mirrored = shapely.transform(shapely.union_all(touched), lambda points: points * [-1, 1])
    shapely.prepare(mirrored)
    return shapely.intersects(mirrored, footprints)


def _as_array(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    if isinstance(geometries, np.ndarray) and geometries.dtype == object:
        return geometries
    values = np.empty(len(geometries), dtype=object)
    values[:] = geometries
    return values


def _is_binary(values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    binary: npt.NDArray[np.bool_] = ~shapely.is_geometry(values) & (values != None)  # noqa: E711 - element by element
    binary[binary] = [isinstance(value, bytes) for value in values[binary]]
    return binary


def _decoded(
    values: npt.NDArray[np.object_], binary: npt.NDArray[np.bool_], *, on_invalid: Literal["raise", "ignore"]
) -> npt.NDArray[np.object_]:
    decoded = values.copy()
    decoded[binary] = shapely.from_wkb(values[binary], on_invalid=on_invalid)
    return decoded


def _only(values: npt.NDArray[np.object_], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """Return the values of some rows, None in place of all others."""
    kept = np.full(len(values), None, dtype=object)
    kept[mask] = values[mask]
    return kept


def _usable(values: npt.NDArray[np.object_], found: dict[int, str]) -> npt.NDArray[np.bool_]:
    usable: npt.NDArray[np.bool_] = shapely.is_geometry(values)
    usable[list(found)] = False
    return usable


def _rows(mask: Any) -> list[int]:
    return np.nonzero(mask)[0].tolist()
