"""Validation of a batch of datapoints before it is stored. All problems are reported in one error."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from tilebox._core.columns import messages
from tilebox._core.geometry import matching
from tilebox._core.schema.fields import GEOMETRY, FieldKind
from tilebox.errors import InvalidArgumentError
from tilebox.server.datasets.footprints import Footprints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from google.protobuf.message import Message

    from tilebox._core.schema.fields import Schema

MAX_QUERYABLE_STRING_LENGTH = 1024
MAX_LISTED_PROBLEMS = 20

# Ids hold the time in 48 bits of milliseconds; results hold it in 64 bits of nanoseconds, which is the narrower range.
_FIRST_TIME_MS, _LAST_TIME_MS = -9_223_372_036_854, 9_223_372_036_854
_BLOCK_ROWS = 64

# Area queries search only footprints, so other fields may hold any kind of geometry.
_ALL_GEOMETRIES = (*matching.KINDS, "LineString", "LinearRing", "MultiPoint", "MultiLineString", "GeometryCollection")

Problem = tuple[int, str]
"""A row number, and the reason why the row is rejected."""


def rejection(total: int, problems: Iterable[Problem]) -> InvalidArgumentError:
    """Return an error that lists the rejected datapoints by their position in the batch."""
    problems = sorted(set(problems))
    rejected = len({row for row, _ in problems})
    listed = "; ".join(f"datapoint {row}: {reason}" for row, reason in problems[:MAX_LISTED_PROBLEMS])
    more = len(problems) - MAX_LISTED_PROBLEMS
    tail = f"; and {more} more problems" if more > 0 else ""
    return InvalidArgumentError(
        f"{rejected} of {total} datapoints rejected, nothing of this batch was stored: {listed}{tail}"
    )


def decoding_problems(schema: Schema, values: Sequence[bytes]) -> list[Problem]:
    """Return the problems of all rows that cannot be decoded. Valid blocks of rows are decoded together."""
    problems = []
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values[start : start + _BLOCK_ROWS]
        if _decoding_problem(schema, block) is not None:
            for row, value in enumerate(block, start):
                problem = _decoding_problem(schema, [value])
                if problem is not None:
                    problems.append((row, problem.removeprefix("row 0").removeprefix(":").strip()))
    return problems


def footprints(schema: Schema, rows: pa.RecordBatch) -> Footprints | None:
    """Decode the footprints of datapoints once, for checks and bounds. Return None if the dataset has none."""
    return None if schema.get(GEOMETRY.name) is None else Footprints(rows.column(GEOMETRY.name))


def row_problems(schema: Schema, rows: pa.RecordBatch, decoded: Footprints | None) -> list[Problem]:
    """Return the problems of decoded datapoints.

    Args:
        schema: The dataset's schema.
        rows: Datapoints with all columns of the schema.
        decoded: The result of `footprints` for them.
    """
    return [*_time_problems(rows), *_string_problems(schema, rows), *_geometry_problems(schema, rows, decoded)]


def _decoding_problem(schema: Schema, values: Sequence[bytes]) -> str | None:
    try:
        messages.to_arrow(schema, values)
    except ValueError as error:
        return str(error)
    return None


def unknown_field_problems(schema: Schema, values: Sequence[bytes], encoded: Sequence[bytes]) -> list[Problem]:
    """Return the rows with values for unknown fields, which would be lost silently.

    Args:
        schema: The dataset's schema.
        values: The messages of the request.
        encoded: The same messages decoded and encoded again, without id and ingestion time.
    """
    message_class = _message_class(schema)
    problems = []
    for row, (value, reencoded) in enumerate(zip(values, encoded, strict=True)):
        # The canonical encoding is the shortest, so a message of the same length has no unknown fields.
        if len(value) == len(reencoded):
            continue
        try:
            unknown = UnknownFieldSet(message_class.FromString(value))
        except DecodeError as error:
            problems.append((row, f"it is not a datapoint of this dataset: {error}"))
            continue
        if len(unknown):
            numbers = ", ".join(map(str, sorted({field.field_number for field in unknown})))  # type: ignore[attr-defined]
            problems.append(
                (row, f"it has unknown fields with the numbers {numbers}; fetch the type of the dataset again")
            )
    return problems


@lru_cache(maxsize=256)
def _message_class(schema: Schema) -> type[Message]:
    return GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


def _time_problems(rows: pa.RecordBatch) -> list[Problem]:
    column = rows.column("time")
    milliseconds = column.cast("int64").to_numpy(zero_copy_only=False)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    outside = ~missing & ~((milliseconds >= _FIRST_TIME_MS) & (milliseconds <= _LAST_TIME_MS))
    return [
        *((int(row), "time is missing") for row in np.flatnonzero(missing)),
        *((int(row), "time is out of range (1677-09-22 to 2262-04-11)") for row in np.flatnonzero(outside)),
    ]


def _string_problems(schema: Schema, rows: pa.RecordBatch) -> list[Problem]:
    problems = []
    for field in schema:
        if field.queryable and field.kind is FieldKind.STRING and not field.repeated:
            lengths = pc.utf8_length(rows.column(field.name)).fill_null(0).to_numpy()
            reason = f"field {field.name!r} is queryable and has more than {MAX_QUERYABLE_STRING_LENGTH} characters"
            problems += [(int(row), reason) for row in np.flatnonzero(lengths > MAX_QUERYABLE_STRING_LENGTH)]
    return problems


def _geometry_problems(schema: Schema, rows: pa.RecordBatch, decoded: Footprints | None) -> list[Problem]:
    # A datapoint needs only a time. One without a footprint is valid, and no area query finds it.
    problems = []
    for field in schema:
        if field.kind is FieldKind.GEOMETRY and not field.repeated:
            if field.name == GEOMETRY.name and decoded is not None:
                wrong = decoded.problems()
            else:
                values = rows.column(field.name).to_numpy(zero_copy_only=False)
                wrong = matching.problems(values, kinds=_ALL_GEOMETRIES)
            problems += [(row, f"field {field.name!r}: {reason}") for row, reason in wrong]
    return problems
