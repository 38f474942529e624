"""Datapoints that arrive as columns become the same rows as those that arrive as messages, or are rejected."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from support.datapoints.messages import EVERY_KIND, messages

from tilebox._core.columns.messages import from_arrow, to_arrow
from tilebox._core.schema.arrow_schema import arrow_schema, from_stream, to_stream
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.server.datasets.arrow_batches import validate

SCHEMA = Schema.of(
    DatasetKind.TEMPORAL,
    [
        Field(name="cloud_cover", kind=FieldKind.DOUBLE),
        Field(name="direction", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection"),
        Field(name="directions", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection", repeated=True),
        Field(name="assets", kind=FieldKind.MESSAGE, type_name="datasets.stac.v1.Assets"),
        Field(name="seen", kind=FieldKind.TIMESTAMP, type_name="google.protobuf.Timestamp"),
        Field(name="outline", kind=FieldKind.GEOMETRY, type_name="datasets.v1.Geometry"),
    ],
    type_name="some.package.Datapoint",
)


def table(**columns: object) -> pa.Table:
    wanted = arrow_schema(SCHEMA)
    return pa.table({name: pa.array(values, wanted.field(name).type) for name, values in columns.items()})


@given(st.lists(messages(), max_size=4))
def test_columns_and_messages_are_stored_alike(datapoints: list[Message]) -> None:
    as_messages = to_arrow(EVERY_KIND, [datapoint.SerializeToString() for datapoint in datapoints])
    sent = from_stream(to_stream(pa.Table.from_batches([as_messages])))
    as_columns, problems = validate(EVERY_KIND, sent)

    assert not problems
    named = [name for name in as_messages.schema.names if name not in ("id", "ingestion_time")]
    assert as_columns.schema == as_messages.schema
    assert repr(as_columns.select(named).to_pylist()) == repr(as_messages.select(named).to_pylist())
    assert from_arrow(EVERY_KIND, as_columns) == from_arrow(EVERY_KIND, as_messages.select(named))


def test_missing_columns_are_null_and_given_ids_are_ignored() -> None:
    rows, problems = validate(SCHEMA, table(time=[0, 1], id=[b"1" * 16, None], directions=[None, [1, 2]]))

    assert not problems
    assert rows.schema == arrow_schema(SCHEMA)
    assert rows.column("id").null_count == 2
    assert rows.column("cloud_cover").null_count == 2
    assert rows.column("directions").to_pylist() == [[], [1, 2]]


def test_every_invalid_row_is_reported() -> None:
    instants = pa.array([0, 0, 1, -(2**63)], pa.int64()).view(pa.timestamp("ns"))
    rows, problems = validate(
        SCHEMA,
        table(
            time=[0, 1, 2, 3],
            direction=[1, 99, 0, 77],
            directions=[[1], [99], [None], []],
            assets=[b"", b"\xff", None, b""],
            outline=[b"", b"x", None, b"y"],
        ).append_column("seen", instants),
    )

    assert sorted((row, reason.split(":")[0]) for row, reason in problems) == [
        (1, "field 'assets'"),
        (1, "field 'direction'"),
        (1, "field 'directions'"),
        (2, "field 'directions'"),
        (3, "field 'direction'"),
        (3, "field 'seen'"),
    ]
    assert rows.column("direction").to_pylist()[:1] == [1]
    assert rows.column("outline").to_pylist() == [None, b"x", None, b"y"]


@pytest.mark.parametrize(
    ("given_table", "reason"),
    [
        (pa.table({"time": pa.array([0], pa.timestamp("ms")), "clouds": [1.0]}), "'clouds' is not a field"),
        (pa.table({"time": pa.array([0], pa.timestamp("ns"))}), r"'time' must be timestamp\[ms\]"),
        (pa.table({"directions": pa.array([[1.0]])}), "'directions' must be list"),
        (
            pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["cloud_cover", "cloud_cover"]),
            "columns occur twice: cloud_cover",
        ),
    ],
)
def test_columns_of_another_dataset_are_rejected(given_table: pa.Table, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        validate(SCHEMA, given_table)


def test_damaged_streams_are_rejected() -> None:
    good = to_stream(table(time=[0, 1], directions=[[1], [2]]))
    offsets = pa.py_buffer(np.array([0, 900, 2], np.int32).tobytes())
    hostile = pa.ListArray.from_buffers(
        pa.list_(pa.int32()), 2, [None, offsets], children=[pa.array([1, 2], pa.int32())]
    )
    for stream in (b"", b"nonsense" * 10, good[: len(good) // 2], to_stream(pa.table({"directions": hostile}))):
        with pytest.raises(ValueError, match="not a valid Arrow stream"):
            from_stream(stream)
