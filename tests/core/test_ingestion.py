"""Batches on their way to the server."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.ingestion import Ingested, batches, requests_of
from tilebox._core.protocol.datasets.v1.data_ingestion_pb2 import IngestResponse
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID


@given(st.integers(0, 50_000), st.sampled_from([1000, 8192, 65_536]))
def test_batches_cover_every_row_once(rows, size):
    edges = list(batches(rows, size))
    assert [start for start, _ in edges] == list(range(0, rows, size))
    assert sum(stop - start for start, stop in edges) == rows
    assert all(0 < stop - start <= size for start, stop in edges)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 100))
def test_requests_hold_everything_in_order_and_no_more_than_they_may(values, max_bytes):
    parts = list(requests_of(values, max_bytes))
    assert [value for part in parts for value in part] == values
    assert all(len(part) == 1 or sum(map(len, part)) <= max_bytes for part in parts)
    assert all(parts)


def test_answers_are_put_together():
    answers = [
        IngestResponse(num_created=2, num_existing=1, datapoint_ids=[ID(uuid=bytes([n]) * 16) for n in (1, 2, 1)]),
        IngestResponse(num_created=1, datapoint_ids=[ID(uuid=bytes([3]) * 16)]),
    ]
    joined = Ingested.joined(map(Ingested.from_wire, answers))
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
    assert Ingested.joined([]) == []


def test_the_extension_answers_with_the_same():
    answer = datapoints_pb2.IngestResponse(num_created=1, num_existing=1, datapoint_ids=b"1" * 16 + b"2" * 16)
    ingested = Ingested.from_extension(answer)
    assert ingested == [UUID(bytes=b"1" * 16), UUID(bytes=b"2" * 16)]
    assert ingested == Ingested(b"1" * 16 + b"2" * 16)
    assert (ingested.created, ingested.existing) == (1, 1)
