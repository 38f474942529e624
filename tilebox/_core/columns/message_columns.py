"""Conversion of protobuf messages to numpy columns, for clients without the extra `arrow`."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError, Message

from tilebox._core.columns import numpy_columns
from tilebox._core.columns.numpy_columns import Chunk
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind, Schema
from tilebox._core.values.timestamps import (
    ItemError,
    find_row,
    nanoseconds_of_durations,
    nanoseconds_of_timestamps,
    raise_first,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]

# Kinds whose absent values convert to the missing value already.
_KINDS_WITHOUT_DEFAULT = frozenset({FieldKind.UUID, FieldKind.GEOMETRY, FieldKind.ENUM})


def parse(schema: Schema, values: Sequence[bytes]) -> list[Message]:
    """Parse serialised datapoints.

    Raises:
        ValueError: A value is malformed; the message says which row.
    """
    read = numpy_columns.message_class(schema).FromString
    datapoints: list[Message] = []
    try:
        datapoints.extend(map(read, values))
    except (DecodeError, TypeError) as error:
        # `extend` keeps the items before the error, so the length is the row that failed.
        raise ValueError(f"row {len(datapoints)} is not a datapoint of this dataset: {error}") from error
    return datapoints


def chunk_of(field: Field, datapoints: Sequence[Message]) -> Chunk:
    """Convert one field of parsed datapoints.

    Raises:
        ValueError: A value has no representation in numpy; the message says which row and field.
    """
    if not field.repeated:
        return Chunk(_locate_errors(field, None, lambda: _singular(field, datapoints)))
    lists = list(map(attrgetter(field.name), datapoints))
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    items = list(chain.from_iterable(lists))
    return Chunk(_locate_errors(field, lengths, lambda: _convert(field, items)), lengths)


def _locate_errors(field: Field, lengths: Array | None, convert: Callable[[], Array]) -> Array:
    """Convert items, and add row and field to the message of an error."""
    try:
        return convert()
    except ItemError as error:
        offsets = None if lengths is None else np.concatenate([[0], lengths.cumsum()])
        raise ValueError(f"row {find_row(offsets, error.item)}: field {field.name!r}: {error}") from error


def _singular(field: Field, datapoints: Sequence[Message]) -> Array:
    values = _convert(field, list(map(attrgetter(field.name), datapoints)), required=False)
    return _set_absent_to_missing(field, values, datapoints)


def _convert(field: Field, items: list[Any], *, required: bool = True) -> Array:
    if field.kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        return _times(field, items)
    if field.kind is FieldKind.UUID:
        return _uuids(items, required=required)
    if field.kind is FieldKind.GEOMETRY:
        wkb = numpy_columns.object_array((item.wkb or None for item in items), len(items))
        return numpy_columns.geometries(field, wkb)
    if field.kind is FieldKind.ENUM:
        return numpy_columns.enum_labels(field, np.fromiter(items, np.int64, len(items)))
    if field.kind in VECTOR_COMPONENTS:
        components = VECTOR_COMPONENTS[field.kind]
        return np.column_stack([_attribute(items, name, np.float64) for name in components])
    if field.kind is FieldKind.MESSAGE:
        # Copies, because an inner message keeps the whole datapoint in memory.
        serialised = [item.SerializeToString(deterministic=True) for item in items]
        return numpy_columns.messages(field, serialised)
    return np.fromiter(items, numpy_columns.dtype_of(field), len(items))


def _attribute(items: list[Any], name: str, dtype: type[np.generic]) -> Array:
    return np.fromiter(map(attrgetter(name), items), dtype, len(items))


def _set_absent_to_missing(field: Field, values: Array, datapoints: Sequence[Message]) -> Array:
    """Set rows without the field to the missing value. Only rows with the default value can lack it."""
    if field.kind in _KINDS_WITHOUT_DEFAULT:
        return values
    suspects = range(len(values)) if field.kind is FieldKind.MESSAGE else _default_rows(field, values)
    has_field = methodcaller("HasField", field.name)
    absent = [row for row in suspects if not has_field(datapoints[row])]
    values[absent] = numpy_columns.missing_value(field)
    return values


def _default_rows(field: Field, values: Array) -> list[int]:
    """Return the rows whose converted value is protobuf's default, which it gives for an absent field."""
    text = {FieldKind.STRING: "", FieldKind.BYTES: b""}
    default = values == text.get(field.kind, np.zeros((), values.dtype))
    rows: list[int] = np.flatnonzero(default if values.ndim == 1 else default.all(axis=1)).tolist()
    return rows


def _times(field: Field, items: list[Any]) -> Array:
    seconds = _attribute(items, "seconds", np.int64)
    nanos = _attribute(items, "nanos", np.int64)
    convert = nanoseconds_of_timestamps if field.kind is FieldKind.TIMESTAMP else nanoseconds_of_durations
    return convert(seconds, nanos).view(numpy_columns.dtype_of(field))


def _uuids(items: list[Any], *, required: bool) -> Array:
    raw = list(map(attrgetter("uuid"), items))
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    missing = np.zeros(len(raw), np.bool_) if required else lengths == 0
    raise_first((lengths != 16) & ~missing, "a UUID must have 16 bytes")
    joined = b"".join(value or bytes(16) for value in raw)
    return numpy_columns.UuidText(np.frombuffer(joined, np.uint8).reshape(-1, 16), missing).to_array()
