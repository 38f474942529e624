"""Area queries on spatial copies against a test of every footprint, while table and copies change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from support.datapoints.tables import (
    DAY_MS,
    SCENES,
    ids_of,
    new_table,
    open_point_store,
    random_scenes,
    read,
    rows_of,
    sorted_ids,
)
from support.datapoints.values import KINDS, ROW, boxes

from tilebox._core.geometry.matching import matches
from tilebox._core.queries.filters import Comparator, Comparison
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.server.points.index import spatial_copies, spatial_order
from tilebox.server.points.interface import Area, PointQuery
from tilebox.server.points.lance.answers import Answer

pytestmark = pytest.mark.anyio

WORLD = Area(shapely.box(-180, -90, 180, 90))
EUROPE = Area(shapely.box(-10, 35, 40, 70))


@pytest.fixture(autouse=True)
def small_copies(monkeypatch):
    """Make copies of small fragments too, in several runs of small blocks."""
    monkeypatch.setattr(spatial_copies, "MIN_FRAGMENT_ROWS", 100)
    monkeypatch.setattr(spatial_copies, "_RUN_ROWS", 500)
    monkeypatch.setattr(spatial_order, "BLOCK_ROWS", 16)
    monkeypatch.setattr(spatial_copies, "_CHUNK_ROWS", 128)
    monkeypatch.setattr(spatial_copies, "_CHUNK_BYTES", 20_000)


@pytest.fixture
def scanned(monkeypatch):
    """The numbers of fragments that area queries scanned in the table, instead of in a copy."""
    counts: list[int] = []
    scan = Answer._scan

    def counted(self, part, columns, selection):
        counts.append(len(selection.parts))
        return scan(self, part, columns, selection)

    monkeypatch.setattr(Answer, "_scan", counted)
    return counts


def intersecting(rows: pa.Table, area: Area) -> list[bytes]:
    return sorted_ids(
        rows.filter(pa.array(matches(rows["geometry"].to_pylist(), area.geometry, area.mode.value, False)))
    )


@pytest.fixture
async def copied(points):
    """A table with spatial copies of most of its fragments, some rows of which are deleted, and its rows."""
    table = await new_table(points)
    rows = random_scenes(2_000, seed=8)
    await points.ingest(table, 1, rows.slice(0, 1_500), allow_existing=False)
    await points.ingest(table, 2, rows.slice(1_500, 300), allow_existing=False)
    await points.delete(table, 1, ids_of(rows)[:100:10])
    assert "copied" in (await points.maintain(table)).actions
    await points.delete(table, 1, ids_of(rows)[100:1_500:10])
    await points.ingest(table, 1, rows.slice(1_800), allow_existing=False)
    kept = np.ones(2_000, dtype=bool)
    kept[:1_500:10] = False
    return table, rows.filter(pa.array(kept))


@given(geometry=boxes())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
async def test_area_queries_equal_a_test_of_every_footprint(points, copied, geometry):
    table, rows = copied
    area = Area(geometry)
    found = await read(points, table, PointQuery((1, 2), area=area))
    assert ids_of(found) == intersecting(rows, area)
    wanted = {row["id"]: row for row in rows.to_pylist()}
    assert found.to_pylist() == [
        {**wanted[row["id"]], "ingestion_time": row["ingestion_time"]} for row in found.to_pylist()
    ]
    times = found["time"].cast(pa.int64()).to_numpy()
    month = PointQuery((1, 2), start_ms=90 * DAY_MS, end_ms=120 * DAY_MS, area=area, fields=(), descending=True)
    inside = found.filter(pa.array((times >= month.start_ms) & (times < month.end_ms)))
    assert ids_of(await read(points, table, month)) == ids_of(inside)[::-1]


async def test_only_fragments_without_a_copy_are_scanned(points, copied, scanned):
    table, rows = copied
    assert ids_of(await read(points, table, PointQuery((1, 2), area=EUROPE))) == intersecting(rows, EUROPE)
    assert scanned == [1]
    # Lance tests conditions on fields, so the index answers a query with one.
    cloudless = PointQuery((1, 2), area=EUROPE, where=Comparison("cloud_cover", Comparator.LESS, 50.0))
    clear = rows.filter(pa.array(rows["cloud_cover"].to_numpy() < 50.0))
    assert ids_of(await read(points, table, cloudless)) == intersecting(clear, EUROPE)
    await points.delete_collection(table, 2)
    assert await points.count(table, PointQuery((2,), area=WORLD)) == 0


async def test_concurrent_area_queries_while_the_table_changes(points, copied):
    table, rows = copied
    kept = rows

    async def search(west: float) -> None:
        for south in range(-80, 60, 20):
            area = Area(shapely.box(west, south, west + 40, south + 20))
            found = set(ids_of(await read(points, table, PointQuery((1, 2), area=area))))
            assert set(intersecting(kept, area)) <= found <= set(intersecting(rows, area))

    kept = rows.slice(200)
    async with anyio.create_task_group() as group:
        for west in range(-180, 140, 20):
            group.start_soon(search, west)
        for start in range(0, 200, 50):
            await points.delete(table, 1, ids_of(rows)[start : start + 50])
            await points.maintain(table)


async def test_an_older_snapshot_still_has_deleted_datapoints(points, table):
    rows = random_scenes(300, seed=2)
    await points.ingest(table, 1, rows, allow_existing=False)
    async with points.stream(table, PointQuery((1,), limit=1)) as stream:
        snapshot = stream.snapshot
    deleted = intersecting(rows, EUROPE)[0]
    await points.delete(table, 1, [deleted])
    await points.maintain(table)
    assert ids_of(await read(points, table, PointQuery((1,), area=EUROPE))) == intersecting(rows, EUROPE)[1:]
    older = await read(points, table, PointQuery((1,), area=EUROPE, snapshot=snapshot))
    assert ids_of(older) == intersecting(rows, EUROPE)


async def test_fields_added_later_are_missing_in_copies(points, table):
    rows = random_scenes(300, seed=2)
    await points.ingest(table, 1, rows, allow_existing=False)
    await points.maintain(table)
    added = [Field(name="notes", kind=FieldKind.STRING, repeated=True), Field(name="level", kind=FieldKind.INT32)]
    wider = Schema.of(SCENES.kind, [*SCENES.fields, *added], SCENES.type_name)
    await points.evolve(table, wider)
    square = shapely.box(0, 50, 1, 51).wkb
    more = rows_of(wider, {"time": [9], "geometry": [square], "notes": [["a"]], "level": [4]})
    await points.ingest(table, 1, more, allow_existing=False)
    found = await read(points, table, PointQuery((1,), area=EUROPE))
    assert found.schema.equals(arrow_schema(wider))
    assert found["level"].drop_null().to_pylist() == [4]
    assert sorted(found["notes"].to_pylist()) == [[]] * (len(found) - 1) + [["a"]]
    assert len(found) == len(intersecting(rows, EUROPE)) + 1


async def test_other_processes_use_a_copy_once_it_exists(points, table, storage, tmp_path, scanned):
    rows = random_scenes(300, seed=2)
    await points.ingest(table, 1, rows, allow_existing=False)
    async with open_point_store(storage[0], tmp_path, storage[1]) as other:
        for expected in ([1], [0]):
            scanned.clear()
            assert ids_of(await read(other, table, PointQuery((1,), area=EUROPE))) == intersecting(rows, EUROPE)
            assert scanned == expected
            await points.maintain(table)


async def test_copies_of_merged_fragments_are_removed_after_the_retention(
    points, table, storage, tmp_path, monkeypatch
):
    rows = random_scenes(1_600, seed=2)
    for start in range(0, 800, 200):
        await points.ingest(table, 1, rows.slice(start, 200), allow_existing=False)
    await points.maintain(table)
    async with points.stream(table, PointQuery((1,), limit=1)) as stream:
        snapshot = stream.snapshot
    for start in range(800, 1_600, 200):
        await points.ingest(table, 1, rows.slice(start, 200), allow_existing=False)
    done = await points.maintain(table)
    assert done.actions == ("compacted", "copied", "indexed")
    session = spatial_copies.LanceFileSession(f"{storage[0]}/{table.hex}.lance/_places", storage_options=storage[1])
    assert len(session.list()) == 4 + done.fragments_after
    older = intersecting(rows.slice(0, 800), EUROPE)
    assert ids_of(await read(points, table, PointQuery((1,), area=EUROPE, snapshot=snapshot))) == older
    monkeypatch.setattr(points, "_retention", timedelta(0))
    await points.maintain(table)
    assert len(session.list()) == done.fragments_after
    assert ids_of(await read(points, table, PointQuery((1,), area=EUROPE))) == intersecting(rows, EUROPE)
    # A new table of the same name starts without copies.
    await points.drop(table)
    await points.create(table, SCENES)
    assert session.list() == []


def truncate_copy(folder: Path) -> None:
    """Leave a copy as a killed writer does."""
    [copy] = folder.iterdir()
    copy.rename(f"{copy}.part")
    Path(f"{copy}.part").write_bytes(b"torn")


async def test_a_truncated_copy_is_written_again(points, table, storage, scanned):
    if "://" in storage[0]:
        pytest.skip("an object is stored completely or not at all")
    rows = random_scenes(300, seed=2)
    await points.ingest(table, 1, rows, allow_existing=False)
    await points.maintain(table)
    truncate_copy(Path(storage[0], f"{table.hex}.lance", "_places"))
    points._tables.clear()
    assert ids_of(await read(points, table, PointQuery((1,), area=EUROPE))) == intersecting(rows, EUROPE)
    assert await points.needs_maintenance(table)
    assert (await points.maintain(table)).actions == ("copied",)
    scanned.clear()
    assert ids_of(await read(points, table, PointQuery((1,), area=EUROPE))) == intersecting(rows, EUROPE)
    assert scanned == [0]


EVERYTHING = Schema.of(
    DatasetKind.SPATIOTEMPORAL, [replace(field, number=0) for field in KINDS.custom], "tests.PlacedEverything"
)


@given(row=ROW)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
async def test_every_kind_of_field_round_trips(points, row, scanned):
    table = await new_table(points, EVERYTHING)
    names = ("geometry", "time", *row)
    given = rows_of(
        EVERYTHING,
        {name: [row.get(name)] * 120 for name in names}
        | {"time": range(120), "geometry": [shapely.Point(1, 1).wkb] * 120},
    )
    await points.ingest(table, 1, given, allow_existing=False)
    await points.maintain(table)
    scanned.clear()
    found = await read(points, table, PointQuery((1,), area=WORLD))
    assert scanned == [0]
    assert found.schema.equals(arrow_schema(EVERYTHING))
    assert found.to_pylist() == given.to_pylist()


def test_neighbouring_boxes_share_blocks():
    random = np.random.default_rng(1)
    west, south = random.uniform(-180, 179, 20_000), random.uniform(-90, 89, 20_000)
    side = np.where(np.arange(20_000) % 100 == 0, 120.0, 1.0)
    bounds = np.stack([west, south, west + side, south + side], axis=1)
    bounds[::50] = np.nan
    keys = np.empty(20_000, dtype=spatial_order.KEY)
    keys["box"], keys["time"] = spatial_order.round_outward(bounds), 0
    order = spatial_order.argsort(keys["box"])
    assert sorted(order) == list(range(20_000))
    blocks = spatial_order.blocks_of(keys[order], 0)
    assert blocks["rows"].sum() == 20_000
    area = np.array([[10.0, 10.0, 11.0, 11.0]], dtype=np.float32)
    near = spatial_order.rows_in(blocks[spatial_order.intersect_any(blocks["box"], area)])
    wanted = np.flatnonzero(spatial_order.intersect_any(keys["box"][order], area))
    assert set(wanted) <= set(near)
    assert len(near) < 20_000 / 20
