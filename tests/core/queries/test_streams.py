"""An Arrow stream that arrives in pieces of any size, breaks off, and is taken up again."""

from __future__ import annotations

import io
import itertools
import json
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.queries.arrow_answers import ArrowAnswer
from tilebox._core.queries.query import Query
from tilebox._core.schema import arrow_schema
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox._core.values import intervals
from tilebox.errors import NotFoundError, PageError, TransportError

SCHEMA = Schema.of(DatasetKind.TEMPORAL, [Field(name="label", kind=FieldKind.STRING)])


def a_query(**changes) -> Query:
    settings = {
        "what": "d/c",
        "dataset": UUID(int=5),
        "schema": SCHEMA,
        "collections": (),
        "interval": intervals.ALWAYS,
    }
    return Query(**(settings | changes))


def an_id(millisecond: int) -> bytes:
    return millisecond.to_bytes(6, "big", signed=True) + bytes(10)


def a_batch(milliseconds: list[int], schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array(milliseconds, pa.timestamp("ms")),
        pa.array([an_id(one) for one in milliseconds], pa.binary(16)),
        pa.array(milliseconds, pa.timestamp("us")),
        pa.array(["x" * (one % 7) for one in milliseconds]),
    ]
    return pa.record_batch(columns, schema=schema)


def a_stream(*batches: list[int], closing: dict[bytes, bytes] | None = None, snapshot: bytes | None = b"7") -> bytes:
    schema = arrow_schema.arrow_schema(SCHEMA)
    if snapshot:
        schema = schema.with_metadata({arrow_schema.SNAPSHOT_KEY: snapshot})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(a_batch(batch, schema))
        if closing is None:
            closing = {arrow_schema.ROWS_KEY: str(sum(map(len, batches))).encode()}
        writer.write_batch(a_batch([], schema), custom_metadata=closing)
    return sink.getvalue()


def received(answer: ArrowAnswer, data: bytes, size: int = 1 << 16) -> list[int]:
    found, start = [], 0
    while start < len(data):
        room = answer.room()[:size]
        count = min(len(room), len(data) - start)
        room[:count] = data[start : start + count]
        start += count
        if (batch := answer.received(count)) is not None:
            batch.validate(full=True)
            found += batch.column("time").cast(pa.int64()).to_pylist()
    return found


@given(st.lists(st.integers(1, 30), max_size=4), st.integers(1, 700))
def test_pieces_of_any_size_give_the_same_batches(sizes, piece):
    edges = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    batches = [list(range(a, b)) for a, b in itertools.pairwise(edges)]
    answer = ArrowAnswer(a_query())
    answer.next_request()
    assert received(answer, a_stream(*batches), piece) == list(range(sum(sizes)))
    answer.end()
    assert answer.rows == sum(sizes)


@given(st.data())
def test_an_answer_cut_anywhere_is_taken_up_without_loss_or_repetition(data):
    everything = list(range(-20, 20))
    answer, found, requests = ArrowAnswer(a_query()), [], 0
    while not answer.is_complete:
        request = answer.next_request()
        after = request.starting_after.uuid
        rest = [one for one in everything if not after or an_id(one)[:6] != after[:6]]
        if after:
            position = next(i for i, one in enumerate(everything) if an_id(one) == after)
            rest = everything[position + 1 :]
            assert request.snapshot == 7
        stream = a_stream(*[rest[i : i + 9] for i in range(0, len(rest), 9)])
        requests += 1
        cut = data.draw(st.integers(0, len(stream))) if requests < 6 else len(stream)
        found += received(answer, stream[:cut])
        if not answer.is_complete:
            with pytest.raises(TransportError, match="broke off after"):
                answer.end()
    assert found == everything


def test_the_limit_of_a_further_request_is_what_is_missing():
    answer = ArrowAnswer(a_query(limit=10, is_descending=True))
    first = answer.next_request()
    assert (first.limit, first.order) == (10, query_pb2.SORT_DIRECTION_DESCENDING)
    assert received(answer, a_stream([9, 8, 7])[:-200]) == [9, 8, 7]
    assert answer.next_request().limit == 7


def test_without_a_snapshot_a_broken_answer_cannot_be_taken_up():
    answer = ArrowAnswer(a_query())
    answer.next_request()
    assert answer.is_resumable
    received(answer, a_stream([1, 2], snapshot=None)[:-200])
    assert not answer.is_resumable


def test_a_wrong_number_of_rows_is_an_error():
    answer = ArrowAnswer(a_query())
    answer.next_request()
    with pytest.raises(PageError, match="should hold 3 datapoints, but 2 came"):
        received(answer, a_stream([1, 2], closing={arrow_schema.ROWS_KEY: b"3"}))


def test_more_rows_than_the_limit_are_an_error():
    answer = ArrowAnswer(a_query(limit=1))
    answer.next_request()
    with pytest.raises(PageError, match="more datapoints than the limit"):
        received(answer, a_stream([1, 2]))


@pytest.mark.parametrize(("descending", "second"), [(False, [2]), (False, [1]), (True, [3]), (True, [2])])
def test_an_answer_that_goes_back_is_an_error(descending, second):
    answer = ArrowAnswer(a_query(is_descending=descending))
    answer.next_request()
    with pytest.raises(PageError, match="given already"):
        received(answer, a_stream([2], second))


def test_an_error_under_way_is_raised_as_what_it_is():
    closing = {arrow_schema.ERROR_KEY: json.dumps({"code": "not_found", "message": "dataset is gone"}).encode()}
    answer = ArrowAnswer(a_query())
    answer.next_request()
    with pytest.raises(NotFoundError, match="dataset is gone"):
        received(answer, a_stream([1], closing=closing))


def test_an_empty_batch_without_metadata_is_no_end():
    answer = ArrowAnswer(a_query())
    answer.next_request()
    received(answer, a_stream([1], closing={}))
    with pytest.raises(TransportError):
        answer.end()


@pytest.mark.parametrize(
    "data",
    [b"<html>not arrow</html>", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x04\0\0\0\xff\xff\xff\xff"],
)
def test_what_is_no_arrow_stream_is_an_error(data):
    answer = ArrowAnswer(a_query())
    answer.next_request()
    with pytest.raises(PageError, match="Arrow stream"):
        received(answer, data)


def test_nothing_may_follow_the_end():
    data = a_stream([1])
    answer = ArrowAnswer(a_query())
    answer.next_request()
    received(answer, data)
    body = a_stream([2])
    with pytest.raises(PageError, match="after the end"):
        received(answer, body)
