"""Export of loaded datasets to Arrow tables, GeoDataFrames and GeoParquet.

The functions accept any dataset whose variables have the dimension `time`, even after the user has changed it. They
determine the contents of a variable from its dtype and values, without a schema.

A table has one column for each variable. Vectors become structs of their components, lists lose their padding,
geometries become well-known binary marked as `geoarrow.wkb`, and messages are serialised.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import Message

from tilebox._core.columns.numpy_columns import object_array
from tilebox._core.results.storable import first_value, from_storable, map_values, to_storable
from tilebox._core.schema.fields import TIME
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    import geopandas
    import pyarrow as pa
    import xarray as xr

    Array = np.ndarray[Any, Any]

__all__ = ["from_storable", "to_arrow", "to_geodataframe", "to_geoparquet", "to_storable"]

_GEOARROW = {b"ARROW:extension:name": b"geoarrow.wkb", b"ARROW:extension:metadata": b'{"crs": "OGC:CRS84"}'}


def to_arrow(data: xr.Dataset) -> pa.Table:
    """Convert a dataset to an Arrow table.

    Returns:
        A table with one row for each datapoint.

    Raises:
        MissingExtraError: The extra `arrow` is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("An Arrow table", "arrow") from error
    arrays, fields = [], []
    for name, variable in _rows(data).items():
        array = _arrow_array(data, variable)
        metadata = _GEOARROW if _is_geometry(name, variable) else None
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def to_geodataframe(data: xr.Dataset) -> geopandas.GeoDataFrame:
    """Convert a dataset to a GeoDataFrame in EPSG:4326.

    Returns:
        A frame with one row for each datapoint. Vectors and lists become one Python list in each row.

    Raises:
        ValueError: The dataset has datapoints, but no geometry.
        MissingExtraError: The extra `geo` is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        raise MissingExtraError("A GeoDataFrame", "geo") from error
    rows = _rows(data)
    columns = {name: _frame_column(data, variable) for name, variable in rows.items()}
    geometry = _primary_geometry_name(rows)
    if not rows:
        columns[geometry] = np.empty(0, object)
    return geopandas.GeoDataFrame(columns, geometry=geometry, crs="EPSG:4326")


def to_geoparquet(data: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a dataset to a GeoParquet file.

    The file is written under a temporary name and then renamed, so that it exists complete or not at all.

    Args:
        data: The dataset.
        path: The path of the file; an existing file is replaced.

    Raises:
        ValueError: The dataset has no datapoints or no geometry.
        MissingExtraError: The extra `arrow` is not installed.
    """
    # `to_arrow` comes first, because it raises the error that names the missing extra.
    table = to_arrow(data)
    import pyarrow.parquet as pq

    rows = _rows(data)
    if not rows:
        raise ValueError("the dataset is empty, so its columns are unknown and no file can be written")
    geo = {
        "version": "1.1.0",
        "primary_column": _primary_geometry_name(rows),
        "columns": {
            name: _column_metadata(variable.to_numpy())
            for name, variable in rows.items()
            if _is_geometry(name, variable)
        },
    }
    metadata = {**(table.schema.metadata or {}), b"geo": json.dumps(geo).encode()}
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _column_metadata(variable: Array) -> dict[str, Any]:
    """Return the GeoParquet metadata of a geometry column.

    The coordinate reference system is left out: by the specification it then is OGC:CRS84, longitude and latitude.
    """
    import shapely

    present = variable[shapely.is_geometry(variable)]
    kinds = {f"{geometry.geom_type}{' Z' if geometry.has_z else ''}" for geometry in present}
    metadata: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(kinds)}
    bounds = shapely.total_bounds(present)
    if not np.isnan(bounds).any():
        metadata["bbox"] = bounds.tolist()
    return metadata


def _rows(data: xr.Dataset) -> dict[str, xr.Variable]:
    """Return the variables with a value for each datapoint, with `time` as their first dimension.

    A single datapoint, which has no dimension `time`, becomes one row.
    """
    import xarray as xr

    if TIME.name not in data.variables:
        return {}
    rows = {}
    for name in (*data.coords, *data.data_vars):
        variable = data[name].variable
        if TIME.name in variable.dims:
            rows[str(name)] = variable.transpose(TIME.name, ...)
        elif TIME.name not in data.dims and variable.dims != (name,):
            values = variable.to_numpy()[np.newaxis]
            rows[str(name)] = xr.Variable((TIME.name, *variable.dims), values, fastpath=True)
    return rows


def _is_geometry(name: str, variable: xr.Variable) -> bool:
    import shapely

    if variable.dtype.kind != "O" or variable.ndim != 1:
        return False
    first = first_value(variable.to_numpy())
    return isinstance(first, shapely.Geometry) or (first is None and name == "geometry")


def _primary_geometry_name(rows: dict[str, xr.Variable]) -> str:
    geometries = [name for name, variable in rows.items() if _is_geometry(name, variable)]
    if "geometry" in geometries or not rows:
        return "geometry"
    if not geometries:
        raise ValueError(f"the dataset has no geometry; its variables are {', '.join(rows)}")
    return geometries[0]


# --- columns of a table ---------------------------------------------------------------------------------------------


def _arrow_array(data: xr.Dataset, variable: xr.Variable) -> pa.Array:
    import pyarrow as pa

    values = variable.to_numpy()
    labels = _component_labels(data, variable)
    if labels and values.ndim == 2:
        return _struct_array(values, labels)
    if values.ndim == 1:
        return _item_array(values)
    kept = ~_trailing_padding(values)
    items = _struct_array(values[kept], labels) if labels else _item_array(values[kept])
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _item_array(items: Array) -> pa.Array:
    import pyarrow as pa

    return pa.array(_plain_items(items), type=_item_type(items), from_pandas=items.dtype.kind in "OmM")


def _component_labels(data: xr.Dataset, variable: xr.Variable) -> list[str]:
    """Return the component names of a vector: the labels of its last dimension. Other variables have none."""
    last = variable.dims[-1]
    return [str(label) for label in data.indexes[last]] if variable.ndim > 1 and last in data.indexes else []


def _plain_items(variable: Array) -> Array:
    """Serialise objects for which Arrow has no type."""
    import shapely

    first = first_value(variable)
    if isinstance(first, shapely.Geometry):
        return np.asarray(shapely.to_wkb(variable, flavor="iso"))
    if isinstance(first, Message):
        return map_values(variable, lambda message: message.SerializeToString(deterministic=True))
    return variable


def _item_type(variable: Array) -> pa.DataType | None:
    import pyarrow as pa

    if variable.dtype.kind != "O":
        return None
    first = first_value(variable)
    if _is_binary(first):
        return pa.binary()
    return pa.string() if first is None or isinstance(first, str) else None


def _is_binary(value: Any) -> bool:
    import shapely

    return isinstance(value, bytes | Message | shapely.Geometry)


def _struct_array(variable: Array, labels: list[str]) -> pa.Array:
    import pyarrow as pa

    missing = np.isnan(variable).all(axis=-1)
    components = [pa.array(np.ascontiguousarray(variable[..., position])) for position in range(len(labels))]
    return pa.StructArray.from_arrays(components, names=labels, mask=pa.array(missing))


def _trailing_padding(values: Array) -> Array:
    """Return which values are padding after the last item of each list, shape (rows, longest)."""
    import pandas as pd

    filled: Array
    if values.dtype.kind in "biuU":
        filled = np.equal(values, np.zeros((), values.dtype))
    else:
        filled = np.reshape(pd.isna(values.reshape(-1)), values.shape)
    if values.ndim == 3:
        filled = np.all(filled, axis=2)
    backwards: Array = np.logical_and.accumulate(filled[:, ::-1], axis=1)
    return backwards[:, ::-1]


def _frame_column(data: xr.Dataset, variable: xr.Variable) -> Array:
    """Return one value for each row; vectors and lists become Python lists without trailing padding."""
    values = variable.to_numpy()
    if values.ndim == 1:
        return values
    if values.ndim == 2 and _component_labels(data, variable):
        return object_array(values.tolist(), len(values))
    kept = ~_trailing_padding(values)
    return object_array((row[keep].tolist() for row, keep in zip(values, kept, strict=True)), len(values))
