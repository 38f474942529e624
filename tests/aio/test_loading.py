# Source of tests/sync/test_loading.py, which scripts/unasync.py writes.
"""Loading datapoints, over Arrow streams and over protobuf pages: the same results either way."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
import shapely
import xarray as xr
from support.http.scripted import Rendezvous
from worlds.aio import Wire, open_client, together

from tilebox.datasets import NotFoundError, TimeInterval, field

ROWS, PAGE_ROWS = 300, 40
YEAR = ("2024-01-01", "2025-01-01")


async def opened(client, slug, name="even"):
    collection = await (await client.dataset(slug)).collection(name)
    client.wire.methods.clear()
    return collection


async def test_an_interval_is_loaded_in_full_and_in_order(either, filled):
    collection = await opened(either, filled)
    data = await collection.load(YEAR)
    assert data.number.values.tolist() == list(range(0, 2 * ROWS, 2))
    assert data.label.values[3] == "label 6"
    assert np.allclose(data.center.values[3], [0.6, 0.3])
    assert set(data.coords) == {"time", "id", "ingestion_time", "latlon"}
    assert data.time.dtype == "datetime64[ns]"
    # One request a query, or a page.
    pages = -(-ROWS // PAGE_ROWS)
    assert either.wire.methods == (["QueryArrow"] if either.uses_arrow else ["Query"] * pages)


@pytest.mark.parametrize(
    ("extent", "numbers"),
    [
        (("2024-01-01T00:00:04", "2024-01-01T00:00:08"), [4, 6]),
        (["2024-01-01T00:00:04", "2024-01-01T00:00:08"], [4, 6, 8]),
        ("2024-01-01 00:00:04", [4]),
        (datetime(2024, 1, 1, 0, 0, 4, 999), [4]),
        (1704067204, [4]),
        (np.array(["2024-01-01T00:00:03", "2024-01-01T00:00:06"], "datetime64[ns]"), [4, 6]),
        (TimeInterval(datetime(2024, 1, 1, 0, 0, 4), datetime(2024, 1, 1, 0, 0, 8, tzinfo=UTC), True, True), [6, 8]),
        (("2024-01-01T00:00:04", "2024-01-01T00:00:04"), []),
        ("1997-02-06 10:21:00", []),
        ("1901-02-06 10:21:00", []),
    ],
)
async def test_times_and_intervals(either, filled, extent, numbers):
    data = await (await opened(either, filled)).load(extent)
    if numbers:
        assert data.number.values.tolist() == numbers
    else:
        assert data.identical(xr.Dataset())


async def test_the_times_of_one_result_load_another(either, filled):
    collection = await opened(either, filled)
    meta_data = await collection.load(YEAR, skip_data=True)
    assert set(meta_data.variables) == {"time", "id", "ingestion_time"}
    first = await collection.load(meta_data.time[:50])
    assert first.sizes["time"] == 50
    assert (await collection.load(first)).identical(first)
    assert (await collection.load(first.isel(time=7))).number.values.tolist() == [14]


async def test_both_ways_and_lazily_the_result_is_identical(faults, filled):
    arrow, pages = faults(), faults(hides_extensions=True)
    eager = await (await opened(arrow, filled)).load(YEAR)
    assert (await (await opened(arrow, filled)).load(YEAR, lazy=True)).identical(eager)
    assert (await (await opened(pages, filled)).load(YEAR)).identical(eager)
    assert (await (await opened(pages, filled)).load(YEAR, lazy=True)).identical(eager)


@pytest.mark.parametrize("limit", [1, 39, 40, 41, 299, 300, 301])
@pytest.mark.parametrize("descending", [False, True])
async def test_limit_and_order(either, filled, limit, descending):
    numbers = sorted(range(0, 2 * ROWS, 2), reverse=descending)[:limit]
    data = await (await opened(either, filled)).query(limit=limit, descending=descending)
    assert data.number.values.tolist() == numbers


async def test_filters(either, filled):
    collection = await opened(either, filled)
    condition = (field("number") >= 10) & ((field("label") == "label 12") | (field("number") < 12))
    assert (await collection.query(filter=condition)).number.values.tolist() == [10, 12]
    assert await collection.count(filter=condition) == 2
    with pytest.raises(ValueError, match="queryable fields: number, label"):
        await collection.query(filter=field("center") == 5)
    with pytest.raises(TypeError, match=r'built with field\("name"\)'):
        await collection.query(filter="number > 3")


async def test_several_collections(either, filled):
    dataset = await either.dataset(filled)
    collections = await dataset.collections()
    everything = list(range(2 * ROWS))
    named = [None, ["even", "odd"], collections, [collections["even"], collections["odd"].id]]
    for choice in named:
        assert (await dataset.query(collections=choice, temporal_extent=YEAR)).number.values.tolist() == everything
        assert await dataset.count(collections=choice) == 2 * ROWS
    info = await collections["odd"].info()
    for one in ("odd", info, collections["odd"], info.id):
        assert (await dataset.query(collections=one, limit=2)).number.values.tolist() == [1, 3]


async def test_a_wrong_collection_fails_before_anything_is_loaded(either, filled):
    dataset = await either.dataset(filled)
    either.wire.methods.clear()
    with pytest.raises(NotFoundError, match=r"No such collection evn; did you mean even\?"):
        await dataset.query(collections=["evn"])
    assert either.wire.methods == ["ListCollections"]
    with pytest.raises(ValueError, match="pass None to query all collections"):
        await dataset.query(collections=[])
    with pytest.raises(ValueError, match="at most 100"):
        await dataset.query(collections=[uuid4() for _ in range(101)])
    with pytest.raises(TypeError, match="must be a name or an id"):
        await dataset.query(collections=[5])


@pytest.mark.parametrize("page_size", [1, 7, 40, 100, 299, 300, 1000])
async def test_pages_of_one_size(either, filled, page_size):
    collection = await opened(either, filled)
    whole = await collection.load(YEAR)
    sizes, found = [], []
    async for page in collection.iter_pages(temporal_extent=YEAR, page_size=page_size, limit=299):
        sizes.append(page.sizes["time"])
        found.append(page)
    assert sizes == [page_size] * (299 // page_size) + [299 % page_size] * (299 % page_size > 0)
    assert xr.concat(found, dim="time").identical(whole.isel(time=slice(299)))


async def test_pages_of_a_dataset_and_from_the_latest(client, filled):
    dataset = await client.dataset(filled)
    found = [
        page.number.values.tolist()
        async for page in dataset.iter_pages(collections="odd", descending=True, limit=5, page_size=3)
    ]
    assert found == [[599, 597, 595], [593, 591]]
    assert [page async for page in dataset.iter_pages(temporal_extent="1999", page_size=3)] == []
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="page_size must be at least 1"):
            dataset.iter_pages(page_size=wrong)
    with pytest.raises(TypeError, match="limit must be a whole number"):
        dataset.iter_pages(limit=1.5)


async def test_pages_left_early_leave_nothing_behind(either, filled):
    collection = await opened(either, filled)
    async for page in collection.iter_pages(page_size=10):
        assert page.sizes["time"] == 10
        break
    assert await collection.count() == ROWS


async def test_a_server_without_order_cannot_page_backwards(faults, filled):
    collection = await opened(faults(hides_extensions=True), filled)
    with pytest.raises(ValueError, match="cannot return pages in descending order"):
        async for _ in collection.iter_pages(descending=True):
            pass


async def test_find(either, filled):
    dataset = await either.dataset(filled)
    collection = await dataset.collection("even")
    some = (await collection.load("2024-01-01T00:00:06")).isel(time=0)
    for identity in (str(some.id.values), UUID(str(some.id.values)), some.id):
        found = await collection.find(identity)
        assert found.identical(some)
        assert not found.sizes.get("time")
    assert (await dataset.find(str(some.id.values))).identical(some)
    assert (await dataset.find(str(some.id.values), collections=["even"])).identical(some)
    assert set((await collection.find(str(some.id.values), skip_data=True)).variables) == {
        "time",
        "id",
        "ingestion_time",
    }


async def test_find_nothing(either, filled):
    dataset = await either.dataset(filled)
    collection = await dataset.collection("odd")
    elsewhere = (await (await dataset.collection("even")).load("2024-01-01T00:00:06")).isel(time=0).id
    for identity in (str(uuid4()), str(elsewhere.values)):
        with pytest.raises(NotFoundError, match=f"No such datapoint {identity}"):
            await collection.find(identity)
    either.wire.methods.clear()
    with pytest.raises(ValueError, match="is not a valid datapoint id"):
        await collection.find("invalid")
    with pytest.raises(TypeError, match="datapoint id must be a UUID"):
        await collection.find(5)
    assert either.wire.methods == []


async def test_count(either, filled):
    collection = await opened(either, filled)
    assert await collection.count() == ROWS
    assert await collection.count(temporal_extent=("2024-01-01", "2024-01-01T00:00:10")) == 5
    assert await collection.count(temporal_extent="1999") == 0


async def test_arguments_are_checked_before_any_request(either, filled):
    collection = await opened(either, filled)
    for wrong in ({"temporal_extent": ("2025", "2024")}, {"limit": 0}, {"spatial_extent": shapely.Point()}):
        with pytest.raises(ValueError, match=r"swap the two|at least 1|is empty"):
            await collection.query(**wrong)
    for wrong in ({"temporal_extent": object()}, {"limit": "5"}, {"spatial_extent": "POINT (1 2)"}):
        with pytest.raises(TypeError, match=r"is not a time interval|whole number|must be a shapely geometry"):
            await collection.query(**wrong)
    with pytest.raises(ValueError, match="mode of a spatial extent must be one of"):
        await collection.query(spatial_extent={"geometry": shapely.box(0, 0, 1, 1), "mode": "near"})
    assert either.wire.methods == []


async def test_progress_is_told_step_by_step(faults, filled):
    collection = await opened(faults(hides_extensions=True), filled)
    told = []
    await collection.load(YEAR, show_progress=told.append)
    assert told == sorted(told)
    assert len(told) == -(-ROWS // PAGE_ROWS) + 1
    assert 0 < told[0] < 0.5
    assert told[-1] == 1.0


async def test_a_progress_bar_appears_with_the_second_page_only(either, filled, capsys):
    collection = await opened(either, filled)
    await collection.load("2024-01-01T00:00:04", show_progress=True)
    await collection.load(YEAR, show_progress=True)
    output = capsys.readouterr()
    # Standard error is no terminal here, where a bar would only spoil a log.
    assert (output.out, output.err) == ("", "")


async def test_the_way_taken_is_told_at_debug_level(faults, filled, caplog):
    collection = await opened(faults(hides_extensions=True), filled)
    with caplog.at_level(logging.DEBUG, "tilebox"):
        await collection.load("2024-01-01T00:00:04")
    assert "no Arrow streams: loading Filled/even as protobuf pages" in caplog.text


async def test_four_loads_at_once(paged_server, filled):
    # No load gets an answer before all four have asked.
    client = open_client(paged_server.url, paged_server.token, wire=Rendezvous(Wire(), "QueryArrow", 4))
    collection = await (await client.dataset(filled)).collection("even")
    results = await together(*[lambda: collection.load(YEAR)] * 4)
    assert all(result.identical(results[0]) for result in results)
    assert results[0].sizes["time"] == ROWS


async def test_all_times_are_asked_for_on_purpose(client, filled):
    collection = await (await client.dataset(filled)).collection("even")
    with pytest.raises(TypeError, match=r"not None; to load the datapoints of all times, call query\(\)"):
        await collection.load(None)
    assert (await collection.query(temporal_extent=None)).sizes["time"] == await collection.count() == 300
