"""The identity of a datapoint, which follows from what it says: the same datapoint twice has the same id.

An id is 16 bytes: the datapoint's time as signed 48-bit milliseconds since 1970, then ten bytes of
BLAKE2b over the serialised datapoint without its id and ingestion time, personalised by the collection.
So ids sort by time, and the same datapoint in two collections has two ids.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tilebox._core.arrow import arrow_schema
from tilebox._core.fields import ID, INGESTION_TIME, TIME
from tilebox._core.messages import from_arrow
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox._core.fields import Schema

_TIME_BYTES = 6
_DIGEST_BYTES = 10
_NANOSECONDS_OF_MS = 1_000_000
_ENCODED_ROWS = 65_536


def with_identity(
    schema: Schema, collection_id: UUID, rows: pa.Table, now_us: int, *, said: Sequence[bytes] | None = None
) -> pa.Table:
    """Complete datapoints: their times floored to milliseconds, their ids and ingestion time filled in.

    Args:
        schema: The dataset's schema.
        collection_id: The collection they go to.
        rows: Datapoints in Arrow form; columns may be missing, ids and ingestion times given are replaced.
        now_us: The time of ingestion, in microseconds since 1970.
        said: What `encoded` gives for them, if that is known already.

    Returns:
        The datapoints with all columns of the schema, in its order.

    Raises:
        InvalidArgumentError: A datapoint has no time, one beyond 48 bits of milliseconds, or a column has a
            type that cannot be the field's.
    """
    wanted = arrow_schema(schema)
    present = set(rows.column_names)
    given = {name: rows[name] for name in wanted.names if name in present}
    given[TIME.name] = _floored(rows)
    given.pop(ID.name, None)
    given[INGESTION_TIME.name] = pa.chunked_array([pa.repeat(pa.scalar(now_us, pa.timestamp("us")), rows.num_rows)])
    columns = {name: _as_field(wanted.field(name), column) for name, column in given.items()}
    columns[ID.name] = pa.chunked_array([_ids(schema, collection_id, columns, said)])
    for field in wanted:
        if field.name not in columns:
            columns[field.name] = _absent(field, rows.num_rows)
    return pa.Table.from_arrays([columns[name] for name in wanted.names], schema=wanted)


def _floored(rows: pa.Table) -> pa.ChunkedArray:
    if TIME.name not in rows.column_names or rows[TIME.name].null_count:
        raise InvalidArgumentError("every datapoint needs a time")
    column = rows[TIME.name]
    if not pa.types.is_timestamp(column.type):
        raise InvalidArgumentError(f"the field 'time' holds timestamps, not {column.type}")
    per_ms = {"s": 0, "ms": 1, "us": 1_000, "ns": _NANOSECONDS_OF_MS}[column.type.unit]
    counts = np.asarray(column.combine_chunks().cast(pa.int64()))
    milliseconds = counts // per_ms if per_ms else counts * 1_000
    if len(counts) and (milliseconds.min() < -(2**47) or milliseconds.max() >= 2**47):
        raise InvalidArgumentError("a time is more than 4,000 years away from 1970")
    return pa.chunked_array([pa.array(milliseconds).cast(pa.timestamp("ms"))])


def _as_field(field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type.equals(field.type):
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidArgumentError(f"field {field.name!r} holds {field.type}, not {column.type}: {error}") from error


def encoded(schema: Schema, rows: pa.RecordBatch) -> list[bytes]:
    """Return what datapoints say: their canonical serialisation without id and ingestion time."""
    names = [name for name in rows.schema.names if name not in (ID.name, INGESTION_TIME.name)]
    return from_arrow(schema, rows.select(names))


def _ids(
    schema: Schema, collection_id: UUID, columns: dict[str, pa.ChunkedArray], said: Sequence[bytes] | None
) -> pa.Array:
    table = pa.table(columns)
    if said is None:
        batches = table.combine_chunks().to_batches(max_chunksize=_ENCODED_ROWS)
        said = [message for batch in batches for message in encoded(schema, batch)]
    ids = np.empty((len(said), _TIME_BYTES + _DIGEST_BYTES), dtype=np.uint8)
    times = np.asarray(columns[TIME.name].combine_chunks().cast(pa.int64()))
    ids[:, :_TIME_BYTES] = times.astype(">i8").view(np.uint8).reshape(-1, 8)[:, -_TIME_BYTES:]
    person = collection_id.bytes
    digests = b"".join([blake2b(one, digest_size=_DIGEST_BYTES, person=person).digest() for one in said])
    ids[:, _TIME_BYTES:] = np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)
    buffers = [None, pa.py_buffer(ids.tobytes())]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_TIME_BYTES + _DIGEST_BYTES), len(said), buffers)


def _absent(field: pa.Field, count: int) -> pa.ChunkedArray:
    if pa.types.is_list(field.type):
        offsets = pa.array(np.zeros(count + 1, dtype=np.int32))
        empty = pa.array([], field.type.value_type)
        return pa.chunked_array([pa.ListArray.from_arrays(offsets, empty, type=field.type)])
    return pa.chunked_array([pa.nulls(count, field.type)])
