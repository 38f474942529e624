"""Batches of an ingest call, their ids and their errors."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.ingest.batches import IngestOutcome, IngestResult, batch_ranges, split_into_requests
from tilebox._core.protocol.datasets.v1.data_ingestion_pb2 import IngestResponse
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox.errors import ConflictError, InvalidArgumentError, TransportError


@given(st.integers(0, 50_000), st.sampled_from([1000, 8192, 65_536]))
def test_batches_cover_every_row_once(rows, size):
    edges = list(batch_ranges(rows, size))
    assert [start for start, _ in edges] == list(range(0, rows, size))
    assert sum(stop - start for start, stop in edges) == rows
    assert all(0 < stop - start <= size for start, stop in edges)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 100))
def test_requests_hold_all_values_in_order_within_the_size_limit(values, max_bytes):
    parts = list(split_into_requests(values, max_bytes))
    assert [value for part in parts for value in part] == values
    assert all(len(part) == 1 or sum(map(len, part)) <= max_bytes for part in parts)
    assert all(parts)


def test_responses_are_joined():
    answers = [
        IngestResponse(num_created=2, num_existing=1, datapoint_ids=[ID(uuid=bytes([n]) * 16) for n in (1, 2, 1)]),
        IngestResponse(num_created=1, datapoint_ids=[ID(uuid=bytes([3]) * 16)]),
    ]
    joined = IngestResult.joined(map(IngestResult.from_wire, answers))
    assert joined == [UUID(bytes=bytes([n]) * 16) for n in (1, 2, 1, 3)]
    assert (joined.created, joined.existing) == (3, 1)
    assert joined[1:3] == list(joined)[1:3]
    assert joined[-1] == UUID(bytes=bytes([3]) * 16)
    assert UUID(bytes=bytes([2]) * 16) in joined
    assert joined != [UUID(int=0)]
    assert repr(joined) == (
        "<3 datapoints created, 1 existing: [01010101-0101-0101-0101-010101010101, "
        "02020202-0202-0202-0202-020202020202, 01010101-0101-0101-0101-010101010101, ...]>"
    )
    with pytest.raises(IndexError):
        joined[4]
    assert IngestResult.joined([]) == []


def test_responses_of_the_extension_equal_those_of_the_wire():
    answer = datapoints_pb2.IngestResponse(num_created=1, num_existing=1, datapoint_ids=b"1" * 16 + b"2" * 16)
    ingested = IngestResult.from_extension(answer)
    assert ingested == [UUID(bytes=b"1" * 16), UUID(bytes=b"2" * 16)]
    assert ingested == IngestResult(b"1" * 16 + b"2" * 16)
    assert (ingested.created, ingested.existing) == (1, 1)


def failing(*failures, stored=(), rows=30):
    outcome = IngestOutcome(rows)
    for count in stored:
        outcome.add_stored(count)
    for failure in failures:
        outcome.add_failure(*failure)
    with pytest.raises(type(failures[0][2])) as caught:
        outcome.raise_failure()
    return caught.value


def test_errors_count_rows_within_the_call():
    message = "2 of 10 datapoints rejected: datapoint 0: name 'datapoint 4: x'; datapoint 9: late"
    error = failing((10, 20, InvalidArgumentError(message, request_id="r1")), stored=[10])
    assert str(error).startswith(
        "in rows 10 to 19 of 30, counted from 0: 2 of 10 datapoints rejected: "
        "datapoint 10: name 'datapoint 4: x'; datapoint 19: late; 10 datapoints of this call are stored, "
    )
    assert (error.message, error.request_id, error.code) == (str(error), "r1", "invalid_argument")


def test_the_earliest_failure_is_raised_and_has_the_others_as_notes():
    first, last = InvalidArgumentError("datapoint 1: bad"), ConflictError("exists")
    error = failing((0, 10, first), (20, 30, last))
    assert error is first
    assert str(error) == "in rows 0 to 9 of 30, counted from 0: datapoint 1: bad; nothing of this call is stored"
    assert error.__notes__ == ["in rows 20 to 29 of 30, counted from 0: exists"]


def test_a_lost_response_makes_the_stored_count_a_minimum():
    error = failing((0, 10, TransportError("reset")))
    assert "at least 0 datapoints of this call are stored" in str(error)


def test_one_request_keeps_its_error_and_success_raises_nothing():
    assert str(failing((0, 30, InvalidArgumentError("datapoint 1: bad")))) == "datapoint 1: bad"
    IngestOutcome(30).raise_failure()
