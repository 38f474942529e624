"""Ids of datapoints: equal exactly for equal datapoints."""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.errors import InvalidArgumentError
from tilebox.server.points.identity.ids import with_identity

SCHEMA = Schema.of(
    DatasetKind.TEMPORAL,
    [
        Field(name="level", kind=FieldKind.INT64),
        Field(name="name", kind=FieldKind.STRING),
        Field(name="tags", kind=FieldKind.STRING, repeated=True),
    ],
    "tests.Identity",
)
COLLECTION = UUID(int=5)
KNOWN_ID = "018bcfe5680072af03b2d0d6228e829b"


def rows(**columns) -> pa.Table:
    wanted = arrow_schema(SCHEMA)
    return pa.table({name: pa.array(values, wanted.field(name).type) for name, values in columns.items()})


def ids(table: pa.Table, collection: UUID = COLLECTION) -> list[bytes]:
    return with_identity(SCHEMA, collection, table, now_us=1)["id"].to_pylist()


def test_a_known_datapoint_keeps_its_id():
    # A changed id would store every datapoint a second time on the next ingest.
    assert ids(rows(time=[1_700_000_000_000], level=[3], name=["a"], tags=[["x", "y"]]))[0].hex() == KNOWN_ID


@given(st.lists(st.tuples(st.integers(-(2**47), 2**47 - 1), st.none() | st.integers(0, 3)), min_size=1, max_size=20))
def test_ids_are_equal_exactly_if_datapoints_are_and_carry_their_times(values):
    found = ids(rows(time=[time for time, _ in values], level=[level for _, level in values]))
    by_value = dict(zip(values, found, strict=True))
    assert [by_value[value] for value in values] == found
    assert len(set(found)) == len(set(values))
    assert [int.from_bytes(datapoint[:6], "big", signed=True) for datapoint in found] == [time for time, _ in values]


def test_missing_differs_from_zero_and_empty():
    found = ids(rows(time=[1] * 4, level=[None, 0, None, None], name=[None, None, "", None], tags=[[], [], [], [""]]))
    assert len(set(found)) == 4


def test_ids_differ_between_collections():
    assert ids(rows(time=[1])) != ids(rows(time=[1]), UUID(int=6))


def test_given_ids_and_ingestion_times_are_replaced():
    first = with_identity(SCHEMA, COLLECTION, rows(time=[1], level=[2]), now_us=10)
    again = with_identity(SCHEMA, COLLECTION, first, now_us=20)
    assert again["id"].equals(first["id"])
    assert again["ingestion_time"].cast(pa.int64()).to_pylist() == [20]
    assert again.schema.equals(arrow_schema(SCHEMA))
    assert again["tags"].to_pylist() == [[]]


@pytest.mark.parametrize(("unit", "counts"), [("s", [-1]), ("ms", [-1000]), ("us", [-999_001]), ("ns", [-999_000_001])])
def test_times_are_floored_to_milliseconds(unit, counts):
    found = with_identity(SCHEMA, COLLECTION, pa.table({"time": pa.array(counts, pa.timestamp(unit))}), now_us=1)
    assert found["time"].cast(pa.int64()).to_pylist() == [-1000]


def test_no_rows_give_no_ids():
    assert with_identity(SCHEMA, COLLECTION, rows(time=[]), now_us=1).equals(arrow_schema(SCHEMA).empty_table())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(level=[1]), "needs a time"),
        (rows(time=[None]), "needs a time"),
        (pa.table({"time": [1]}), "holds timestamps, not int64"),
        (rows(time=[2**47]), "away from 1970"),
        (pa.table({"time": pa.array([1], pa.timestamp("ms")), "level": ["x"]}), "'level' holds int64, not string"),
    ],
)
def test_rows_without_a_valid_time_or_type_are_rejected(table, message):
    with pytest.raises(InvalidArgumentError, match=message):
        with_identity(SCHEMA, COLLECTION, table, now_us=1)
