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

from tilebox._core import antimeridian, sphere

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

KINDS = ("Point", "Polygon", "MultiPolygon")
"""The kinds of geometry that a footprint and an area may have."""

MODES = ("intersects", "filter_contains_geometry", "geometry_contains_filter")
"""How a footprint may lie to an area."""

_MARGIN_DEGREES = 1e-9
# A tenth of a millimetre: far above the rounding of any predicate, far below what a footprint is known to.

_MAX_BOXES = 16
_NARROW_DEGREES = 10


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
    special = _special(shapely.bounds(result).reshape(-1, 4))
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
    geometries = as_geometries(geometries)
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    special = _special(bounds)
    spans = np.zeros(len(bounds))
    spans[~special] = _edge_spans(geometries[~special], bounds[~special])
    for row in np.nonzero(special)[0]:
        bounds[row], spans[row] = _special_bounds(geometries[row])
    _bulge(bounds, spans)
    return _outwards(bounds)


def area_boxes(geometry: shapely.Geometry, spherical: bool) -> list[tuple[float, float, float, float]]:
    """Return boxes (west, south, east, north), west <= east, that together hold an area, rounded outwards.

    Compare them with `footprint_bounds`: a footprint that overlaps none of them does not match.

    Args:
        geometry: The area.
        spherical: Whether its edges are great circles.
    """
    bounds = shapely.bounds([geometry])
    special = bool(_special(bounds)[0])
    parts = shapely.get_parts(antimeridian.cut(geometry) if special else geometry)
    boxes = shapely.bounds(parts).reshape(-1, 4)
    if len(boxes) > _MAX_BOXES:
        boxes = _split(np.array([[*_enclosing(boxes)]]))
    if spherical:
        span = _special_bounds(geometry)[1] if special else bounds[0, 2] - bounds[0, 0]
        _bulge(boxes, np.full(len(boxes), span))
        boxes = _with_poles(boxes, geometry)
    boxes = _without_contained(_with_twins(_outwards(boxes, full_at_poles=spherical)))
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
    special = usable & _special(shapely.bounds(_only(values, usable)).reshape(-1, 4))
    plain = usable & ~special
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


def _special(bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return antimeridian.wide(bounds)


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


def _as_array(geometries: Sequence[object] | npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    if isinstance(geometries, np.ndarray) and geometries.dtype == object:
        return geometries
    values = np.empty(len(geometries), dtype=object)
    values[:] = geometries
    return values


def _is_binary(values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    return np.fromiter((isinstance(value, bytes) for value in values), dtype=bool, count=len(values))


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
