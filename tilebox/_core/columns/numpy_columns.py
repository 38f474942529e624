"""Columns of datapoints as numpy arrays: dtypes, missing values, and the conversions that both wire forms share.

| kind | dtype | a missing value |
|---|---|---|
| string, bytes | object (`str`, `bytes`) | None |
| bool | bool | False |
| integers | int32, int64, uint32, uint64 | 0 |
| float, double | float32, float64 | NaN |
| enumeration | object (the label, a `str`) | None |
| timestamp | datetime64[ns] | NaT |
| duration | timedelta64[ns] | NaT |
| UUID | `<U36` | "" |
| geometry | object (shapely) | None |
| vectors | float64, one more axis | NaN |
| other messages | object (protobuf messages) | None |

Everything here works on whole columns; loops over rows remain only where each row becomes a Python object anyway.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import descriptor_pool, message_factory

from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    Array = np.ndarray[Any, Any]

_DTYPES: dict[FieldKind, str] = {
    FieldKind.BOOL: "bool",
    FieldKind.INT32: "int32",
    FieldKind.INT64: "int64",
    FieldKind.UINT32: "uint32",
    FieldKind.UINT64: "uint64",
    FieldKind.FLOAT: "float32",
    FieldKind.DOUBLE: "float64",
    FieldKind.TIMESTAMP: "datetime64[ns]",
    FieldKind.DURATION: "timedelta64[ns]",
    FieldKind.UUID: "<U36",
} | dict.fromkeys(VECTOR_COMPONENTS, "float64")

# One entry a byte: its two hexadecimal digits as the two UCS-4 characters that numpy keeps, read as one number.
_HEX_PAIRS = np.array([f"{byte:02x}" for byte in range(256)], dtype="<U2").view(np.uint64)
_UUID_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_UUID_DASHES = (8, 13, 18, 23)
# Small enough that the block's digits stay in the processor's cache on their way to the result.
_UUID_BLOCK_ROWS = 2048

_NOTHING = np.empty(0)


def dtype_of(column: Field) -> np.dtype[Any]:
    """Return the dtype of a field's values."""
    return np.dtype(_DTYPES.get(column.kind, "object"))


def missing_value(column: Field) -> Any:
    """Return what stands for a missing value of a field."""
    dtype = dtype_of(column)
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "mM":
        return dtype.type("NaT", "ns")
    return {"O": None, "U": "", "b": False}.get(dtype.kind, 0)


@dataclass(slots=True)
class Chunk:
    """A stretch of a column.

    Args:
        items: The values, shape (items,) or (items, components).
        lengths: For repeated fields, how many items each row has, shape (rows,).
    """

    items: Array | UuidText
    lengths: Array | None = None


class UuidText:
    """UUIDs that become text where it will stay: at 144 bytes each, writing them twice is most of the work.

    Args:
        raw: The bytes, uint8, shape (rows, 16).
        missing: True where there is no value, shape (rows,).
    """

    def __init__(self, raw: Array, missing: Array | None = None) -> None:
        self._raw = raw
        self._missing = missing

    def __len__(self) -> int:
        return len(self._raw)

    def written(self) -> Array:
        """Return the text as an array, `<U36`, empty where missing."""
        text = np.empty(len(self), "<U36")
        self.write(text)
        return text

    def write(self, target: Array) -> None:
        """Write the text into an array of this length, `<U36`."""
        characters = target.view(np.uint32).reshape(len(self), 36)
        room = np.empty((min(len(self), _UUID_BLOCK_ROWS), 16), np.uint64)
        for start in range(0, len(self), _UUID_BLOCK_ROWS):
            block = characters[start : start + _UUID_BLOCK_ROWS]
            # The mode saves numpy a copy: a byte is never beyond the table.
            pairs = np.take(_HEX_PAIRS, self._raw[start : start + len(block)], out=room[: len(block)], mode="clip")
            digits = pairs.view(np.uint32)
            for dashes, (first, last) in enumerate(_UUID_GROUPS):
                block[:, first + dashes : last + dashes] = digits[:, first:last]
            for dash in _UUID_DASHES:
                block[:, dash] = ord("-")
        if self._missing is not None:
            characters[self._missing] = 0


class Column:
    """A column in the making, to which chunks are appended.

    Args:
        field: The column's field.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self._items = _GrowingArray()
        self._lengths = _GrowingArray()

    def append(self, chunk: Chunk) -> None:
        """Add the next rows."""
        self._items.append(chunk.items)
        if chunk.lengths is not None:
            self._lengths.append(chunk.lengths)

    def join(self) -> Array:
        """Return all rows as one array, repeated fields padded to the longest with the missing value."""
        items = self._items.finish()
        return pad(self._field, items, self._lengths.finish()) if self._field.repeated else items


class _GrowingArray:
    """Arrays put one behind the other as they come.

    Joining them at the end instead would cost a second of waiting for every gigabyte, and that memory twice.
    """

    _GROWTH = 1.25

    def __init__(self) -> None:
        self._array: Array = _NOTHING
        self._length = 0
        self._is_ours = False

    def append(self, items: Array | UuidText) -> None:
        if self._length == 0:
            self._array = items.written() if isinstance(items, UuidText) else items
            self._length = len(items)
            return
        needed = self._length + len(items)
        if not self._is_ours or needed > len(self._array):
            self._reserve(max(needed, int(len(self._array) * self._GROWTH)))
        target = self._array[self._length : needed]
        if isinstance(items, UuidText):
            items.write(target)
        else:
            target[...] = items
        self._length = needed

    def finish(self) -> Array:
        if self._is_ours:
            # No one else has seen the array, so that numpy need not look for references to it.
            self._array.resize((self._length, *self._array.shape[1:]), refcheck=False)
        elif not self._array.flags.writeable:
            self._array = self._array.copy()  # it shares the memory of an Arrow buffer
        return self._array

    def _reserve(self, capacity: int) -> None:
        shape = (capacity, *self._array.shape[1:])
        if self._is_ours:
            self._array.resize(shape, refcheck=False)  # the operating system moves pages in place of copying bytes
            return
        grown = np.empty(shape, self._array.dtype)
        grown[: self._length] = self._array
        self._array, self._is_ours = grown, True


def pad(column: Field, items: Array, lengths: Array) -> Array:
    """Lay the items of a repeated field out as (rows, longest[, components])."""
    width = int(lengths.max(initial=0))
    padded = np.full((len(lengths), width, *items.shape[1:]), missing_value(column), dtype=dtype_of(column))
    padded[np.arange(width) < lengths[:, np.newaxis]] = items
    return padded


def object_array(values: Iterable[Any], count: int) -> Array:
    """Return a one-dimensional object array; numpy never looks inside the values."""
    return np.fromiter(values, dtype=object, count=count)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep Python's cycle collector from running while many objects without cycles are made.

    It would otherwise look through all of them again and again: two thirds of the time of decoding geometries.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def enum_labels(column: Field, numbers: Array) -> Array:
    """Return the labels of an enumeration's numbers, None for 0.

    Raises:
        ValueError: A number has no label.
    """
    if len(numbers) == 0:
        return np.empty(0, object)
    table, is_known = _labels(column)
    # The last entry stands for all numbers beyond.
    places = np.clip(numbers, -1, len(table) - 1)
    if not is_known[places].all():
        unknown = numbers[(~is_known[places]).argmax()]
        raise ValueError(
            f"field {column.name!r}: {unknown} is not a number of the enumeration {column.type_name}; "
            "a newer version of tilebox may know it"
        )
    found: Array = table[places]
    return found


@lru_cache(maxsize=256)
def _labels(column: Field) -> tuple[Array, Array]:
    """Return the labels of an enumeration by number, and which of them there are; the last entry is none."""
    labels = column.enum_labels
    table = np.full(max(labels, default=0) + 2, None, dtype=object)
    is_known = np.zeros(len(table), np.bool_)
    for number, label in {**labels, 0: None}.items():
        table[number], is_known[number] = label, True
    return table, is_known


def geometries(column: Field, wkb: Array) -> Array:
    """Return shapely geometries of well-known binary, None where that is None or empty.

    Raises:
        ValueError: A value is not well-known binary.
    """
    import shapely

    try:
        with collection_paused():
            return shapely.from_wkb(wkb)
    except shapely.errors.ShapelyError as error:
        filled = object_array((value or None for value in wkb), len(wkb))
        if (filled == wkb).all():
            raise ValueError(f"field {column.name!r}: a value is not well-known binary: {error}") from error
        return geometries(column, filled)


def messages(column: Field, serialised: Sequence[bytes | None]) -> Array:
    """Return the messages of a field of kind MESSAGE, None where missing."""
    parse = known_message_class(column.type_name or "").FromString
    return object_array((None if raw is None else parse(raw) for raw in serialised), len(serialised))


@lru_cache(maxsize=256)
def message_class(schema: Schema) -> type[Message]:
    """Return the class of a schema's datapoints, in a pool of its own: schemas of one name never meet."""
    return message_factory.GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


@lru_cache(maxsize=256)
def known_message_class(type_name: str) -> type[Message]:
    """Return the class of a message that a field may have: the one that users import, so that they compare equal."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name))
