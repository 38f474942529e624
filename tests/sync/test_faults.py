# Generated from tests/aio/test_faults.py by scripts/unasync.py; do not edit.
"""Faults on the way: retried where that is safe, raised where it is not, and never short data."""

from __future__ import annotations

import gzip
import logging
import traceback

import httpx
import pytest
from support.http.scripted import Cut, Script, proto, refusal
from worlds.sync import IMPATIENT, open_client

from tilebox._core.protocol.datasets.v1 import core_pb2, data_access_pb2, datasets_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.values import ids
from tilebox.datasets import (
    ConflictError,
    DatasetKind,
    NotFoundError,
    PageError,
    RateLimitedError,
    ServerError,
    TileboxError,
    TransportError,
)
from tilebox.errors import RequestTooLargeError

ROWS = 300
YEAR = ("2024-01-01", "2025-01-01")
CANARY = "canary-7c1e"
RESET = httpx.ReadError("connection reset by peer")
GATEWAY = httpx.Response(502, content=b"<html>Bad Gateway</html>")


def loaded(client, slug, **options):
    collection = (client.dataset(slug)).collection("even")
    client.wire.methods.clear()
    return collection.query(temporal_extent=YEAR, **options)


def numbers(data):
    return data.number.values.tolist()


EVERYTHING = list(range(0, 2 * ROWS, 2))


@pytest.mark.parametrize("fault", [RESET, GATEWAY, Cut(50), Cut(50, is_reset=False), Cut(0), refusal("unavailable")])
def test_a_page_that_fails_is_fetched_again_and_only_that_page(faults, filled, fault):
    client = faults(hides_extensions=True, Query=[None, None, fault])
    assert numbers(loaded(client, filled)) == EVERYTHING
    assert len(client.wire.methods) == -(-ROWS // 40) + 1


def first_batch_bytes(faults, slug):
    """Return how long an answer is without its closing batch."""
    cut = Cut(1 << 30)
    loaded(faults(QueryArrow=[cut]), slug)
    return cut.seen.rindex(b"\xff\xff\xff\xff", 0, cut.seen.index(b"tilebox.rows"))


@pytest.mark.parametrize("place", ["nothing", "marker", "schema", "within a batch", "behind a batch", "closing batch"])
@pytest.mark.parametrize("is_reset", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_a_stream_that_is_cut_is_taken_up(faults, filled, place, is_reset, descending):
    whole = first_batch_bytes(faults, filled)
    places = {"nothing": 0, "marker": 5, "schema": 300, "within a batch": whole // 2, "behind a batch": whole}
    cut = places.get(place, whole + 100)
    client = faults(QueryArrow=[Cut(cut, is_reset=is_reset), GATEWAY, Cut(70)])
    data = loaded(client, filled, descending=descending)
    assert numbers(data) == sorted(EVERYTHING, reverse=descending)
    assert client.wire.methods == ["QueryArrow"] * 4


def test_a_stream_that_is_cut_when_all_that_was_wanted_is_there_is_complete(faults, filled):
    whole = first_batch_bytes(faults, filled)
    client = faults(QueryArrow=[Cut(whole)])
    assert numbers(loaded(client, filled, limit=ROWS)) == EVERYTHING
    assert client.wire.methods == ["QueryArrow"]


@pytest.mark.parametrize("hides_extensions", [True, False])
def test_what_never_arrives_is_an_error_and_never_short_data(faults, filled, hides_extensions):
    client = faults(
        hides_extensions=hides_extensions, Query=[None] + [RESET] * 9, QueryArrow=[Cut(4_000)] + [RESET] * 9
    )
    with pytest.raises(TransportError, match="connection reset by peer") as caught:
        loaded(client, filled)
    assert "tried 4 times" in caught.value.__notes__
    assert len(client.wire.methods) == 1 + IMPATIENT.attempts - (not hides_extensions)


def test_a_stream_that_cannot_be_taken_up_is_a_page_error(faults, filled):
    # Behind the one batch that holds everything, and before the closing one.
    client = faults(QueryArrow=[Cut(first_batch_bytes(faults, filled)), refusal("not_found", "it is gone")])
    with pytest.raises(PageError, match="cannot be resumed: it is gone; load it again"):
        loaded(client, filled)


def test_pages_are_as_safe_as_loads(faults, filled):
    client = faults(QueryArrow=[Cut(4_000), RESET])
    collection = (client.dataset(filled)).collection("even")
    found = [number for page in collection.iter_pages(page_size=7) for number in numbers(page)]
    assert found == EVERYTHING


# From here on against a script, since no real server does these things.

DATASET = core_pb2.Dataset(id=ids.to_wire(ids.UUID(int=7)), slug="a.b", code_name="b", name="B")
COLLECTIONS = [core_pb2.CollectionInfo(collection=core_pb2.Collection(name="c", id=ids.to_wire(ids.UUID(int=8))))]


def a_dataset():
    from tilebox._core.schema.fields import Schema

    message = core_pb2.Dataset()
    message.CopyFrom(DATASET)
    message.type.CopyFrom(Schema.of(DatasetKind.TEMPORAL, (), "a.B").to_annotated_type())
    return message


def a_page(count, cursor=None):
    from google.protobuf.timestamp_pb2 import Timestamp

    page = data_access_pb2.QueryResultPage()
    from tilebox._core.protocol.datasets.v1.dataset_type_pb2 import TemporalDatapoint

    for number in range(count):
        identity = id_pb2.ID(uuid=(number + 1).to_bytes(6, "big") + bytes(10))
        page.data.value.append(TemporalDatapoint(time=Timestamp(seconds=number), id=identity).SerializeToString())
    if cursor is not None:
        page.next_page.starting_after.uuid = cursor.to_bytes(6, "big") + bytes(10)
    return proto(page)


def scripted(*pages, url="http://box:1", token=CANARY):
    from tilebox._core.protocol.datasets.v1.collections_pb2 import ListCollectionsResponse

    script = Script(proto(a_dataset()), proto(ListCollectionsResponse(data=COLLECTIONS)), *pages)
    return open_client(url, token, wire=script), script


@pytest.mark.parametrize(("second", "message"), [(5, "repeats the cursor"), (4, "goes back in time")])
def test_a_server_that_repeats_itself_is_caught(second, message):
    client, script = scripted(a_page(3, cursor=5), a_page(3, cursor=second))
    collection = (client.dataset("a.b")).collection("c")
    with pytest.raises(PageError, match=message):
        collection.load(YEAR)
    assert script.methods[2:] == ["Query", "Query"]


def test_an_empty_page_in_between_is_not_the_end():
    client, _ = scripted(a_page(3, cursor=5), a_page(0, cursor=6), a_page(2))
    collection = (client.dataset("a.b")).collection("c")
    assert (collection.load(YEAR)).sizes["time"] == 5
    assert collection.count() == 2


def test_a_malformed_datapoint_is_raised_and_nothing_hangs():
    bad = data_access_pb2.QueryResultPage()
    bad.data.value.append(b"\xff\xff\xff")
    bad.next_page.starting_after.uuid = (9).to_bytes(6, "big") + bytes(10)
    client, script = scripted(
        *[a_page(3, cursor=5 + i) for i in range(3)], proto(bad), *[a_page(1, cursor=90 + i) for i in range(30)]
    )
    collection = (client.dataset("a.b")).collection("c")
    with pytest.raises(ValueError, match=r"(?i)datapoint|parse|wire"):
        collection.load(YEAR)
    assert len(script.requests) < 15


@pytest.mark.parametrize(
    ("answer", "error", "requests"),
    [
        (refusal("not_found", "x"), NotFoundError, 2),
        (refusal("resource_exhausted"), RateLimitedError, 4),
        (refusal("unavailable"), TransportError, 4),
        (refusal("internal"), ServerError, 1),
        (refusal("unimplemented"), ServerError, 1),
        (httpx.Response(413, content=b"too large"), RequestTooLargeError, 1),
        (GATEWAY, TransportError, 4),
        (httpx.ConnectError("refused"), TransportError, 4),
        (httpx.ReadTimeout("too long"), TimeoutError, 4),
        (httpx.Response(200, content=b"\xff\xff\xff"), TransportError, 4),
    ],
)
def test_reads_are_repeated_where_that_may_help(answer, error, requests):
    script = Script(answer)
    with pytest.raises(error):
        open_client("http://box:1", CANARY, wire=script).dataset("a.b")
    assert len(script.requests) == requests


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (RESET, 1),
        (GATEWAY, 1),
        (httpx.ReadTimeout("too long"), 1),
        (httpx.ConnectError("refused"), 4),
        (refusal("resource_exhausted"), 4),
    ],
)
def test_what_may_have_happened_is_not_done_twice(answer, requests):
    script = Script(answer)
    with pytest.raises((TransportError, RateLimitedError)):
        open_client("http://box:1", CANARY, wire=script).create_or_update_dataset(DatasetKind.TEMPORAL, "a.b")
    assert len(script.requests) == requests


def test_a_conflict_that_is_none_of_ours_is_raised():
    script = Script(refusal("already_exists", "taken"), proto(datasets_pb2.ListDatasetsResponse()))
    with pytest.raises(ConflictError, match="taken"):
        open_client("http://box:1", CANARY, wire=script).create_or_update_dataset(DatasetKind.TEMPORAL, "a.b")
    assert script.methods == ["CreateDataset", "ListDatasets"]


def test_requests_are_as_connect_describes_them():
    client, script = scripted()
    client.dataset("a.b")
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", "http://box:1/datasets.v1.DatasetService/GetDataset")
    assert request.headers["content-type"] == "application/proto"
    assert request.headers["connect-protocol-version"] == "1"
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.headers["accept-encoding"] == "identity"
    assert datasets_pb2.GetDatasetRequest.FromString(request.content).slug == "a.b"


def test_large_requests_are_compressed_over_tls_only():
    long = "x" * 100_000
    for url in ("https://box", "http://box:1"):
        script = Script(proto(a_dataset()))
        open_client(url, CANARY, wire=script).create_or_update_dataset(
            DatasetKind.TEMPORAL, "a.b", description=long
        )
        (request,) = script.requests
        encrypted = url.startswith("https")
        assert request.headers.get("content-encoding") == ("gzip" if encrypted else None)
        body = gzip.decompress(request.content) if encrypted else request.content
        assert datasets_pb2.CreateDatasetRequest.FromString(body).description == long


def test_open_data_needs_no_key(monkeypatch):
    monkeypatch.delenv("TILEBOX_API_KEY", raising=False)
    script = Script(proto(datasets_pb2.ListDatasetsResponse()))
    client = open_client("https://api.tilebox.com", wire=script)
    client.datasets()
    assert script.requests[0].url.path == "/public/datasets.v1.DatasetService/ListDatasets"
    assert "authorization" not in script.requests[0].headers


@pytest.mark.parametrize("fault", [RESET, GATEWAY, refusal("unauthenticated", "unknown key"), refusal("internal")])
def test_the_key_shows_nowhere(fault, caplog, capsys):
    script = Script(fault)
    client = open_client("http://box:1", CANARY, wire=script)
    with caplog.at_level(logging.DEBUG), pytest.raises(TileboxError) as caught:
        client.datasets()
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    output = capsys.readouterr()
    for text in (caplog.text, output.out, output.err, repr(client), repr(vars(client)), *map(str, caught.value.args)):
        assert CANARY not in text
    assert CANARY not in "".join(trace.format())


def test_the_message_of_the_server_is_logged_without_its_styling(caplog):
    script = Script(proto(datasets_pb2.ListDatasetsResponse(server_message="[yellow]update[/yellow] soon")))
    with caplog.at_level(logging.INFO, "tilebox"):
        open_client("http://box:1", CANARY, wire=script).datasets()
    assert "update soon" in caplog.text
