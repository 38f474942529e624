"""Unary protobuf calls without a socket: over gRPC, which httpx does not speak here, and over Connect."""

from __future__ import annotations

import gzip
import json

import anyio
import pytest
from support.servers.applications import application

from tilebox._core.protocol.workflows.v1 import workflows_pb2
from tilebox._core.protocol.workflows.v1.task_pb2 import NextTaskRequest, NextTaskResponse

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def call(tmp_path):
    """A function that makes a gRPC call, and returns the ASGI messages of the response."""
    async with application(tmp_path, max_body_bytes=10_000) as (app, key):

        async def call(method, body, *, key=key, **headers):
            pieces, sent = [body], []

            async def receive():
                if not pieces:
                    await anyio.sleep_forever()
                return {"type": "http.request", "body": pieces.pop()}

            async def send(message):
                sent.append(message)

            given = {"content-type": "application/grpc", "te": "trailers", "authorization": f"Bearer {key}", **headers}
            scope = {
                "type": "http",
                "http_version": "2",
                "method": "POST",
                "path": f"/{method}",
                "query_string": b"",
                "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
                "extensions": {"http.response.trailers": {}},
            }
            await app(scope, receive, send)
            return sent

        yield call


def framed(message: bytes, *, is_compressed: bool = False) -> bytes:
    return bytes([is_compressed]) + len(message).to_bytes(4) + message


def status(sent) -> tuple[str, str]:
    """Return the gRPC status and message, which HTTP/2 clients read from the trailers only."""
    kinds = [message["type"].rpartition(".")[2] for message in sent]
    assert kinds == ["start", *["body"] * (len(kinds) - 2), "trailers"]
    headers = dict(sent[-1]["headers"])
    return headers[b"grpc-status"].decode(), headers.get(b"grpc-message", b"").decode()


def next_task(cluster: str = "elsewhere") -> bytes:
    request = NextTaskRequest()
    request.next_task_to_run.cluster_slug = cluster
    request.next_task_to_run.identifiers.add(name="Task", version="v1.0")
    return request.SerializeToString()


async def default_cluster(call) -> str:
    sent = await call("workflows.v1.WorkflowsService/GetCluster", framed(b""))
    content = b"".join(message.get("body", b"") for message in sent)
    return workflows_pb2.Cluster.FromString(content[5:]).slug


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
@pytest.mark.parametrize(
    ("pack", "headers"),
    [
        (bytes, {}),
        (bytes, {"grpc_timeout": "10S"}),  # this case and the next go through connectrpc
        (gzip.compress, {"grpc_encoding": "gzip"}),
    ],
)
async def test_a_call_returns_a_message_and_a_status(call, content_type, pack, headers):
    body = framed(pack(next_task(await default_cluster(call))), is_compressed=pack is gzip.compress)
    sent = await call("workflows.v1.TaskService/NextTask", body, **{"content-type": content_type}, **headers)
    assert [message["type"].rpartition(".")[2] for message in sent if message.get("body") != b""] == [
        "start",
        "body",
        "trailers",
    ]
    assert status(sent) == ("0", "")
    content = b"".join(message.get("body", b"") for message in sent)
    assert content[:5] == framed(content[5:])[:5]
    assert NextTaskResponse.FromString(content[5:]).HasField("idling")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0",
        framed(next_task())[:-1],
        framed(next_task()) + b"\0",
        framed(next_task()) * 2,
        framed(
            gzip.compress(next_task(), mtime=0), is_compressed=True
        ),  # without the header that names the compression
    ],
)
async def test_a_body_that_is_not_one_message_is_refused(call, body):
    assert status(await call("workflows.v1.TaskService/NextTask", body)) == (
        "3",
        "the request's body must be one uncompressed gRPC message",
    )


async def test_a_malformed_message_is_refused(call):
    sent = await call("workflows.v1.TaskService/NextTask", framed(b"\xff"))
    assert status(sent) == ("3", "the request is not a valid workflows.v1.NextTaskRequest")


async def test_errors_have_grpc_codes(call):
    assert (
        status(await call("workflows.v1.TaskService/NextTask", framed(next_task()), key="tbx_" + "x" * 32))[0] == "16"
    )
    assert status(await call("workflows.v1.TaskService/NextTask", framed(next_task())))[0] == "5"
    assert status(await call("workflows.v1.TaskService/NextTask", framed(bytes(10_001))))[0] == "8"


def answer(status: int, kind: str, sent) -> bytes:
    """Check the head of a response, and return its body."""
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"content-type"]) == (status, kind.encode())
    return b"".join(message.get("body", b"") for message in sent)


async def test_a_large_response_is_compressed_for_clients_that_accept_it(call):
    for number in range(20):
        request = workflows_pb2.CreateClusterRequest(name=f"Cluster {number}", description="x" * 100)
        sent = await call("workflows.v1.WorkflowsService/CreateCluster", framed(request.SerializeToString()))
        assert status(sent) == ("0", "")
    method = "workflows.v1.WorkflowsService/ListClusters"
    plain = answer(200, "application/grpc+proto", await call(method, framed(b"")))
    assert plain == framed(plain[5:])
    assert len(workflows_pb2.ListClustersResponse.FromString(plain[5:]).clusters) == 21

    sent = await call(method, framed(b""), grpc_accept_encoding="identity, deflate, gzip")
    body = answer(200, "application/grpc+proto", sent)
    assert (b"grpc-encoding", b"gzip") in sent[0]["headers"]
    assert body == framed(body[5:], is_compressed=True)
    assert gzip.decompress(body[5:]) == plain[5:]

    sent = await call(method, b"", **{"content-type": "application/proto"}, accept_encoding="br, gzip;q=0.5")
    body = answer(200, "application/proto", sent)
    assert {(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))} <= set(sent[0]["headers"])
    assert gzip.decompress(body) == plain[5:]

    small = await call("workflows.v1.WorkflowsService/GetCluster", framed(b""), grpc_accept_encoding="gzip")
    assert b"grpc-encoding" not in dict(small[0]["headers"])


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (gzip.compress(next_task(), mtime=0), {"content_encoding": "gzip"}, "not_found"),
        (b"", {"content_encoding": "gzip"}, None),
        (gzip.compress(next_task(), mtime=0)[:-1], {"content_encoding": "gzip"}, "invalid_argument"),
        (gzip.compress(next_task(), mtime=0) + b"x", {"content_encoding": "gzip"}, "invalid_argument"),
        (next_task(), {"content_encoding": "gzip"}, "invalid_argument"),
        (gzip.compress(bytes(10_001), mtime=0), {"content_encoding": "gzip"}, "resource_exhausted"),
        (bytes(10_001), {}, "resource_exhausted"),
        (next_task(), {}, "not_found"),
        (next_task(), {"content_encoding": "br"}, "unimplemented"),  # this case and the next go through connectrpc
        (next_task(), {"connect_timeout_ms": "1000"}, "not_found"),
    ],
)
async def test_connect_variants(call, body, headers, code):
    sent = await call("workflows.v1.TaskService/NextTask", body, **{"content-type": "application/proto"}, **headers)
    if code is None:
        assert NextTaskResponse.FromString(answer(200, "application/proto", sent)) == NextTaskResponse()
    else:
        found = answer(sent[0]["status"], "application/json", sent)
        assert json.loads(found)["code"] == code
