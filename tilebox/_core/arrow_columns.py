"""Arrow columns as numpy columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core import columns
from tilebox._core.columns import Chunk
from tilebox._core.fields import VECTOR_COMPONENTS, Field, FieldKind

if TYPE_CHECKING:
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

_OBJECT_KINDS = frozenset({FieldKind.STRING, FieldKind.BYTES})


def chunk_of(field: Field, column: pa.Array) -> Chunk:
    """Convert one column of a record batch.

    Raises:
        ValueError: A value cannot be shown: an enumeration's number without a label, a time beyond nanoseconds, a
            geometry that cannot be read. The message names the field.
    """
    if not field.repeated:
        return Chunk(_items(field, column))
    lengths = column.value_lengths().fill_null(0).to_numpy()
    return Chunk(_items(field, column.flatten()), lengths)


def _items(field: Field, items: pa.Array) -> Array:
    if field.kind in _OBJECT_KINDS:
        return items.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    if field.kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        return _times(field, items)
    if field.kind is FieldKind.UUID:
        return _uuids(items)
    if field.kind is FieldKind.GEOMETRY:
        return columns.geometries(field, items.to_numpy(zero_copy_only=False))
    if field.kind is FieldKind.ENUM:
        return columns.enum_labels(field, items.fill_null(0).to_numpy())
    if field.kind in VECTOR_COMPONENTS:
        return np.column_stack([_numbers(component, np.nan) for component in items.flatten()])
    if field.kind is FieldKind.MESSAGE:
        return columns.messages(field, items.to_pylist())
    return _numbers(items, columns.missing_value(field))


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


def _uuids(items: pa.FixedSizeBinaryArray) -> Array:
    rows = len(items)
    if rows == 0:
        return np.empty(0, "<U36")
    if items.buffers()[1] is None:
        return np.zeros(rows, "<U36")
    raw = np.frombuffer(items.buffers()[1], np.uint8, count=rows * 16, offset=items.offset * 16).reshape(rows, 16)
    missing = items.is_null().to_numpy(zero_copy_only=False) if items.null_count else None
    return columns.uuid_strings(raw, missing)
