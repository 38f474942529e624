# Generated from tests/aio/test_http_client.py by scripts/unasync.py; do not edit.
"""The caller's HTTP client, and what ours takes from the environment."""

from __future__ import annotations

import gc

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.http.hostile import HostileServer, sized
from support.http.scripted import Script, proto
from worlds.sync import WorkflowsClient, hook, open_client, open_http_client

from tilebox._core.protocol.datasets.v1 import core_pb2, datasets_pb2
from tilebox._core.protocol.workflows.v1 import workflows_pb2

KEY = "canary-7c1e"
ONE = datasets_pb2.ListDatasetsResponse(datasets=[core_pb2.Dataset(slug="a.b", code_name="b", name="B")])
GOOD = sized(ONE.SerializeToString(), "content-type: application/proto")


@pytest.fixture
def server():
    with HostileServer(GOOD) as running:
        yield running


@pytest.fixture
def spans():
    """The spans of all calls through httpx, as its OpenTelemetry instrumentation records them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    yield exporter.get_finished_spans
    HTTPXClientInstrumentor().uninstrument()


def test_headers_timeouts_hooks_and_transports_of_the_callers_client_apply():
    seen = []
    script = Script(proto(ONE))
    http_client = open_http_client(
        transport=script,
        headers={"x-team": "orbit", "user-agent": "theirs"},
        timeout=7,
        event_hooks={"request": [hook(seen.append)], "response": [hook(seen.append)]},
    )
    client = open_client("http://box:1", KEY, http_client=http_client)
    assert list(client._by_slug()) == ["a.b"]
    (request,) = script.requests
    assert [type(one) for one in seen] == [httpx.Request, httpx.Response]
    assert request.extensions["timeout"] == {"connect": 7, "read": 7, "write": 7, "pool": 7}
    assert request.headers["x-team"] == "orbit"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("tilebox-python/")
    assert "authorization" not in http_client.headers


def test_a_hook_may_read_the_answer(server):
    seen = []

    def read(response):
        response.read()
        seen.append(response.content)

    http_client = open_http_client(event_hooks={"response": [read]})
    client = open_client(server.url, KEY, http_client=http_client)
    assert list(client._by_slug()) == ["a.b"]
    assert seen == [ONE.SerializeToString()]


def test_the_callers_client_stays_open_and_may_be_shared():
    script = Script(proto(ONE), proto(workflows_pb2.ListClustersResponse()))
    http_client = open_http_client(transport=script)
    client = open_client("http://box:1", KEY, http_client=http_client)
    client.datasets()
    del client
    gc.collect()
    assert not http_client.is_closed
    assert WorkflowsClient("http://other:1", KEY, http_client=http_client).clusters().all() == []
    assert [request.url.host for request in script.requests] == ["box", "other"]


@pytest.mark.parametrize("is_given", [False, True])
def test_opentelemetry_sees_calls(server, spans, is_given):
    client = open_client(server.url, KEY, http_client=open_http_client() if is_given else None)
    client.datasets()
    (span,) = spans()
    assert span.name == "POST"
    assert f"{server.url}/datasets.v1.DatasetService/ListDatasets" in span.attributes.values()
    assert 200 in span.attributes.values()
    assert KEY not in span.to_json()
    assert b"\r\ntraceparent: " in server.requests[0].lower()


def test_proxies_of_the_environment_are_used(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "near.example")
    assert list(open_client("http://far.example", KEY)._by_slug()) == ["a.b"]
    assert server.requests[0].startswith(
        b"POST http://far.example/datasets.v1.DatasetService/ListDatasets HTTP/1.1\r\n"
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert list(open_client(server.url, KEY)._by_slug()) == ["a.b"]
    assert server.requests[1].startswith(b"POST /datasets.v1.DatasetService/ListDatasets HTTP/1.1\r\n")
