"""Conversion of Arrow columns to numpy columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.columns import numpy_columns
from tilebox._core.columns.numpy_columns import Chunk, UuidText
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind

if TYPE_CHECKING:
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

_OBJECT_KINDS = frozenset({FieldKind.STRING, FieldKind.BYTES})

# The number of values that decide whether a column has many equal values.
_SAMPLE_ROWS = 512


def chunk_of(field: Field, column: pa.Array) -> Chunk:
    """Convert one column of a record batch.

    Raises:
        ValueError: A value has no representation in numpy: an enumeration number without a label, a time beyond
            64 bits of nanoseconds, a malformed geometry. The message names the field.
    """
    if not field.repeated:
        return Chunk(_items(field, column))
    lengths = column.value_lengths().fill_null(0).to_numpy()
    return Chunk(_items(field, column.flatten()), lengths)


def _items(field: Field, items: pa.Array) -> Array | UuidText:
    if field.kind in _OBJECT_KINDS:
        return _shared_objects(items) if _repeats(items) else items.to_numpy(zero_copy_only=False)
    if field.kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        return _times(field, items)
    if field.kind is FieldKind.UUID:
        return _uuids(items)
    if field.kind is FieldKind.GEOMETRY:
        return numpy_columns.geometries(field, items.to_numpy(zero_copy_only=False))
    if field.kind is FieldKind.ENUM:
        return numpy_columns.enum_labels(field, (items.fill_null(0) if items.null_count else items).to_numpy())
    if field.kind in VECTOR_COMPONENTS:
        return np.column_stack([_numbers(component, np.nan) for component in items.flatten()])
    if field.kind is FieldKind.MESSAGE:
        return numpy_columns.messages(field, items.to_pylist())
    return _numbers(items, numpy_columns.missing_value(field))


def _repeats(items: pa.Array) -> bool:
    """Return whether a column has many equal values, judged by its beginning."""
    if len(items) <= _SAMPLE_ROWS:
        return False
    return len(items.slice(0, _SAMPLE_ROWS).unique()) <= _SAMPLE_ROWS // 2


def _shared_objects(items: pa.Array) -> Array:
    """Convert to objects, one for each distinct value. That takes half the time and a fraction of the memory."""
    encoded = items.dictionary_encode()
    values = np.full(len(encoded.dictionary) + 1, None, dtype=object)
    values[:-1] = encoded.dictionary.to_numpy(zero_copy_only=False)
    indices = encoded.indices.fill_null(len(values) - 1) if encoded.null_count else encoded.indices
    shared: Array = values[indices.to_numpy()]
    return shared


def _numbers(items: pa.Array, missing: Any) -> Array:
    if items.null_count:
        import pyarrow as pa

        items = items.fill_null(pa.scalar(missing, items.type))
    return items.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _times(field: Field, items: pa.Array) -> Array:
    import pyarrow as pa

    timestamp = field.kind is FieldKind.TIMESTAMP
    try:
        items = items.cast(pa.timestamp("ns") if timestamp else pa.duration("ns"))
    except pa.ArrowInvalid as error:
        raise ValueError(f"field {field.name!r}: a time does not fit 64 bits of nanoseconds: {error}") from error
    return items.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _uuids(items: pa.FixedSizeBinaryArray) -> Array | UuidText:
    rows = len(items)
    if rows == 0:
        return np.empty(0, "<U36")
    if items.buffers()[1] is None:
        return np.zeros(rows, "<U36")
    raw = np.frombuffer(items.buffers()[1], np.uint8, count=rows * 16, offset=items.offset * 16).reshape(rows, 16)
    missing = items.is_null().to_numpy(zero_copy_only=False) if items.null_count else None
    return UuidText(raw, missing)
