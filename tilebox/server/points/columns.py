"""The columns of a table: those of the dataset's schema in Arrow form, and two internal ones.

`_collection` is the number of the collection. `_box` is the bounding box of the footprint in degrees, or
null without a footprint. East is unwrapped beyond 180 where the box crosses the antimeridian, so that a
planar R-tree can hold it. A struct of four doubles marked `geoarrow.box` takes 32 bytes, a third of the
same box as well-known binary, and Lance indexes both equally fast.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import shapely

from tilebox._core.geometry.matching import footprint_bounds
from tilebox._core.protocol.datasets.v1 import dataset_type_pb2
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import GEOMETRY, Schema
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLLECTION = "_collection"
BOX = "_box"
_SCHEMA_KEY = b"tilebox.schema"

_BOX_TYPE = pa.struct([pa.field(name, pa.float64(), nullable=False) for name in ("xmin", "ymin", "xmax", "ymax")])
_BOX_FIELD = pa.field(BOX, _BOX_TYPE, metadata={b"ARROW:extension:name": b"geoarrow.box"})

# Boxes are grown on all sides by this many degrees (0.1 mm), so that rounding never loses a footprint that just
# touches an area, and so that the box of a point has an area, which the index requires.
BOX_MARGIN = 1e-9


def stored_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a table, with the dataset's schema in its metadata."""
    columns = [*arrow_schema(schema), pa.field(COLLECTION, pa.int32())]
    if schema.get(GEOMETRY.name) is not None:
        columns.append(_BOX_FIELD)
    return pa.schema(columns, metadata=schema_metadata(schema))


def schema_metadata(schema: Schema) -> dict[bytes, bytes]:
    """Return the metadata in which a table stores the schema of its dataset."""
    return {_SCHEMA_KEY: base64.b64encode(schema.to_annotated_type().SerializeToString())}


def remembered_schema(stored: pa.Schema) -> Schema:
    """Read the dataset's schema from the metadata of a table.

    Raises:
        ValueError: The table does not hold datapoints, or its manifest is damaged.
    """
    if _SCHEMA_KEY not in (stored.metadata or {}):
        raise ValueError("the table has no dataset schema in its metadata, so it does not hold datapoints")
    message = dataset_type_pb2.AnnotatedType()
    message.ParseFromString(base64.b64decode(stored.metadata[_SCHEMA_KEY]))
    return Schema.from_annotated_type(message)


def check_columns(given: pa.Schema, stored: pa.Schema) -> None:
    """Check that a table has the columns of rows.

    Raises:
        InvalidArgumentError: A column has another type than in the table, or the table has no such column.
    """
    known = frozenset(stored.names)
    for field in given:
        if field.name not in known or field.name == COLLECTION:
            raise InvalidArgumentError(f"the dataset has no field {field.name!r}; fetch its schema again and retry")
        wanted = stored.field(field.name).type
        if not field.type.equals(wanted):
            raise InvalidArgumentError(f"field {field.name!r} holds {wanted}, not {field.type}")


def stored_rows(rows: pa.Table, collections: pa.Array, stored: pa.Schema) -> pa.Table:
    """Return rows with all columns of their table; columns that they lack are filled with nulls.

    Args:
        rows: Datapoints that passed `check_columns`.
        collections: The collection number of each, shape (rows,).
        stored: The Arrow schema of the table.
    """
    given = _columns_by_name(rows)
    columns = []
    for field in stored:
        if field.name == COLLECTION:
            columns.append(pa.chunked_array([collections]))
        elif field.name == BOX:
            columns.append(given[BOX] if BOX in given else pa.chunked_array([_boxes_of(rows)]))
        else:
            columns.append(_column(given, field, rows.num_rows))
    return pa.Table.from_arrays(columns, schema=stored)


def with_missing_columns(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return rows with all columns of a schema: a column that their snapshot lacks is null, a list column empty."""
    if rows.schema.equals(wanted) and not any(rows[name].null_count for name in _list_names(wanted)):
        return rows
    given = _columns_by_name(rows)
    columns = [_column(given, field, rows.num_rows) for field in wanted]
    return pa.Table.from_arrays(columns, schema=wanted)


def _list_names(wanted: pa.Schema) -> list[str]:
    return [field.name for field in wanted if pa.types.is_list(field.type)]


def _columns_by_name(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return all columns by name. `table[name]` would search the list of names each time."""
    return dict(zip(rows.column_names, rows.columns, strict=True))


def _column(given: dict[str, pa.ChunkedArray], field: pa.Field, rows: int) -> pa.ChunkedArray:
    column = given.get(field.name)
    if column is None:
        column = pa.chunked_array([pa.nulls(rows, field.type)])
    return _fill_null_lists(column) if pa.types.is_list(field.type) and column.null_count else column


def _fill_null_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # A column that was added later is null in older rows, but a list field is never missing: it is empty.
    def fill(chunk: pa.ListArray) -> pa.ListArray:
        lengths = np.asarray(chunk.value_lengths().fill_null(0))
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), chunk.flatten(), type=chunk.type)

    return pa.chunked_array([fill(chunk) for chunk in column.chunks], type=column.type)


def with_boxes(rows: pa.Table, bounds: NDArray[np.float64]) -> pa.Table:
    """Add the bounding boxes of footprints, if the caller has computed their bounds anyway.

    Args:
        rows: Datapoints.
        bounds: Bounds from `matching.footprint_bounds`, shape (rows, 4): west, south, east, north in degrees.
    """
    return rows.append_column(_BOX_FIELD, pa.chunked_array([_boxes(bounds)]))


def _boxes_of(rows: pa.Table) -> pa.Array:
    if GEOMETRY.name not in rows.column_names:
        return pa.nulls(rows.num_rows, _BOX_TYPE)
    return _boxes(footprint_bounds(decode_footprints(rows[GEOMETRY.name])))


def _boxes(bounds: NDArray[np.float64]) -> pa.Array:
    west, south, east, north = bounds.T
    east = np.where(west > east, east + 360.0, east)
    missing = np.isnan(bounds).any(axis=1)
    sides = [west - BOX_MARGIN, south - BOX_MARGIN, east + BOX_MARGIN, north + BOX_MARGIN]
    values = [pa.array(np.where(missing, 0.0, side)) for side in sides]
    return pa.StructArray.from_arrays(values, fields=list(_BOX_TYPE), mask=pa.array(missing))


def decode_footprints(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Decode a column of well-known binary into geometries, None where missing.

    Raises:
        InvalidArgumentError: A value is not well-known binary.
    """
    try:
        return np.asarray(shapely.from_wkb(column.to_numpy(zero_copy_only=False)), dtype=object)
    except shapely.errors.GEOSException as error:
        raise InvalidArgumentError(f"a geometry is not well-known binary: {error}") from error
