"""Conversion of the datapoints of a query, as they arrive, to one `xarray.Dataset`.

All decoders return datasets of the same structure:

- The dimension `time` has one entry for each datapoint. Its coordinates are, in this order, `ingestion_time`
  (datetime64[ns]), `id` (`<U36`) and `time` (datetime64[ns], the index). Every other field is a data variable, in the
  order of the schema.
- Dtypes and missing values are those of `numpy_columns.py`. They do not depend on the number of rows.
- A vector has a second dimension, `vec3`, `quaternion`, `latlon` or `lat_lon_alt`, labelled by its components.
- A repeated field has a second dimension of its own, `n_<field>`, as long as its longest list. Shorter lists are padded
  with the missing value. A repeated field that is empty in every datapoint is left out.
- A dimension whose name would equal that of a field gets the suffix `_dim`.
- Without datapoints the result is `xarray.Dataset()`. With `skip_data` it has the coordinates only.

Batches are converted as they are added, into columns that grow. The conversion thus overlaps with the download of the
next batches, and nothing is left to convert or copy at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._core.columns import arrow_columns, message_columns, messages
from tilebox._core.columns.numpy_columns import ColumnBuilder, gc_paused
from tilebox._core.schema.fields import (
    ID,
    INGESTION_TIME,
    METADATA_NAMES,
    TIME,
    VECTOR_COMPONENTS,
    VECTOR_DIMENSIONS,
    Field,
    Schema,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    import xarray as xr

_COORDINATES = (INGESTION_TIME.name, ID.name, TIME.name)


class ArrowDecoder:
    """Builds a dataset from Arrow record batches. It is not thread-safe.

    Args:
        schema: The type of the datapoints.
        skip_data: Decode time, id and ingestion time only.
        lazy: Keep the Arrow columns, and decode each variable when it is first accessed.
    """

    def __init__(self, schema: Schema, *, skip_data: bool = False, lazy: bool = False) -> None:
        self.schema = schema
        self.rows = 0
        self._fields = shown_fields(schema, skip_data=skip_data)
        self._lazy = lazy
        self._columns = {field.name: ColumnBuilder(field) for field in self._fields}
        self._arrow: dict[str, list[pa.Array]] = {field.name: [] for field in self._fields if self._is_lazy(field)}

    def add(self, batch: pa.RecordBatch) -> int:
        """Add datapoints in the Arrow form that `arrow_schema.py` defines.

        Returns:
            The number of datapoints in the batch.

        Raises:
            ValueError: The batch lacks a column, or a value has no representation in numpy.
        """
        names = set(batch.schema.names)
        absent = [field.name for field in self._fields if field.name not in names]
        if absent:
            raise ValueError(f"the answer lacks column {absent[0]!r} of {self.schema.type_name or 'the dataset'}")
        if batch.num_rows == 0:
            return 0
        for field in self._fields:
            column = batch.column(field.name)
            if field.name in self._arrow:
                self._arrow[field.name].append(column)
            else:
                self._columns[field.name].append(arrow_columns.chunk_of(field, column))
        self.rows += batch.num_rows
        return int(batch.num_rows)

    def dataset(self) -> xr.Dataset:
        """Return the dataset of all added datapoints. No datapoints can be added afterwards."""
        if self.rows == 0:
            return _empty_dataset()
        return assemble(self._fields, {field.name: self._finish(field) for field in self._fields})

    def _is_lazy(self, field: Field) -> bool:
        return self._lazy and field.name != TIME.name

    def _finish(self, field: Field) -> Any:
        if field.name not in self._arrow:
            return self._columns[field.name].join()
        from tilebox._core.results.lazy import lazy_column

        return lazy_column(field, self._arrow.pop(field.name))


class MessageDecoder:
    """Builds a dataset from serialised protobuf datapoints. It is not thread-safe.

    It converts through Arrow if that is installed, which is about eight times as fast.

    Args:
        schema: The type of the datapoints.
        skip_data: Decode time, id and ingestion time only.
        lazy: Decode each variable when it is first accessed. This has no effect without the extra `arrow`.
        use_arrow: Whether to convert through Arrow; None to do so if it is installed.
    """

    def __init__(
        self, schema: Schema, *, skip_data: bool = False, lazy: bool = False, use_arrow: bool | None = None
    ) -> None:
        self.schema = schema
        self._arrow_decoder = None
        if messages.is_available() if use_arrow is None else use_arrow:
            self._arrow_decoder = ArrowDecoder(schema, skip_data=skip_data, lazy=lazy)
        self._rows = 0
        self._fields = shown_fields(schema, skip_data=skip_data)
        self._columns = {field.name: ColumnBuilder(field) for field in self._fields}

    @property
    def rows(self) -> int:
        """The number of datapoints that were added."""
        return self._rows if self._arrow_decoder is None else self._arrow_decoder.rows

    def add(self, values: Sequence[bytes]) -> int:
        """Add serialised datapoints.

        Returns:
            The number of these datapoints.

        Raises:
            ValueError: A datapoint is malformed, or a value has no representation in numpy. The message says which
                datapoint and why.
        """
        if not values:
            return 0
        if self._arrow_decoder is not None:
            return self._arrow_decoder.add(messages.decode(self.schema, values))
        with gc_paused():
            datapoints = message_columns.parse(self.schema, values)
            for field in self._fields:
                self._columns[field.name].append(message_columns.chunk_of(field, datapoints))
        self._rows += len(values)
        return len(values)

    def dataset(self) -> xr.Dataset:
        """Return the dataset of all added datapoints. No datapoints can be added afterwards."""
        if self._arrow_decoder is not None:
            return self._arrow_decoder.dataset()
        if self._rows == 0:
            return _empty_dataset()
        return assemble(self._fields, {field.name: self._columns[field.name].join() for field in self._fields})


def single(dataset: xr.Dataset) -> xr.Dataset:
    """Return the only datapoint of a dataset, without the dimension `time`."""
    return dataset.isel(time=0)


def shown_fields(schema: Schema, *, skip_data: bool) -> tuple[Field, ...]:
    """Return the fields that a result has: all, or only the metadata if `skip_data` is set."""
    return tuple(field for field in schema if not skip_data or field.name in METADATA_NAMES)


def assemble(fields: Sequence[Field], arrays: Mapping[str, Any]) -> xr.Dataset:
    """Build a dataset from complete columns.

    Args:
        fields: The fields of the dataset, in order.
        arrays: The columns by field name, shape (rows[, longest][, components]).
    """
    import xarray as xr

    names = {field.name for field in fields}
    by_name = {field.name: field for field in fields}
    order = [*_COORDINATES, *(field.name for field in fields if field.name not in METADATA_NAMES)]
    variables: dict[str, xr.Variable] = {}
    labels: dict[str, xr.Variable] = {}
    for name in order:
        field, array = by_name[name], arrays[name]
        if field.repeated and array.shape[1] == 0:
            continue
        dimensions = _dimensions(field, names)
        # Without fastpath, xarray infers the type of every object column, which takes a second for a million rows.
        variables[name] = xr.Variable(dimensions, array, fastpath=True)
        if field.kind in VECTOR_COMPONENTS:
            labels[dimensions[-1]] = xr.Variable(dimensions[-1], list(VECTOR_COMPONENTS[field.kind]))
    coordinates = {name: variables.pop(name) for name in _COORDINATES}
    return xr.Dataset(variables, coords={**coordinates, **labels})


def _dimensions(field: Field, taken: set[str]) -> tuple[str, ...]:
    added = [f"n_{field.name}"] if field.repeated else []
    if field.kind in VECTOR_DIMENSIONS:
        added.append(VECTOR_DIMENSIONS[field.kind])
    return (TIME.name, *(f"{name}_dim" if name in taken else name for name in added))


def _empty_dataset() -> xr.Dataset:
    import xarray as xr

    return xr.Dataset()
