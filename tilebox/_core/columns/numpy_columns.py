"""Columns of datapoints as numpy arrays: dtypes, missing values, and the conversions shared by Arrow and protobuf.

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

All functions work on whole columns. They loop over rows only where each row becomes a Python object anyway.
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

# For each byte its two hexadecimal digits: the two UCS-4 characters that numpy stores, as one 64-bit number.
_HEX_PAIRS = np.array([f"{byte:02x}" for byte in range(256)], dtype="<U2").view(np.uint64)
_UUID_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_UUID_DASHES = (8, 13, 18, 23)
# Small enough that the digits of a block stay in the processor's cache until they are copied to the result.
_UUID_BLOCK_ROWS = 2048

_EMPTY = np.empty(0)


def dtype_of(field: Field) -> np.dtype[Any]:
    """Return the dtype of the values of a field."""
    return np.dtype(_DTYPES.get(field.kind, "object"))


def missing_value(field: Field) -> Any:
    """Return the value that stands for a missing value of a field."""
    dtype = dtype_of(field)
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "mM":
        return dtype.type("NaT", "ns")
    return {"O": None, "U": "", "b": False}.get(dtype.kind, 0)


@dataclass(slots=True)
class Chunk:
    """A contiguous part of a column.

    Args:
        items: The values, shape (items,) or (items, components).
        lengths: For repeated fields the number of items in each row, shape (rows,).
    """

    items: Array | UuidText
    lengths: Array | None = None


class UuidText:
    """UUIDs that are formatted straight into their final place.

    The text of a UUID takes 144 bytes in numpy, so writing it to memory twice would be most of the work.

    Args:
        raw: The bytes of the UUIDs, uint8, shape (rows, 16).
        missing: True where there is no value, shape (rows,).
    """

    def __init__(self, raw: Array, missing: Array | None = None) -> None:
        self._raw = raw
        self._missing = missing

    def __len__(self) -> int:
        return len(self._raw)

    def to_array(self) -> Array:
        """Return the text as an array of dtype `<U36`, empty where a value is missing."""
        text = np.empty(len(self), "<U36")
        self.write_to(text)
        return text

    def write_to(self, target: Array) -> None:
        """Write the text into a contiguous array of the same length and dtype `<U36`."""
        characters = target.view(np.uint32).reshape(len(self), 36)
        buffer = np.empty((min(len(self), _UUID_BLOCK_ROWS), 16), np.uint64)
        for start in range(0, len(self), _UUID_BLOCK_ROWS):
            block = characters[start : start + _UUID_BLOCK_ROWS]
            # A byte never exceeds the table. "clip" saves the copy that numpy makes with the default mode.
            pairs = np.take(_HEX_PAIRS, self._raw[start : start + len(block)], out=buffer[: len(block)], mode="clip")
            digits = pairs.view(np.uint32)
            for dashes, (first, last) in enumerate(_UUID_GROUPS):
                block[:, first + dashes : last + dashes] = digits[:, first:last]
            for dash in _UUID_DASHES:
                block[:, dash] = ord("-")
        if self._missing is not None:
            characters[self._missing] = 0


class ColumnBuilder:
    """Builds a column from the chunks that are appended to it.

    Args:
        field: The field of the column.
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
        """Return all rows as one array. Lists of a repeated field are padded to the longest with the missing value."""
        items = self._items.finish()
        return pad(self._field, items, self._lengths.finish()) if self._field.repeated else items


class _GrowingArray:
    """An array that grows as parts are appended.

    Concatenating the parts at the end instead would take a second for every gigabyte, and twice the memory.
    """

    _GROWTH = 1.25

    def __init__(self) -> None:
        self._array: Array = _EMPTY
        self._length = 0
        self._owns_memory = False

    def append(self, items: Array | UuidText) -> None:
        if self._length == 0:
            self._array = items.to_array() if isinstance(items, UuidText) else items
            self._length = len(items)
            return
        needed = self._length + len(items)
        if not self._owns_memory or needed > len(self._array):
            self._reserve(max(needed, int(len(self._array) * self._GROWTH)))
        target = self._array[self._length : needed]
        if isinstance(items, UuidText):
            items.write_to(target)
        else:
            target[...] = items
        self._length = needed

    def finish(self) -> Array:
        if self._owns_memory:
            # No other reference to the array exists, so numpy need not check for one.
            self._array.resize((self._length, *self._array.shape[1:]), refcheck=False)
        elif not self._array.flags.writeable:
            self._array = self._array.copy()  # it shares the read-only memory of an Arrow buffer
        return self._array

    def _reserve(self, capacity: int) -> None:
        shape = (capacity, *self._array.shape[1:])
        if self._owns_memory:
            # realloc moves pages of a large array instead of copying its bytes.
            self._array.resize(shape, refcheck=False)
            return
        grown = np.empty(shape, self._array.dtype)
        grown[: self._length] = self._array
        self._array, self._owns_memory = grown, True


def pad(field: Field, items: Array, lengths: Array) -> Array:
    """Arrange the items of a repeated field in rows, padded with the missing value.

    Args:
        field: The field.
        items: The items of all rows, shape (items[, components]).
        lengths: The number of items in each row, shape (rows,).

    Returns:
        The rows, shape (rows, longest[, components]).
    """
    width = int(lengths.max(initial=0))
    padded = np.full((len(lengths), width, *items.shape[1:]), missing_value(field), dtype=dtype_of(field))
    padded[np.arange(width) < lengths[:, np.newaxis]] = items
    return padded


def object_array(values: Iterable[Any], count: int) -> Array:
    """Return a one-dimensional object array. numpy does not unpack values that are sequences themselves."""
    return np.fromiter(values, dtype=object, count=count)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector while the caller creates many objects that form no cycles.

    Otherwise it scans all of them again and again, which took two thirds of the time of decoding geometries.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def enum_labels(field: Field, numbers: Array) -> Array:
    """Return the labels of the numbers of an enumeration, None for 0.

    Args:
        field: The field, of kind ENUM.
        numbers: The numbers, shape (rows,).

    Raises:
        ValueError: A number has no label.
    """
    if len(numbers) == 0:
        return np.empty(0, object)
    table, is_known = _labels(field)
    # All numbers beyond the table share its last entry, which is unknown.
    positions = np.clip(numbers, -1, len(table) - 1)
    if not is_known[positions].all():
        unknown = numbers[(~is_known[positions]).argmax()]
        raise ValueError(
            f"field {field.name!r}: {unknown} is not a number of the enumeration {field.type_name}; "
            "a newer version of tilebox may know it"
        )
    labels: Array = table[positions]
    return labels


@lru_cache(maxsize=256)
def _labels(field: Field) -> tuple[Array, Array]:
    """Return the labels of an enumeration by number, and whether each number has one. The last entry has none."""
    labels = field.enum_labels
    table = np.full(max(labels, default=0) + 2, None, dtype=object)
    is_known = np.zeros(len(table), np.bool_)
    for number, label in {**labels, 0: None}.items():
        table[number], is_known[number] = label, True
    return table, is_known


def geometries(field: Field, wkb: Array) -> Array:
    """Decode well-known binary, None where a value is None or empty.

    Args:
        field: The field, for the error message.
        wkb: The values, bytes or None, shape (rows,).

    Returns:
        Shapely geometries and None, shape (rows,).

    Raises:
        ValueError: A value is not well-known binary.
    """
    import shapely

    try:
        with gc_paused():
            return shapely.from_wkb(wkb)
    except shapely.errors.ShapelyError as error:
        filled = object_array((value or None for value in wkb), len(wkb))
        if (filled == wkb).all():
            raise ValueError(f"field {field.name!r}: a value is not well-known binary: {error}") from error
        return geometries(field, filled)


def messages(field: Field, serialised: Sequence[bytes | None]) -> Array:
    """Parse the messages of a field of kind MESSAGE, None where a value is missing."""
    parse = known_message_class(field.type_name or "").FromString
    return object_array((None if raw is None else parse(raw) for raw in serialised), len(serialised))


@lru_cache(maxsize=256)
def message_class(schema: Schema) -> type[Message]:
    """Return the message class of a schema's datapoints, from a pool of its own: schemas may share a name."""
    return message_factory.GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


@lru_cache(maxsize=256)
def known_message_class(type_name: str) -> type[Message]:
    """Return the class of a message inside a datapoint: the one that users import, so that messages compare equal."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name))
