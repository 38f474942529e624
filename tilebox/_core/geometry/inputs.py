"""Geometries as callers give them, to ingest or to query by: in which forms, and that they are in degrees.

A footprint stored in metres would be found nowhere or in the wrong place, so whatever says that it is in
another coordinate reference system than longitude and latitude is refused. What says nothing is in degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.schema.fields import GEOMETRY, Field

if TYPE_CHECKING:
    import shapely

    Array = np.ndarray[Any, Any]

FOOTPRINTS = ("Point", "Polygon", "MultiPolygon")
"""The kinds of geometry that a footprint may be."""

# Longitude and latitude on WGS 84, in two dimensions and in three. GeoPandas keeps longitude first in all of them.
_DEGREES = frozenset({("EPSG", "4326"), ("EPSG", "4979"), ("OGC", "CRS84"), ("OGC", "CRS84H")})
_SRIDS = (-1, 0, 4326, 4979)
"""What shapely has for a missing geometry and for none given, and the numbers of the above."""


def check_crs(crs: Any, what: str) -> None:
    """Refuse a coordinate reference system other than longitude and latitude.

    Args:
        crs: One of pyproj, or None where none is known.
        what: What it is of, for the message.

    Raises:
        ValueError: It is another one.
    """
    if crs is None:
        return
    authority = crs.to_authority()
    if authority is not None and (authority[0].upper(), authority[1].upper()) in _DEGREES:
        return
    name = ":".join(authority) if authority else "a coordinate reference system"
    raise ValueError(f"{what} is in {name} ({crs.name}), not in degrees; convert it first with .to_crs(4326)")


def srid_problem(geometry: Any) -> str | None:
    """Return why a shapely geometry is not in degrees, or None."""
    import shapely

    srid = int(shapely.get_srid(geometry))
    if srid in _SRIDS:
        return None
    return (
        f"the geometry is in EPSG:{srid}, by its SRID, not in degrees; convert it first, "
        f"as with geopandas.GeoSeries([geometry], crs={srid}).to_crs(4326)"
    )


def problem(field: Field, geometry: Any) -> str | None:
    """Return why a shapely geometry cannot be a value of a field, as far as a glance tells, or None."""
    if (reason := srid_problem(geometry)) is not None:
        return reason
    if field.name == GEOMETRY.name and geometry.geom_type not in FOOTPRINTS:
        return f"a {geometry.geom_type} cannot be used, only {', '.join(FOOTPRINTS)}"
    if geometry.is_empty and not field.repeated:
        return f"the {geometry.geom_type} is empty"
    return None


def are_storable(field: Field, geometries: Array) -> bool:
    """Tell whether `problem` finds nothing in an array of geometries and None."""
    import shapely

    if not np.isin(shapely.get_srid(geometries), _SRIDS).all():
        return False
    if not field.repeated and shapely.is_empty(geometries).any():
        return False
    kinds = [shapely.GeometryType[kind.upper()] for kind in FOOTPRINTS]
    return field.name != GEOMETRY.name or bool(np.isin(shapely.get_type_id(geometries), [-1, *kinds]).all())


def is_geojson(value: Any) -> bool:
    """Tell whether a value is a GeoJSON mapping, or has one."""
    return (isinstance(value, Mapping) and "type" in value) or hasattr(value, "__geo_interface__")


def from_geojson(value: Any) -> shapely.Geometry:
    """Read a GeoJSON geometry or feature, or what has one as `__geo_interface__`.

    Raises:
        ValueError: It is none; other errors of broken mappings pass as they are.
    """
    import shapely.geometry

    mapping: Any = value if isinstance(value, Mapping) else value.__geo_interface__
    if mapping.get("type") == "FeatureCollection":
        raise ValueError("a FeatureCollection is several geometries; take them one by one")
    if mapping.get("type") == "Feature":
        mapping = mapping["geometry"]
    return shapely.geometry.shape(mapping)
