# Source of tests/sync/test_hostile_servers.py, which scripts/unasync.py writes.
"""Servers and proxies that break HTTP, on a real socket: every fault is a documented error, and the next call works."""

from __future__ import annotations

import gzip
import itertools
import traceback
import zlib

import httpx
import pytest
from support.http.hostile import CLOSE, RESET, SILENCE, HostileServer, chunked, sized
from worlds.aio import IMPATIENT, open_client, open_http_client

from tilebox._core.protocol.datasets.v1 import core_pb2, datasets_pb2
from tilebox._io.concurrency.aio import to_thread
from tilebox.aio import response, transport
from tilebox.datasets import DatasetKind
from tilebox.errors import (
    AnswerTooLargeError,
    ConnectTimeout,
    PermissionDeniedError,
    RequestTooLargeError,
    ServerError,
    TileboxError,
    TransportError,
)

KEY = "canary-7c1e"
ONE = datasets_pb2.ListDatasetsResponse(datasets=[core_pb2.Dataset(slug="a.b", code_name="b", name="B")])
GOOD = sized(ONE.SerializeToString(), "content-type: application/proto")
PAGE = b"<html><body>Welcome to the hotel. <a href='/login'>Log in</a></body></html>"
MANY = 2_000
BOUND = 1 << 20


def packed(body, encoding="gzip"):
    return sized(body, f"content-encoding: {encoding}")


FAULTS = {
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n" + bytes(40),
    "a length that is no number": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "a head that does not end": [b"HTTP/1.1 200 OK\r\n", *[b"x-more: " + b"x" * 1_000 + b"\r\n"] * 500, CLOSE],
    "a line that does not end": [b"HTTP/1.1 200 OK\r\nx-more: ", *[b"x" * 1_000] * 500, CLOSE],
    "interim answers and then nothing": [*[b"HTTP/1.1 100 Continue\r\n\r\n"] * MANY, CLOSE],
    "no answer": CLOSE,
    "a reset": RESET,
    "half a head": [b"HTTP/1.1 200 OK\r\ncontent-le", CLOSE],
    "half a body": [GOOD[:-3], CLOSE],
    "a reset within the body": [GOOD[:-3], RESET],
    "a chunk cut off": [chunked(ONE.SerializeToString())[:-4], CLOSE],
    "no last chunk": [chunked(ONE.SerializeToString()), CLOSE],
    "chunks of no size": [chunked() + b"zz\r\nabc\r\n", CLOSE],
    "gzip cut off": packed(gzip.compress(ONE.SerializeToString())[:-9]),
    "gzip that is none": packed(b"no gzip at all"),
    "gzip with more behind it": packed(gzip.compress(ONE.SerializeToString()) + b"more"),
    "an encoding that nobody asked for": packed(zlib.compress(ONE.SerializeToString()), "deflate"),
    "many encodings": packed(gzip.compress(gzip.compress(ONE.SerializeToString())), "gzip, gzip"),
    "another protocol": [b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE],
    "garbage": [bytes(range(256)) * 4, CLOSE],
    "a page of a proxy with status 200": sized(PAGE, "content-type: text/html"),
    "a page of a proxy with status 502": sized(PAGE, "content-type: text/html", status="502 Bad Gateway"),
}


@pytest.fixture
def server():
    with HostileServer() as running:
        yield running


@pytest.fixture
def client(server, monkeypatch):
    """A client with one connection, so that none may be lost."""
    monkeypatch.setattr(transport, "MAX_CONNECTIONS", 1)
    return open_client(server.url, KEY)


async def slugs(client):
    """Make a call that may be repeated, and return what it finds."""
    return list(await client._by_slug())


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_an_error_after_retries_and_the_next_call_works(server, client, fault):
    server.answer = FAULTS[fault]
    with pytest.raises(TransportError, match=r"ListDatasets at http://127\.0\.0\.1") as caught:
        await slugs(client)
    assert "tried 4 times" in caught.value.__notes__
    assert len(server.requests) == IMPATIENT.attempts
    server.answer = GOOD
    assert await slugs(client) == ["a.b"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_may_have_happened_is_not_repeated(server, client, fault):
    server.answer = FAULTS[fault]
    with pytest.raises(TransportError):
        await client.create_or_update_dataset(DatasetKind.TEMPORAL, "a.b")
    assert len(server.requests) == 1


async def test_interim_answers_are_skipped(server, client):
    server.answer = [
        *[b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"] * MANY,
        GOOD,
    ]
    assert await slugs(client) == ["a.b"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
@pytest.mark.parametrize("follows", [None, False, True])
async def test_the_key_follows_no_redirect(server, status, follows):
    given = None if follows is None else open_http_client(follow_redirects=follows)
    client = open_client(server.url, KEY, http_client=given)
    with HostileServer(GOOD) as elsewhere:
        server.answer = sized(PAGE, f"location: {elsewhere.url}/login", status=status)
        with pytest.raises(
            ServerError, match=f"redirects to '{elsewhere.url}/login'; the API key is not sent to another address"
        ):
            await slugs(client)
        assert elsewhere.connections == 0
    assert len(server.requests) == 1
    server.answer = GOOD
    assert await slugs(client) == ["a.b"]


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [
        ("403 Forbidden", PermissionDeniedError, 1),
        ("404 Not Found", ServerError, 1),
        ("413 Payload Too Large", RequestTooLargeError, 1),
        ("418 I'm a teapot", ServerError, 1),
        ("503 Service Unavailable", TransportError, 4),
    ],
)
async def test_an_error_page_and_a_closed_connection(server, client, status, error, requests):
    server.answer = [sized(PAGE, "content-type: text/html", status=status), CLOSE]
    with pytest.raises(error, match="Welcome to the hotel"):
        await slugs(client)
    assert len(server.requests) == requests
    for _ in range(requests):
        await to_thread(server.closed.acquire)
    server.answer = GOOD
    assert await slugs(client) == ["a.b"]


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("kind", ["sized", "endless chunks", "endless", "gzip bomb"])
@pytest.mark.parametrize("is_given", [False, True])
async def test_an_answer_above_the_bound_is_an_error(server, monkeypatch, status, kind, is_given):
    monkeypatch.setattr(response, "MAX_ANSWER_BYTES", BOUND)
    client = open_client(server.url, KEY, http_client=open_http_client() if is_given else None)
    large = bytes(BOUND + 1)
    head = f"HTTP/1.1 {status}\r\n".encode()
    server.answer = {
        "sized": sized(large, status=status),
        "endless chunks": itertools.chain(
            [head + b"transfer-encoding: chunked\r\n\r\n"], itertools.repeat(b"10000\r\n" + bytes(65_536) + b"\r\n")
        ),
        "endless": itertools.chain([head + b"\r\n"], itertools.repeat(bytes(65_536))),
        "gzip bomb": sized(gzip.compress(bytes(64 * BOUND)), "content-encoding: gzip", status=status),
    }[kind]
    with pytest.raises(
        AnswerTooLargeError, match=r"ListDatasets at .* is larger than 1 MiB; request less data at once"
    ):
        await slugs(client)
    assert len(server.requests) == 1
    server.answer = GOOD
    assert await slugs(client) == ["a.b"]


async def test_an_answer_of_just_the_bound_is_none(server, client, monkeypatch):
    monkeypatch.setattr(response, "MAX_ANSWER_BYTES", len(ONE.SerializeToString()))
    for server.answer in (GOOD, packed(gzip.compress(ONE.SerializeToString()))):
        assert await slugs(client) == ["a.b"]


@pytest.mark.parametrize("answer", [SILENCE, [b"HTTP/1.1 200", SILENCE], [GOOD[:-3], SILENCE]])
async def test_silence_ends_in_time(server, answer):
    http_client = open_http_client(timeout=httpx.Timeout(None, read=0.05))
    client = open_client(server.url, KEY, http_client=http_client)
    server.answer = answer
    with pytest.raises(ConnectTimeout, match=r"no answer in time from .*ListDatasets") as caught:
        await slugs(client)
    assert "tried 4 times" in caught.value.__notes__
    server.answer = GOOD
    http_client.timeout = None
    assert await slugs(client) == ["a.b"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_key_shows_in_no_report(server, client, fault):
    server.answer = FAULTS[fault]
    with pytest.raises(TileboxError) as caught:
        await slugs(client)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(trace.format())
