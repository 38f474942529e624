"""Validation of datapoints that arrive as Arrow columns.

`messages.to_arrow` validates and normalises datapoints that arrive as protobuf. Columns need the same checks, so
that both routes store the same values under the same ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tilebox._core.columns.messages import canonical
from tilebox._core.schema.arrow_schema import arrow_schema, arrow_type, combine_chunks
from tilebox._core.schema.fields import ID, INGESTION_TIME, Field, Schema
from tilebox._core.values.timestamps import ItemError

Problem = tuple[int, str]
"""A row number, and the reason why the row is rejected."""

_SET_BY_SERVER = (ID.name, INGESTION_TIME.name)


def validate(schema: Schema, table: pa.Table) -> tuple[pa.RecordBatch, list[Problem]]:
    """Validate datapoints and add missing columns.

    Args:
        schema: The dataset's schema.
        table: Datapoints, one column per field with the types of `arrow_schema.py`. Ids and ingestion times
            are ignored.

    Returns:
        All fields of the schema in its order, with null ids and ingestion times; and the problems of rejected rows.

    Raises:
        ValueError: A column is not a field of the dataset, or has another type.
    """
    _check_columns(schema, table)
    problems: list[Problem] = []
    columns = []
    # A dict, because `table[name]` would search the list of names each time.
    given = dict(zip(table.column_names, table.columns, strict=True))
    for field in schema:
        if field.name in given and field.name not in _SET_BY_SERVER:
            columns.append(_validate_column(field, combine_chunks(given[field.name]), problems))
        else:
            columns.append(_missing_column(field, table.num_rows))
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema)), problems


def _check_columns(schema: Schema, table: pa.Table) -> None:
    names = table.column_names
    if len(set(names)) < len(names):
        duplicates = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"columns occur twice: {', '.join(duplicates)}")
    known = {field.name: field for field in schema}
    for column in table.schema:
        field = known.get(column.name)
        if field is None:
            fields = ", ".join(name for name in known if name not in _SET_BY_SERVER)
            raise ValueError(f"column {column.name!r} is not a field of this dataset; its fields are {fields}")
        if field.name not in _SET_BY_SERVER and not _same_type(column.type, arrow_type(field)):
            raise ValueError(f"column {column.name!r} must be {arrow_type(field)}, not {column.type}")


def _same_type(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Compare types, ignoring the nullability of the items of lists and structs, and the names of list items."""
    if pa.types.is_list(wanted):
        return pa.types.is_list(given) and _same_type(given.value_type, wanted.value_type)
    if pa.types.is_struct(wanted):
        names = [part.name for part in wanted]
        return (
            pa.types.is_struct(given)
            and [part.name for part in given] == names
            and all(_same_type(given.field(name).type, wanted.field(name).type) for name in names)
        )
    return bool(given.equals(wanted))


def _validate_column(field: Field, column: pa.Array, problems: list[Problem]) -> pa.Array:
    if field.repeated:
        column = _fill_null_lists(column)
        if column.flatten().null_count:
            return _validate_rows(field, column, problems)
    try:
        return canonical(field, column)
    except ItemError:
        return _validate_rows(field, column, problems)


def _fill_null_lists(column: pa.Array) -> pa.Array:
    """Replace null lists by empty ones."""
    offsets = np.zeros(len(column) + 1, np.int32)
    np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy(), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), column.flatten())


def _validate_rows(field: Field, column: pa.Array, problems: list[Problem]) -> pa.Array:
    """Check a column with invalid values row by row, so that every invalid row is reported."""
    parts: list[Any] = []
    for row in range(len(column)):
        part = column.slice(row, 1)
        try:
            if field.repeated and part.flatten().null_count:
                raise ItemError(0, "an item of the list is missing")  # noqa: TRY301
            parts.append(canonical(field, part).cast(arrow_type(field)))
        except ItemError as error:
            problems.append((row, f"field {field.name!r}: {error}"))
            parts.append(_missing_column(field, 1))
    return pa.concat_arrays(parts)


def _missing_column(field: Field, rows: int) -> pa.Array:
    if not field.repeated:
        return pa.nulls(rows, arrow_type(field))
    offsets = pa.array(np.zeros(rows + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.nulls(0, arrow_type(field).value_type), type=arrow_type(field))
