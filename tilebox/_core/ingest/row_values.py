"""Values that a user ingests, checked and brought into the form in which they are sent, a column at a time.

| kind | accepted | result |
|---|---|---|
| string, bytes | `str`; `bytes` | object array |
| bool | booleans | bool |
| integers | whole numbers within the type's range | the type |
| float, double | numbers | the type |
| timestamp | datetime64 of any unit, datetime, Timestamp, ISO 8601 text, Unix seconds; zones are converted, none is UTC | int64 ns |
| duration | timedelta64 of any unit, timedelta, Timedelta | int64 ns |
| UUID | UUID, text, 16 bytes | uint8, 16 a value |
| geometry | shapely, well-known binary, GeoJSON mappings and anything with `__geo_interface__` | object array of bytes |
| enumeration | labels with or without their prefix, numbers | int32 |
| vectors | sequences, rows of an array, mappings of components | float64, components a value |
| other messages | messages of that type, their bytes | object array of bytes |

None, NaN, NA and NaT are missing values. Columns that numpy knows the type of are converted whole; columns of
objects are looked at by their types first, and one by one only where those are mixed or values are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import Message

from tilebox._core.columns import numpy_columns
from tilebox._core.columns.numpy_columns import object_array
from tilebox._core.ingest.column_path import WHOLE, Values, arrow_text, no_fast_way
from tilebox._core.ingest.scalar_path import ONE, Rejected, one_vector, shown
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind

if TYPE_CHECKING:
    import pyarrow as pa

    from tilebox._core.ingest.row_inputs import Input

    Array = np.ndarray[Any, Any]

_LISTED = 20


@dataclass(slots=True)
class Problems:
    """Values that cannot be ingested, by record."""

    found: dict[int, list[str]] = dataclass_field(default_factory=dict)

    def add(self, row: int, field: Field, reason: str) -> None:
        """Note what is wrong with a record."""
        self.found.setdefault(row, []).append(f"Record {row}: Field {field.name!r}: {reason}")

    def raise_if_any(self, rows: int) -> None:
        """Raise one error that lists the rejected records."""
        if not self.found:
            return
        reasons = [reason for _, reasons in sorted(self.found.items()) for reason in reasons]
        lines = reasons[:_LISTED]
        if len(reasons) > _LISTED:
            lines.append(f"… and {len(reasons) - _LISTED} more")
        count = f"{len(self.found)} of {rows} records" if rows > 1 else "the record"
        raise ValueError("\n".join([f"cannot ingest {count}, so nothing was ingested:", *lines]))


def convert(field: Field, source: Input, problems: Problems) -> Values:
    """Convert a column, noting wrong values in `problems`."""
    if not field.repeated:
        return _convert_items(field, source.values, source.missing, problems.add)
    items, lengths = _split_lists(field, source, problems)
    rows = np.repeat(np.arange(len(lengths)), lengths)

    def note(item: int, field: Field, reason: str) -> None:
        problems.add(int(rows[item]), field, reason)

    values = _convert_items(field, items, None, note)
    if values.missing is not None:
        _settle_missing_items(field, values, note)
    return Values(values.items, None, lengths, values.convert)


Note = Callable[[int, Field, str], None]


def _convert_items(field: Field, items: Array | pa.Array, missing: Array | None, note: Note) -> Values:
    if not isinstance(items, np.ndarray):
        whole = arrow_text(field, items)
        if whole is not None:
            return Values(whole.items, _none_if_none(whole.missing))
        items = items.to_numpy(zero_copy_only=False)
    if field.kind in VECTOR_COMPONENTS:
        return _vectors(field, items, note)
    if items.ndim != 1:
        for row in range(len(items)):
            note(row, field, f"expected one value, got an array of shape {items.shape[1:]}")
        return Values(items[:, 0] if items.size else np.empty(len(items)))
    if missing is None:
        missing = _missing(items)
    whole = WHOLE.get(field.kind, no_fast_way)(field, items, missing)
    if whole is None:
        whole = _one_by_one(field, items, missing, note)
    missing = whole.missing if whole.missing is not None and whole.missing.any() else None
    return Values(whole.items, missing, convert=whole.convert)


def _settle_missing_items(field: Field, values: Values, note: Note) -> None:
    """Lists have no missing items, except where a value stands for them."""
    assert values.missing is not None  # noqa: S101 - the caller looked
    if field.kind in (FieldKind.FLOAT, FieldKind.DOUBLE) or field.kind in VECTOR_COMPONENTS:
        values.items[values.missing] = np.nan
    elif field.kind is FieldKind.ENUM:
        values.items[values.missing] = 0
    else:
        for item in np.flatnonzero(values.missing).tolist():
            note(item, field, "a list must not hold missing values")


def _missing(items: Array) -> Array:
    kind = items.dtype.kind
    if kind in "biuUS":
        return np.zeros(len(items), np.bool_)
    if kind in "fc":
        return np.asarray(np.isnan(items))
    if kind in "mM":
        return np.asarray(np.isnat(items))
    import pandas as pd

    return np.asarray(pd.isna(items))


# --- lists ----------------------------------------------------------------------------------------------------------


def _split_lists(field: Field, source: Input, problems: Problems) -> tuple[Array, Array]:
    """Return the items of all lists in one array, and the length of each list."""
    values: Array = source.values  # noqa: PD011 - not of pandas
    inner = 1 if field.kind in VECTOR_COMPONENTS else 0
    if values.ndim == 2 + inner and values.dtype.kind != "S":
        width = values.shape[1]
        lengths = _unpadded(field, values) if source.padded else np.full(len(values), width)
        return values[np.arange(width) < lengths[:, np.newaxis]], lengths
    lists = [_as_list(value, row, field, problems) for row, value in enumerate(values)]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return object_array((item for items in lists for item in items), int(lengths.sum())), lengths


def _as_list(value: Any, row: int, field: Field, problems: Problems) -> Sequence[Any]:
    if isinstance(value, np.ndarray | list | tuple):
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else list(value)
    if value is None or _is_missing_scalar(value):
        return ()
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping | Message):
        return list(value)
    problems.add(row, field, f"expected a list, got {shown(value)}")
    return ()


def _is_missing_scalar(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _unpadded(field: Field, values: Array) -> Array:
    """Return how long each list is without the missing values at its end."""
    filled: Array = _missing(values.reshape(-1)).reshape(values.shape)
    if values.dtype.kind in "biuU":
        filled = np.equal(values, numpy_columns.missing_value(field))
    if field.kind in VECTOR_COMPONENTS:
        filled = np.all(filled, axis=2)
    width = values.shape[1]
    trailing = np.where(filled.all(axis=1), width, np.argmin(filled[:, ::-1], axis=1) if width else 0)
    lengths: Array = width - trailing
    return lengths


def _one_by_one(field: Field, items: Array, missing: Array, note: Note) -> Values:
    """Convert values of mixed types, or find out which ones are wrong."""
    convert_one = ONE[field.kind]
    missing = missing.copy()
    converted: list[Any] = []
    for row, value in enumerate(items):
        result = None
        if not missing[row]:
            try:
                result = convert_one(field, value)
            except Rejected as reason:
                note(row, field, str(reason))
            missing[row] = result is None
        converted.append(result)
    return Values(_pack(field, converted), missing)


def _pack(field: Field, converted: list[Any]) -> Array:
    dtype = {FieldKind.ENUM: np.dtype(np.int32)}.get(field.kind, numpy_columns.dtype_of(field))
    if dtype.kind in "mM":
        dtype = np.dtype(np.int64)
    if field.kind is FieldKind.UUID:
        raw = b"".join(value or bytes(16) for value in converted)
        return np.frombuffer(raw, np.uint8).reshape(-1, 16)
    if dtype.kind == "O" or field.kind is FieldKind.GEOMETRY:
        return object_array(converted, len(converted))
    return np.array([0 if value is None else value for value in converted], dtype)


def _vectors(field: Field, items: Array, note: Note) -> Values:
    names = VECTOR_COMPONENTS[field.kind]
    if items.ndim == 2 and items.shape[1] == len(names) and items.dtype.kind in "iuf":
        vectors = items.astype(np.float64)
        return Values(vectors, _none_if_none(np.isnan(vectors).all(axis=1)))
    vectors = np.full((len(items), len(names)), np.nan)
    for row, value in enumerate(items):
        if value is None or _is_missing_scalar(value):
            continue
        try:
            vectors[row] = one_vector(names, value)
        except Rejected as reason:
            note(row, field, str(reason))
    return Values(vectors, _none_if_none(np.isnan(vectors).all(axis=1)))


def _none_if_none(missing: Any) -> Array | None:
    return missing if missing.any() else None
