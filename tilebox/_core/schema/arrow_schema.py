"""The Arrow schema of a dataset, in which datapoints are stored and sent as an Arrow stream.

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
"""The largest number of datapoints in one ingestion request."""

# Keys of the stream's schema metadata, and of the metadata of the empty batch that closes the stream.
SNAPSHOT_KEY = b"tilebox.snapshot"
ROWS_KEY = b"tilebox.rows"
ERROR_KEY = b"tilebox.error"


def arrow_type(field: Field) -> pa.DataType:
    """Return the Arrow type of a field's column."""
    unit = {TIME.name: "ms", INGESTION_TIME.name: "us"}.get(field.name, "ns")
    return _type(field.kind, field.repeated, unit)


# Cached, because every batch asks for the types of all its columns.
@lru_cache(maxsize=256)
def _type(kind: FieldKind, repeated: bool, unit: str) -> pa.DataType:
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
    """Return the Arrow schema of a dataset, with one column per field in the order of the fields."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, arrow_type(field)) for field in schema])


def to_stream(table: pa.Table, *, make_prefix: Callable[[int], bytes] | None = None) -> bytes:
    """Return a table as one Arrow IPC stream.

    Args:
        table: The rows.
        make_prefix: Returns the bytes to write before the stream, given its size in bytes. The stream is measured
            first, so that it is written only once, behind its prefix.
    """
    import pyarrow as pa

    sink = io.BytesIO()
    if make_prefix is not None:
        counter = pa.MockOutputStream()
        _write(counter, table)
        sink.write(make_prefix(counter.size()))
    _write(sink, table)
    return sink.getvalue()


def _write(sink: Any, table: pa.Table) -> None:
    import pyarrow as pa

    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def from_stream(stream: bytes | pa.Buffer) -> pa.Table:
    """Read a whole Arrow IPC stream.

    Raises:
        ValueError: The bytes are not an Arrow IPC stream, or its columns are damaged.
    """
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(stream).read_all()
        # The sender is not trusted: unchecked offsets or text could make later code read beyond the buffers.
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ValueError(f"this is not a valid Arrow stream: {error}") from error
    return table


def combine_chunks(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without the copy that pyarrow's `combine_chunks` makes of a single chunk."""
    if column.num_chunks == 1:
        return column.chunk(0)
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
