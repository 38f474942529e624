"""Requests to ingest columns, split without a protobuf parser, with the same result as the parser."""

from __future__ import annotations

import gzip
import itertools
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http.wire import CallError

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox._core.queries.dataset_calls import ingest_columns
from tilebox._core.schema.arrow_schema import from_stream
from tilebox.errors import InvalidArgumentError
from tilebox.server.api.messages.columns import parse_ingest

COLLECTION = UUID(int=7)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[first:last] for first, last in itertools.pairwise(edges)]


@given(
    st.booleans(),
    st.none() | st.binary(min_size=16, max_size=16),
    st.binary(max_size=300),
    st.lists(st.integers(0, 400), max_size=4),
)
def test_a_request_equals_its_message(allow_existing, collection, datapoints, places):
    wanted = datapoints_pb2.IngestRequest(allow_existing=allow_existing, datapoints=datapoints)
    if collection is not None:
        wanted.collection_id.CopyFrom(ID(uuid=collection))
    request, stream = parse_ingest(cut(wanted.SerializeToString(), places))
    assert stream.to_pybytes() == datapoints
    request.datapoints = datapoints
    assert request == wanted


@pytest.mark.parametrize("rows", [0, 1, 50_000])
def test_the_client_writes_the_serialised_message(rows):
    table = pa.table({"time": pa.array(range(rows), pa.timestamp("ms"))})
    body = ingest_columns(COLLECTION, table, allow_existing=True).body()
    wanted = datapoints_pb2.IngestRequest.FromString(body)
    assert (wanted.collection_id.uuid, wanted.allow_existing) == (COLLECTION.bytes, True)
    assert from_stream(wanted.datapoints).equals(table)
    assert wanted.SerializeToString(deterministic=True) == body
    request, stream = parse_ingest([body[:70], body[70:80], body[80:]])
    assert request.collection_id == wanted.collection_id
    assert stream.address % 64 == 0
    assert from_stream(stream).equals(table)


@pytest.mark.parametrize(
    "parts",
    [
        [datapoints_pb2.IngestRequest(datapoints=b"first"), datapoints_pb2.IngestRequest(allow_existing=True)],
        [datapoints_pb2.IngestRequest(datapoints=b"x"), datapoints_pb2.IngestRequest(datapoints=b"first")],
        [datapoints_pb2.CountRequest(), datapoints_pb2.IngestRequest(datapoints=b"first")],
    ],
    ids=["order", "repeated", "empty"],
)
def test_requests_of_other_serialisers_are_parsed(parts):
    _, stream = parse_ingest([b"".join(part.SerializeToString() for part in parts)])
    assert stream.to_pybytes() == b"first"


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x1a\xff", b"\x0a\x7f\x1a\x01x", b"\x1a\x05four", b"\x00", b"\x10\x01\x1a\x80"]
)
def test_malformed_requests_are_rejected(body):
    with pytest.raises(InvalidArgumentError, match=r"the request is not a valid tilebox\.ext\.v1\.IngestRequest"):
        parse_ingest([body])


def test_compressed_requests_are_accepted(wire, proto):
    dataset = wire.create_dataset()
    collection = wire.create_collection(dataset)
    table = pa.table({"time": pa.array(range(3), pa.timestamp("ms"))})
    body = ingest_columns(UUID(bytes=collection.id.uuid), table, allow_existing=False).body()
    path = "/tilebox.ext.v1.DatapointService/Ingest"
    headers = {"content-type": "application/proto", "content-encoding": "gzip"}
    packed = proto.http.post(path, content=gzip.compress(body), headers=headers)
    assert datapoints_pb2.IngestResponse.FromString(packed.content).num_created == 3
    plain = proto.http.post(path, content=body, headers={"content-type": "application/proto"})
    assert "already_exists" in plain.text
    with pytest.raises(CallError, match="invalid_argument: the request is not a valid"):
        raise CallError(proto.http.post(path, content=b"\x0a", headers={"content-type": "application/proto"}))
