"""Batches on their way to the server."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.ingestion import Ingested, batches, requests_of
from tilebox._core.protocol.datasets.v1.data_ingestion_pb2 import IngestResponse
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID


@given(st.integers(0, 50_000))
def test_batches_cover_every_row_once(rows):
    edges = list(batches(rows))
    assert [start for start, _ in edges] == list(range(0, rows, 8192))
    assert sum(stop - start for start, stop in edges) == rows
    assert all(0 < stop - start <= 8192 for start, stop in edges)


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
    assert Ingested.joined([]) == []
