"""What a batch of datapoints must be like before any of it is stored; everything that is wrong is told at once."""

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

# Ids carry the time in 48 bits of milliseconds, and results carry it in 64 bits of nanoseconds, which is the tighter.
_FIRST_TIME_MS, _LAST_TIME_MS = -9_223_372_036_854, 9_223_372_036_854
_SCAN_ROWS = 64

# Only footprints are looked for by area; other fields may hold whatever geometry there is.
_ALL_GEOMETRIES = (*matching.KINDS, "LineString", "LinearRing", "MultiPoint", "MultiLineString", "GeometryCollection")

Problem = tuple[int, str]
"""A row, and why it is rejected."""


def rejection(total: int, problems: Iterable[Problem]) -> InvalidArgumentError:
    """Return one error that lists the rejected datapoints by their position in the batch."""
    problems = sorted(set(problems))
    rejected = len({row for row, _ in problems})
    listed = "; ".join(f"datapoint {row}: {reason}" for row, reason in problems[:MAX_LISTED_PROBLEMS])
    more = len(problems) - MAX_LISTED_PROBLEMS
    tail = f"; and {more} more problems" if more > 0 else ""
    return InvalidArgumentError(
        f"{rejected} of {total} datapoints rejected, nothing of this batch was stored: {listed}{tail}"
    )


def undecodable(schema: Schema, values: Sequence[bytes]) -> list[Problem]:
    """Find all rows that cannot be decoded; blocks of rows that can are passed at once."""
    problems = []
    for start in range(0, len(values), _SCAN_ROWS):
        block = values[start : start + _SCAN_ROWS]
        if _decoding_problem(schema, block) is not None:
            for row, value in enumerate(block, start):
                problem = _decoding_problem(schema, [value])
                if problem is not None:
                    problems.append((row, problem.removeprefix("row 0").removeprefix(":").strip()))
    return problems


def footprints(schema: Schema, rows: pa.RecordBatch) -> Footprints | None:
    """Look at the footprints of datapoints, once for all that is done with them; None for a dataset without."""
    return None if schema.get(GEOMETRY.name) is None else Footprints(rows.column(GEOMETRY.name))


def row_problems(schema: Schema, rows: pa.RecordBatch, found: Footprints | None) -> list[Problem]:
    """Return what is wrong with decoded datapoints.

    Args:
        schema: The dataset's schema.
        rows: All columns of it.
        found: What `footprints` gave for them.
    """
    return [*_time_problems(rows), *_string_problems(schema, rows), *_geometry_problems(schema, rows, found)]


def _decoding_problem(schema: Schema, values: Sequence[bytes]) -> str | None:
    try:
        messages.to_arrow(schema, values)
    except ValueError as error:
        return str(error)
    return None


def unknown_field_problems(schema: Schema, values: Sequence[bytes], encoded: Sequence[bytes]) -> list[Problem]:
    """Find values of fields that the dataset lacks, which would be lost without a word.

    Args:
        schema: The dataset's schema.
        values: Datapoints as they came.
        encoded: The same ones decoded and encoded again, without id and ingestion time.
    """
    message_class = _message_class(schema)
    problems = []
    for row, (value, again) in enumerate(zip(values, encoded, strict=True)):
        # Our encoding is the shortest, so nothing got lost of a datapoint that was no longer before.
        if len(value) == len(again):
            continue
        try:
            unknown = UnknownFieldSet(message_class.FromString(value))
        except DecodeError as error:
            problems.append((row, f"it is not a datapoint of this dataset: {error}"))
            continue
        if len(unknown):
            numbers = ", ".join(map(str, sorted({field.field_number for field in unknown})))  # type: ignore[attr-defined]
            problems.append((row, f"it has fields that the dataset lacks, of number {numbers}; was the type changed?"))
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


def _geometry_problems(schema: Schema, rows: pa.RecordBatch, found: Footprints | None) -> list[Problem]:
    # A missing footprint is no problem: a datapoint needs nothing but its time, and no area finds that one.
    problems = []
    for field in schema:
        if field.kind is FieldKind.GEOMETRY and not field.repeated:
            if field.name == GEOMETRY.name and found is not None:
                wrong = found.problems()
            else:
                values = rows.column(field.name).to_numpy(zero_copy_only=False)
                wrong = matching.problems(values, kinds=_ALL_GEOMETRIES)
            problems += [(row, f"field {field.name!r}: {reason}") for row, reason in wrong]
    return problems
