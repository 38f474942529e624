"""Validity, bounds and spatial relations of datapoints' footprints and of query areas.

Coordinates are degrees, longitude before latitude. Longitudes may lie in [-360, 360] and are wrapped. Geometries are
stored as users give them; all functions here apply the rules of `antimeridian.py` to interpret them. Arrays hold
shapely geometries or well-known binary, and None for datapoints without a footprint.

There are two coordinate systems: *cartesian* edges are straight on the map (longitude, latitude), *spherical* edges are
great circles (`sphere.py`). Bounds are valid for both, so one index prunes for both.
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
"""The kinds of geometry that footprints and query areas may have."""

MODES = ("intersects", "filter_contains_geometry", "geometry_contains_filter")
"""The spatial relations between a footprint and a query area."""


def check_area(geometry: object) -> None:
    """Check that a geometry can be the area of a query.

    Raises:
        ValueError: The geometry is not a valid point, polygon or multi-polygon; the message says why.
    """
    if not isinstance(geometry, shapely.Geometry):
        raise ValueError(f"a query area must be a shapely geometry, not a {type(geometry).__name__}")  # noqa: TRY004 - one class for all
    for _, reason in problems([geometry]):
        raise ValueError(f"a query cannot take this area: {reason}")


def area_from_box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """Return a box in degrees as a geometry; west > east crosses the antimeridian.

    Example:
        >>> area_from_box(177, -20, -178, -15).bounds
        (-180.0, -20.0, 180.0, -15.0)

    Raises:
        ValueError: South is not below north, west equals east, or a number is out of range.
    """
    if not (np.isfinite([west, south, east, north]).all() and -90 <= south < north <= 90):
        raise ValueError(
            f"a box is west, south, east, north with -90 <= south < north <= 90, not {west, south, east, north}"
        )
    if not (-360 <= west <= 360 and -360 <= east <= 360 and west != east):
        raise ValueError(f"west and east of a box must differ and lie in [-360, 360], not {west, east}")
    if east - west >= 360:
        return shapely.box(-180, south, 180, north)
    return antimeridian.cut(shapely.box(west, south, east + 360 * (west > east), north))


def as_geometries(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Decode well-known binary among geometries.

    Args:
        geometries: Geometries, well-known binary and None.

    Returns:
        Geometries and None, shape (n,).

    Raises:
        shapely.GEOSException: A value is malformed binary.
    """
    values = _as_array(geometries)
    binary = _is_binary(values)
    return _decode(values, binary, on_invalid="raise") if binary.any() else values


def normalise(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Cut geometries at the antimeridian and close them at the poles.

    Args:
        geometries: Valid points, polygons and multi-polygons; None stays None.

    Returns:
        The regions that they cover, with longitudes in [-180, 180], shape (n,).
    """
    result = as_geometries(geometries).copy()
    wraps = antimeridian.may_wrap(shapely.bounds(result).reshape(-1, 4))
    result[wraps] = [antimeridian.cut(geometry) for geometry in result[wraps]]
    return result


def footprint_bounds(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Return bounds of footprints, valid for cartesian and spherical edges and rounded outwards.

    Args:
        geometries: Valid points, polygons and multi-polygons, and None.

    Returns:
        West, south, east, north in degrees, shape (n, 4). West > east where a footprint crosses the antimeridian, -180
        and 180 where it touches a pole, NaN where there is no footprint.
    """
    return extents.footprint_bounds(as_geometries(geometries))


def area_boxes(geometry: shapely.Geometry, spherical: bool) -> list[tuple[float, float, float, float]]:
    """Return boxes that together cover a query area, rounded outwards.

    Compare them with `footprint_bounds`: a footprint that overlaps none of them does not match.

    Args:
        geometry: The area, a valid point, polygon or multi-polygon.
        spherical: Whether its edges are great circles.

    Returns:
        West, south, east, north of each box in degrees, west <= east.
    """
    boxes = extents.area_boxes(geometry, spherical)
    return [(west, south, east, north) for west, south, east, north in boxes.tolist()]


def matches(
    footprints: Sequence[object] | npt.NDArray[np.object_],
    geometry: shapely.Geometry,
    mode: str,
    spherical: bool,
) -> npt.NDArray[np.bool_]:
    """Return exactly which footprints have a spatial relation to a query area.

    Containment includes the boundary (the predicate `covers`): an area contains a footprint equal to it, and a point on
    its edge. On the sphere a boundary has no width, so rounding decides where two geometries only touch.

    Args:
        footprints: Valid points, polygons and multi-polygons; None never matches.
        geometry: The query area.
        mode: `intersects`, `filter_contains_geometry` (the area contains the footprint) or `geometry_contains_filter`
            (the footprint contains the area).
        spherical: Whether edges are great circles.

    Returns:
        One boolean for each footprint, shape (n,).

    Raises:
        ValueError: The mode is unknown.
        MissingExtraError: The filter is spherical and the extra `server` is not installed.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    geometries = as_geometries(footprints)
    result = np.zeros(len(geometries), dtype=bool)
    is_present = ~shapely.is_missing(geometries)
    predicate = _SPHERICAL[mode] if spherical else _CARTESIAN[mode]
    result[is_present] = predicate(geometries[is_present], geometry)
    return result


def problems(
    geometries: Sequence[object] | npt.NDArray[np.object_], *, kinds: tuple[str, ...] = KINDS
) -> list[tuple[int, str]]:
    """Return the geometries that cannot be stored or queried by, with the reasons.

    Args:
        geometries: Geometries, well-known binary and None, which is always valid.
        kinds: The allowed kinds of geometry.

    Returns:
        Pairs of row and reason, in order of rows, with at most one reason for each row.
    """
    values = _as_array(geometries)
    reasons: dict[int, str] = {}
    binary = _is_binary(values)
    if binary.any():
        values = _decode(values, binary, on_invalid="ignore")
        reasons = dict.fromkeys(_true_rows(binary & shapely.is_missing(values)), "not well-formed well-known binary")
    _check_kinds(values, kinds, reasons)
    _check_range(values, reasons)
    _check_rings(values, reasons)
    return sorted(reasons.items())


def _check_kinds(values: npt.NDArray[np.object_], kinds: tuple[str, ...], reasons: dict[int, str]) -> None:
    known = shapely.is_geometry(values)
    allowed = [shapely.GeometryType[kind.upper()] for kind in kinds]
    other = known & ~np.isin(shapely.get_type_id(_where(values, known)), allowed)
    for row in _true_rows(~known & (values != None)):  # noqa: E711 - compared element by element
        reasons.setdefault(row, f"not a geometry but a {type(values[row]).__name__}")
    for row in _true_rows(other):
        reasons.setdefault(row, f"a {values[row].geom_type} cannot be used, only {', '.join(kinds)}")
    for row in _true_rows(shapely.is_empty(_where(values, _without_problem(values, reasons)))):
        reasons.setdefault(row, f"the {values[row].geom_type} is empty")


def _check_range(values: npt.NDArray[np.object_], reasons: dict[int, str]) -> None:
    points, rows = shapely.get_coordinates(_where(values, _without_problem(values, reasons)), return_index=True)
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
            reasons.setdefault(row, text if column is None else text.format(point[column]))


def _check_rings(values: npt.NDArray[np.object_], reasons: dict[int, str]) -> None:
    candidates = _without_problem(values, reasons)
    wraps = candidates & antimeridian.may_wrap(shapely.bounds(_where(values, candidates)).reshape(-1, 4))
    crossing, shifted = antimeridian.shift_crossing(values, shapely.bounds(_where(values, wraps)).reshape(-1, 4))
    # Once shifted, most crossing geometries are valid as they are; only the others need the slow check of their rings.
    wraps[crossing] = ~shapely.is_valid(shifted)
    plain = candidates & ~wraps & ~crossing
    for row in _true_rows(plain & ~shapely.is_valid(_where(values, plain))):
        reasons[row] = f"the {values[row].geom_type} is not valid: {shapely.is_valid_reason(values[row])}"
    for row in _true_rows(wraps):
        reason = antimeridian.problem(values[row])
        if reason:
            reasons[row] = f"the {values[row].geom_type} is not valid: {reason}"


def _cartesian_intersects(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    return shapely.intersects(area, footprints) | _meets_across_antimeridian(area, footprints)


def _cartesian_area_covers(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    points = shapely.get_type_id(footprints) == shapely.GeometryType.POINT
    return shapely.covers(area, footprints) | (points & _meets_across_antimeridian(area, footprints))


def _cartesian_footprint_covers(footprints: npt.NDArray[np.object_], geometry: shapely.Geometry) -> Any:
    area = _prepared(geometry)
    footprints = normalise(footprints)
    covers = shapely.covered_by(area, footprints)
    return covers | _meets_across_antimeridian(area, footprints) if isinstance(geometry, shapely.Point) else covers


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


def _meets_across_antimeridian(area: shapely.Geometry, footprints: npt.NDArray[np.object_]) -> Any:
    """Return which footprints touch the area across the antimeridian, where 180 and -180 are the same meridian."""
    west, _, east, _ = shapely.bounds(area)
    if west > -180 and east < 180:
        return np.zeros(len(footprints), dtype=bool)
    meridians = [shapely.LineString([(longitude, -90), (longitude, 90)]) for longitude in (-180, 180)]
    shared = shapely.intersection(area, meridians)
    mirrored = shapely.transform(shapely.union_all(shared), lambda points: points * [-1, 1])
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


def _decode(
    values: npt.NDArray[np.object_], binary: npt.NDArray[np.bool_], *, on_invalid: Literal["raise", "ignore"]
) -> npt.NDArray[np.object_]:
    decoded = values.copy()
    decoded[binary] = shapely.from_wkb(values[binary], on_invalid=on_invalid)
    return decoded


def _where(values: npt.NDArray[np.object_], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    """Return the values where the mask is true, None elsewhere."""
    masked = np.full(len(values), None, dtype=object)
    masked[mask] = values[mask]
    return masked


def _without_problem(values: npt.NDArray[np.object_], reasons: dict[int, str]) -> npt.NDArray[np.bool_]:
    usable: npt.NDArray[np.bool_] = shapely.is_geometry(values)
    usable[list(reasons)] = False
    return usable


def _true_rows(mask: Any) -> list[int]:
    return np.nonzero(mask)[0].tolist()
