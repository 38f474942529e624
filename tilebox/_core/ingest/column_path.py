"""Whole columns that a user ingests: the fast way, for columns whose values are all of one type and right.

Each function returns None where a value is of another type or wrong; `single_values.py` then finds out which.
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
from tilebox._core.ingest.scalar_path import LAST_SECOND, Rejected, enum_number
from tilebox._core.schema.fields import GEOMETRY, Field, FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

Array = np.ndarray[Any, Any]

_UUID_DASHES = [8, 13, 18, 23]
_UUID_DIGITS = [place for place in range(36) if place not in _UUID_DASHES]
# Small enough to stay in the processor's cache from one step to the next.
_BLOCK_ROWS = 4096
_NIL = uuid.UUID(int=0)
_NIBBLES = np.full(128, 255, np.uint8)
_NIBBLES[[ord(digit) for digit in "0123456789abcdefABCDEF"]] = [*range(16), *range(10, 16)]


@dataclass(slots=True)
class Values:
    """A column that was checked.

    Args:
        items: The values; what stands in place of a missing one has no meaning. Text and well-known binary may be in
            Arrow arrays of their final type.
        missing: True where there is no value, shape (items,); None if there is one everywhere.
        lengths: For repeated fields, how many items each row has.
        convert: What brings items into the form in which they are sent, if they are not. It cannot fail, and is left
            for when they are sent, since the server works on one batch while the next one is converted.
    """

    items: Array | pa.Array
    missing: Array | None = None
    lengths: Array | None = None
    convert: Callable[[Array], Array | pa.Array] | None = None

    def between(self, start: int, stop: int) -> Values:
        """Return some rows, converted."""
        lengths = self.lengths
        if lengths is not None:
            lengths = lengths[start:stop]
            start = int(self.lengths[:start].sum())  # type: ignore[index]  # it is not None
            stop = start + int(lengths.sum())
        items = self.items[start:stop]
        if self.convert is not None:
            items = self.convert(items)
        return Values(items, None if self.missing is None else self.missing[start:stop], lengths)


def no_fast_way(field: Field, items: Array, missing: Array) -> Values | None:  # noqa: ARG001 - one signature for all
    return None


def _types(items: Array, missing: Array) -> set[type]:
    return set(map(type, items[~missing] if missing.any() else items))


def _whole_text(field: Field, items: Array, missing: Array) -> Values | None:
    if items.dtype.kind == "U" and field.kind is FieldKind.STRING:
        items = items.astype(object)
    wanted = str if field.kind is FieldKind.STRING else bytes
    if items.dtype != object or not _types(items, missing) <= {wanted}:
        return None
    if wanted is str and not _is_unicode(items, missing):
        return None
    return Values(items, missing)


def _is_unicode(items: Array, missing: Array) -> bool:
    """Tell whether all text can be sent; half of a surrogate pair cannot."""
    try:
        for start in range(0, len(items), 8192):
            block = slice(start, start + 8192)
            "".join(items[block][~missing[block]]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_bools(field: Field, items: Array, missing: Array) -> Values | None:  # noqa: ARG001
    if items.dtype == object and _types(items, missing) <= {bool, np.bool_}:
        items = np.where(missing, False, items).astype(np.bool_)
    return Values(items, missing) if items.dtype == np.bool_ else None


def _whole_integers(field: Field, items: Array, missing: Array) -> Values | None:
    limits = np.iinfo(numpy_columns.dtype_of(field))
    if items.dtype == object:
        if not _types(items, missing) <= {int}:
            return None
        present = [0 if gone else value for value, gone in zip(items.tolist(), missing.tolist(), strict=True)]
        if min(present, default=0) < limits.min or max(present, default=0) > limits.max:
            return None
        return Values(np.array(present, limits.dtype), missing)
    if items.dtype.kind == "f":
        items = np.where(missing, 0, items)
        # The upper limit as a float may be one too many, so it is compared exclusively.
        wrong = (items != np.floor(items)) | (items < float(limits.min)) | (items >= float(limits.max) + 1)
        return None if wrong.any() else Values(items.astype(limits.dtype), missing)
    if items.dtype.kind not in "iu":
        return None
    if len(items) and (int(items.min()) < limits.min or int(items.max()) > limits.max):
        return None
    return Values(items.astype(limits.dtype), missing)


def _whole_floats(field: Field, items: Array, missing: Array) -> Values | None:
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
    return Values(items.astype(dtype, copy=False), missing)


def _whole_times(field: Field, items: Array, missing: Array) -> Values | None:
    dtype = numpy_columns.dtype_of(field)
    if items.dtype.kind in "iuf" and field.kind is FieldKind.TIMESTAMP:
        return _whole_seconds(items, missing)
    if items.dtype == object or items.dtype.kind == "U":
        parsed = _parse_times(field, items, missing)
        if parsed is None or (np.isnat(parsed) & ~missing).any():
            return None
        items = parsed
    if items.dtype.kind != dtype.kind:
        return None
    nanoseconds = items.astype(dtype)
    # numpy wraps what does not fit; then it does not come back the same.
    coarse = np.datetime_data(items.dtype)[0] not in ("ps", "fs", "as")
    if coarse and (nanoseconds.astype(items.dtype) != items)[~missing].any():
        return None
    return Values(nanoseconds.view(np.int64), missing)


def _whole_seconds(items: Array, missing: Array) -> Values | None:
    """Read Unix seconds; floats to the microsecond, since they hold no more of a time of today."""
    items = np.where(missing, 0, items)
    if (items > LAST_SECOND).any() or (items < -LAST_SECOND).any():
        return None
    if items.dtype.kind == "f":
        return Values(np.round(items.astype(np.float64) * 10**6).astype(np.int64) * 1000, missing)
    return Values(items.astype(np.int64) * 10**9, missing)


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


def _whole_uuids(field: Field, items: Array, missing: Array) -> Values | None:  # noqa: ARG001
    if items.dtype == object:
        types = _types(items, missing)
        if types <= {uuid.UUID}:
            values = _blanked(items, missing, _NIL)
            return Values(values, missing, convert=_uuid_bytes)
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
    return Values(raw, missing)


def _uuid_bytes(values: Array) -> Array:
    # As `UUID.bytes` makes them, without the call of a property for each.
    joined = b"".join([value.int.to_bytes(16, "big") for value in values])
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)


def _read_uuids(characters: Array, missing: Array, raw: Array) -> bool:
    """Read UUIDs of 36 characters each, and tell whether all of them are well-formed."""
    nibbles = _NIBBLES[np.minimum(characters[:, _UUID_DIGITS], 127)]
    np.bitwise_or(nibbles[:, 0::2] << 4, nibbles[:, 1::2] & 15, out=raw)
    dashed = (characters[:, _UUID_DASHES] == ord("-")).all(axis=1)
    return bool((missing | dashed & (nibbles < 16).all(axis=1)).all())


def _whole_geometries(field: Field, items: Array, missing: Array) -> Values | None:
    import shapely

    if items.dtype != object:
        return None
    try:
        items = _blanked(items, missing)
        if _types(items, missing) <= {bytes}:
            missing = missing | np.fromiter((item == b"" for item in items), np.bool_, len(items))
            items = shapely.from_wkb(_blanked(items, missing))
        if not shapely.is_geometry(items[~missing]).all() or not are_storable(field, items):
            return None
        if field.name == GEOMETRY.name:
            return Values(items, missing, convert=wkb.encode)
        # Of what other fields may hold, not all can be written.
        return Values(wkb.encode(items), missing)
    except (shapely.errors.ShapelyError, TypeError):
        return None


def _blanked(items: Array, missing: Array, value: Any = None) -> Array:
    if not missing.any():
        return items
    items = items.copy()
    items[missing] = value
    return items


def arrow_text(field: Field, text: pa.Array) -> Values | None:
    """Convert a column of text that is in Arrow already, for a field of text or labels."""
    missing = np.asarray(text.is_null())
    if field.kind is FieldKind.STRING:
        return Values(text, missing)
    encoded = text.dictionary_encode()
    codes = encoded.indices.fill_null(0).to_numpy()
    return _labelled(field, codes, encoded.dictionary.to_pylist(), missing)


def _whole_enums(field: Field, items: Array, missing: Array) -> Values | None:
    numbers = {0, *field.enum_labels}
    if items.dtype.kind in "iu":
        known = np.isin(items, list(numbers)).all()
        return Values(items.astype(np.int32), missing | (items == 0)) if known else None
    import pandas as pd

    if items.dtype.kind not in "OU" or not _types(items, missing) <= {str, np.str_}:
        return None
    codes, labels = pd.factorize(np.where(missing, "", items.astype(object)))
    if (labels[codes] == "")[~missing].any():
        return None
    return _labelled(field, codes, ["UNSPECIFIED" if label == "" else label for label in labels], missing)


def _labelled(field: Field, codes: Array, labels: list[Any], missing: Array) -> Values | None:
    """Return the numbers of labels, of which each code says which one a row has."""
    try:
        table = np.array([enum_number(field, label) for label in labels], np.int32)
    except Rejected:
        return None
    found = table[codes] if len(table) else np.zeros(len(codes), np.int32)
    return Values(found, missing | (found == 0))


WHOLE: dict[FieldKind, Callable[[Field, Array, Array], Values | None]] = {
    FieldKind.STRING: _whole_text,
    FieldKind.BYTES: _whole_text,
    FieldKind.BOOL: _whole_bools,
    FieldKind.INT32: _whole_integers,
    FieldKind.INT64: _whole_integers,
    FieldKind.UINT32: _whole_integers,
    FieldKind.UINT64: _whole_integers,
    FieldKind.FLOAT: _whole_floats,
    FieldKind.DOUBLE: _whole_floats,
    FieldKind.TIMESTAMP: _whole_times,
    FieldKind.DURATION: _whole_times,
    FieldKind.UUID: _whole_uuids,
    FieldKind.GEOMETRY: _whole_geometries,
    FieldKind.ENUM: _whole_enums,
}
