"""Protobuf messages as numpy columns, without Arrow: what the client does where the extra `arrow` is missing."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError, Message

from tilebox._core import columns
from tilebox._core.columns import Chunk
from tilebox._core.fields import VECTOR_COMPONENTS, Field, FieldKind, Schema
from tilebox._core.instants import ItemError, find_row, nanoseconds_of_durations, nanoseconds_of_timestamps

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]


def parse(schema: Schema, values: Sequence[bytes]) -> list[Message]:
    """Parse serialised datapoints.

    Raises:
        ValueError: A value is malformed; the message says which row.
    """
    read = columns.message_class(schema, schema.type_name).FromString
    datapoints: list[Message] = []
    try:
        datapoints.extend(map(read, values))
    except (DecodeError, TypeError) as error:
        # `extend` keeps what it got before the error, so the row is the length so far.
        raise ValueError(f"row {len(datapoints)} is not a datapoint of this dataset: {error}") from error
    return datapoints


def chunk_of(schema: Schema, field: Field, datapoints: Sequence[Message]) -> Chunk:
    """Convert one field of parsed datapoints.

    Raises:
        ValueError: A value cannot be shown; the message says which row and field.
    """
    get = attrgetter(field.name)
    if field.repeated:
        lists = list(map(get, datapoints))
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        items: list[Any] = list(chain.from_iterable(lists))
        present = None
    else:
        lengths = None
        items = list(map(get, datapoints))
        has_field = map(methodcaller("HasField", field.name), datapoints)
        present = np.fromiter(has_field, np.bool_, len(items))
    try:
        return Chunk(_items(schema, field, items, present), lengths)
    except ItemError as error:
        offsets = None if lengths is None else np.concatenate([[0], lengths.cumsum()])
        raise ValueError(f"row {find_row(offsets, error.item)}: field {field.name!r}: {error}") from error


def _items(schema: Schema, field: Field, items: list[Any], present: Array | None) -> Array:
    if field.kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        return _times(field, items, present)
    if field.kind is FieldKind.UUID:
        return _uuids(items, required=field.repeated)
    if field.kind is FieldKind.GEOMETRY:
        wkb = columns.object_array((item.wkb or None for item in items), len(items))
        return columns.geometries(field, wkb)
    if field.kind is FieldKind.ENUM:
        return columns.enum_labels(field, np.fromiter(items, np.int64, len(items)))
    if field.kind in VECTOR_COMPONENTS:
        components = [np.fromiter(map(attrgetter(name), items), np.float64) for name in VECTOR_COMPONENTS[field.kind]]
        return _blank(field, np.column_stack(components), present)
    if field.kind is FieldKind.MESSAGE:
        # Copies: a message inside another keeps all of that one in memory.
        serialised = [item.SerializeToString(deterministic=True) for item in items]
        return _blank(field, columns.messages(schema, field, serialised), present)
    return _blank(field, np.fromiter(items, columns.dtype_of(field), len(items)), present)


def _blank(field: Field, values: Array, present: Array | None) -> Array:
    """Put the missing value where a field is not present."""
    if present is not None and not present.all():
        values[~present] = columns.missing_value(field)
    return values


def _times(field: Field, items: list[Any], present: Array | None) -> Array:
    seconds = np.fromiter(map(attrgetter("seconds"), items), np.int64, len(items))
    nanos = np.fromiter(map(attrgetter("nanos"), items), np.int64, len(items))
    convert = nanoseconds_of_timestamps if field.kind is FieldKind.TIMESTAMP else nanoseconds_of_durations
    return _blank(field, convert(seconds, nanos).view(columns.dtype_of(field)), present)


def _uuids(items: list[Any], *, required: bool) -> Array:
    raw = list(map(attrgetter("uuid"), items))
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    missing = np.zeros(len(raw), np.bool_) if required else lengths == 0
    wrong = (lengths != 16) & ~missing
    if wrong.any():
        raise ItemError(int(wrong.argmax()), "a UUID must have 16 bytes")
    joined = b"".join(value or bytes(16) for value in raw)
    return columns.uuid_strings(np.frombuffer(joined, np.uint8).reshape(-1, 16), missing)
