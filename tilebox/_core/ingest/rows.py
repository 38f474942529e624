"""Conversion of data to ingest into datapoints. All rows are checked before the client sends any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.columns import messages
from tilebox._core.columns import numpy_columns as columns
from tilebox._core.ingest.row_inputs import read_input
from tilebox._core.ingest.row_values import Problems, convert
from tilebox._core.schema.fields import TIME, VECTOR_COMPONENTS, Field, FieldKind, Schema
from tilebox._core.values.timestamps import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa
    from google.protobuf.message import Message

    from tilebox._core.ingest.column_path import CheckedColumn

    Array = np.ndarray[Any, Any]

MAX_BATCH_ROWS = 8192
"""The maximum number of datapoints in one request."""


def encode(schema: Schema, data: Any) -> Encoded:
    """Check data and convert it to the types that are sent.

    Args:
        schema: The type of the datapoints.
        data: An `xarray.Dataset` (or a single datapoint of one), a pandas or GeoPandas data frame, a mapping of
            columns, or an iterable of mappings. `row_values.py` lists the values that a field accepts. `time` is
            required. `id` and `ingestion_time` are ignored, since the server generates them.

    Raises:
        TypeError: The data has none of these forms.
        ValueError: A column is not a field, columns differ in length, or values are invalid. For invalid values the
            message lists the rejected records.
    """
    inputs = read_input(schema, data)
    rows = len(inputs[TIME.name].values)
    problems = Problems()
    values = {field.name: convert(field, inputs[field.name], problems) for field in schema if field.name in inputs}
    if (missing := values[TIME.name].missing) is not None:
        for row in np.flatnonzero(missing).tolist():
            if row not in problems.reasons:
                problems.add(row, TIME, "every datapoint needs a time")
    problems.raise_if_any(rows)
    return Encoded(schema, rows, values)


class Encoded:
    """Checked datapoints, ready to be serialised.

    Args:
        schema: The type of the datapoints.
        rows: The number of datapoints.
        values: The columns by field name. A field without a column is missing in every row.
    """

    def __init__(self, schema: Schema, rows: int, values: dict[str, CheckedColumn]) -> None:
        self.schema = schema
        self.rows = rows
        self._values = values

    def messages(self, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return the datapoints of a range of rows as serialised protobuf.

        Args:
            start: The first row.
            stop: The row after the last one; None for all rows.

        Raises:
            ValueError: The range has more than `MAX_BATCH_ROWS` rows.
        """
        stop = self.rows if stop is None else min(stop, self.rows)
        if stop - start > MAX_BATCH_ROWS:
            raise ValueError(f"a batch has at most {MAX_BATCH_ROWS} datapoints, not {stop - start}")
        if not messages.is_available():
            values = {name: column.slice(start, stop) for name, column in self._values.items()}
            return _serialise(self.schema, values, stop - start)
        batches = self.table(start, stop).to_batches()
        return [value for batch in batches for value in messages.from_arrow(self.schema, batch)]

    def table(self, start: int = 0, stop: int | None = None) -> pa.Table:
        """Return the datapoints of a range of rows in the Arrow form that `arrow_schema.py` defines.

        The table has no id and no ingestion time, and `time` is floored to milliseconds. It needs the extra `arrow`.

        Args:
            start: The first row.
            stop: The row after the last one; None for all rows.
        """
        import pyarrow as pa

        from tilebox._core.schema.arrow_schema import arrow_schema

        stop = self.rows if stop is None else min(stop, self.rows)
        columns = [
            (field, column, self._values[column.name].slice(start, stop))
            for field, column in zip(self.schema, arrow_schema(self.schema), strict=True)
            if column.name in self._values
        ]
        arrays = [_arrow_array(field, values, column.type) for field, column, values in columns]
        return pa.Table.from_arrays(arrays, schema=pa.schema([column for _, column, _ in columns]))


# --- to Arrow -------------------------------------------------------------------------------------------------------


def _arrow_array(field: Field, values: CheckedColumn, target: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if values.lengths is None:
        return _arrow_items(field, values, target)
    items = _arrow_items(field, values, target.value_type)
    offsets = np.zeros(len(values.lengths) + 1, np.int32)
    np.cumsum(values.lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=target)


def _arrow_items(field: Field, values: CheckedColumn, target: pa.DataType) -> pa.Array:
    import pyarrow as pa

    items, missing = values.items, values.missing
    if isinstance(items, pa.Array):
        return items
    if field.kind in VECTOR_COMPONENTS:
        components = [pa.array(np.ascontiguousarray(items[:, position])) for position in range(items.shape[1])]
        if missing is not None:
            components = [component.fill_null(0.0) for component in components]
        mask = None if missing is None else pa.array(missing)
        return pa.StructArray.from_arrays(components, fields=list(target), mask=mask)
    if field.kind is FieldKind.UUID:
        validity = None if missing is None else pa.array(~missing).buffers()[1]
        data = pa.py_buffer(np.ascontiguousarray(items))
        return pa.FixedSizeBinaryArray.from_buffers(target, len(items), [validity, data])
    if field.kind is FieldKind.TIMESTAMP:
        items = np.floor_divide(items, {"ms": 10**6, "us": 10**3, "ns": 1}[target.unit])
        return pa.array(items.view(f"datetime64[{target.unit}]"), mask=missing)
    if field.kind is FieldKind.DURATION:
        return pa.array(items.view("timedelta64[ns]"), mask=missing)
    return pa.array(items, type=target, mask=missing)


# --- to protobuf, without Arrow -------------------------------------------------------------------------------------


def _serialise(schema: Schema, values: dict[str, CheckedColumn], rows: int) -> list[bytes]:
    message_class = columns.message_class(schema)
    datapoints = [message_class() for _ in range(rows)]
    for field in schema:
        if field.name in values:
            _set_field(field, values[field.name], datapoints)
    return [datapoint.SerializeToString(deterministic=True) for datapoint in datapoints]


def _set_field(field: Field, values: CheckedColumn, datapoints: list[Message]) -> None:
    """Set one field in every datapoint."""
    name = field.name
    write = _WRITERS.get(field.kind)
    plain = _python_values(field, values.items)
    if values.lengths is not None:
        end = 0
        for length, datapoint in zip(values.lengths.tolist(), datapoints, strict=True):
            _set_list(getattr(datapoint, name), plain[end : end + length], write)
            end += length
        return
    present = np.ones(len(datapoints), np.bool_) if values.missing is None else ~values.missing
    for datapoint, item, is_present in zip(datapoints, plain, present.tolist(), strict=True):
        if not is_present:
            continue
        if write is None:
            setattr(datapoint, name, item)
        else:
            message = getattr(datapoint, name)
            message.SetInParent()
            write(message, item)


def _set_list(target: Any, items: Iterable[Any], write: Callable[[Any, Any], None] | None) -> None:
    if write is None:
        target.extend(items)
        return
    for item in items:
        write(target.add(), item)


def _python_values(field: Field, items: Array) -> list[Any]:
    """Return values as Python objects, times as pairs of seconds and nanoseconds."""
    if field.kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        if field.name == TIME.name:
            items = np.floor_divide(items, 10**6) * 10**6
        seconds, nanos = split(items, 10**9, floor=field.kind is FieldKind.TIMESTAMP)
        return list(zip(seconds.tolist(), nanos.tolist(), strict=True))
    if field.kind is FieldKind.UUID:
        raw = items.tobytes()
        return [raw[start : start + 16] for start in range(0, len(raw), 16)]
    if field.kind in VECTOR_COMPONENTS:
        names = VECTOR_COMPONENTS[field.kind]
        return [dict(zip(names, vector, strict=True)) for vector in items.tolist()]
    return items.tolist()  # type: ignore[no-any-return]


def _write_time(message: Any, parts: tuple[int, int]) -> None:
    message.seconds, message.nanos = parts


def _write_uuid(message: Any, raw: bytes) -> None:
    message.uuid = raw


def _write_geometry(message: Any, wkb: bytes) -> None:
    message.wkb = wkb


def _write_vector(message: Any, components: dict[str, float]) -> None:
    for name, value in components.items():
        setattr(message, name, value)


def _write_message(message: Any, serialised: bytes) -> None:
    message.MergeFromString(serialised)


_WRITERS: dict[FieldKind, Callable[[Any, Any], None]] = {
    **dict.fromkeys(VECTOR_COMPONENTS, _write_vector),
    FieldKind.TIMESTAMP: _write_time,
    FieldKind.DURATION: _write_time,
    FieldKind.UUID: _write_uuid,
    FieldKind.GEOMETRY: _write_geometry,
    FieldKind.MESSAGE: _write_message,
}
