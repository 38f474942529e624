"""Small calls that come again take a short way; whatever way a request takes, its answer is the same, and in turn."""

from __future__ import annotations

import asyncio
import gzip
import logging
from itertools import pairwise

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tilebox._core.protocol.workflows.v1.task_pb2 import NextTaskRequest
from tilebox.server.connections import Gathering
from tilebox.server.short_way import MAX_HEADS, ShortWay, split
from tilebox.server.web.envelope import Answer

pytestmark = pytest.mark.anyio

PATH = "/tilebox.ext.v1.RunnerService/Exchange"


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Line:
    """A transport that remembers what was sent."""

    def __init__(self):
        self.sent, self.is_closed, self.is_paused = b"", False, False

    def writelines(self, pieces):
        assert not self.is_closed
        self.sent += b"".join(pieces)

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True

    def pause_reading(self):
        self.is_paused = True

    def resume_reading(self):
        self.is_paused = False

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)


class Call:
    """Answers with `short` and the body; one that is told to wait does so until it may go on."""

    max_body_bytes = 200_000

    def __init__(self):
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.is_gone = False
        self.failure = None
        self.asked = []

    def takes(self, headers):
        return headers.get("content-type") == "application/proto"

    async def answer(self, authorization, body, *, is_packed, gone):
        self.asked.append((authorization, body, is_packed))
        if self.failure is not None:
            raise self.failure
        if not self.may_go_on.is_set():
            waiting = {asyncio.ensure_future(self.may_go_on.wait()), asyncio.ensure_future(gone())}
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in waiting - done:
                one.cancel()
            self.is_gone = not self.may_go_on.is_set()
        status = {b"too much": 429, b"gone": 499}.get(body, 200)
        return Answer(status, b"application/proto", b"short " + body)


async def usual(scope, receive, send):
    """Answer with `usual` and the body; to `slow`, not at once."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    for _ in range(10 if body == b"slow" else 0):
        await asyncio.sleep(0)
    content = b"usual " + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


async def settled() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


class Client:
    """What a client sees of a connection.

    Args:
        calls: The calls that may take the short way.
    """

    def __init__(self, calls):
        config = uvicorn.Config(usual, http="zttp", lifespan="off", log_config=None, access_log=False)
        config.load()
        self.line = Line()
        loop = asyncio.get_running_loop()
        self.way = ShortWay(short_calls=calls, config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.way.connection_made(Gathering(self.line, loop))

    async def send(self, data):
        """Let some bytes arrive, and let the server do what it does then."""
        self.way.data_received(data)
        await settled()

    def answers(self):
        """Return the bodies of all answers so far, which must be whole."""
        left, found = self.line.sent, []
        while left:
            head, _, left = left.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 ")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert len(left) >= length
            found.append(left[:length].decode())
            left = left[length:]
        return found


def request(
    body: bytes,
    *more: str,
    method: str = "POST",
    path: str = PATH,
    version: str = "1.1",
    length: int | str | None = None,
) -> bytes:
    lines = [
        f"{method} {path} HTTP/{version}",
        "host: here",
        "Content-Length: " + str(len(body) if length is None else length),
        "authorization: Bearer tbx_1",
        *(more or ["content-type: application/proto"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
async def call():
    return Call()


@pytest.fixture
async def client(call):
    return Client({PATH: call})


async def test_a_head_that_was_read_once_is_not_read_again_whatever_the_length_of_the_body(call, client):
    for body in (b"one", b"three", b"", b"too much"):
        await client.send(request(body))
    assert client.answers() == ["usual one", "short three", "short ", "short too much"]
    assert call.asked[0] == ("Bearer tbx_1", b"three", False)
    assert b"HTTP/1.1 429 Too Many Requests\r\n" in client.line.sent


async def test_a_packed_body_is_announced_as_such(call, client):
    headers = ("content-type: application/proto", "content-encoding: gzip")
    for body in (b"one", b"two"):
        await client.send(request(body, *headers))
    assert call.asked == [("Bearer tbx_1", b"two", True)]


@pytest.mark.parametrize(
    "other",
    [
        {"path": PATH + "?a=1"},
        {"path": "/elsewhere"},
        {"method": "PUT"},
        {"length": "03"},
        {"version": "1.0"},
        {"version": "1.0", "more": ["content-type: application/proto", "connection: keep-alive"]},
        {"more": ["content-type: application/proto", "upgrade: h2c"]},
        {"more": ["content-type: application/json"]},
        {"more": ["content-type: application/proto", "connection: close"]},
        {"more": ["content-type: application/proto", "connection: keep-alive, upgrade"]},
        {"more": ["content-type: application/proto", "x-twice: 1", "x-twice: 2"]},
        {"more": ["content-type: application/proto", "content-type: application/proto"]},
    ],
)
async def test_what_is_not_plain_takes_the_usual_way_each_time(other):
    calls = Call()
    more = other.pop("more", ())
    for _ in range(2):
        client = Client({PATH: calls})
        await client.send(request(b"one", *more, **other))
        if not client.line.is_closed:
            await client.send(request(b"two", *more, **other))
        assert {answer[:5] for answer in client.answers()} == {"usual"}
    assert calls.asked == []


async def test_a_body_of_unknown_length_ends_the_short_way(call, client):
    await client.send(request(b"one"))
    chunked = request(b"", "content-type: application/proto", "transfer-encoding: chunked")
    await client.send(chunked.replace(b"Content-Length: 0\r\n", b"") + b"3\r\ntwo\r\n0\r\n\r\n")
    await client.send(request(b"three"))
    assert client.answers() == ["usual one", "usual two", "usual three"]


async def test_a_head_with_two_lengths_is_never_taken(call, client):
    await client.send(request(b"one"))
    await client.send(request(b"two", "content-type: application/proto", "content-length: 1"))
    assert call.asked == []
    assert client.line.is_closed


async def test_a_request_in_pieces_takes_the_usual_way_and_the_next_one_the_short_way(client):
    await client.send(request(b"one"))
    whole = request(b"two pieces")
    await client.send(whole[:-4])
    await client.send(whole[-4:])
    await client.send(request(b"three"))
    assert client.answers() == ["usual one", "usual two pieces", "short three"]


async def test_a_body_that_reads_like_a_request_is_none(client):
    inner = request(b"inner")
    await client.send(request(b"one"))
    outer = request(inner, length=len(inner))
    await client.send(outer[: -len(inner)])
    await client.send(inner)
    await client.send(request(b"three"))
    assert client.answers() == ["usual one", f"usual {inner.decode()}", "short three"]


async def test_what_arrives_before_an_answer_waits_for_its_turn(call, client):
    await client.send(request(b"one"))
    call.may_go_on.clear()
    await client.send(request(b"two"))
    await client.send(request(b"three")[:30])
    await client.send(request(b"three")[30:])
    assert client.answers() == ["usual one"]
    call.may_go_on.set()
    await settled()
    assert client.answers() == ["usual one", "short two", "short three"]


async def test_what_may_take_the_short_way_does_not_overtake_what_takes_the_usual_one(client):
    await client.send(request(b"one"))
    client.way.data_received(request(b"slow", "content-type: application/json"))
    await client.send(request(b"three"))
    assert client.answers() == ["usual one", "usual slow", "usual three"]


async def test_a_connection_is_idle_only_between_answer_and_request(call, client):
    await client.send(request(b"one"))
    call.may_go_on.clear()
    await client.send(request(b"two"))
    assert client.way.timeout_keep_alive_task is None
    call.may_go_on.set()
    await settled()
    client.way.timeout_keep_alive_task.cancel()
    assert client.way.timeout_keep_alive_task.when() > asyncio.get_running_loop().time()
    client.way.timeout_keep_alive_handler()
    assert client.line.is_closed


async def test_a_client_that_reads_no_answers_gets_no_more_of_them_until_it_does(client):
    await client.send(request(b"one"))
    client.way.pause_writing()
    await client.send(request(b"two"))
    await client.send(request(b"three"))
    assert client.answers() == ["usual one"]
    client.way.resume_writing()
    await settled()
    assert client.answers() == ["usual one", "short two", "short three"]


async def test_a_client_that_sends_and_sends_is_read_no_further(call, client):
    await client.send(request(b"one"))
    call.may_go_on.clear()
    await client.send(request(b"two"))
    await client.send(request(bytes(100_000)))
    assert client.line.is_paused
    call.may_go_on.set()
    await settled()
    assert not client.line.is_paused
    assert [len(answer) for answer in client.answers()] == [9, 9, 100_006]


async def test_whoever_answers_learns_that_the_client_is_gone(call, client, caplog):
    caplog.set_level(logging.DEBUG, "tilebox.server.access")
    await client.send(request(b"one"))
    call.may_go_on.clear()
    await client.send(request(b"two"))
    client.line.close()
    client.way.connection_lost(None)
    await settled()
    assert call.is_gone
    assert client.answers() == ["usual one"]
    # Runners end their waiting all the time; that is worth a line as little as if they waited for its end.
    (line,) = [record for record in caplog.records if record.name == "tilebox.server.access"]
    assert (line.levelno, f"POST {PATH} 200" in line.getMessage()) == (logging.DEBUG, True)


async def test_a_server_that_stops_sends_the_answer_at_hand_and_closes(call, client):
    await client.send(request(b"one"))
    call.may_go_on.clear()
    await client.send(request(b"two"))
    client.way.shutdown()
    assert not client.line.is_closed
    call.may_go_on.set()
    await settled()
    assert client.line.is_closed
    assert client.answers() == ["usual one", "short two"]
    assert b"connection: close" in client.line.sent.rpartition(b"HTTP/1.1")[2]
    idle = Client({PATH: call})
    idle.way.shutdown()
    assert idle.line.is_closed


async def test_what_is_larger_than_allowed_is_left_to_those_who_refuse_it(call, client):
    call.max_body_bytes = 3
    for body in (b"one", b"two", b"three"):
        await client.send(request(body))
    assert client.answers() == ["usual one", "short two", "usual three"]


@pytest.mark.parametrize("failure", [asyncio.CancelledError(), RuntimeError("unexpected")])
async def test_a_client_whose_answer_fails_is_not_left_waiting(call, client, failure, caplog):
    await client.send(request(b"one"))
    call.failure = failure
    await client.send(request(b"two"))
    assert client.line.is_closed
    assert client.answers() == ["usual one"]
    assert ("unexpected" in caplog.text) == isinstance(failure, RuntimeError)


async def test_a_status_that_the_standard_does_not_name_is_sent_without_a_phrase(call, client):
    for body in (b"one", b"gone"):
        await client.send(request(body))
    assert client.answers() == ["usual one", "short gone"]
    assert b"HTTP/1.1 499 \r\n" in client.line.sent


async def test_only_so_many_heads_are_remembered(call, client):
    for number in range(MAX_HEADS + 1):
        await client.send(request(b"one", "content-type: application/proto", f"x-number: {number}"))
    await client.send(request(b"two", "content-type: application/proto", "x-number: 0"))
    await client.send(request(b"three", "content-type: application/proto", f"x-number: {MAX_HEADS}"))
    assert client.answers()[-2:] == ["usual two", "short three"]


KINDS = (
    ("content-type: application/proto",),
    ("content-type: application/proto", "x-other: 1"),
    ("content-type: application/json",),
)


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from([b"", b"a", b"body", request(b"x")])), max_size=8),
    st.lists(st.integers(0, 1000), max_size=12),
    st.lists(st.booleans(), min_size=13, max_size=13),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_however_requests_arrive_they_are_answered_in_turn(requests, cuts, pauses):
    stream = b"".join(request(body, *kind) for kind, body in requests)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})

    async def play():
        client = Client({PATH: Call()})
        for (start, stop), pause in zip(pairwise(places), pauses, strict=False):
            client.way.data_received(stream[start:stop])
            if pause:
                await settled()
        for _ in requests:
            await settled()
        return [answer.partition(" ")[2] for answer in client.answers()]

    assert asyncio.run(play()) == [body.decode() for _, body in requests]


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", request(b"x")[:40]])
def test_nothing_is_split_that_has_no_whole_head_with_a_length(data):
    assert split(data) is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (NextTaskRequest().SerializeToString(), {}),
        (gzip.compress(b"", mtime=0), {"content-encoding": "gzip"}),
        (gzip.compress(b"", mtime=0)[:-1], {"content-encoding": "gzip"}),
        (b"no gzip", {"content-encoding": "gzip"}),
        (b"\xff", {}),
        (b"", {"authorization": "Bearer tbx_" + "x" * 32}),
        (b"", {"authorization": "Bearer malformed"}),
        (b"", {"authorization": ""}),
        (NextTaskRequest(next_task_to_run={"cluster_slug": "nowhere"}).SerializeToString(), {}),
        (NextTaskRequest(next_task_to_run={}).SerializeToString(), {}),
    ],
)
def test_a_real_server_says_the_same_both_ways(proto, body, headers):
    answers = [
        proto.http.post(
            "/workflows.v1.TaskService/NextTask", content=body, headers={"content-type": "application/proto"} | headers
        )
        for _ in range(2)
    ]
    first, second = answers
    assert (first.status_code, first.content) == (second.status_code, second.content)
    ignored = {"date", "x-request-id"}
    assert {name: value for name, value in first.headers.items() if name not in ignored} == {
        name: value for name, value in second.headers.items() if name not in ignored
    }
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_what_is_larger_than_allowed_is_refused_the_same_both_ways(fresh_server):
    running = fresh_server(max_body_bytes=2000)
    with httpx.Client(
        base_url=running.url,
        headers={"authorization": f"Bearer {running.token}", "content-type": "application/proto"},
    ) as http:
        answers = [
            http.post("/workflows.v1.TaskService/NextTask", content=bytes(size)) for size in (1, 2000, 2001, 2001)
        ]
    assert [answer.status_code for answer in answers] == [400, 400, 413, 413]
    assert answers[2].content == answers[3].content
