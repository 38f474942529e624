"""The store of datapoints alone, without network and client: ingests, queries, streams and upkeep.

Run `python -m benchmarks points [--large 10000000]`. The datapoints have 25 fields, times spread evenly over ten years,
and footprints of about one degree all over the globe.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from uuid import UUID

import anyio
import lance
import numpy as np
import pyarrow as pa
import shapely

from benchmarks.measure import Row, Table, rate
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.server.points import open_points
from tilebox.server.points.identity.ids import with_identity
from tilebox.server.points.interface import Area, PointQuery
from tilebox.server.points.lance.store import LancePoints

DAY_MS = 86_400_000
YEARS = 10
BATCH_ROWS = 100_000
COLLECTIONS = (1, 2, 3)
TABLE = UUID(int=1)

SCHEMA = Schema.of(
    DatasetKind.SPATIOTEMPORAL,
    [
        *(Field(name=f"number_{i}", kind=FieldKind.DOUBLE, queryable=True) for i in range(8)),
        *(Field(name=f"count_{i}", kind=FieldKind.INT64, queryable=True) for i in range(6)),
        *(Field(name=f"name_{i}", kind=FieldKind.STRING, queryable=True) for i in range(5)),
        *(Field(name=f"flag_{i}", kind=FieldKind.BOOL) for i in range(2)),
        Field(name="product", kind=FieldKind.UUID, type_name="datasets.v1.UUID"),
        Field(name="acquired", kind=FieldKind.TIMESTAMP, type_name="google.protobuf.Timestamp"),
        Field(name="position", kind=FieldKind.VEC3, type_name="datasets.v1.Vec3"),
        Field(name="bands", kind=FieldKind.STRING, repeated=True),
    ],
    type_name="benchmark.Scene",
)


def scenes(count: int, seed: int, start_ms: int = 0, span_ms: int = YEARS * 365 * DAY_MS) -> pa.Table:
    """Return datapoints in order of time."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(start_ms, start_ms + span_ms, count))
    west, south = rng.uniform(-180, 179, count), rng.uniform(-85, 84, count)
    columns: dict[str, pa.Array] = {
        "time": pa.array(times, pa.timestamp("ms")),
        "geometry": pa.array(shapely.to_wkb(shapely.box(west, south, west + 1, south + 1)), pa.binary()),
        "product": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(rng.bytes(16 * count))]
        ),
        "acquired": pa.array(times * 1_000_000, pa.timestamp("ns")),
        "position": pa.StructArray.from_arrays(
            [pa.array(rng.normal(size=count)) for _ in "xyz"], fields=list(arrow_schema(SCHEMA).field("position").type)
        ),
    }
    bands = np.arange(0, 3 * count + 1, 3, dtype=np.int32)
    names = pa.array(["B02", "B03", "B04"]).take(pa.array(np.arange(3 * count) % 3))
    columns["bands"] = pa.ListArray.from_arrays(pa.array(bands), names, type=arrow_schema(SCHEMA).field("bands").type)
    for field in SCHEMA:
        if field.name.startswith("number"):
            columns[field.name] = pa.array(rng.uniform(0, 100, count))
        elif field.name.startswith("count"):
            columns[field.name] = pa.array(rng.integers(0, 10_000, count))
        elif field.name.startswith("name"):
            columns[field.name] = pa.array([f"granule_{i % 1000:04d}" for i in range(count)])
        elif field.name.startswith("flag"):
            columns[field.name] = pa.array(rng.integers(0, 2, count).astype(bool))
    return with_identity(SCHEMA, UUID(int=1), pa.table(columns), now_us=0)


@asynccontextmanager
async def no_lock(table: UUID):
    """Lock nothing, because the benchmark is one process."""
    del table
    yield


async def median_ms(call: Callable[[int], Awaitable[object]], repeats: int = 31) -> float:
    """Return the median time of a call in milliseconds, after two warm-up calls."""
    times = []
    for i in range(repeats + 2):
        start = time.perf_counter()
        await call(i)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:])


async def run(rows: int, folder: str) -> list[Row]:
    points = open_points(folder, writer_lock=no_lock)
    table = TABLE
    await points.create(table, SCHEMA)
    lines = [await ingest_all(points, table, rows)]
    start = time.perf_counter()
    done = await points.maintain(table)
    lines.append(Row("–", "upkeep after it: compact, index", f"{time.perf_counter() - start:.2f} s {done.actions}"))
    lines += await queries(points, table, folder)
    lines += await small_ingests(points, table, rows)
    start = time.perf_counter()
    done = await points.maintain(table)
    lines.append(Row("–", "upkeep after these", f"{time.perf_counter() - start:.2f} s {done.actions}"))
    lines += await queries(points, table, folder)
    await points.close()
    return lines


async def ingest_all(points: LancePoints, table: UUID, rows: int) -> Row:
    """Ingest all datapoints in batches, each durable before the next one."""
    seconds, per_batch = 0.0, YEARS * 365 * DAY_MS * BATCH_ROWS // rows
    for number, start in enumerate(range(0, rows, BATCH_ROWS)):
        batch = scenes(min(BATCH_ROWS, rows - start), seed=number, start_ms=number * per_batch, span_ms=per_batch)
        started = time.perf_counter()
        await points.ingest(table, number % 3 + 1, batch, allow_existing=False)
        seconds += time.perf_counter() - started
    return Row("D6", f"ingest {rows:,} rows, fsynced, deduplicated", rate(rows, seconds), wanted="≥ 300,000/s")


async def queries(points: LancePoints, table: UUID, folder: str) -> list[Row]:
    """Measure the queries of a server."""
    rng = np.random.default_rng(9)

    def day() -> PointQuery:
        start = int(rng.integers(0, YEARS * 365)) * DAY_MS
        return PointQuery(COLLECTIONS, start_ms=start, end_ms=start + DAY_MS)

    def corner() -> Area:
        west, south = rng.uniform(-170, 169), rng.uniform(-60, 59)
        return Area(shapely.box(west, south, west + 1, south + 1))

    def year() -> PointQuery:
        start = int(rng.integers(0, YEARS)) * 365 * DAY_MS
        return PointQuery(COLLECTIONS, start_ms=start, end_ms=start + 365 * DAY_MS, area=corner())

    known, _ = await points.page(table, PointQuery(COLLECTIONS, limit=1_000), max_bytes=1 << 30)
    ids = known["id"].to_pylist()

    async def read(query: PointQuery) -> int:
        async with points.stream(table, query) as batches:
            return sum([batch.num_rows async for batch in batches])

    async def pages(query: PointQuery) -> int:
        found, more = 0, True
        for _ in range(20):
            page, more = await points.page(table, query, max_bytes=16 << 20)
            found += page.num_rows
            if not more:
                break
            query = PointQuery(query.collections, limit=query.limit, after=page["id"][-1].as_py())
        return found

    bare_day, bare_find = await bare_lance(f"{folder}/{table.hex}.lance", [day() for _ in range(33)], ids)
    lines = [
        Row("D4", "a day", **_against_lance(await median_ms(lambda _: read(day())), bare_day), wanted="≤ 5 ms"),
        Row(
            "D5",
            "find",
            **_against_lance(await median_ms(lambda i: points.find(table, COLLECTIONS, ids[i])), bare_find),
            wanted="≤ 2 ms",
        ),
        Row("D5", "info", f"{await median_ms(lambda _: points.summary(table)):.2f} ms", wanted="≤ 2 ms"),
        Row("D5b", "area in a year", f"{await median_ms(lambda _: read(year())):.2f} ms", wanted="≤ 50 ms"),
        Row(
            "D5b",
            "area, all time",
            f"{await median_ms(lambda _: read(PointQuery(COLLECTIONS, area=corner()))):.2f} ms",
            wanted="≤ 100 ms",
        ),
    ]
    start = time.perf_counter()
    found = await read(PointQuery(COLLECTIONS))
    seconds = time.perf_counter() - start
    lines.append(Row("D1", "stream everything", rate(found, seconds), wanted="≥ 500,000/s"))
    start = time.perf_counter()
    found = await pages(PointQuery(COLLECTIONS, limit=1_000))
    lines.append(Row("–", "pages of 1,000", rate(found, time.perf_counter() - start)))
    return lines


def _against_lance(ours: float, bare: float) -> dict[str, str]:
    """Return the cells of a row that compares a time in milliseconds with that of bare Lance."""
    return {"ours": f"{ours:.2f} ms", "peer": f"bare Lance {bare:.2f} ms", "ratio": _ratio(bare, ours)}


async def bare_lance(uri: str, days: list[PointQuery], ids: list[bytes]) -> tuple[float, float]:
    """Return the times of bare Lance for a day, unordered, and for a look-up by id, in milliseconds."""
    dataset, columns = lance.dataset(uri), SCHEMA.select(field.name for field in SCHEMA)
    names = [field.name for field in columns]

    async def scan(condition: str) -> int:
        return int(dataset.scanner(columns=names, filter=condition).to_table().num_rows)

    async def day(i: int) -> int:
        start, end = (f"arrow_cast({at}, 'Timestamp(Millisecond, None)')" for at in (days[i].start_ms, days[i].end_ms))
        return await scan(f"time >= {start} AND time < {end}")

    async def find(i: int) -> int:
        return await scan(f"id = X'{ids[i].hex()}'")

    return await median_ms(day), await median_ms(find)


async def small_ingests(points: LancePoints, table: UUID, rows: int) -> list[Row]:
    """Measure single small batches, and concurrent writers."""
    fresh = scenes(20_000, seed=rows, start_ms=YEARS * 365 * DAY_MS, span_ms=DAY_MS)
    offset = 0

    def take(count: int) -> pa.Table:
        nonlocal offset
        offset += count
        return fresh.slice(offset - count, count)

    one = await median_ms(lambda _: points.ingest(table, 1, take(1), allow_existing=False))
    hundred = await median_ms(lambda _: points.ingest(table, 1, take(100), allow_existing=False))
    lines = [
        Row("D7", "one row", f"{one:.2f} ms", wanted="≤ 10 ms"),
        Row("D7", "100 rows", f"{hundred:.2f} ms", wanted="≤ 10 ms"),
    ]
    for writers in (1, 4, 16):
        times: list[float] = []

        async def write(batches: list[pa.Table], times: list[float] = times) -> None:
            for batch in batches:
                start = time.perf_counter()
                await points.ingest(table, 2, batch, allow_existing=False)
                times.append((time.perf_counter() - start) * 1e3)

        start = time.perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(writers):
                group.start_soon(write, [take(10) for _ in range(20)])
        seconds = time.perf_counter() - start
        shown = f"{len(times) / seconds:,.0f}/s, p50 {statistics.median(times):.1f} ms, worst {max(times):.0f} ms"
        lines.append(Row("D7", f"{writers} writers, 10 rows each", shown, wanted="worst ≤ 100 ms"))
    return lines


def main(table: Table, *, rows: int = 1_100_000, large: int | None = None) -> None:
    """Measure a table of `rows` datapoints, then a large one if requested, and add the rows to the shared table."""
    with ExitStack() as stack:
        folders = {}
        for size in (rows, large):
            if size is not None:
                folders[size] = stack.enter_context(tempfile.TemporaryDirectory())
                for line in anyio.run(run, size, folders[size]):
                    what = f"in process, {size:,} rows: {line.what}"
                    table.add(line.target, what, line.ours, line.peer, line.ratio, line.wanted)
        if large is not None:
            small_day, large_day = anyio.run(alternating_days, folders[rows], folders[large])
            against = f"{large_day:.2f} ms against {small_day:.2f} ms"
            what = f"a day of {large:,} rows against one of {rows:,}, in turn"
            table.add("D4", what, against, "–", _ratio(large_day, small_day), "≤ 1.5×")


async def alternating_days(*folders: str) -> list[float]:
    """Return the median time of a day from each table. Queries alternate, so noise affects all tables equally."""
    rng = np.random.default_rng(11)
    stores = [open_points(folder, writer_lock=no_lock) for folder in folders]
    times: list[list[float]] = [[] for _ in stores]
    for _ in range(63):
        start_ms = int(rng.integers(0, YEARS * 365)) * DAY_MS
        query = PointQuery(COLLECTIONS, start_ms=start_ms, end_ms=start_ms + DAY_MS)
        for store, own in zip(stores, times, strict=True):
            started = time.perf_counter()
            async with store.stream(TABLE, query) as batches:
                _ = [batch async for batch in batches]
            own.append((time.perf_counter() - started) * 1e3)
    for store in stores:
        await store.close()
    return [statistics.median(own[2:]) for own in times]


def _ratio(numerator: float, denominator: float) -> str:
    return f"{numerator / denominator:.2f}×"
