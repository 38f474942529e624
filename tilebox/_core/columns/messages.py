"""Conversion between serialised protobuf datapoints and their Arrow form, a column at a time.

`to_arrow` and `from_arrow` are inverse to each other. `from_arrow` writes exactly the bytes of protobuf's own
deterministic serialisation, so an id computed from them is the same on every machine.

ptars converts between bytes and columns of the wire types (`ptars_messages.py`). This module converts between the wire
types and the Arrow form, with arithmetic on whole columns.

Reading checks values and brings them into a canonical form:

- Times and durations outside of `datetime64[ns]` and `timedelta64[ns]`, unknown enumeration numbers, UUIDs that are not
  16 bytes long and messages that cannot be parsed are errors.
- The enumeration number 0, an empty UUID and an empty geometry are missing values.
- Messages inside a datapoint are serialised again, with maps in order of their keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from tilebox._core.columns.numpy_columns import known_message_class
from tilebox._core.columns.ptars_messages import TIME_KINDS, WRAPPED_KINDS, handler_of
from tilebox._core.schema.arrow_schema import arrow_schema, arrow_type
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind, Schema
from tilebox._core.values.timestamps import (
    Array,
    ItemError,
    find_row,
    nanoseconds_of_durations,
    nanoseconds_of_timestamps,
    raise_first,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_SECOND = 10**9
# The number that numpy reads as NaT. Arrow has nulls instead, so it is not a valid time there.
_NAT = -(2**63)


def is_available() -> bool:
    """Return whether the optional dependencies of this module are installed."""
    try:
        import ptars
        import pyarrow as pa
    except ImportError:
        return False
    return bool(ptars and pa)


def to_arrow(schema: Schema, values: Sequence[bytes]) -> pa.RecordBatch:
    """Decode datapoints into the Arrow form that `arrow_schema.py` defines.

    Args:
        schema: The type of the datapoints.
        values: The serialised datapoints, one for each row.

    Returns:
        All fields of the schema, in its order. `time` is floored to milliseconds, `ingestion_time` to microseconds.

    Raises:
        ValueError: A datapoint is malformed; the message says which row, which field and why.
        MissingExtraError: The extra `arrow` is not installed.
    """
    import pyarrow as pa

    batch = decode(schema, values)
    columns = [_floor_times(field, batch.column(field.name)) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))


def decode(schema: Schema, values: Sequence[bytes]) -> pa.RecordBatch:
    """Decode datapoints like `to_arrow`, but leave every time at full resolution, in nanoseconds."""
    import pyarrow as pa

    wire = _read_batch(schema, values)
    columns = {field.name: _unwrap_column(field, wire.column(field.name)) for field in schema}
    return pa.RecordBatch.from_pydict(columns)


def canonical(field: Field, column: pa.Array) -> pa.Array:
    """Bring a column that has the Arrow type of its field into the canonical form that `to_arrow` returns.

    Args:
        field: The field. If it is repeated, the column has no missing lists, and lists have no missing items.
        column: The values, of the type that `arrow_schema.py` defines for the field.

    Raises:
        ItemError: A value is not valid for the field; the message says why.
    """
    import pyarrow as pa

    items = column.flatten() if field.repeated else column
    if field.kind in TIME_KINDS:
        ticks = _fill_nulls(items.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        raise_first(ticks == _NAT, "a time must not be the smallest 64-bit number, which stands for NaT")
    elif field.kind is FieldKind.GEOMETRY:
        items = items if field.repeated else _empty_to_null(items)
    elif field.kind in VECTOR_COMPONENTS:
        items = _unwrap_vectors(field, items)
    elif field.kind is FieldKind.ENUM:
        items = _check_enum(field, items)
    elif field.kind is FieldKind.MESSAGE:
        items = _canonical_messages(field, items)
    if not field.repeated:
        return items
    # The offsets of a slice start at its first item, which is the first item of the flattened values.
    first = column.offsets[0].as_py() if len(column) else 0
    offsets = pa.array(column.offsets.to_numpy() - first)
    return pa.ListArray.from_arrays(offsets, items, type=arrow_type(field))


def from_arrow(schema: Schema, batch: pa.RecordBatch) -> list[bytes]:
    """Encode the Arrow form of datapoints. Fields that the batch lacks are missing values.

    Returns:
        One serialised datapoint for each row, in protobuf's deterministic serialisation.

    Raises:
        MissingExtraError: The extra `arrow` is not installed.
    """
    return from_arrow_to_array(schema, batch).to_pylist()  # type: ignore[no-any-return]


def from_arrow_to_array(schema: Schema, batch: pa.RecordBatch) -> pa.BinaryArray:
    """Encode datapoints like `from_arrow`, but return an Arrow array, which saves one Python object for each row."""
    import pyarrow as pa

    handler, wire_schema = handler_of(schema)
    present = set(batch.schema.names)
    columns = []
    for wire_field in wire_schema:
        if wire_field.name in present:
            field = schema.get(wire_field.name)
            assert field is not None  # noqa: S101 - the wire schema was made from this schema
            columns.append(_wrap_column(field, batch.column(field.name), wire_field.type))
        else:
            columns.append(_absent_column(wire_field.type, batch.num_rows))
    return handler.record_batch_to_array(pa.RecordBatch.from_arrays(columns, schema=wire_schema))


# --- reading --------------------------------------------------------------------------------------------------------


def _read_batch(schema: Schema, values: Sequence[bytes]) -> pa.RecordBatch:
    handler, _ = handler_of(schema)
    values = values if isinstance(values, list) else list(values)
    try:
        return handler.list_to_record_batch(values)
    except (ValueError, TypeError) as error:
        row, reason = _first_malformed(handler, values)
        raise ValueError(f"row {row} is not a datapoint of this dataset: {reason}") from error


def _first_malformed(handler: Any, values: list[bytes]) -> tuple[int, str]:
    """Find the first row that ptars cannot read, by bisection: its error does not name the row."""
    good, bad, reason = 0, len(values), ""
    while good < bad:
        middle = (good + bad) // 2
        try:
            handler.list_to_record_batch(values[good : middle + 1])
        except (ValueError, TypeError) as error:
            bad, reason = middle, str(error)
        else:
            good = middle + 1
    return good, reason


def _unwrap_column(field: Field, column: pa.Array) -> pa.Array:
    """Turn a column of the wire type into the Arrow form, times in nanoseconds."""
    import pyarrow as pa

    items = column.values if field.repeated else column
    try:
        items = _unwrap(field, items)
    except ItemError as error:
        offsets = column.offsets.to_numpy() if field.repeated else None
        raise ValueError(f"row {find_row(offsets, error.item)}: field {field.name!r}: {error}") from error
    if not field.repeated:
        return items
    item_type = pa.list_(pa.field("item", items.type, nullable=False))
    return pa.ListArray.from_arrays(column.offsets, items, type=item_type)


def _unwrap(field: Field, items: pa.Array) -> pa.Array:
    if field.kind is FieldKind.TIMESTAMP:
        return _nanosecond_array(nanoseconds_of_timestamps(*_seconds_and_nanos(items)), items, "datetime64[ns]")
    if field.kind is FieldKind.DURATION:
        return _nanosecond_array(nanoseconds_of_durations(*_seconds_and_nanos(items)), items, "timedelta64[ns]")
    if field.kind is FieldKind.UUID:
        return _unwrap_uuids(items, required=field.repeated)
    if field.kind is FieldKind.GEOMETRY:
        geometries = _flat_child(items, 0)
        return geometries if field.repeated else _empty_to_null(geometries)
    if field.kind in VECTOR_COMPONENTS:
        return _unwrap_vectors(field, items)
    if field.kind is FieldKind.ENUM:
        return _check_enum(field, items)
    if field.kind is FieldKind.MESSAGE:
        return _canonical_messages(field, items)
    return items


def _fill_nulls(values: pa.Array, value: Any) -> pa.Array:
    """Replace nulls. Most columns have none, and asking costs much less than a copy."""
    return values.fill_null(value) if values.null_count else values


def _flat_child(items: pa.StructArray, position: int) -> pa.Array:
    return items.flatten()[position]


def _empty_to_null(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.binary_length(values)
    if pc.min(lengths).as_py() != 0:
        return values
    return pc.if_else(pc.equal(lengths, 0), pa.scalar(None, values.type), values)


def _seconds_and_nanos(items: pa.StructArray) -> tuple[Array, Array]:
    seconds, nanos = (_fill_nulls(child, 0).to_numpy() for child in items.flatten())
    return seconds, nanos.astype(np.int64)


def _nanosecond_array(nanoseconds: Array, items: pa.StructArray, dtype: str) -> pa.Array:
    import pyarrow as pa

    mask = None if items.null_count == 0 else items.is_null().to_numpy(zero_copy_only=False)
    return pa.array(nanoseconds.view(dtype), mask=mask)


def _unwrap_uuids(items: pa.StructArray, *, required: bool) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _flat_child(items, 0)
    if not required:
        values = _empty_to_null(values)
    lengths = pc.binary_length(values).fill_null(16).to_numpy()
    raise_first(lengths != 16, "a UUID must have 16 bytes")
    return values.cast(pa.binary(16))


def _unwrap_vectors(field: Field, items: pa.StructArray) -> pa.Array:
    import pyarrow as pa

    target = arrow_type(field)
    target = target.value_type if field.repeated else target
    mask = None if items.null_count == 0 else items.is_null()
    components = [_fill_nulls(component, 0.0) for component in items.flatten()]
    return pa.StructArray.from_arrays(components, fields=list(target), mask=mask)


def _check_enum(field: Field, items: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.unique(items).to_pylist()
    unknown = set(numbers).difference([None, 0, *field.enum_labels])
    if unknown:
        first = int(np.isin(_fill_nulls(items, 0).to_numpy(), list(unknown)).argmax())
        raise ItemError(first, f"{items[first]} is not a number of the enumeration {field.type_name}")
    if field.repeated or 0 not in numbers:
        return items
    return pc.if_else(pc.equal(items, 0), pa.scalar(None, items.type), items)


def _canonical_messages(field: Field, items: pa.Array) -> pa.Array:
    """Serialise messages again, which finds malformed ones and orders their maps. Equal messages are done once."""
    import pyarrow as pa

    distinct = items.dictionary_encode()
    message_class = known_message_class(field.type_name or "")
    canonical = []
    for value in distinct.dictionary.to_pylist():
        try:
            canonical.append(message_class.FromString(value).SerializeToString(deterministic=True))
        except DecodeError:
            first = items.to_pylist().index(value)
            raise ItemError(first, f"these bytes are not a message {field.type_name}") from None
    return pa.array(canonical, pa.binary()).take(distinct.indices)


def _floor_times(field: Field, column: pa.Array) -> pa.Array:
    """Floor times to the resolution of the Arrow form: only the metadata times are stored coarser than nanoseconds."""
    target = arrow_type(field)
    if column.type == target or field.kind is not FieldKind.TIMESTAMP:
        return column
    import pyarrow as pa

    factor = _NANOSECONDS[target.unit]
    floored = np.floor_divide(column.cast(pa.int64()).fill_null(0).to_numpy(), factor)
    mask = None if column.null_count == 0 else column.is_null().to_numpy(zero_copy_only=False)
    return pa.array(floored.view(f"datetime64[{target.unit}]"), mask=mask)


# --- writing --------------------------------------------------------------------------------------------------------


def _wrap_column(field: Field, column: pa.Array, wire_type: pa.DataType) -> pa.Array:
    """Turn a column of the Arrow form into the wire type."""
    import pyarrow as pa

    if not field.repeated:
        return _wrap(field, column, wire_type)
    items = _wrap(field, column.values, wire_type.value_type)
    return pa.ListArray.from_arrays(column.offsets, items, type=wire_type)


def _wrap(field: Field, items: pa.Array, wire_type: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if field.kind in TIME_KINDS:
        children = _split_times(items, floor=field.kind is FieldKind.TIMESTAMP)
    elif field.kind in WRAPPED_KINDS:
        children = [_fill_nulls(items if items.type == pa.binary() else items.cast(pa.binary()), b"")]
    elif field.kind in VECTOR_COMPONENTS:
        children = [_zero_to_null(child) for child in items.flatten()]
    else:
        return items if items.type == wire_type else items.cast(wire_type)
    mask = None if items.null_count == 0 else items.is_null()
    return pa.StructArray.from_arrays(children, fields=list(wire_type), mask=mask)


def _split_times(items: pa.Array, *, floor: bool) -> list[pa.Array]:
    import pyarrow as pa

    per_second = _SECOND // _NANOSECONDS[items.type.unit]
    seconds, nanos = split(_fill_nulls(items.cast(pa.int64()), 0).to_numpy(), per_second, floor=floor)
    return [pa.array(seconds), pa.array(nanos.astype(np.int32))]


def _zero_to_null(component: pa.Array) -> pa.Array:
    """Leave out positive zeros, as protobuf does. It writes a negative zero, so the bits are compared."""
    import pyarrow as pa

    values = _fill_nulls(component, 0.0).to_numpy()
    return pa.array(values, mask=values.view(np.int64) == 0)


def _absent_column(wire_type: pa.DataType, rows: int) -> pa.Array:
    import pyarrow as pa

    if not pa.types.is_list(wire_type):
        return pa.nulls(rows, wire_type)
    offsets = pa.array(np.zeros(rows + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.nulls(0, wire_type.value_type), type=wire_type)
