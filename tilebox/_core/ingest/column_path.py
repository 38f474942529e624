"""Conversion of whole columns that a user ingests.

This path is fast. It takes columns whose values are all valid and of one type. Each function returns None if a value is
invalid or of another type; `scalar_path.py` then converts the values one by one.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.columns import numpy_columns
from tilebox._core.columns.numpy_columns import object_array
from tilebox._core.geometry import wkb
from tilebox._core.geometry.inputs import are_storable
from tilebox._core.ingest.scalar_path import LAST_SECOND, InvalidValueError, enum_number
from tilebox._core.schema.fields import GEOMETRY, Field, FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

Array = np.ndarray[Any, Any]

_UUID_DASHES = [8, 13, 18, 23]
_UUID_DIGITS = [position for position in range(36) if position not in _UUID_DASHES]
# Small enough that a block stays in the processor's cache from one step to the next.
_BLOCK_ROWS = 4096
_NIL = uuid.UUID(int=0)
# The number of each hexadecimal digit by its ASCII code, 255 for other characters.
_NIBBLES = np.full(128, 255, np.uint8)
_NIBBLES[[ord(digit) for digit in "0123456789abcdefABCDEF"]] = [*range(16), *range(10, 16)]


@dataclass(slots=True)
class CheckedColumn:
    """A column whose values are valid for its field.

    Args:
        items: The values, arbitrary where one is missing. Text and well-known binary may be Arrow arrays of their
            final type.
        missing: True where there is no value, shape (items,); None if no value is missing.
        lengths: For repeated fields the number of items in each row.
        convert: Converts items to the type that is sent, or None if they have it. It cannot fail. It runs when a batch
            is sent, so that the server works on one batch while the client converts the next.
    """

    items: Array | pa.Array
    missing: Array | None = None
    lengths: Array | None = None
    convert: Callable[[Array], Array | pa.Array] | None = None

    def slice(self, start: int, stop: int) -> CheckedColumn:
        """Return the rows from `start` up to `stop`, with their items converted."""
        lengths = self.lengths
        if lengths is not None:
            lengths = lengths[start:stop]
            start = int(self.lengths[:start].sum())  # type: ignore[index]  # mypy forgets that it is not None
            stop = start + int(lengths.sum())
        items = self.items[start:stop]
        if self.convert is not None:
            items = self.convert(items)
        return CheckedColumn(items, None if self.missing is None else self.missing[start:stop], lengths)


def needs_scalar_path(field: Field, items: Array, missing: Array) -> CheckedColumn | None:  # noqa: ARG001 - one signature for all
    return None


def _types(items: Array, missing: Array) -> set[type]:
    return set(map(type, items[~missing] if missing.any() else items))


def _convert_text(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    if items.dtype.kind == "U" and field.kind is FieldKind.STRING:
        items = items.astype(object)
    wanted = str if field.kind is FieldKind.STRING else bytes
    if items.dtype != object or not _types(items, missing) <= {wanted}:
        return None
    if wanted is str and not _is_unicode(items, missing):
        return None
    return CheckedColumn(items, missing)


def _is_unicode(items: Array, missing: Array) -> bool:
    """Return whether all text can be encoded. Half of a surrogate pair cannot."""
    try:
        for start in range(0, len(items), 8192):
            block = slice(start, start + 8192)
            "".join(items[block][~missing[block]]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert_bools(field: Field, items: Array, missing: Array) -> CheckedColumn | None:  # noqa: ARG001
    if items.dtype == object and _types(items, missing) <= {bool, np.bool_}:
        items = np.where(missing, False, items).astype(np.bool_)
    return CheckedColumn(items, missing) if items.dtype == np.bool_ else None


def _convert_integers(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    limits = np.iinfo(numpy_columns.dtype_of(field))
    if items.dtype == object:
        if not _types(items, missing) <= {int}:
            return None
        present = [0 if gone else value for value, gone in zip(items.tolist(), missing.tolist(), strict=True)]
        if min(present, default=0) < limits.min or max(present, default=0) > limits.max:
            return None
        return CheckedColumn(np.array(present, limits.dtype), missing)
    if items.dtype.kind == "f":
        items = np.where(missing, 0, items)
        # As a float, the upper limit may round up by one. The next number is exact, and excluded.
        wrong = (items != np.floor(items)) | (items < float(limits.min)) | (items >= float(limits.max) + 1)
        return None if wrong.any() else CheckedColumn(items.astype(limits.dtype), missing)
    if items.dtype.kind not in "iu":
        return None
    if len(items) and (int(items.min()) < limits.min or int(items.max()) > limits.max):
        return None
    return CheckedColumn(items.astype(limits.dtype), missing)


def _convert_floats(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    dtype = numpy_columns.dtype_of(field)
    if items.dtype == object:
        if not _types(items, missing) <= {float, int, np.float64, np.float32}:
            return None
        try:
            items = np.where(missing, np.nan, items).astype(np.float64)
        except OverflowError:
            return None
    if items.dtype.kind not in "iuf":
        return None
    if dtype == np.float32 and items.dtype != np.float32:
        beyond = np.isfinite(items) & (np.abs(items.astype(np.float64)) > float(np.finfo(np.float32).max))
        if beyond.any():
            return None
    return CheckedColumn(items.astype(dtype, copy=False), missing)


def _convert_times(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    dtype = numpy_columns.dtype_of(field)
    if items.dtype.kind in "iuf" and field.kind is FieldKind.TIMESTAMP:
        return _convert_seconds(items, missing)
    if items.dtype == object or items.dtype.kind == "U":
        parsed = _parse_times(field, items, missing)
        if parsed is None or (np.isnat(parsed) & ~missing).any():
            return None
        items = parsed
    if items.dtype.kind != dtype.kind:
        return None
    nanoseconds = items.astype(dtype)
    # numpy wraps times that do not fit. A wrapped time differs from the original when converted back. Finer units than
    # nanoseconds always fit, and lose digits on purpose.
    coarse = np.datetime_data(items.dtype)[0] not in ("ps", "fs", "as")
    if coarse and (nanoseconds.astype(items.dtype) != items)[~missing].any():
        return None
    return CheckedColumn(nanoseconds.view(np.int64), missing)


def _convert_seconds(items: Array, missing: Array) -> CheckedColumn | None:
    """Convert Unix seconds, floats rounded to microseconds: the precision that 64 bits have for a time of today."""
    items = np.where(missing, 0, items)
    if (items > LAST_SECOND).any() or (items < -LAST_SECOND).any():
        return None
    if items.dtype.kind == "f":
        return CheckedColumn(np.round(items.astype(np.float64) * 10**6).astype(np.int64) * 1000, missing)
    return CheckedColumn(items.astype(np.int64) * 10**9, missing)


def _parse_times(field: Field, items: Array, missing: Array) -> Array | None:
    import pandas as pd

    types = _types(items, missing)
    present = object_array((None if gone else item for item, gone in zip(items, missing, strict=True)), len(items))
    try:
        if field.kind is FieldKind.DURATION:
            if not types <= {dt.timedelta, pd.Timedelta}:
                return None
            return np.asarray(pd.to_timedelta(present))
        if types <= {str, np.str_}:
            parsed = pd.to_datetime(present, utc=True, errors="coerce", format="ISO8601")
        elif types <= {dt.datetime, pd.Timestamp}:
            parsed = pd.to_datetime(present, utc=True)
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    return np.asarray(parsed.tz_localize(None))


def _convert_uuids(field: Field, items: Array, missing: Array) -> CheckedColumn | None:  # noqa: ARG001
    if items.dtype == object:
        types = _types(items, missing)
        if types <= {uuid.UUID}:
            values = _fill_missing(items, missing, _NIL)
            return CheckedColumn(values, missing, convert=_uuid_bytes)
        if not types <= {str} or max(map(len, items[~missing]), default=0) > 36:
            return None
        items = np.where(missing, "", items).astype("<U36")
    if items.dtype.str != "<U36":
        return None
    missing = missing | (items == "")
    characters = np.ascontiguousarray(items).view(np.uint32).reshape(-1, 36)
    raw = np.empty((len(items), 16), np.uint8)
    for start in range(0, len(items), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        if not _read_uuids(characters[block], missing[block], raw[block]):
            return None
    return CheckedColumn(raw, missing)


def _uuid_bytes(values: Array) -> Array:
    # The same bytes as `UUID.bytes`, but without the call of a property for each value.
    joined = b"".join([value.int.to_bytes(16, "big") for value in values])
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)


def _read_uuids(characters: Array, missing: Array, raw: Array) -> bool:
    """Parse UUIDs of 36 characters each.

    Args:
        characters: The Unicode code points, uint32, shape (rows, 36).
        missing: True where there is no value, shape (rows,).
        raw: Receives the bytes, uint8, shape (rows, 16).

    Returns:
        Whether all UUIDs are well-formed.
    """
    nibbles = _NIBBLES[np.minimum(characters[:, _UUID_DIGITS], 127)]
    np.bitwise_or(nibbles[:, 0::2] << 4, nibbles[:, 1::2] & 15, out=raw)
    dashed = (characters[:, _UUID_DASHES] == ord("-")).all(axis=1)
    return bool((missing | dashed & (nibbles < 16).all(axis=1)).all())


def _convert_geometries(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    import shapely

    if items.dtype != object:
        return None
    try:
        items = _fill_missing(items, missing)
        if _types(items, missing) <= {bytes}:
            missing = missing | np.fromiter((item == b"" for item in items), np.bool_, len(items))
            items = shapely.from_wkb(_fill_missing(items, missing))
        if not shapely.is_geometry(items[~missing]).all() or not are_storable(field, items):
            return None
        if field.name == GEOMETRY.name:
            return CheckedColumn(items, missing, convert=wkb.encode)
        # Other fields may hold geometries that cannot be written, so these are converted while errors can be caught.
        return CheckedColumn(wkb.encode(items), missing)
    except (shapely.errors.ShapelyError, TypeError):
        return None


def _fill_missing(items: Array, missing: Array, value: Any = None) -> Array:
    if not missing.any():
        return items
    items = items.copy()
    items[missing] = value
    return items


def convert_arrow_text(field: Field, text: pa.Array) -> CheckedColumn | None:
    """Convert a column of text in Arrow, for a field of text or of labels."""
    missing = np.asarray(text.is_null())
    if field.kind is FieldKind.STRING:
        return CheckedColumn(text, missing)
    encoded = text.dictionary_encode()
    codes = encoded.indices.fill_null(0).to_numpy()
    return _from_labels(field, codes, encoded.dictionary.to_pylist(), missing)


def _convert_enums(field: Field, items: Array, missing: Array) -> CheckedColumn | None:
    numbers = {0, *field.enum_labels}
    if items.dtype.kind in "iu":
        known = np.isin(items, list(numbers)).all()
        return CheckedColumn(items.astype(np.int32), missing | (items == 0)) if known else None
    import pandas as pd

    if items.dtype.kind not in "OU" or not _types(items, missing) <= {str, np.str_}:
        return None
    codes, labels = pd.factorize(np.where(missing, "", items.astype(object)))
    if (labels[codes] == "")[~missing].any():
        return None
    return _from_labels(field, codes, ["UNSPECIFIED" if label == "" else label for label in labels], missing)


def _from_labels(field: Field, codes: Array, labels: list[Any], missing: Array) -> CheckedColumn | None:
    """Return the numbers of an enumeration for dictionary-encoded labels."""
    try:
        table = np.array([enum_number(field, label) for label in labels], np.int32)
    except InvalidValueError:
        return None
    numbers = table[codes] if len(table) else np.zeros(len(codes), np.int32)
    return CheckedColumn(numbers, missing | (numbers == 0))


COLUMN_CONVERTERS: dict[FieldKind, Callable[[Field, Array, Array], CheckedColumn | None]] = {
    FieldKind.STRING: _convert_text,
    FieldKind.BYTES: _convert_text,
    FieldKind.BOOL: _convert_bools,
    FieldKind.INT32: _convert_integers,
    FieldKind.INT64: _convert_integers,
    FieldKind.UINT32: _convert_integers,
    FieldKind.UINT64: _convert_integers,
    FieldKind.FLOAT: _convert_floats,
    FieldKind.DOUBLE: _convert_floats,
    FieldKind.TIMESTAMP: _convert_times,
    FieldKind.DURATION: _convert_times,
    FieldKind.UUID: _convert_uuids,
    FieldKind.GEOMETRY: _convert_geometries,
    FieldKind.ENUM: _convert_enums,
}
