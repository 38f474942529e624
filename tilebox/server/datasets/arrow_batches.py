"""Datapoints that arrive in Arrow form: checked, and brought into the one form that decoded messages have.

`messages.to_arrow` makes sure of all this for datapoints that arrive as protobuf; what comes as columns has
to pass here, so that both ways store the same values under the same ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.columns.messages import canonical
from tilebox._core.schema.arrow_schema import arrow_schema, arrow_type, combine_chunks
from tilebox._core.schema.fields import ID, INGESTION_TIME, Field, Schema
from tilebox._core.values.timestamps import ItemError

if TYPE_CHECKING:
    import pyarrow as pa

Problem = tuple[int, str]
"""A row, and why it is rejected."""

_GIVEN_BY_SERVER = (ID.name, INGESTION_TIME.name)


def checked(schema: Schema, table: pa.Table) -> tuple[pa.RecordBatch, list[Problem]]:
    """Check datapoints and complete their columns.

    Args:
        schema: The dataset's schema.
        table: Datapoints; columns are fields in the form of `arrow.py`. Ids and ingestion times are not looked at.

    Returns:
        All fields of the schema in its order, ids and ingestion times missing, and what is wrong with which rows.

    Raises:
        ValueError: A column is not a field of the dataset, or has another type.
    """
    import pyarrow as pa

    _check_columns(schema, table)
    problems: list[Problem] = []
    columns = []
    # All columns at once: a table looks for a name among all of its names anew each time.
    given = dict(zip(table.column_names, table.columns, strict=True))
    for field in schema:
        if field.name in given and field.name not in _GIVEN_BY_SERVER:
            columns.append(_checked_column(field, combine_chunks(given[field.name]), problems))
        else:
            columns.append(_absent(field, table.num_rows))
    return pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema)), problems


def _check_columns(schema: Schema, table: pa.Table) -> None:
    names = table.column_names
    if len(set(names)) < len(names):
        raise ValueError("a column is there twice")
    known = {field.name: field for field in schema}
    for column in table.schema:
        field = known.get(column.name)
        if field is None:
            fields = ", ".join(name for name in known if name not in _GIVEN_BY_SERVER)
            raise ValueError(f"column {column.name!r} is no field of this dataset; its fields are {fields}")
        if field.name not in _GIVEN_BY_SERVER and not _same_type(column.type, arrow_type(field)):
            raise ValueError(f"column {column.name!r} must be {arrow_type(field)}, not {column.type}")


def _same_type(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Compare types without the names and nullability of what lists and structs hold."""
    import pyarrow as pa

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


def _checked_column(field: Field, column: pa.Array, problems: list[Problem]) -> pa.Array:
    if field.repeated:
        column = _full_lists(column)
        if column.flatten().null_count:
            return _checked_rows(field, column, problems)
    try:
        return canonical(field, column)
    except ItemError:
        return _checked_rows(field, column, problems)


def _full_lists(column: pa.Array) -> pa.Array:
    """Make missing lists empty ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.zeros(len(column) + 1, np.int32)
    np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy(), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), column.flatten())


def _checked_rows(field: Field, column: pa.Array, problems: list[Problem]) -> pa.Array:
    """Go through a column in which something is wrong row by row, so that every wrong row is told."""
    import pyarrow as pa

    parts: list[Any] = []
    for row in range(len(column)):
        part = column.slice(row, 1)
        try:
            if field.repeated and part.flatten().null_count:
                raise ItemError(0, "an item of the list is missing")  # noqa: TRY301
            parts.append(canonical(field, part).cast(arrow_type(field)))
        except ItemError as error:
            problems.append((row, f"field {field.name!r}: {error}"))
            parts.append(_absent(field, 1))
    return pa.concat_arrays(parts)


def _absent(field: Field, rows: int) -> pa.Array:
    import pyarrow as pa

    if not field.repeated:
        return pa.nulls(rows, arrow_type(field))
    offsets = pa.array(np.zeros(rows + 1, np.int32))
    return pa.ListArray.from_arrays(offsets, pa.nulls(0, arrow_type(field).value_type), type=arrow_type(field))
