"""The verbs of the store of datapoints, on a local disk and in an object store."""

from __future__ import annotations

from uuid import UUID, uuid4

import anyio
import pyarrow as pa
import pytest
import shapely
from support.datapoints.tables import (
    SCENES,
    ids_of,
    open_point_store,
    random_scenes,
    read,
    rows_of,
    scenes,
    sorted_ids,
)

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import Field, FieldKind, Schema
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.points.interface import MAX_BATCH_ROWS, Area, IngestResult, PointQuery, Summary

pytestmark = pytest.mark.anyio

ALL = PointQuery((1,))


async def test_a_table_is_created_once_and_dropped_whole(points):
    table = uuid4()
    with pytest.raises(NotFoundError):
        await points.count(table, ALL)
    await points.create(table, SCENES)
    await points.ingest(table, 1, scenes([1, 2]), allow_existing=False)
    await points.create(table, SCENES)
    assert await points.count(table, ALL) == 2
    await points.drop(table)
    await points.drop(table)
    with pytest.raises(NotFoundError):
        await points.summary(table)


async def test_an_empty_table_answers(points, table):
    assert await points.summary(table) == {}
    assert await points.count(table, ALL) == 0
    assert await points.find(table, (1,), bytes(16)) is None
    assert (await points.page(table, ALL, max_bytes=100)) == (arrow_schema(SCENES).empty_table(), False)
    assert (await read(points, table, ALL)).schema.equals(arrow_schema(SCENES))
    assert (await points.maintain(table)).actions == ()
    await points.delete_collection(table, 1)
    assert await points.delete(table, 1, []) == 0


async def test_ingested_datapoints_are_read_back_in_order(points, table):
    rows = random_scenes(500)
    assert await points.ingest(table, 1, rows, allow_existing=False) == IngestResult(created=500, existing=0)
    found = await read(points, table, ALL)
    assert ids_of(found) == sorted_ids(rows)
    assert found.sort_by("id").equals(rows.sort_by("id"))
    backwards = await read(points, table, PointQuery((1,), descending=True))
    assert ids_of(backwards) == sorted_ids(rows)[::-1]


async def test_times_before_1970_are_ordered_and_found(points, table):
    rows = scenes([-5, -1, 0, -(2**47), 2**47 - 1, 3])
    await points.ingest(table, 1, rows, allow_existing=False)
    assert ids_of(await read(points, table, ALL)) == sorted_ids(rows)
    for datapoint in ids_of(rows):
        assert ids_of(await points.find(table, (1,), datapoint)) == [datapoint]
    assert await points.count(table, PointQuery((1,), start_ms=-5, end_ms=0)) == 2


async def test_ingesting_a_batch_twice_changes_nothing_or_raises_an_error_with_its_ids(points, table):
    rows = scenes(range(10))
    await points.ingest(table, 1, rows, allow_existing=False)
    assert await points.ingest(table, 1, rows, allow_existing=True) == IngestResult(created=0, existing=10)
    with pytest.raises(ConflictError, match=r"10 of 11 datapoints exist already: .*-.* and 7 more; nothing was stored"):
        await points.ingest(table, 1, pa.concat_tables([rows, scenes([50], first=50)]), allow_existing=False)
    assert await points.count(table, ALL) == 10


async def test_repeats_inside_a_batch_are_stored_once(points, table):
    rows = scenes(range(5))
    twice = pa.concat_tables([rows, rows.slice(1, 3)])
    assert await points.ingest(table, 1, twice, allow_existing=False) == IngestResult(created=5, existing=3)
    assert ids_of(await read(points, table, ALL)) == sorted_ids(rows)


async def test_many_ids_are_deduplicated_by_a_scan(points, table):
    rows = scenes(range(3_000))
    await points.ingest(table, 1, rows.slice(0, 2_000), allow_existing=False)
    assert await points.ingest(table, 1, rows, allow_existing=True) == IngestResult(created=1_000, existing=2_000)


async def test_rows_that_do_not_fit_the_table_are_rejected_together(points, table):
    rows = scenes([1, 2])
    wrong_type = rows.set_column(rows.schema.get_field_index("orbit"), "orbit", pa.array(["a", "b"]))
    with pytest.raises(InvalidArgumentError, match="'orbit' holds int64, not string"):
        await points.ingest(table, 1, wrong_type, allow_existing=False)
    broken = rows.set_column(rows.schema.get_field_index("geometry"), "geometry", pa.array([b"?", None], pa.binary()))
    with pytest.raises(InvalidArgumentError, match="a geometry is not well-known binary"):
        await points.ingest(table, 1, broken, allow_existing=False)
    with pytest.raises(InvalidArgumentError, match="no field 'new'"):
        await points.ingest(table, 1, rows.append_column("new", pa.array([1, 2])), allow_existing=False)
    moved = rows.set_column(0, "time", pa.array([5, 6], pa.timestamp("ms")))
    with pytest.raises(InvalidArgumentError, match="start with the milliseconds"):
        await points.ingest(table, 1, moved, allow_existing=False)
    assert await points.count(table, ALL) == 0


async def test_collections_of_a_table_are_separate(points, table):
    await points.ingest(table, 1, scenes(range(4)), allow_existing=False)
    await points.ingest(table, 2, scenes(range(10, 16), first=4), allow_existing=False)
    first, second = scenes(range(4)), scenes(range(10, 16), first=4)
    assert ids_of(await read(points, table, PointQuery((2,)))) == sorted_ids(second)
    assert await points.count(table, PointQuery((1, 2))) == 10
    assert await points.count(table, PointQuery(())) == 0
    assert await points.find(table, (2,), ids_of(first)[0]) is None
    assert await points.find(table, (2, 1), ids_of(first)[0]) is not None
    assert await points.summary(table) == {1: Summary(4, 0, 3), 2: Summary(6, 10, 15)}
    with pytest.raises(NotFoundError):
        await points.delete(table, 1, ids_of(second)[:1])
    await points.delete_collection(table, 1)
    assert await points.summary(table) == {2: Summary(6, 10, 15)}
    assert await points.count(table, PointQuery((1,))) == 0


async def test_intervals_and_ids_bound_a_query(points, table):
    rows = scenes([0, 1, 1, 1, 2, 3, 3])
    await points.ingest(table, 1, rows, allow_existing=False)
    ordered = sorted_ids(rows)
    assert ids_of(await read(points, table, PointQuery((1,), start_ms=1, end_ms=3))) == ordered[1:5]
    between = PointQuery((1,), first_id=ordered[2], last_id=ordered[5])
    assert ids_of(await read(points, table, between)) == ordered[2:6]
    assert await points.count(table, between) == 4
    assert await points.count(table, PointQuery((1,), start_ms=3, end_ms=1)) == 0


async def test_queries_select_fields_and_respect_limits(points, table):
    rows = scenes(range(9))
    await points.ingest(table, 1, rows, allow_existing=False)
    found = await read(points, table, PointQuery((1,), fields=("orbit",), limit=4))
    assert found.column_names == ["time", "id", "ingestion_time", "orbit"]
    assert found["orbit"].to_pylist() == [0, 1, 2, 3]
    narrow = await read(points, table, PointQuery((1,), fields=(), descending=True, limit=1))
    assert narrow.column_names == ["time", "id", "ingestion_time"]
    assert ids_of(narrow) == ids_of(rows)[-1:]


async def test_streams_have_batches_of_bounded_size(points, table):
    rows = scenes([number // 7 for number in range(150_000)])
    await points.ingest(table, 1, rows, allow_existing=False)
    async with points.stream(table, PointQuery((1,), fields=())) as stream:
        batches = [batch async for batch in stream]
    assert max(batch.num_rows for batch in batches) <= MAX_BATCH_ROWS
    assert ids_of(pa.Table.from_batches(batches)) == sorted_ids(rows)


async def test_datapoints_of_one_millisecond_are_ordered_by_id(points, table):
    rows = scenes([5] * 6)
    ids = [(5).to_bytes(6, "big") + tail.to_bytes(10, "big") for tail in (3 << 64, 1, 3 << 64 | 2, 2**80 - 1, 0, 2**63)]
    rows = rows.set_column(rows.column_names.index("id"), "id", pa.array(ids, pa.binary(16)))
    await points.ingest(table, 1, rows, allow_existing=False)
    assert ids_of(await read(points, table, ALL)) == sorted(ids)


async def test_a_stream_can_be_closed_early(points, table):
    await points.ingest(table, 1, scenes([1] * 140_000), allow_existing=False)
    async with points.stream(table, ALL) as stream:
        async for batch in stream:
            assert batch.num_rows
            break
    assert await points.count(table, ALL) == 140_000


async def test_pages_are_bounded_in_bytes_and_never_empty(points, table):
    text = "x" * 10_000
    rows = scenes(range(40), platform=[text] * 40)
    await points.ingest(table, 1, rows, allow_existing=False)
    page, more = await points.page(table, ALL, max_bytes=100_000)
    assert 2 < page.num_rows < 11
    assert more
    one, more = await points.page(table, ALL, max_bytes=10)
    assert (one.num_rows, more) == (1, True)
    whole, more = await points.page(table, ALL, max_bytes=1 << 30)
    assert (whole.num_rows, more) == (40, False)


async def test_a_cursor_must_belong_to_the_query(points, table):
    rows = scenes(range(10))
    await points.ingest(table, 1, rows, allow_existing=False)
    ids = sorted_ids(rows)
    page, more = await points.page(table, PointQuery((1,), after=ids[6]), max_bytes=1 << 20)
    assert (ids_of(page), more) == (ids[7:], False)
    page, _ = await points.page(table, PointQuery((1,), after=ids[2], descending=True), max_bytes=1 << 20)
    assert ids_of(page) == ids[:2][::-1]
    for query in (
        PointQuery((2,), after=ids[6]),
        PointQuery((1,), after=ids[6], end_ms=6),
        PointQuery((1,), after=bytes(16)),
    ):
        with pytest.raises(InvalidArgumentError, match="belongs to another query or its datapoint was deleted"):
            await points.page(table, query, max_bytes=1 << 20)


async def test_an_unknown_snapshot_is_rejected(points, table):
    with pytest.raises(InvalidArgumentError, match="snapshot 900 of the dataset is gone or never existed"):
        await points.page(table, PointQuery((1,), snapshot=900), max_bytes=1)
    with pytest.raises(InvalidArgumentError, match="snapshot 900"):
        async with points.stream(table, PointQuery((1,), snapshot=900)):
            pass


async def test_deletes_are_all_or_nothing(points, table):
    rows = scenes(range(2_500))
    await points.ingest(table, 1, rows, allow_existing=False)
    await points.ingest(table, 2, scenes([5], first=9_000), allow_existing=False)
    ids = ids_of(rows)
    unknown_id = ids_of(scenes([7], first=7_777))[0]
    with pytest.raises(NotFoundError) as caught:
        await points.delete(table, 1, [*ids[:3], unknown_id])
    assert str(UUID(bytes=unknown_id)) in str(caught.value)
    assert await points.count(table, ALL) == 2_500
    assert await points.delete(table, 1, ids[::2] + ids[:1]) == 1_250
    assert ids_of(await read(points, table, ALL)) == ids[1::2]
    assert await points.summary(table) == {1: Summary(1_250, 1, 2_499), 2: Summary(1, 5, 5)}
    assert await points.ingest(table, 1, rows, allow_existing=True) == IngestResult(created=1_250, existing=1_250)


async def test_datapoints_survive_reopening(points, table, storage, tmp_path):
    rows = random_scenes(50)
    await points.ingest(table, 1, rows, allow_existing=False)
    await points.maintain(table)
    async with open_point_store(storage[0], tmp_path, storage[1]) as again:
        assert ids_of(await read(again, table, ALL)) == sorted_ids(rows)
        await again.ingest(table, 1, scenes([1], first=900), allow_existing=False)
    # The first store sees the commits of the other.
    assert await points.count(table, ALL) == 51
    assert (await points.summary(table))[1].count == 51


async def test_columns_are_added_while_older_snapshots_are_read(points, table):
    rows = scenes(range(3))
    await points.ingest(table, 1, rows, allow_existing=False)
    added = [Field(name="notes", kind=FieldKind.STRING, repeated=True), Field(name="level", kind=FieldKind.INT32)]
    wider = Schema.of(SCENES.kind, [*SCENES.fields, *added], SCENES.type_name)
    async with points.stream(table, ALL) as stream:
        await points.evolve(table, wider)
        await points.evolve(table, wider)
        assert [batch.num_rows async for batch in stream] == [3]
        snapshot = stream.snapshot
    more = rows_of(wider, {"time": [9], "notes": [["a", "b"]], "level": [4]})
    await points.ingest(table, 1, more, allow_existing=False)
    found = await read(points, table, ALL)
    assert found.schema.equals(arrow_schema(wider))
    assert found["notes"].to_pylist() == [[], [], [], ["a", "b"]]
    assert found["level"].to_pylist() == [None, None, None, 4]
    older = await read(points, table, PointQuery((1,), snapshot=snapshot))
    assert older.schema.equals(arrow_schema(wider))
    assert older["notes"].to_pylist() == [[], [], []]
    # A writer that does not know the new columns yet may continue.
    await points.ingest(table, 1, scenes([20], first=20), allow_existing=False)
    changed = Schema.of(SCENES.kind, [Field(name="orbit", kind=FieldKind.STRING)], SCENES.type_name)
    with pytest.raises(InvalidArgumentError, match="'orbit' cannot change its type"):
        await points.evolve(table, changed)


async def test_maintenance_does_not_change_results(points, table):
    rows = random_scenes(400)
    area = PointQuery((1,), area=Area(shapely.box(-30, -30, 60, 60)))
    for start in range(0, 400, 20):
        await points.ingest(table, 1, rows.slice(start, 20), allow_existing=False)
    before = await points.count(table, area)
    assert await points.needs_maintenance(table)
    done = await points.maintain(table)
    assert done.actions == ("compacted", "indexed")
    assert done.fragments_before == 20 > done.fragments_after
    assert done.indexed_rows == 400
    assert not await points.needs_maintenance(table)
    assert (await points.maintain(table)).actions == ()
    assert ids_of(await read(points, table, ALL)) == sorted_ids(rows)
    assert await points.count(table, area) == before
    for datapoint in ids_of(rows)[::40]:
        assert ids_of(await points.find(table, (1,), datapoint)) == [datapoint]
    assert await points.ingest(table, 1, rows, allow_existing=True) == IngestResult(created=0, existing=400)


async def test_repeated_maintenance_keeps_few_fragments_and_all_rows(points, table):
    rows = scenes(range(1_200))
    for start in range(0, 1_200, 20):
        await points.ingest(table, 1, rows.slice(start, 20), allow_existing=False)
        if await points.needs_maintenance(table):
            done = await points.maintain(table)
            assert done.fragments_after <= 12
    await points.delete(table, 1, ids_of(rows)[::3])
    await points.maintain(table)
    kept = [datapoint for index, datapoint in enumerate(ids_of(rows)) if index % 3]
    assert ids_of(await read(points, table, ALL)) == kept
    assert ids_of(await points.find(table, (1,), kept[-1])) == [kept[-1]]


async def test_a_stream_keeps_its_snapshot_during_writes_deletions_and_maintenance(points, table):
    rows = scenes(range(0, 200_000, 1))
    await points.ingest(table, 1, rows, allow_existing=False)
    found: list[bytes] = []
    async with points.stream(table, PointQuery((1,), fields=())) as stream:
        async for batch in stream:
            found += ids_of(batch)
            if len(found) == MAX_BATCH_ROWS:
                await points.delete(table, 1, ids_of(rows)[100_000:190_000:100])
                await points.ingest(table, 1, scenes([5, 199_999], first=900_000), allow_existing=False)
                await points.maintain(table)
    assert found == sorted_ids(rows)
    assert await points.count(table, ALL) == 200_002 - 900


async def test_a_group_commit_reports_each_batch_separately(points, table):
    await points.ingest(table, 1, scenes([0]), allow_existing=False)
    async with points.stream(table, ALL) as stream:
        before = stream.snapshot
    outcomes: dict[int, object] = {}

    async def ingest(number: int) -> None:
        rows = scenes([0]) if number == 7 else scenes([number] * 5, first=number * 10)
        if number == 9:
            rows = rows.append_column("unknown", pa.array([1] * 5))
        if number == 11:
            broken = pa.array([b"no geometry"] * 5, pa.binary())
            rows = rows.set_column(rows.schema.get_field_index("geometry"), "geometry", broken)
        try:
            outcomes[number] = await points.ingest(table, 1, rows, allow_existing=number == 8)
        except (ConflictError, InvalidArgumentError) as error:
            outcomes[number] = type(error)

    async with anyio.create_task_group() as group:
        for number in range(1, 21):
            group.start_soon(ingest, number)
    stored = IngestResult(created=5, existing=0)
    assert outcomes == {
        n: {7: ConflictError, 9: InvalidArgumentError, 11: InvalidArgumentError}.get(n, stored) for n in range(1, 21)
    }
    assert await points.count(table, ALL) == 1 + 17 * 5
    async with points.stream(table, ALL) as stream:
        assert stream.snapshot - before <= 3, "batches that waited together must share one commit"


async def test_a_cancelled_caller_does_not_affect_the_others(points, table):
    async def cancelled() -> None:
        with anyio.move_on_after(0):
            await points.ingest(table, 1, scenes([1] * 10), allow_existing=True)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(cancelled)
            rows = scenes([50 + number], first=100 + number)
            group.start_soon(lambda rows=rows: points.ingest(table, 1, rows, allow_existing=False))
    assert await points.count(table, PointQuery((1,), start_ms=50)) == 8
    assert await points.count(table, PointQuery((1,), end_ms=50)) in (0, 10)
