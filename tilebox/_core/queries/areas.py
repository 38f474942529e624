"""The spatial part of a query: a geometry, a spatial relation to it, and a coordinate system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

from tilebox._core.geometry.inputs import from_geojson, is_geojson, srid_problem
from tilebox._core.protocol.datasets.v1 import data_access_pb2 as wire

if TYPE_CHECKING:
    import shapely

Mode = Literal["intersects", "filter_contains_geometry", "geometry_contains_filter", "contains"]
CoordinateSystem = Literal["cartesian", "spherical"]

_MODES: Mapping[str, int] = {
    "intersects": wire.SPATIAL_FILTER_MODE_INTERSECTS,
    "filter_contains_geometry": wire.SPATIAL_FILTER_MODE_FILTER_CONTAINS_GEOMETRY,
    "geometry_contains_filter": wire.SPATIAL_FILTER_MODE_GEOMETRY_CONTAINS_FILTER,
    # The deprecated name of `filter_contains_geometry`, from before `geometry_contains_filter` existed.
    "contains": wire.SPATIAL_FILTER_MODE_FILTER_CONTAINS_GEOMETRY,
}
_SYSTEMS: Mapping[str, int] = {
    "cartesian": wire.SPATIAL_COORDINATE_SYSTEM_CARTESIAN,
    "spherical": wire.SPATIAL_COORDINATE_SYSTEM_SPHERICAL,
}
_KEYS = ("geometry", "mode", "coordinate_system")


class Area(TypedDict, total=False):
    """A query area with its settings; only `geometry` is required."""

    geometry: shapely.Geometry | Mapping[str, Any]
    mode: Mode
    coordinate_system: CoordinateSystem


AreaLike = Union["shapely.Geometry", Area, Mapping[str, Any]]
"""Accepted forms of an area: a shapely geometry, a GeoJSON mapping, or a dict with settings."""


def to_wire(area: Any) -> wire.SpatialFilter:
    """Convert the area of a query to its protobuf message.

    Args:
        area: A geometry in degrees, longitude before latitude: a shapely geometry, a GeoJSON mapping, or an object with
            `__geo_interface__`. Or a dict with `geometry` and optionally `mode` (`intersects`,
            `filter_contains_geometry` with its deprecated alias `contains`, or `geometry_contains_filter`) and
            `coordinate_system` (`cartesian` or `spherical`).

    Raises:
        TypeError: The area has none of these forms.
        ValueError: The geometry is empty, malformed or not in degrees, or a key, mode or coordinate system is unknown.
    """
    given = area if isinstance(area, Mapping) and not is_geojson(area) else {"geometry": area}
    unknown = sorted(set(given) - set(_KEYS))
    if unknown:
        raise ValueError(f"a spatial extent has no key {unknown[0]!r}; its keys are {', '.join(_KEYS)}")
    message = wire.SpatialFilter(
        mode=_choose("mode", given.get("mode", "intersects"), _MODES),
        coordinate_system=_choose("coordinate_system", given.get("coordinate_system", "cartesian"), _SYSTEMS),
    )
    message.geometry.wkb = _wkb(given.get("geometry"))
    return message


def _wkb(given: Any) -> bytes:
    import shapely

    geometry = given if isinstance(given, shapely.Geometry) else _read(given)
    if shapely.is_empty(geometry):
        raise ValueError("the geometry of a spatial extent is empty, so no datapoint can match")
    if (reason := srid_problem(geometry)) is not None:
        raise ValueError(f"cannot query by this spatial extent: {reason}")
    return bytes(shapely.to_wkb(geometry, output_dimension=2))


def _read(given: Any) -> shapely.Geometry:
    import shapely

    # Columns of GeoPandas have a `__geo_interface__` too, but they hold many geometries, perhaps in metres.
    if hasattr(given, "to_crs"):
        raise TypeError(
            f"a spatial extent is one geometry, not a {type(given).__name__}; "
            "pass one of its rows, or the union of all rows: .to_crs(4326).union_all()"
        )
    if not is_geojson(given):
        raise TypeError(
            "the geometry of a spatial extent must be a shapely geometry or a GeoJSON mapping, "
            f"not a {type(given).__name__}"
        )
    try:
        return from_geojson(given)
    except (shapely.errors.ShapelyError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"the geometry of a spatial extent is not GeoJSON of one geometry: {error}") from None


def _choose(name: str, value: Any, choices: Mapping[str, int]) -> Any:
    key = value.lower() if isinstance(value, str) else value
    if key not in choices:
        raise ValueError(f"{name} of a spatial extent must be one of {', '.join(choices)}, not {value!r}")
    return choices[key]
