# Source of tests/sync/test_writing.py, which scripts/unasync.py writes.
"""Datapoints stored and deleted."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import httpx
import numpy as np
import pandas as pd
import pytest
import shapely
from support.http.scripted import Faults, Rendezvous
from worlds.aio import Wire, open_client

from tilebox._core.ingest.batches import MAX_REQUEST_BYTES, batch_ranges
from tilebox._core.ingest.rows import encode
from tilebox.aio.datasets.writing import _Columns
from tilebox.datasets import ConflictError, DatasetKind, InvalidArgumentError, NotFoundError, ServerError

FIELDS = [{"name": "number", "type": int}, {"name": "label", "type": str}]
ROWS = 20_000


def frame(count, first=0):
    numbers = np.arange(first, first + count)
    times = np.datetime64("2024-01-01", "ms") + numbers * np.timedelta64(1000, "ms")
    return pd.DataFrame({"time": times, "number": numbers, "label": [f"label {one}" for one in numbers]})


async def a_collection(client, slug):
    dataset = await client.create_or_update_dataset(DatasetKind.TEMPORAL, slug, FIELDS)
    return await dataset.create_collection("a")


async def test_many_datapoints_keep_their_order(either, slug):
    collection = await a_collection(either, slug)
    shuffled = frame(ROWS).sample(frac=1, random_state=3)
    told = []
    ids = await collection.ingest(shuffled, show_progress=told.append)
    assert (len(ids), ids.created, ids.existing) == (ROWS, ROWS, 0)
    assert all(isinstance(one, UUID) for one in ids)
    assert told == sorted(told)
    assert told[-1] == 1.0
    loaded = await collection.load(("2024", "2025"))
    by_id = dict(zip(loaded.id.to_numpy().tolist(), loaded.number.to_numpy().tolist(), strict=True))
    assert [by_id[str(one)] for one in ids] == shuffled.number.tolist()
    assert (await collection.info()).count == ROWS


async def test_a_collection_never_shows_what_it_held_before(client, slug):
    collection = await a_collection(client, slug)
    assert repr(collection) == "Collection a: <empty> (0 data points)"
    ids = await collection.ingest(frame(3))
    assert repr(collection) == "Collection a: <availability unknown, ask info()>"
    await collection.info()
    shown = "[2024-01-01T00:00:00.000 UTC, 2024-01-01T00:00:02.000 UTC]"
    assert repr(collection) == f"Collection a: {shown} (3 data points)"
    assert shown in collection._repr_html_()
    await collection.delete(ids[2])
    assert repr(collection) == "Collection a: <availability unknown, ask info()>"
    assert repr(await collection.info()).endswith("00:00:01.000 UTC] (2 data points)")


async def test_the_same_data_again_changes_nothing(client, slug):
    collection = await a_collection(client, slug)
    first = await collection.ingest(frame(10))
    again = await collection.ingest(frame(12))
    assert again[:10] == first
    assert (again.created, again.existing) == (2, 10)
    with pytest.raises(ConflictError):
        await collection.ingest(frame(13), allow_existing=False)
    assert (await collection.info()).count == 12


@pytest.mark.parametrize("form", ["frame", "columns", "rows", "dataset"])
async def test_every_form_of_data(either, slug, form):
    data = frame(5)
    forms = {
        "frame": data,
        "columns": {name: data[name].tolist() for name in data},
        "rows": data.to_dict("records"),
        # Older versions of xarray know nanoseconds only.
        "dataset": data.astype({"time": "datetime64[ns]"}).set_index("time").to_xarray(),
    }
    collection = await a_collection(either, slug)
    await collection.ingest(forms[form])
    loaded = await collection.load(("2024", "2025"))
    assert loaded.number.to_numpy().tolist() == list(range(5))
    # What was loaded can be stored elsewhere.
    other = await (await either.dataset(slug)).create_collection("b")
    assert (await other.ingest(loaded)).created == 5


async def test_nothing_is_stored_if_one_value_does_not_fit(either, slug):
    collection = await a_collection(either, slug)
    either.wire.methods.clear()
    with pytest.raises(ValueError, match="number"):
        await collection.ingest([{"time": "2024-01-01", "number": 1}, {"time": "2024-01-01", "number": "many"}])
    with pytest.raises(ValueError, match="colour"):
        await collection.ingest({"time": ["2024-01-01"], "colour": ["red"]})
    with pytest.raises(ValueError, match="time"):
        await collection.ingest({"number": [1]})
    assert either.wire.methods == []


async def test_several_batches_are_under_way_at_once(client, paged_server, slug, monkeypatch):
    monkeypatch.setattr("tilebox._core.schema.arrow_schema.MAX_INGESTED_ROWS", ROWS // 2)
    await a_collection(client, slug)
    other = open_client(paged_server.url, paged_server.token, wire=Rendezvous(Wire(), "Ingest", 2))
    ids = await (await (await other.dataset(slug)).collection("a")).ingest(frame(ROWS))
    assert len(ids) == ROWS


async def test_rows_that_become_larger_further_down_make_more_requests(client, slug):
    pytest.importorskip("pyarrow")
    collection = await a_collection(client, slug)
    schema = (await client.dataset(slug)).schema
    data = frame(2_000)
    data["label"] = ["small"] * 1_200 + ["large" * 10_000] * 800
    sender = _Columns(collection.id, encode(schema, data), allow_existing=True)
    (batch,) = batch_ranges(2_000, sender.batch_rows)
    calls = await sender.calls(*batch)
    assert len(calls) > 1
    assert all(len(call.body()) < 2 * MAX_REQUEST_BYTES for _, _, call in calls)
    assert [start for start, _, _ in calls] == [0, *(stop for _, stop, _ in calls[:-1])]
    assert calls[-1][1] == 2_000


async def test_no_datapoints_are_no_error(client, slug):
    collection = await a_collection(client, slug)
    assert await collection.ingest(frame(0)) == []
    assert await collection.delete([]) == 0


async def test_a_failure_between_batches_says_what_is_stored(faults, paged_server, slug, monkeypatch):
    monkeypatch.setattr("tilebox._core.schema.arrow_schema.MAX_INGESTED_ROWS", 8_192)
    collection = await a_collection(faults(), slug)
    failing = Faults(
        Wire(),
        plan={"Ingest": [None, None, httpx.Response(500, content=b'{"code": "internal", "message": "disk full"}')]},
    )
    client = open_client(paged_server.url, paged_server.token, wire=failing)
    collection = await (await client.dataset(slug)).collection("a")
    with pytest.raises(ServerError, match="disk full") as caught:
        await collection.ingest(frame(ROWS))
    found = re.fullmatch(
        r"in rows ([\d,]+) to [\d,]+ of 20,000, counted from 0: the server failed .*disk full; "
        r"at least ([\d,]+) datapoints of this call are stored, .* again with allow_existing=True to store the rest",
        str(caught.value),
    )
    assert found[1] in {"0", "8,192", "16,384"}
    assert int(found[2].replace(",", "")) == (await collection.info()).count > 0
    again = await collection.ingest(frame(ROWS))
    assert again.created + again.existing == ROWS
    assert (await collection.info()).count == ROWS


@pytest.mark.parametrize("allow_existing", [True, False])
async def test_what_only_the_server_finds_is_told_by_the_rows_of_the_call(either, slug, monkeypatch, allow_existing):
    monkeypatch.setattr("tilebox._core.schema.arrow_schema.MAX_INGESTED_ROWS", 8_192)
    dataset = await either.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, FIELDS)
    collection = await dataset.create_collection("a")
    data = frame(ROWS)
    data["geometry"] = shapely.Point(10, 50)
    data.loc[[17_000, 19_999], "geometry"] = [shapely.Point(10, 91), shapely.Polygon([(0, 0), (1, 1), (0, 1), (1, 0)])]
    with pytest.raises(InvalidArgumentError) as caught:
        await collection.ingest(data, allow_existing=allow_existing)
    text = str(caught.value)
    assert text.startswith("in rows 16,384 to 19,999 of 20,000, counted from 0: 2 of 3616 datapoints rejected")
    assert ": datapoint 17000: field 'geometry': latitude 91" in text
    assert "; datapoint 19999: field 'geometry': the Polygon is not valid" in text
    assert "; 16,384 datapoints of this call are stored, in whole batches" in text
    assert (caught.value.code, len(caught.value.request_id) > 0) == ("invalid_argument", True)
    assert (caught.value.message, caught.value.args) == (text, (text,))
    assert (await collection.info()).count == 16_384
    data.loc[[17_000, 19_999], "geometry"] = shapely.Point(10, 50)
    assert (await collection.ingest(data)).created == 3_616


async def test_a_call_that_is_one_request_keeps_its_error(either, slug):
    dataset = await either.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, FIELDS)
    collection = await dataset.create_collection("a")
    with pytest.raises(InvalidArgumentError, match=r"^1 of 2 datapoints rejected, nothing .*: datapoint 1: field"):
        await collection.ingest({"time": [0, 1], "geometry": [None, shapely.Point(10, 91)]})


async def test_what_cannot_be_stored_is_not_sent(either, slug):
    dataset = await either.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, FIELDS)
    collection = await dataset.create_collection("a")
    either.wire.methods.clear()
    for footprint, reason in (
        (shapely.LineString([(0, 0), (1, 1)]), "a LineString cannot be used"),
        (shapely.Polygon(), "the Polygon is empty"),
        (shapely.set_srid(shapely.Point(500_000, 5_500_000), 32632), "EPSG:32632"),
    ):
        with pytest.raises(ValueError, match=rf"Record 1: Field 'geometry': .*{reason}"):
            await collection.ingest({"time": [0, 1], "geometry": [None, footprint]})
    assert either.wire.methods == []


async def test_deleting(client, slug):
    collection = await a_collection(client, slug)
    ids = await collection.ingest(frame(10))
    assert await collection.delete(ids[0]) == 1
    assert await collection.delete([str(ids[1]), ids[2]]) == 2
    assert await collection.delete((await collection.load(("2024", "2025"))).isel(time=slice(2))) == 2
    assert await collection.delete((await collection.load(("2024", "2025"))).isel(time=0)) == 1
    assert (await collection.load(("2024", "2025"))).number.to_numpy().tolist() == [6, 7, 8, 9]
    with pytest.raises(NotFoundError):
        await collection.delete([ids[9], uuid4()])
    assert (await collection.info()).count == 4
    for wrong in ("x", ["x"]):
        with pytest.raises(ValueError, match="is not a valid datapoint id"):
            await collection.delete(wrong)
    with pytest.raises(TypeError):
        await collection.delete(5)


async def test_many_are_deleted_batch_by_batch(client, slug):
    collection = await a_collection(client, slug)
    ids = await collection.ingest(frame(9_000))
    assert await collection.delete(ids) == 9_000
    info = await collection.info()
    assert (info.count, info.availability) == (0, None)
