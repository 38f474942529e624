"""Protobuf datapoints to Arrow and back."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datapoints.messages import (
    EVERY_KIND,
    MAX_NANOS,
    MAX_SECONDS,
    MIN_NANOS,
    MIN_SECONDS,
    field,
    message_class,
    schema_of,
    serialise,
)
from support.datapoints.messages import messages as datapoints

from tilebox._core.columns.messages import decode, from_arrow, to_arrow
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import FieldKind


@settings(max_examples=60)
@given(st.lists(datapoints(), max_size=4))
def test_arrow_and_back_gives_the_bytes_that_protobuf_writes(drawn):
    values = [serialise(message) for message in drawn]
    batch = to_arrow(EVERY_KIND, values)
    assert batch.schema.equals(arrow_schema(EVERY_KIND))
    batch.validate(full=True)
    assert from_arrow(EVERY_KIND, batch) == values
    assert from_arrow(EVERY_KIND, batch.slice(1)) == values[1:]


@settings(max_examples=20)
@given(st.lists(datapoints(), min_size=1, max_size=4))
def test_fields_that_a_batch_lacks_are_missing(drawn):
    batch = to_arrow(EVERY_KIND, [serialise(message) for message in drawn])
    expected = [
        serialise(message_class(EVERY_KIND)(time=message.time, a_double=message.a_double))
        if message.HasField("a_double")
        else serialise(message_class(EVERY_KIND)(time=message.time))
        for message in drawn
    ]
    assert from_arrow(EVERY_KIND, batch.select(["a_double", "time"])) == expected


def test_the_metadata_times_are_floored_to_the_resolution_they_are_stored_in():
    message = message_class(EVERY_KIND)(
        time={"seconds": -1, "nanos": 999_999_999}, ingestion_time={"seconds": -1, "nanos": 1_999}
    )
    batch = to_arrow(EVERY_KIND, [serialise(message)])
    assert batch["time"].cast(pa.int64()).to_pylist() == [-1]
    assert batch["ingestion_time"].cast(pa.int64()).to_pylist() == [-999_999]
    assert decode(EVERY_KIND, [serialise(message)])["time"].cast(pa.int64()).to_pylist() == [-1]


def test_the_whole_range_of_nanosecond_times_is_kept():
    limits = [{"seconds": MIN_SECONDS, "nanos": MIN_NANOS}, {"seconds": MAX_SECONDS, "nanos": MAX_NANOS}]
    values = [serialise(message_class(EVERY_KIND)(many_timestamp=limits))]
    batch = to_arrow(EVERY_KIND, values)
    assert batch["many_timestamp"].values.cast(pa.int64()).to_pylist() == [-(2**63) + 1, 2**63 - 1]
    assert from_arrow(EVERY_KIND, batch) == values


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"time": {"seconds": MIN_SECONDS, "nanos": MIN_NANOS - 1}}, r"field 'time': times must lie within"),
        ({"a_timestamp": {"seconds": MAX_SECONDS, "nanos": MAX_NANOS + 1}}, r"field 'a_timestamp': times must"),
        ({"a_timestamp": {"seconds": 2**62}}, r"field 'a_timestamp': times must"),
        ({"many_timestamp": [{}, {"nanos": -1}]}, r"field 'many_timestamp': the nanoseconds of a timestamp"),
        ({"a_duration": {"seconds": -(2**63)}}, r"field 'a_duration': durations must be within"),
        ({"a_duration": {"seconds": 1, "nanos": -1}}, r"field 'a_duration': the nanoseconds of a duration"),
        ({"id": {"uuid": b"short"}}, r"field 'id': a UUID must have 16 bytes"),
        ({"many_uuid": [{"uuid": b"0" * 16}, {}]}, r"field 'many_uuid': a UUID must have 16 bytes"),
        ({"a_enum": 99}, r"field 'a_enum': 99 is not a number of the enumeration"),
        ({"many_enum": [1, -3]}, r"field 'many_enum': -3 is not a number"),
    ],
)
def test_a_bad_value_is_refused_with_its_row_and_field(bad, reason):
    good = serialise(message_class(EVERY_KIND)(many_timestamp=[{}], many_enum=[1, 2], many_uuid=[{"uuid": b"1" * 16}]))
    values = [good] * 5 + [serialise(message_class(EVERY_KIND)(**bad))] + [good]
    with pytest.raises(ValueError, match=f"row 5: {reason}"):
        to_arrow(EVERY_KIND, values)


@pytest.mark.parametrize("row", [0, 1, 5, 6])
def test_malformed_bytes_are_refused_with_the_first_row(row):
    values = [b""] * 7
    values[row] = b"\xff"
    values[6] = b"\xff"
    with pytest.raises(ValueError, match=f"row {row} is not a datapoint of this dataset"):
        to_arrow(EVERY_KIND, values)


def test_text_that_is_not_unicode_and_malformed_inner_messages_are_refused():
    schema = schema_of(field("text", FieldKind.STRING), field("assets", FieldKind.MESSAGE))
    text, assets = schema.get("text").number, schema.get("assets").number
    with pytest.raises(ValueError, match="row 0 is not a datapoint"):
        to_arrow(schema, [bytes([text << 3 | 2, 1, 0xFF])])
    with pytest.raises(ValueError, match="row 1: field 'assets': these bytes are not a message"):
        to_arrow(schema, [b"", bytes([assets << 3 | 2, 1, 0xFF])])


def test_empty_values_are_missing():
    values = [serialise(message_class(EVERY_KIND)(a_enum=0, a_uuid={}, a_geometry={}))]
    batch = to_arrow(EVERY_KIND, values)
    assert [batch[name].null_count for name in ("a_enum", "a_uuid", "a_geometry")] == [1, 1, 1]
    assert from_arrow(EVERY_KIND, batch) == [b""]


def test_maps_of_inner_messages_are_put_in_order():
    entries = [serialise(message_class(EVERY_KIND)(a_message={name: name})) for name in "ba"]
    ordered = serialise(message_class(EVERY_KIND)(a_message={"a": "a", "b": "b"}))
    tag = message_class(EVERY_KIND)(a_message={}).SerializeToString()[:-1]
    inner = b"".join(entry[len(tag) + 1 :] for entry in entries)
    disordered = tag + bytes([len(inner)]) + inner
    assert disordered != ordered
    assert from_arrow(EVERY_KIND, to_arrow(EVERY_KIND, [disordered])) == [ordered]


def test_no_rows():
    assert to_arrow(EVERY_KIND, []).num_rows == 0
    assert from_arrow(EVERY_KIND, to_arrow(EVERY_KIND, [])) == []
