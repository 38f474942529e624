"""Ids of datapoints. They are content hashes, so the same datapoint always has the same id.

An id is 16 bytes: the datapoint's time as signed 48-bit milliseconds since 1970, then a ten-byte digest of
its other values (see `digests.py`) and of the collection. So ids sort by time, and the same datapoint in two
collections has two ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tilebox._core.schema.arrow_schema import arrow_schema, combine_chunks
from tilebox._core.schema.fields import ID, INGESTION_TIME, TIME
from tilebox.errors import InvalidArgumentError
from tilebox.server.points.identity.digests import DIGEST_BYTES, digests

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.schema.fields import Schema

_TIME_BYTES = 6
_NANOSECONDS_PER_MS = 1_000_000
_NOT_DIGESTED = frozenset({TIME.name, ID.name, INGESTION_TIME.name})


def with_identity(schema: Schema, collection_id: UUID, rows: pa.Table, now_us: int) -> pa.Table:
    """Complete datapoints: floor their times to milliseconds, and fill in ids and ingestion time.

    Args:
        schema: The dataset's schema.
        collection_id: The collection that will hold them.
        rows: Datapoints in Arrow form. Columns may be missing; given ids and ingestion times are replaced.
        now_us: The time of ingestion, in microseconds since 1970.

    Returns:
        The datapoints with all columns of the schema, in its order.

    Raises:
        InvalidArgumentError: A datapoint has no time, or one beyond 48 bits of milliseconds, or a column
            cannot be cast to the type of its field.
    """
    wanted = arrow_schema(schema)
    # A dict, because `rows[name]` would search the list of names each time.
    given = dict(zip(rows.column_names, rows.columns, strict=True))
    given[TIME.name] = _floor_times(rows)
    given.pop(ID.name, None)
    given[INGESTION_TIME.name] = pa.chunked_array([pa.repeat(pa.scalar(now_us, pa.timestamp("us")), rows.num_rows)])
    columns = {field.name: _cast(field, given[field.name]) for field in wanted if field.name in given}
    columns[ID.name] = pa.chunked_array([_ids(schema, collection_id, columns)])
    for field in wanted:
        if field.name not in columns:
            columns[field.name] = _missing_column(field, rows.num_rows)
    return pa.Table.from_arrays([columns[field.name] for field in wanted], schema=wanted)


def _floor_times(rows: pa.Table) -> pa.ChunkedArray:
    if TIME.name not in rows.column_names or rows[TIME.name].null_count:
        raise InvalidArgumentError("every datapoint needs a time")
    column = rows[TIME.name]
    if not pa.types.is_timestamp(column.type):
        raise InvalidArgumentError(f"the field 'time' holds timestamps, not {column.type}")
    per_ms = {"s": 0, "ms": 1, "us": 1_000, "ns": _NANOSECONDS_PER_MS}[column.type.unit]
    counts = np.asarray(combine_chunks(column).view(pa.int64()))
    milliseconds = counts // per_ms if per_ms else counts * 1_000
    if len(counts) and (milliseconds.min() < -(2**47) or milliseconds.max() >= 2**47):
        raise InvalidArgumentError("a time is more than 4,000 years away from 1970")
    return pa.chunked_array([pa.array(milliseconds).view(pa.timestamp("ms"))])


def _cast(field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type.equals(field.type):
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidArgumentError(f"field {field.name!r} holds {field.type}, not {column.type}: {error}") from error


def _ids(schema: Schema, collection_id: UUID, columns: dict[str, pa.ChunkedArray]) -> pa.Array:
    times = np.asarray(combine_chunks(columns[TIME.name]).view(pa.int64()))
    digested = (
        (field.number, combine_chunks(columns[field.name]))
        for field in schema
        if field.name in columns and field.name not in _NOT_DIGESTED
    )
    ids = np.empty((len(times), _TIME_BYTES + DIGEST_BYTES), dtype=np.uint8)
    ids[:, :_TIME_BYTES] = times.astype(">i8").view(np.uint8).reshape(-1, 8)[:, -_TIME_BYTES:]
    ids[:, _TIME_BYTES:] = digests(digested, len(times), collection_id.bytes)
    buffers = [None, pa.py_buffer(ids.tobytes())]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_TIME_BYTES + DIGEST_BYTES), len(times), buffers)


def _missing_column(field: pa.Field, count: int) -> pa.ChunkedArray:
    if pa.types.is_list(field.type):
        offsets = pa.array(np.zeros(count + 1, dtype=np.int32))
        empty = pa.array([], field.type.value_type)
        return pa.chunked_array([pa.ListArray.from_arrays(offsets, empty, type=field.type)])
    return pa.chunked_array([pa.nulls(count, field.type)])
