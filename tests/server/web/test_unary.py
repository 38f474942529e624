"""Unary calls in protobuf: over gRPC without a socket, since httpx speaks no HTTP/2 here, and over Connect."""

from __future__ import annotations

import gzip
import json

import anyio
import pytest
from applications import application

from tilebox._core.protocol.workflows.v1 import workflows_pb2
from tilebox._core.protocol.workflows.v1.task_pb2 import NextTaskRequest, NextTaskResponse

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def call(tmp_path):
    """A function that makes a gRPC call, and returns the messages of ASGI that answer it."""
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


def framed(message: bytes, *, is_packed: bool = False) -> bytes:
    return bytes([is_packed]) + len(message).to_bytes(4) + message


def status(sent) -> tuple[str, str]:
    """Return gRPC's status and message, which clients over HTTP/2 look for in the trailers only."""
    kinds = [message["type"].rpartition(".")[2] for message in sent]
    assert kinds == ["start", *["body"] * (len(kinds) - 2), "trailers"]
    headers = dict(sent[-1]["headers"])
    return headers[b"grpc-status"].decode(), headers.get(b"grpc-message", b"").decode()


def wish(cluster: str = "elsewhere") -> bytes:
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
        (bytes, {"grpc_timeout": "10S"}),  # this and the next go through the library
        (gzip.compress, {"grpc_encoding": "gzip"}),
    ],
)
async def test_a_call_is_answered_with_a_message_and_a_status(call, content_type, pack, headers):
    body = framed(pack(wish(await default_cluster(call))), is_packed=pack is gzip.compress)
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
        framed(wish())[:-1],
        framed(wish()) + b"\0",
        framed(wish()) * 2,
        framed(gzip.compress(wish(), mtime=0), is_packed=True),  # without the header that says how
    ],
)
async def test_what_is_not_one_message_is_refused(call, body):
    assert status(await call("workflows.v1.TaskService/NextTask", body)) == (
        "3",
        "the request's body must be one uncompressed gRPC message",
    )


async def test_what_is_no_message_of_the_call_is_refused(call):
    sent = await call("workflows.v1.TaskService/NextTask", framed(b"\xff"))
    assert status(sent) == ("3", "the request is not a valid workflows.v1.NextTaskRequest")


async def test_errors_have_the_codes_of_grpc(call):
    assert status(await call("workflows.v1.TaskService/NextTask", framed(wish()), key="tbx_" + "x" * 32))[0] == "16"
    assert status(await call("workflows.v1.TaskService/NextTask", framed(wish())))[0] == "5"
    assert status(await call("workflows.v1.TaskService/NextTask", framed(bytes(10_001))))[0] == "8"


def answer(status: int, kind: str, sent) -> bytes:
    """Return the body of an answer, after a look at its head."""
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"content-type"]) == (status, kind.encode())
    return b"".join(message.get("body", b"") for message in sent)


async def test_a_large_answer_is_packed_for_callers_that_take_it(call):
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
    assert body == framed(body[5:], is_packed=True)
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
        (gzip.compress(wish(), mtime=0), {"content_encoding": "gzip"}, "not_found"),
        (b"", {"content_encoding": "gzip"}, None),
        (gzip.compress(wish(), mtime=0)[:-1], {"content_encoding": "gzip"}, "invalid_argument"),
        (gzip.compress(wish(), mtime=0) + b"x", {"content_encoding": "gzip"}, "invalid_argument"),
        (wish(), {"content_encoding": "gzip"}, "invalid_argument"),
        (gzip.compress(bytes(10_001), mtime=0), {"content_encoding": "gzip"}, "resource_exhausted"),
        (bytes(10_001), {}, "resource_exhausted"),
        (wish(), {}, "not_found"),
        (wish(), {"content_encoding": "br"}, "unimplemented"),  # this and the next are left to the library
        (wish(), {"connect_timeout_ms": "1000"}, "not_found"),
    ],
)
async def test_connect_in_every_form(call, body, headers, code):
    sent = await call("workflows.v1.TaskService/NextTask", body, **{"content-type": "application/proto"}, **headers)
    if code is None:
        assert NextTaskResponse.FromString(answer(200, "application/proto", sent)) == NextTaskResponse()
    else:
        found = answer(sent[0]["status"], "application/json", sent)
        assert json.loads(found)["code"] == code
