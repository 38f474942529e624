"""Answers of HTTP/1.1 that arrive in pieces of any size, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.http1 import BUFFER_BYTES, BadAnswerError, BadRequestError, Incoming, request_head

OK = b"HTTP/1.1 200 OK\r\n"


def chunked(*parts: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part]
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


def sized(body: bytes) -> bytes:
    return OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)


class Wire:
    """Bytes that arrive a piece at a time; their end is the end of the connection."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.left, self.piece = data, piece

    def receive_into(self, room: memoryview) -> int:
        assert len(room) > 0
        piece = self.left[: min(self.piece, len(room))]
        room[: len(piece)] = piece
        self.left = self.left[len(piece) :]
        return len(piece)


def read_head(incoming, wire):
    while (head := incoming.head()) is None:
        assert incoming.arrived(wire.receive_into(incoming.room())) is None
    return head


def read_body(incoming, wire, space: int = 50_000) -> bytes:
    body = b""
    while True:
        target = memoryview(bytearray(space))
        while (count := incoming.take(target)) is None:
            count = incoming.arrived(wire.receive_into(incoming.room(target)))
            if count is not None:
                break
        if count == 0:
            return body
        body += target[:count]


def answer(data: bytes, piece: int = 1 << 20, space: int = 50_000):
    incoming, wire = Incoming(), Wire(data, piece)
    head = read_head(incoming, wire)
    return head, read_body(incoming, wire, space), incoming


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 400), st.integers(1, 500))
def test_chunks_come_together_however_they_arrive(parts, piece, space):
    head, body, incoming = answer(chunked(*parts, extension=b" ;a=b", trailers=b"x-sum: 1\r\n"), piece, space)
    assert (head.status, body) == (200, b"".join(parts))
    assert incoming.is_reusable


@given(st.binary(max_size=600), st.integers(1, 400), st.integers(1, 500))
def test_a_body_of_known_length_comes_together(whole, piece, space):
    _, body, incoming = answer(sized(whole), piece, space)
    assert body == whole
    assert incoming.is_reusable


@pytest.mark.parametrize("form", [chunked, sized])
@pytest.mark.parametrize("piece", [1_000, 100_000, 10_000_000])
@pytest.mark.parametrize("space", [70_000, 1_000_000])
def test_a_large_body_goes_straight_to_where_it_is_wanted(form, piece, space):
    whole = bytes(range(256)) * 3_000
    _, body, incoming = answer(form(whole), piece, space)
    assert body == whole
    assert incoming.is_reusable


@given(st.data())
def test_an_answer_that_is_cut_off_is_an_error(data):
    whole = data.draw(st.sampled_from([chunked(b"abc", b"d" * 90, trailers=b"x: 1\r\n"), sized(b"a" * 90)]))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(BadAnswerError, match="closed the connection before"):
        answer(cut, data.draw(st.integers(1, 120)))


@given(st.binary(max_size=300), st.integers(1, 400))
def test_what_is_left_is_taken_at_once_if_it_is_all_there(whole, piece):
    incoming, wire = Incoming(), Wire(sized(whole), piece)
    read_head(incoming, wire)
    while (rest := incoming.rest()) is None:
        assert not incoming.is_reusable
        assert incoming.arrived(wire.receive_into(incoming.room())) is None
    assert rest == whole
    assert incoming.is_reusable
    assert incoming.take(memoryview(bytearray(9))) == 0


def test_what_is_left_is_taken_piece_by_piece_where_nobody_knows_how_much_it_is():
    for data in (chunked(b"one"), OK + b"\r\none"):
        incoming, wire = Incoming(), Wire(data, 1 << 20)
        read_head(incoming, wire)
        assert incoming.rest() is None
        assert read_body(incoming, wire) == b"one"


def test_without_a_length_the_end_of_the_connection_is_the_end():
    _, body, incoming = answer(OK + b"\r\n" + b"a" * 100_000, 1_000)
    assert body == b"a" * 100_000
    assert not incoming.is_reusable


def test_one_answer_follows_the_other():
    incoming, wire = Incoming(), Wire(chunked(b"one") + sized(b"two") + chunked(b"three"), 7)
    bodies = []
    for _ in range(3):
        read_head(incoming, wire)
        bodies.append(read_body(incoming, wire))
    assert bodies == [b"one", b"two", b"three"]


def test_remarks_on_the_way_are_passed_over():
    head, body, _ = answer(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + sized(b"a"), 5)
    assert (head.status, body) == (200, b"a")


def test_a_status_without_a_body_has_none():
    head, body, incoming = answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (head.status, body, incoming.is_reusable) == (204, b"", True)


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Connection: close\r\ncontent-length: 1\r\n\r\na",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na",
        sized(b"a") + b"more",
    ],
)
def test_a_connection_that_ends_or_says_more_is_not_used_again(data):
    _, body, incoming = answer(data)
    assert body == b"a"
    assert not incoming.is_reusable


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no HTTP/1.1"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP/1.1"),
        (OK + b"a" * BUFFER_BYTES, "does not end"),
        (OK + b"no colon\r\n\r\n", "malformed header"),
        (OK + b"name : value\r\n\r\n", "malformed header"),
        (OK + b"content-length: -1\r\n\r\n", "no proper length"),
        (OK + b"transfer-encoding: gzip\r\n\r\n", "transfer encoding of its own"),
        (OK + b"transfer-encoding: chunked\r\n\r\n-1\r\n", "not cut into chunks"),
        (OK + b"transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n", "not cut into chunks"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than announced"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * BUFFER_BYTES, "does not end"),
    ],
)
def test_what_is_no_answer_is_an_error(data, message):
    with pytest.raises(BadAnswerError, match=message):
        answer(data)


def test_a_request_has_its_headers():
    head = request_head(b"POST", b"/a?b", [(b"Host", b"box"), (b"content-length", b"3")])
    assert head == b"POST /a?b HTTP/1.1\r\nHost: box\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\0"])
def test_a_header_cannot_smuggle_another(value):
    with pytest.raises(BadRequestError, match="line break"):
        request_head(b"POST", b"/", [(b"authorization", value)])
