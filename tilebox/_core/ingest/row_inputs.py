"""Conversion of all forms of data that `ingest` accepts to columns of equal length.

A column is a numpy array. For repeated and vector fields the array has more axes, or holds sequences as objects. Text
that pandas stores in Arrow stays in Arrow if the field accepts it. `row_values.py` checks the values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.columns.numpy_columns import object_array
from tilebox._core.geometry.inputs import check_crs
from tilebox._core.schema.arrow_schema import combine_chunks
from tilebox._core.schema.fields import (
    GEOMETRY,
    ID,
    INGESTION_TIME,
    TIME,
    VECTOR_DIMENSIONS,
    Field,
    FieldKind,
    Schema,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr

    Array = np.ndarray[Any, Any]

_TEXT_KINDS = (FieldKind.STRING, FieldKind.ENUM)

GENERATED = (ID.name, INGESTION_TIME.name)
"""Fields that the server generates. They are ignored on input, so that loaded datasets can be ingested again."""


@dataclass(slots=True)
class InputColumn:
    """One column of the input.

    Args:
        values: The values, rows along the first axis.
        is_padded: Whether lists are padded with missing values, as those of xarray are.
        missing: True where a value is missing, if the source has a mask beside the values.
    """

    values: Array | pa.Array
    is_padded: bool = False
    missing: Array | None = None


def read_input(schema: Schema, data: Any) -> dict[str, InputColumn]:
    """Split data into columns by field name.

    Args:
        schema: The type of the datapoints.
        data: The data, in one of the forms that `rows.encode` accepts.

    Raises:
        TypeError: The data has none of these forms.
        ValueError: A column is not a field, `time` is missing, or columns differ in length.
    """
    inputs = _read_columns(schema, data)
    _check_names(schema, inputs)
    inputs = {name: column for name, column in inputs.items() if name not in GENERATED}
    _check_lengths(inputs)
    return inputs


def _read_columns(schema: Schema, data: Any) -> dict[str, InputColumn]:
    if _is_instance(data, "xarray", "Dataset"):
        return _read_dataset(data)
    if _is_instance(data, "pandas", "DataFrame"):
        return _read_frame(schema, data)
    if isinstance(data, Mapping):
        if _is_scalar(data.get(TIME.name)):
            return _read_records(schema, [data])
        return {str(name): _read_column(schema.get(str(name)), column) for name, column in data.items()}
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return _read_records(schema, list(data))
    hint = "call its method to_pandas() first, or " if hasattr(data, "to_pandas") else ""
    raise TypeError(
        f"cannot ingest a {type(data).__name__}; {hint}pass an xarray.Dataset, a DataFrame, a mapping of columns, "
        "or an iterable of mappings"
    )


def _is_instance(data: Any, module: str, name: str) -> bool:
    """Return whether data is an instance of a class, without importing the module of the class.

    Importing it would cost time, and is not needed: if an instance exists, its module is imported already.
    """
    return _is_subclass(type(data), module, name)  # type: ignore[arg-type]  # every class can be hashed


@lru_cache(maxsize=256)
def _is_subclass(kind: type, module: str, name: str) -> bool:
    return any(cls.__module__.partition(".")[0] == module and cls.__name__ == name for cls in kind.__mro__)


def _is_scalar(value: Any) -> bool:
    return value is not None and (isinstance(value, str) or not hasattr(value, "__len__")) and np.ndim(value) == 0


def _read_dataset(dataset: xr.Dataset) -> dict[str, InputColumn]:
    is_one_datapoint = TIME.name not in dataset.dims
    inputs = {}
    for name, variable in dataset.variables.items():
        if is_one_datapoint and variable.dims != (name,):
            inputs[str(name)] = InputColumn(variable.to_numpy()[np.newaxis], is_padded=True)
        elif TIME.name in variable.dims:
            inputs[str(name)] = InputColumn(variable.transpose(TIME.name, ...).to_numpy(), is_padded=True)
        elif variable.dims != (name,):  # a variable of its own dimension holds labels, not values
            raise ValueError(f"variable {name!r} has no dimension 'time', but {variable.dims}")
    return inputs


def _read_frame(schema: Schema, frame: pd.DataFrame) -> dict[str, InputColumn]:
    if len(set(frame.columns.tolist())) < frame.shape[1]:
        repeated = frame.columns[frame.columns.duplicated()]
        raise ValueError(f"the data frame has more than one column {repeated[0]!r}")
    fields = {field.name: field for field in schema}
    inputs = {
        name: _read_text(fields.get(name), column) or _read_series(column, name)
        for name, column in _iter_columns(frame)
    }
    # The active geometry of a GeoDataFrame is the footprint, whatever its column is called.
    active = getattr(frame, "_geometry_column_name", None)
    if active in inputs and active != GEOMETRY.name and GEOMETRY.name not in inputs:
        inputs[GEOMETRY.name] = inputs.pop(active)
    if frame.index.name in set(input_field_names(schema)) - set(inputs):
        inputs[str(frame.index.name)] = _read_column(None, frame.index.to_series())
    return inputs


def _iter_columns(frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Yield the columns of a frame with their names.

    The columns are renamed to numbers first, because pandas looks up each name again. If names are stored in Arrow,
    that lookup takes longer than all else, and for few rows it takes longer than reading the values.
    """
    numbered = frame.copy(deep=False)
    numbered.columns = range(frame.shape[1])  # type: ignore[assignment]  # pandas converts it to an index
    for name, (_, column) in zip(frame.columns.tolist(), numbered.items(), strict=True):
        yield str(name), column


def _read_records(schema: Schema, records: list[Any]) -> dict[str, InputColumn]:
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise TypeError(f"Record {row}: expected a mapping of fields, got a {type(record).__name__}")
    names = dict.fromkeys(str(name) for record in records for name in record)
    if not records:
        names = dict.fromkeys([TIME.name])
    return {
        name: _read_column(schema.get(name), object_array((record.get(name) for record in records), len(records)))
        for name in names
    }


def _read_column(field: Field | None, column: Any) -> InputColumn:
    if _is_instance(column, "xarray", "DataArray") or _is_instance(column, "xarray", "Variable"):
        return InputColumn(column.to_numpy(), is_padded=True)
    if _is_instance(column, "pandas", "Series") or _is_instance(column, "pandas", "Index"):
        return _read_text(field, column) or _read_series(column, str(column.name or GEOMETRY.name))
    if isinstance(column, np.ndarray):
        return InputColumn(column)
    check_crs(getattr(column, "crs", None), f"column {field.name if field else GEOMETRY.name!r}")
    if hasattr(column, "__arrow_array__") or hasattr(column, "__array__"):
        return InputColumn(np.asarray(column))
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        name = f" {field.name!r}" if field else ""
        raise ValueError(  # noqa: TRY004 - the argument has the right type, a column in it does not
            f"column{name} must hold one value for each datapoint, but is a {type(column).__name__}"
        )
    values = column if isinstance(column, Sequence) else list(column)
    return InputColumn(object_array(values, len(values)))


def _read_text(field: Field | None, series: Any) -> InputColumn | None:
    """Return the Arrow array in which pandas stores a column of text, or None if there is none or the field differs."""
    if getattr(series.dtype, "storage", None) != "pyarrow" or field is None:
        return None
    if field.repeated or field.kind not in _TEXT_KINDS:
        return None
    import pyarrow as pa

    text = pa.array(series.array)
    try:
        return InputColumn((combine_chunks(text) if isinstance(text, pa.ChunkedArray) else text).cast(pa.utf8()))
    except pa.ArrowInvalid:  # more than 2 GB do not fit 32-bit offsets
        return None


def _read_series(series: Any, name: str) -> InputColumn:
    """Convert a series, whose dtype may be an extension dtype of pandas, to numpy."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return InputColumn(series.to_numpy())
    check_crs(getattr(series.array, "crs", None), f"column {name!r}")
    if getattr(dtype, "tz", None) is not None:
        return InputColumn(series.array.tz_convert("UTC").tz_localize(None).to_numpy())
    kind = getattr(dtype, "kind", "O")
    if kind in "iufbmM" and str(dtype) != "category":
        # Without a value in place of missing ones, pandas would convert the column to objects.
        missing = series.isna().to_numpy()
        numpy_dtype = getattr(dtype, "numpy_dtype", None)
        filled = series.array.to_numpy(dtype=numpy_dtype, na_value=np.zeros((), numpy_dtype)[()])
        return InputColumn(filled, missing=missing if missing.any() else None)
    return InputColumn(series.to_numpy(dtype=object))


def input_field_names(schema: Schema) -> list[str]:
    """Return the names of the fields that an input may have."""
    return [field.name for field in schema if field.name not in GENERATED]


def _check_names(schema: Schema, inputs: Mapping[str, InputColumn]) -> None:
    valid = input_field_names(schema)
    for name in inputs:
        if name in valid or name in GENERATED or (name in VECTOR_DIMENSIONS.values() and inputs[name].is_padded):
            continue
        near = difflib.get_close_matches(name, valid)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"{name!r} is not a field of this dataset{hint or '.'} Its fields are: {', '.join(valid)}")
    if TIME.name not in inputs:
        raise ValueError("the data has no column 'time', which every datapoint needs")


def _check_lengths(inputs: Mapping[str, InputColumn]) -> None:
    lengths = {name: len(column.values) for name, column in inputs.items()}
    rows = lengths[TIME.name]
    for name, length in lengths.items():
        if length != rows:
            raise ValueError(f"columns differ in length: 'time' has {rows} values, {name!r} has {length}")
