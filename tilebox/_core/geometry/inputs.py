"""Geometries that callers give to ingest or to query by: their accepted forms, and the check that they are in degrees.

Queries would not find a footprint stored in metres, or find it in the wrong place. Input that declares a coordinate
reference system other than longitude and latitude is therefore refused. Input that declares none counts as degrees.
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
"""The kinds of geometry that a footprint may have."""

# Longitude and latitude on WGS 84, in two dimensions and in three. GeoPandas keeps longitude first in all of them.
_WGS84_AUTHORITIES = frozenset({("EPSG", "4326"), ("EPSG", "4979"), ("OGC", "CRS84"), ("OGC", "CRS84H")})

# shapely's SRIDs of a missing geometry (-1) and of one without a declared system (0), and the EPSG numbers above.
_WGS84_SRIDS = (-1, 0, 4326, 4979)


def check_crs(crs: Any, source: str) -> None:
    """Check that a coordinate reference system is longitude and latitude.

    Args:
        crs: A `pyproj.CRS`, or None if no system is declared.
        source: What declares the system, the subject of the error message.

    Raises:
        ValueError: The system is a different one.
    """
    if crs is None:
        return
    authority = crs.to_authority()
    if authority is not None and (authority[0].upper(), authority[1].upper()) in _WGS84_AUTHORITIES:
        return
    name = ":".join(authority) if authority else "a coordinate reference system"
    raise ValueError(f"{source} is in {name} ({crs.name}), not in degrees; convert it first with .to_crs(4326)")


def srid_problem(geometry: Any) -> str | None:
    """Return why a shapely geometry is not in degrees by its SRID, or None if it is."""
    import shapely

    srid = int(shapely.get_srid(geometry))
    if srid in _WGS84_SRIDS:
        return None
    return (
        f"the geometry is in EPSG:{srid} by its SRID, not in degrees; convert it first, "
        f"as with geopandas.GeoSeries([geometry], crs={srid}).to_crs(4326)"
    )


def problem(field: Field, geometry: Any) -> str | None:
    """Return why a shapely geometry cannot be a value of a field, by the checks that are cheap, or None if it can.

    The check of validity is left to the server: it takes much longer, and the server makes it anyway.
    """
    if (reason := srid_problem(geometry)) is not None:
        return reason
    if field.name == GEOMETRY.name and geometry.geom_type not in FOOTPRINTS:
        return f"a {geometry.geom_type} cannot be used, only {', '.join(FOOTPRINTS)}"
    if geometry.is_empty and not field.repeated:
        return f"the {geometry.geom_type} is empty"
    return None


def are_storable(field: Field, geometries: Array) -> bool:
    """Return whether `problem` accepts all values of an array of geometries and None."""
    import shapely

    if not np.isin(shapely.get_srid(geometries), _WGS84_SRIDS).all():
        return False
    if not field.repeated and shapely.is_empty(geometries).any():
        return False
    kinds = [shapely.GeometryType[kind.upper()] for kind in FOOTPRINTS]
    return field.name != GEOMETRY.name or bool(np.isin(shapely.get_type_id(geometries), [-1, *kinds]).all())


def is_geojson(value: Any) -> bool:
    """Return whether a value is a GeoJSON mapping or has a `__geo_interface__`."""
    return (isinstance(value, Mapping) and "type" in value) or hasattr(value, "__geo_interface__")


def from_geojson(value: Any) -> shapely.Geometry:
    """Read a GeoJSON geometry or feature.

    Args:
        value: A GeoJSON mapping, or an object that has one as `__geo_interface__`.

    Raises:
        ValueError: The value is a feature collection. Malformed mappings raise whatever shapely raises.
    """
    import shapely.geometry

    mapping: Any = value if isinstance(value, Mapping) else value.__geo_interface__
    if mapping.get("type") == "FeatureCollection":
        raise ValueError("a FeatureCollection holds several geometries; pass them one by one")
    if mapping.get("type") == "Feature":
        mapping = mapping["geometry"]
    return shapely.geometry.shape(mapping)
