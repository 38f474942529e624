"""Checks of the values that a user ingests, and their conversion to the types that are sent, a column at a time.

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

None, NaN, NA and NaT are missing values.

A column with a numpy type is converted as a whole (`column_path.py`). A column of objects is too, if all of its objects
have one type. Values are converted one by one (`scalar_path.py`) only if their types are mixed or some are invalid.
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
from tilebox._core.ingest.column_path import COLUMN_CONVERTERS, CheckedColumn, convert_arrow_text, needs_scalar_path
from tilebox._core.ingest.scalar_path import SCALAR_CONVERTERS, InvalidValueError, convert_vector, short_repr
from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind

if TYPE_CHECKING:
    import pyarrow as pa

    from tilebox._core.ingest.row_inputs import InputColumn

    Array = np.ndarray[Any, Any]

_MAX_LISTED = 20


@dataclass(slots=True)
class Problems:
    """Reasons why records cannot be ingested, by row."""

    reasons: dict[int, list[str]] = dataclass_field(default_factory=dict)

    def add(self, row: int, field: Field, reason: str) -> None:
        """Add a reason to reject a record."""
        self.reasons.setdefault(row, []).append(f"Record {row}: Field {field.name!r}: {reason}")

    def raise_if_any(self, rows: int) -> None:
        """Raise one error that lists the rejected records.

        Args:
            rows: The number of all records.

        Raises:
            ValueError: There is at least one reason.
        """
        if not self.reasons:
            return
        reasons = [reason for _, reasons in sorted(self.reasons.items()) for reason in reasons]
        lines = reasons[:_MAX_LISTED]
        if len(reasons) > _MAX_LISTED:
            lines.append(f"… and {len(reasons) - _MAX_LISTED} more")
        count = f"{len(self.reasons)} of {rows} records" if rows > 1 else "the record"
        raise ValueError("\n".join([f"cannot ingest {count}, so nothing was ingested:", *lines]))


def convert(field: Field, source: InputColumn, problems: Problems) -> CheckedColumn:
    """Convert a column.

    Args:
        field: The field of the column.
        source: The values that the user gave.
        problems: Receives the reason for each invalid value.
    """
    if not field.repeated:
        return _convert_items(field, source.values, source.missing, problems.add)
    items, lengths = _split_lists(field, source, problems)
    rows = np.repeat(np.arange(len(lengths)), lengths)

    def report(item: int, field: Field, reason: str) -> None:
        problems.add(int(rows[item]), field, reason)

    values = _convert_items(field, items, None, report)
    if values.missing is not None:
        _fill_missing_items(field, values, report)
    return CheckedColumn(values.items, None, lengths, values.convert)


Report = Callable[[int, Field, str], None]


def _convert_items(field: Field, items: Array | pa.Array, missing: Array | None, report: Report) -> CheckedColumn:
    if not isinstance(items, np.ndarray):
        whole = convert_arrow_text(field, items)
        if whole is not None:
            return CheckedColumn(whole.items, _none_unless_any(whole.missing))
        items = items.to_numpy(zero_copy_only=False)
    if field.kind in VECTOR_COMPONENTS:
        return _vectors(field, items, report)
    if items.ndim != 1:
        for row in range(len(items)):
            report(row, field, f"expected one value, got an array of shape {items.shape[1:]}")
        return CheckedColumn(items[:, 0] if items.size else np.empty(len(items)))
    if missing is None:
        missing = _missing(items)
    whole = COLUMN_CONVERTERS.get(field.kind, needs_scalar_path)(field, items, missing)
    if whole is None:
        whole = _convert_scalars(field, items, missing, report)
    missing = whole.missing if whole.missing is not None and whole.missing.any() else None
    return CheckedColumn(whole.items, missing, convert=whole.convert)


def _fill_missing_items(field: Field, values: CheckedColumn, report: Report) -> None:
    """Replace missing items of lists by the value that stands for them, or reject them if there is none."""
    assert values.missing is not None  # noqa: S101 - the caller has checked
    if field.kind in (FieldKind.FLOAT, FieldKind.DOUBLE) or field.kind in VECTOR_COMPONENTS:
        values.items[values.missing] = np.nan
    elif field.kind is FieldKind.ENUM:
        values.items[values.missing] = 0
    else:
        for item in np.flatnonzero(values.missing).tolist():
            report(item, field, "a list must not hold missing values")


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


def _split_lists(field: Field, source: InputColumn, problems: Problems) -> tuple[Array, Array]:
    """Return the items of all lists in one array, and the length of each list."""
    values: Array = source.values  # noqa: PD011 - not a pandas object
    inner = 1 if field.kind in VECTOR_COMPONENTS else 0
    if values.ndim == 2 + inner and values.dtype.kind != "S":
        width = values.shape[1]
        lengths = _unpadded_lengths(field, values) if source.is_padded else np.full(len(values), width)
        return values[np.arange(width) < lengths[:, np.newaxis]], lengths
    lists = [_as_list(value, row, field, problems) for row, value in enumerate(values)]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    return object_array((item for items in lists for item in items), int(lengths.sum())), lengths


def _as_list(value: Any, row: int, field: Field, problems: Problems) -> Sequence[Any]:
    if isinstance(value, np.ndarray | list | tuple):
        # Python's numbers allow the fast conversion of object columns, which compares their types.
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else list(value)
    if value is None or _is_missing_scalar(value):
        return ()
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping | Message):
        return list(value)
    problems.add(row, field, f"expected a list, got {short_repr(value)}")
    return ()


def _is_missing_scalar(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _unpadded_lengths(field: Field, values: Array) -> Array:
    """Return the length of each list without the missing values at its end."""
    filled: Array = _missing(values.reshape(-1)).reshape(values.shape)
    if values.dtype.kind in "biuU":
        filled = np.equal(values, numpy_columns.missing_value(field))
    if field.kind in VECTOR_COMPONENTS:
        filled = np.all(filled, axis=2)
    width = values.shape[1]
    trailing = np.where(filled.all(axis=1), width, np.argmin(filled[:, ::-1], axis=1) if width else 0)
    lengths: Array = width - trailing
    return lengths


def _convert_scalars(field: Field, items: Array, missing: Array, report: Report) -> CheckedColumn:
    """Convert values one by one: they have mixed types, or some of them are invalid."""
    convert_one = SCALAR_CONVERTERS[field.kind]
    missing = missing.copy()
    converted: list[Any] = []
    for row, value in enumerate(items):
        result = None
        if not missing[row]:
            try:
                result = convert_one(field, value)
            except InvalidValueError as reason:
                report(row, field, str(reason))
            missing[row] = result is None
        converted.append(result)
    return CheckedColumn(_pack(field, converted), missing)


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


def _vectors(field: Field, items: Array, report: Report) -> CheckedColumn:
    names = VECTOR_COMPONENTS[field.kind]
    if items.ndim == 2 and items.shape[1] == len(names) and items.dtype.kind in "iuf":
        vectors = items.astype(np.float64)
        return CheckedColumn(vectors, _none_unless_any(np.isnan(vectors).all(axis=1)))
    vectors = np.full((len(items), len(names)), np.nan)
    for row, value in enumerate(items):
        if value is None or _is_missing_scalar(value):
            continue
        try:
            vectors[row] = convert_vector(names, value)
        except InvalidValueError as reason:
            report(row, field, str(reason))
    return CheckedColumn(vectors, _none_unless_any(np.isnan(vectors).all(axis=1)))


def _none_unless_any(missing: Any) -> Array | None:
    return missing if missing.any() else None
