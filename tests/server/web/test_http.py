"""Properties of every request: headers, errors, size limits, and no secrets in logs."""

from __future__ import annotations

import gzip
import logging
import shutil
import time
from itertools import repeat

import anyio
import httpx
import pytest
from blockbuster import BlockBuster, BlockingError
from google.protobuf.json_format import MessageToDict
from support.http.wire import METHODS, CallError, Wire, datapoint, query

from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2
from tilebox._core.protocol.datasets.v1.collections_pb2 import ListCollectionsRequest
from tilebox._core.protocol.datasets.v1.data_access_pb2 import QueryByIDRequest
from tilebox._core.protocol.datasets.v1.datasets_pb2 import DeleteDatasetRequest
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2

MEBIBYTE = 1024 * 1024
LIST = "/datasets.v1.DatasetService/ListDatasets"
INGEST = "/datasets.v1.DataIngestionService/Ingest"
PROTO = {"content-type": "application/proto"}
JSON = {"content-type": "application/json"}


def test_health_needs_no_key_and_everything_else_does(server):
    with httpx.Client(base_url=server.url, trust_env=False) as anyone:
        for path in ("/healthz", "/readyz"):
            assert (anyone.get(path).status_code, anyone.get(path).json()) == (200, {"status": "ok"})
        paths = [f"/{method}" for method in METHODS] + ["/tilebox.ext.v1.DatapointService/QueryArrow", "/", "/nowhere"]
        for path in paths:
            answer = anyone.post(path, content=b"", headers=PROTO)
            assert (path, answer.status_code, answer.json()["code"]) == (path, 401, "unauthenticated")
            assert "TILEBOX_API_KEY" in answer.json()["message"]


def test_every_response_has_a_request_id_and_the_extensions(proto):
    answers = [
        proto.http.get("/healthz"),
        proto.http.post(LIST, content=b"", headers=PROTO),
        proto.http.post(LIST, content=b"\xff", headers=PROTO),
        proto.http.post(LIST, content=b"", headers=PROTO | {"authorization": "Bearer wrong"}),
        proto.http.post("/nowhere"),
        proto.http.get(LIST),
        proto.http.post(LIST, content=b"", headers={"content-type": "application/grpc"}),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)
    assert {answer.headers["tilebox-extensions"] for answer in answers} == {"arrow/1, arrow-ingest/1, runners/1"}


def test_an_unknown_path_is_unimplemented(proto):
    answer = proto.http.post("/datasets.v1.DatasetService/Nonsense", content=b"", headers=PROTO)
    assert (answer.status_code, answer.json()["code"]) == (501, "unimplemented")


def test_grpc_over_http_1_gets_a_grpc_error(proto):
    answer = proto.http.post(LIST, content=b"\0\0\0\0\0", headers={"content-type": "application/grpc"})
    assert (answer.status_code, answer.headers["grpc-status"]) == (200, "12")
    assert answer.headers["grpc-message"] == "gRPC needs HTTP%2F2; use Connect over HTTP%2F1.1"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (LIST, b"\xff\xff", PROTO),
        (LIST, b"{", JSON),
        (LIST, b'{"nonsense": 1}', JSON),
        (INGEST, b'{"collectionId": {"uuid": "***"}}', JSON),
        (INGEST, b'{"collectionId": {"uuid": "AAAA"}}', JSON),
        (LIST, b"no gzip", PROTO | {"content-encoding": "gzip"}),
    ],
)
def test_malformed_requests_are_invalid(proto, path, body, headers):
    answer = proto.http.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


def test_the_error_for_an_unknown_field_names_it(proto):
    answer = proto.http.post(LIST, content=b'{"colection": 1}', headers=JSON)
    assert "colection" in answer.json()["message"]


def test_gzip_both_ways(proto, dataset):
    body = gzip.compress(b"{}")
    headers = JSON | {"content-encoding": "gzip", "accept-encoding": "gzip"}
    assert proto.http.post(LIST, content=body, headers=headers).headers["content-encoding"] == "identity"
    # A proxy on this machine forwards requests of other machines.
    answer = proto.http.post(LIST, content=body, headers=headers | {"x-forwarded-for": "192.0.2.1"})
    assert answer.headers["content-encoding"] == "gzip"
    assert MessageToDict(dataset)["slug"] in {entry["slug"] for entry in answer.json()["datasets"]}


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_a_body_of_400_megabytes_is_refused_and_the_connection_survives(proto, announced):
    size = 400 * MEBIBYTE
    headers = PROTO | ({"content-length": str(size)} if announced else {})
    answer = proto.http.post(INGEST, content=repeat(bytes(MEBIBYTE), 400), headers=headers)
    assert answer.json()["code"] == "resource_exhausted"
    assert answer.status_code == (413 if announced else 429)
    assert str(128 * MEBIBYTE) in answer.json()["message"]
    assert proto.call("DatasetService/ListDatasets")


def test_a_body_that_decompresses_to_400_megabytes_is_refused(proto):
    bomb = gzip.compress(bytes(400 * MEBIBYTE), 1)
    for path in (INGEST, "/tilebox.ext.v1.DatapointService/QueryArrow"):
        answer = proto.http.post(path, content=bomb, headers=PROTO | {"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")


def test_an_unexpected_failure_is_logged_and_hidden_from_the_caller(fresh_server, caplog):
    server = fresh_server()
    with Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        collection = wire.create_collection(dataset)
        wire.ingest(collection, [datapoint(dataset, 1000)])
        shutil.rmtree(server.data_dir / "datapoints")
        with pytest.raises(CallError) as error:
            wire.call("DataAccessService/Query", query(dataset))
        assert wire.http.get("/healthz").status_code == 200
        assert wire.http.get("/readyz").status_code == 503
    assert error.value.code in ("internal", "unavailable")
    assert str(server.data_dir) not in error.value.message
    assert "Traceback" not in error.value.message
    assert error.value.headers["x-request-id"] in error.value.message + caplog.text
    assert "Traceback" in caplog.text


def test_keys_are_never_logged(server, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "tbx_" + "w" * 32
    with Wire(server.url, server.token) as wire:
        wire.call("DatasetService/ListDatasets")
        wire.http.post(f"{LIST}?key={server.token}", content=b"\xff", headers=PROTO)
    with Wire(server.url, wrong) as wire, pytest.raises(CallError, match="unauthenticated") as error:
        wire.call("DatasetService/ListDatasets")
    assert wrong not in str(error.value)
    logged = [record for record in caplog.records if record.name.startswith(("tilebox", "uvicorn"))]
    assert logged
    for record in logged:
        assert server.token not in record.getMessage()
        assert wrong not in record.getMessage()


def test_requests_are_logged_with_their_id(proto, caplog):
    caplog.set_level(logging.INFO)
    answer = proto.http.post(LIST, content=b"", headers=PROTO)
    # The line is written after the response, and before a later response on the same connection.
    proto.http.get("/healthz")
    name = answer.headers["x-request-id"]
    (line,) = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert f"POST {LIST} 200" in line


def test_an_ingest_in_json_takes_base64(proto, dataset, collection):
    request = data_ingestion_pb2.IngestRequest(collection_id=collection.id, values=[datapoint(dataset, 1000)])
    answer = proto.http.post(INGEST, json=MessageToDict(request), headers=JSON)
    assert answer.json()["numCreated"] == "1"


def test_no_request_blocks_the_loop(server, proto):
    """Every method runs while calls that block the event loop raise errors."""
    request = datapoints_pb2.QueryArrowRequest()
    watch = BlockBuster()
    watch.activate()
    try:
        with pytest.raises(BlockingError):
            anyio.run(block)
        dataset = proto.create_dataset()
        collection = proto.create_collection(dataset)
        (identity,) = proto.ingest(collection, [datapoint(dataset, 1000)]).datapoint_ids
        assert len(proto.query(query(dataset))[0]) == 1
        request.query.CopyFrom(query(dataset))
        proto.post("/tilebox.ext.v1.DatapointService/QueryArrow", request)
        proto.call("DataAccessService/QueryByID", QueryByIDRequest(dataset_id=dataset.id, id=identity))
        proto.call("DatapointService/Count", datapoints_pb2.CountRequest(query=query(dataset)))
        proto.call("CollectionService/ListCollections", ListCollectionsRequest(dataset_id=dataset.id, with_count=True))
        proto.call("DatasetService/DeleteDataset", DeleteDatasetRequest(id=dataset.id))
        proto.call("DatasetService/ListDatasets")
    finally:
        watch.deactivate()


async def block():
    time.sleep(0.001)  # noqa: ASYNC251 - the call that must raise
