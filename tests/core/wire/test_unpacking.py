"""Bodies unpacked in pieces of limited size, however they are cut."""

from __future__ import annotations

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.wire.unpacking import PIECE_BYTES, Unpacker
from tilebox.errors import TransportError


def unpacked(pieces, encoding):
    unpacker = Unpacker("Query", encoding)
    found = []
    for piece in pieces:
        unpacker.feed(piece)
        while one := unpacker.piece():
            assert len(one) <= max(PIECE_BYTES, len(piece))
            found.append(one)
    unpacker.end()
    return b"".join(found)


def cut(body, places):
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:stop] for start, stop in itertools.pairwise(edges)]


@given(
    body=st.binary(),
    places=st.lists(st.integers(0, 10_000)),
    encoding=st.sampled_from(["", "identity", "gzip", "GZip"]),
)
def test_a_body_is_the_same_however_it_is_cut(body, places, encoding):
    sent = gzip.compress(body) if encoding.lower() == "gzip" else body
    assert unpacked(cut(sent, places), encoding) == body


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 40 * PIECE_BYTES])
def test_what_unpacks_to_much_comes_in_pieces(size):
    assert unpacked([gzip.compress(bytes(size))], "gzip") == bytes(size)


def test_an_empty_body_is_empty_in_any_encoding():
    assert unpacked([], "gzip") == unpacked([b""], "gzip") == unpacked([], "identity") == b""


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([gzip.compress(b"abc")[:-1]], "cut off"),
        ([gzip.compress(b"abc"), b"more"], "goes on"),
        ([gzip.compress(b"abc") + b"more"], "goes on"),
        ([b"no gzip"], "cannot be unpacked"),
        ([gzip.compress(b"abc")[:-5] + bytes(5)], "cannot be unpacked"),
    ],
)
def test_a_broken_gzip_stream_is_an_error(pieces, message):
    with pytest.raises(TransportError, match=f"the answer of Query .*{message}"):
        unpacked(pieces, "gzip")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 1_000])
def test_other_encodings_are_refused(encoding):
    with pytest.raises(TransportError, match=r"which nobody asked for") as caught:
        Unpacker("Query", encoding)
    assert len(str(caught.value)) < 200
