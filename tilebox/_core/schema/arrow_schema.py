"""The Arrow form of a schema: how datapoints are stored, and how they travel as an Arrow stream.

| kind | Arrow type | a missing value |
|---|---|---|
| string, bytes, bool, numbers | utf8, binary, bool, the same number | null |
| timestamp | timestamp[ns], UTC without a zone; `time` in ms, `ingestion_time` in us | null |
| duration | duration[ns] | null |
| UUID | fixed_size_binary[16] | null |
| geometry | binary, well-known binary | null |
| enumeration | int32, the number on the wire | null |
| vector | struct of doubles | null |
| other messages | binary, the serialised message | null |
| repeated | list of the above | the empty list |

pyarrow is an optional dependency of the client, so it is imported inside the functions here.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tilebox._core.schema.fields import INGESTION_TIME, TIME, VECTOR_COMPONENTS, Field, FieldKind, Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
EXTENSION = "arrow/1"
"""Name of the wire extension for queries in the response header `tilebox-extensions`."""

INGEST_EXTENSION = "arrow-ingest/1"
"""Name of the wire extension for ingestion."""

MAX_INGESTED_ROWS = 65_536
"""Datapoints in one request of that extension."""

# Keys of the stream's schema metadata and of the metadata that its closing, empty batch carries.
SNAPSHOT_KEY = b"tilebox.snapshot"
ROWS_KEY = b"tilebox.rows"
ERROR_KEY = b"tilebox.error"


def arrow_type(field: Field) -> pa.DataType:
    """Return the Arrow type of a field's column."""
    unit = {TIME.name: "ms", INGESTION_TIME.name: "us"}.get(field.name, "ns")
    return _type(field.kind, field.repeated, unit)


@lru_cache(maxsize=256)
def _type(kind: FieldKind, repeated: bool, unit: str) -> pa.DataType:  # types are asked for with every batch
    import pyarrow as pa

    if kind is FieldKind.TIMESTAMP:
        item = pa.timestamp(unit)
    elif kind in VECTOR_COMPONENTS:
        item = pa.struct([pa.field(name, pa.float64(), nullable=False) for name in VECTOR_COMPONENTS[kind]])
    else:
        item = {
            FieldKind.STRING: pa.utf8(),
            FieldKind.BYTES: pa.binary(),
            FieldKind.BOOL: pa.bool_(),
            FieldKind.INT32: pa.int32(),
            FieldKind.INT64: pa.int64(),
            FieldKind.UINT32: pa.uint32(),
            FieldKind.UINT64: pa.uint64(),
            FieldKind.FLOAT: pa.float32(),
            FieldKind.DOUBLE: pa.float64(),
            FieldKind.ENUM: pa.int32(),
            FieldKind.DURATION: pa.duration("ns"),
            FieldKind.UUID: pa.binary(16),
            FieldKind.GEOMETRY: pa.binary(),
            FieldKind.MESSAGE: pa.binary(),
        }[kind]
    return pa.list_(pa.field("item", item, nullable=False)) if repeated else item


@lru_cache(maxsize=256)
def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a dataset's datapoints, one column a field in the schema's order."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, arrow_type(field)) for field in schema])


def to_stream(table: pa.Table, *, before: Callable[[int], bytes] | None = None) -> bytes:
    """Return a table as one Arrow IPC stream.

    Args:
        table: Some rows.
        before: What makes of the stream's size the bytes that go before it, so that it is copied once only.
    """
    import pyarrow as pa

    sink = io.BytesIO()
    if before is not None:
        counted = pa.MockOutputStream()
        _write(counted, table)
        sink.write(before(counted.size()))
    _write(sink, table)
    return sink.getvalue()


def _write(sink: Any, table: pa.Table) -> None:
    import pyarrow as pa

    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def from_stream(stream: bytes | pa.Buffer) -> pa.Table:
    """Read an Arrow IPC stream whole.

    Raises:
        ValueError: It is none, or its columns are damaged.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(stream).read_all()
        # The stream may come from anybody: offsets and text are checked before anything follows them.
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ValueError(f"this is no sound Arrow stream: {error}") from error
    return table


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without the copy that `combine_chunks` makes of a single chunk."""
    if column.num_chunks == 1:
        return column.chunk(0)
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
