"""Bodies decompressed in chunks of limited size, however they are cut."""

from __future__ import annotations

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.wire.decompression import CHUNK_BYTES, Decompressor
from tilebox.errors import TransportError


def decompress(parts, encoding):
    decompressor = Decompressor("Query", encoding)
    chunks = []
    for part in parts:
        decompressor.feed(part)
        while chunk := decompressor.next_chunk():
            assert len(chunk) <= max(CHUNK_BYTES, len(part))
            chunks.append(chunk)
    decompressor.end()
    return b"".join(chunks)


def cut(body, offsets):
    edges = [0, *sorted(offset % (len(body) + 1) for offset in offsets), len(body)]
    return [body[start:stop] for start, stop in itertools.pairwise(edges)]


@given(
    body=st.binary(),
    offsets=st.lists(st.integers(0, 10_000)),
    encoding=st.sampled_from(["", "identity", "gzip", "GZip"]),
)
def test_a_body_is_the_same_however_it_is_cut(body, offsets, encoding):
    sent = gzip.compress(body) if encoding.lower() == "gzip" else body
    assert decompress(cut(sent, offsets), encoding) == body


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 40 * CHUNK_BYTES])
def test_a_large_body_comes_in_chunks(size):
    assert decompress([gzip.compress(bytes(size))], "gzip") == bytes(size)


def test_an_empty_body_is_empty_in_any_encoding():
    assert decompress([], "gzip") == decompress([b""], "gzip") == decompress([], "identity") == b""


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([gzip.compress(b"abc")[:-1]], "cut off"),
        ([gzip.compress(b"abc"), b"more"], "continues after the end of its gzip stream"),
        ([gzip.compress(b"abc") + b"more"], "continues after the end of its gzip stream"),
        ([b"no gzip"], "cannot be decompressed"),
        ([gzip.compress(b"abc")[:-5] + bytes(5)], "cannot be decompressed"),
    ],
)
def test_a_broken_gzip_stream_is_an_error(chunks, message):
    with pytest.raises(TransportError, match=f"the response of Query .*{message}"):
        decompress(chunks, "gzip")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 1_000])
def test_other_encodings_are_refused(encoding):
    with pytest.raises(TransportError, match=r"which was not requested") as caught:
        Decompressor("Query", encoding)
    assert len(str(caught.value)) < 200
