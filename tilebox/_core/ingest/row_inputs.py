"""What `ingest` takes, in all its forms, as columns of equal length.

A column is a numpy array, or for repeated and vector fields an array with more axes or an object array of sequences.
Text that pandas keeps in Arrow stays there if a field takes it as it is. Values are not looked at here;
`row_values.py` does that.
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
from tilebox._core.schema.arrow_schema import whole
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
"""Fields that the server gives; ignored on input, so that what was loaded can be ingested."""


@dataclass(slots=True)
class Input:
    """One column of the input.

    Args:
        values: The values, rows along the first axis.
        padded: Whether lists end in missing values that are not part of them, as xarray's do.
        missing: True where a value is missing, if the source says so beside the values.
    """

    values: Array | pa.Array
    padded: bool = False
    missing: Array | None = None


def read_input(schema: Schema, data: Any) -> dict[str, Input]:
    """Take data apart into columns, by field name.

    Raises:
        TypeError: The data is of no form that can be ingested.
        ValueError: A column is not a field, `time` is missing, or columns differ in length.
    """
    inputs = _read_form(schema, data)
    _check_names(schema, inputs)
    inputs = {name: column for name, column in inputs.items() if name not in GENERATED}
    _check_lengths(inputs)
    return inputs


def _read_form(schema: Schema, data: Any) -> dict[str, Input]:
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
    """Tell whether data is of a class, without importing its module: an object of it has done that."""
    return _is_subclass(type(data), module, name)  # type: ignore[arg-type]  # every class can be hashed


@lru_cache(maxsize=256)
def _is_subclass(kind: type, module: str, name: str) -> bool:
    return any(cls.__module__.partition(".")[0] == module and cls.__name__ == name for cls in kind.__mro__)


def _is_scalar(value: Any) -> bool:
    return value is not None and (isinstance(value, str) or not hasattr(value, "__len__")) and np.ndim(value) == 0


def _read_dataset(dataset: xr.Dataset) -> dict[str, Input]:
    is_one_datapoint = TIME.name not in dataset.dims
    inputs = {}
    for name, variable in dataset.variables.items():
        if is_one_datapoint and variable.dims != (name,):
            inputs[str(name)] = Input(variable.to_numpy()[np.newaxis], padded=True)
        elif TIME.name in variable.dims:
            inputs[str(name)] = Input(variable.transpose(TIME.name, ...).to_numpy(), padded=True)
        elif variable.dims != (name,):  # else the labels along another dimension
            raise ValueError(f"variable {name!r} has no dimension 'time', but {variable.dims}")
    return inputs


def _read_frame(schema: Schema, frame: pd.DataFrame) -> dict[str, Input]:
    if len(set(frame.columns.tolist())) < frame.shape[1]:
        repeated = frame.columns[frame.columns.duplicated()]
        raise ValueError(f"column {repeated[0]!r} is there more than once")
    fields = {field.name: field for field in schema}
    inputs = {
        name: _read_text(fields.get(name), column) or _read_series(column, name) for name, column in _columns_of(frame)
    }
    active = getattr(frame, "_geometry_column_name", None)
    if active in inputs and active != GEOMETRY.name and GEOMETRY.name not in inputs:
        inputs[GEOMETRY.name] = inputs.pop(active)
    if frame.index.name in set(schema_names(schema)) - set(inputs):
        inputs[str(frame.index.name)] = _read_column(None, frame.index.to_series())
    return inputs


def _columns_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series[Any]]]:
    """Yield the columns of a frame by name.

    They are numbered first: pandas looks each name up once more, which takes longer than the rest where names are kept
    in Arrow, and for few rows longer than reading them.
    """
    numbered = frame.copy(deep=False)
    numbered.columns = range(frame.shape[1])  # type: ignore[assignment]  # pandas makes an index of it
    for name, (_, column) in zip(frame.columns.tolist(), numbered.items(), strict=True):
        yield str(name), column


def _read_records(schema: Schema, records: list[Any]) -> dict[str, Input]:
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


def _read_column(field: Field | None, column: Any) -> Input:
    if _is_instance(column, "xarray", "DataArray") or _is_instance(column, "xarray", "Variable"):
        return Input(column.to_numpy(), padded=True)
    if _is_instance(column, "pandas", "Series") or _is_instance(column, "pandas", "Index"):
        return _read_text(field, column) or _read_series(column, str(column.name or GEOMETRY.name))
    if isinstance(column, np.ndarray):
        return Input(column)
    check_crs(getattr(column, "crs", None), f"column {field.name if field else GEOMETRY.name!r}")
    if hasattr(column, "__arrow_array__") or hasattr(column, "__array__"):
        return Input(np.asarray(column))
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable):
        name = f" {field.name!r}" if field else ""
        raise ValueError(  # noqa: TRY004 - the mapping is right, a column in it is not
            f"column{name} must hold one value a datapoint, but is a {type(column).__name__}"
        )
    values = column if isinstance(column, Sequence) else list(column)
    return Input(object_array(values, len(values)))


def _read_text(field: Field | None, series: Any) -> Input | None:
    """Return the Arrow array in which pandas keeps text, for fields that take text."""
    if getattr(series.dtype, "storage", None) != "pyarrow" or field is None:
        return None
    if field.repeated or field.kind not in _TEXT_KINDS:
        return None
    import pyarrow as pa

    text = pa.array(series.array)
    try:
        return Input((whole(text) if isinstance(text, pa.ChunkedArray) else text).cast(pa.utf8()))
    except pa.ArrowInvalid:  # more than 2 GB
        return None


def _read_series(series: Any, name: str) -> Input:
    """Turn pandas' own dtypes into numpy's."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return Input(series.to_numpy())
    check_crs(getattr(series.array, "crs", None), f"column {name!r}")
    if getattr(dtype, "tz", None) is not None:
        return Input(series.array.tz_convert("UTC").tz_localize(None).to_numpy())
    kind = getattr(dtype, "kind", "O")
    if kind in "iufbmM" and str(dtype) != "category":
        missing = series.isna().to_numpy()
        numpy_dtype = getattr(dtype, "numpy_dtype", None)
        filled = series.array.to_numpy(dtype=numpy_dtype, na_value=np.zeros((), numpy_dtype)[()])
        return Input(filled, missing=missing if missing.any() else None)
    return Input(series.to_numpy(dtype=object))


def schema_names(schema: Schema) -> list[str]:
    """Return the fields that an input may have."""
    return [field.name for field in schema if field.name not in GENERATED]


def _check_names(schema: Schema, inputs: Mapping[str, Input]) -> None:
    valid = schema_names(schema)
    for name in inputs:
        if name in valid or name in GENERATED or (name in VECTOR_DIMENSIONS.values() and inputs[name].padded):
            continue
        near = difflib.get_close_matches(name, valid)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"{name!r} is not a field of this dataset{hint or '.'} Its fields are: {', '.join(valid)}")
    if TIME.name not in inputs:
        raise ValueError("the data has no 'time', which every datapoint needs")


def _check_lengths(inputs: Mapping[str, Input]) -> None:
    lengths = {name: len(column.values) for name, column in inputs.items()}
    rows = lengths[TIME.name]
    for name, length in lengths.items():
        if length != rows:
            raise ValueError(f"columns differ in length: 'time' has {rows} values, {name!r} has {length}")
