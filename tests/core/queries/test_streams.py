"""Arrow streams that arrive in pieces of any size, break off, and resume."""

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


def make_query(**changes) -> Query:
    settings = {
        "target": "d/c",
        "dataset": UUID(int=5),
        "schema": SCHEMA,
        "collections": (),
        "interval": intervals.ALWAYS,
    }
    return Query(**(settings | changes))


def make_id(millisecond: int) -> bytes:
    return millisecond.to_bytes(6, "big", signed=True) + bytes(10)


def make_batch(milliseconds: list[int], schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array(milliseconds, pa.timestamp("ms")),
        pa.array([make_id(value) for value in milliseconds], pa.binary(16)),
        pa.array(milliseconds, pa.timestamp("us")),
        pa.array(["x" * (value % 7) for value in milliseconds]),
    ]
    return pa.record_batch(columns, schema=schema)


def make_stream(*batches: list[int], closing: dict[bytes, bytes] | None = None, snapshot: bytes | None = b"7") -> bytes:
    schema = arrow_schema.arrow_schema(SCHEMA)
    if snapshot:
        schema = schema.with_metadata({arrow_schema.SNAPSHOT_KEY: snapshot})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(make_batch(batch, schema))
        if closing is None:
            closing = {arrow_schema.ROWS_KEY: str(sum(map(len, batches))).encode()}
        writer.write_batch(make_batch([], schema), custom_metadata=closing)
    return sink.getvalue()


def receive(answer: ArrowAnswer, data: bytes, size: int = 1 << 16) -> list[int]:
    times, start = [], 0
    while start < len(data):
        buffer = answer.get_buffer()[:size]
        count = min(len(buffer), len(data) - start)
        buffer[:count] = data[start : start + count]
        start += count
        if (batch := answer.buffer_updated(count)) is not None:
            batch.validate(full=True)
            times += batch.column("time").cast(pa.int64()).to_pylist()
    return times


@given(st.lists(st.integers(1, 30), max_size=4), st.integers(1, 700))
def test_reads_of_any_size_give_the_same_batches(sizes, piece):
    edges = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    batches = [list(range(a, b)) for a, b in itertools.pairwise(edges)]
    answer = ArrowAnswer(make_query())
    answer.next_request()
    assert receive(answer, make_stream(*batches), piece) == list(range(sum(sizes)))
    answer.eof_received()
    assert answer.rows == sum(sizes)


@given(st.data())
def test_an_answer_cut_anywhere_resumes_without_loss_or_repetition(data):
    everything = list(range(-20, 20))
    answer, times, requests = ArrowAnswer(make_query()), [], 0
    while not answer.is_complete:
        request = answer.next_request()
        after = request.starting_after.uuid
        rest = [time for time in everything if not after or make_id(time)[:6] != after[:6]]
        if after:
            position = next(i for i, time in enumerate(everything) if make_id(time) == after)
            rest = everything[position + 1 :]
            assert request.snapshot == 7
        stream = make_stream(*[rest[i : i + 9] for i in range(0, len(rest), 9)])
        requests += 1
        cut = data.draw(st.integers(0, len(stream))) if requests < 6 else len(stream)
        times += receive(answer, stream[:cut])
        if not answer.is_complete:
            with pytest.raises(TransportError, match="broke off after"):
                answer.eof_received()
    assert times == everything


def test_a_resumed_request_asks_for_the_rest_of_the_limit():
    answer = ArrowAnswer(make_query(limit=10, is_descending=True))
    first = answer.next_request()
    assert (first.limit, first.order) == (10, query_pb2.SORT_DIRECTION_DESCENDING)
    assert receive(answer, make_stream([9, 8, 7])[:-200]) == [9, 8, 7]
    assert answer.next_request().limit == 7


def test_an_answer_without_a_snapshot_cannot_be_resumed():
    answer = ArrowAnswer(make_query())
    answer.next_request()
    assert answer.is_resumable
    receive(answer, make_stream([1, 2], snapshot=None)[:-200])
    assert not answer.is_resumable


def test_a_wrong_number_of_rows_is_an_error():
    answer = ArrowAnswer(make_query())
    answer.next_request()
    with pytest.raises(PageError, match="should hold 3 datapoints, but has 2"):
        receive(answer, make_stream([1, 2], closing={arrow_schema.ROWS_KEY: b"3"}))


def test_more_rows_than_the_limit_are_an_error():
    answer = ArrowAnswer(make_query(limit=1))
    answer.next_request()
    with pytest.raises(PageError, match="more datapoints than the limit"):
        receive(answer, make_stream([1, 2]))


@pytest.mark.parametrize(("descending", "second"), [(False, [2]), (False, [1]), (True, [3]), (True, [2])])
def test_repeated_or_unordered_datapoints_are_an_error(descending, second):
    answer = ArrowAnswer(make_query(is_descending=descending))
    answer.next_request()
    with pytest.raises(PageError, match="repeats datapoints or is out of order"):
        receive(answer, make_stream([2], second))


def test_an_error_in_the_stream_is_raised_as_its_class():
    closing = {arrow_schema.ERROR_KEY: json.dumps({"code": "not_found", "message": "dataset is gone"}).encode()}
    answer = ArrowAnswer(make_query())
    answer.next_request()
    with pytest.raises(NotFoundError, match="dataset is gone"):
        receive(answer, make_stream([1], closing=closing))


def test_an_empty_batch_without_metadata_does_not_end_the_answer():
    answer = ArrowAnswer(make_query())
    answer.next_request()
    receive(answer, make_stream([1], closing={}))
    with pytest.raises(TransportError):
        answer.eof_received()


@pytest.mark.parametrize(
    "data",
    [b"<html>not arrow</html>", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x04\0\0\0\xff\xff\xff\xff"],
)
def test_bytes_that_are_not_an_arrow_stream_are_an_error(data):
    answer = ArrowAnswer(make_query())
    answer.next_request()
    with pytest.raises(PageError, match="Arrow stream"):
        receive(answer, data)


def test_datapoints_after_the_end_are_an_error():
    data = make_stream([1])
    answer = ArrowAnswer(make_query())
    answer.next_request()
    receive(answer, data)
    body = make_stream([2])
    with pytest.raises(PageError, match="after the end"):
        receive(answer, body)
