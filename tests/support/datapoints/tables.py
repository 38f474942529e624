"""Tables of datapoints for tests: storage, schemas, rows, and the answers that a plain list of rows would give."""

from __future__ import annotations

import fcntl
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import numpy as np
import pyarrow as pa
import pytest
import shapely

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.server.points import open_points
from tilebox.server.points.identity.ids import with_identity
from tilebox.server.points.interface import PointQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tilebox.server.points.lance.store import LancePoints

SCENES = Schema.of(
    DatasetKind.SPATIOTEMPORAL,
    [
        Field(name="cloud_cover", kind=FieldKind.DOUBLE, queryable=True),
        Field(name="orbit", kind=FieldKind.INT64, queryable=True),
        Field(name="platform", kind=FieldKind.STRING, queryable=True),
        Field(name="bands", kind=FieldKind.STRING, repeated=True),
    ],
    type_name="tests.Scene",
)
COLLECTION = UUID(int=1)
DAY_MS = 86_400_000


def folder_lock(folder: Path):
    """Return a writer lock that excludes other processes, like that of the store: one locked file per table."""

    @asynccontextmanager
    async def lock(table: UUID) -> AsyncIterator[None]:
        with (folder / f"{table.hex}.lock").open("w") as file:
            await anyio.to_thread.run_sync(fcntl.flock, file, fcntl.LOCK_EX)
            yield

    return lock


@asynccontextmanager
async def open_point_store(
    location: str, locks: Path, storage_options: dict[str, str] | None = None
) -> AsyncIterator[LancePoints]:
    points = open_points(location, writer_lock=folder_lock(locks), storage_options=storage_options)
    try:
        yield points
    finally:
        await points.close()


@pytest.fixture(scope="session")
def bucket() -> Iterator[dict[str, str]]:
    """The options of an object store in this process that has a bucket `points`."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="points")
    client.close()
    yield {**keys, "aws_endpoint": url, "aws_region": "us-east-1", "allow_http": "true"}
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def storage(request, tmp_path) -> tuple[str, dict[str, str]]:
    """The location of tables, and the options of its object store."""
    if request.param == "disk":
        return str(tmp_path / "points"), {}
    return f"s3://points/{uuid4().hex}", request.getfixturevalue("bucket")


@pytest.fixture
async def points(storage, tmp_path) -> AsyncIterator[LancePoints]:
    """A store of datapoints without tables."""
    async with open_point_store(storage[0], tmp_path, storage[1]) as points:
        yield points


@pytest.fixture
async def table(points) -> UUID:
    """An empty table of scenes."""
    return await new_table(points)


async def new_table(points: LancePoints, schema: Schema = SCENES) -> UUID:
    table = uuid4()
    await points.create(table, schema)
    return table


def scenes(times: Any, *, first: int = 0, **columns: Any) -> pa.Table:
    """Return scenes at times in milliseconds, numbered from `first` by their orbit so that all ids differ."""
    times = list(map(int, times))
    orbits = range(first, first + len(times))
    given = {"orbit": list(orbits), "platform": [f"sat-{orbit % 3}" for orbit in orbits], **columns}
    return rows_of(SCENES, {"time": times, **given})


def rows_of(schema: Schema, columns: dict[str, Any], collection: UUID = COLLECTION) -> pa.Table:
    """Return datapoints from columns of Python values."""
    wanted = arrow_schema(schema)
    arrays = {name: pa.array(values, wanted.field(name).type) for name, values in columns.items()}
    return with_identity(schema, collection, pa.table(arrays), now_us=1_790_000_000_000_000)


def random_scenes(count: int, seed: int = 0) -> pa.Table:
    """Return scenes of a year with footprints all over the globe, some across the antimeridian and at the poles."""
    rng = np.random.default_rng(seed)
    west, south = rng.uniform(-180, 180, count), rng.uniform(-90, 80, count)
    footprints = shapely.box(west, south, west + rng.uniform(0.1, 15, count), south + rng.uniform(0.1, 10, count))
    footprints[::17] = shapely.points(west[::17], south[::17])
    footprints[::23] = None
    return scenes(
        rng.integers(0, 365 * DAY_MS, count).tolist(),
        geometry=shapely.to_wkb(footprints).tolist(),
        cloud_cover=rng.uniform(0, 100, count).tolist(),
    )


def ids_of(rows: pa.Table) -> list[bytes]:
    return rows["id"].to_pylist()


def sorted_ids(rows: pa.Table) -> list[bytes]:
    """Return ids sorted by (time, id), in a slow but simple way."""
    return [pair[1] for pair in sorted(zip(rows["time"].cast(pa.int64()).to_pylist(), ids_of(rows), strict=True))]


async def read(points: LancePoints, table: UUID, query: PointQuery) -> pa.Table:
    """Read all results of a query from a stream."""
    async with points.stream(table, query) as stream:
        batches = [batch async for batch in stream]
        return pa.Table.from_batches(batches, schema=stream.schema)


async def read_pages(points: LancePoints, table: UUID, query: PointQuery, sizes, between=None) -> list[bytes]:
    """Read all results of a query page by page from one snapshot, and call `between` after each page."""
    async with points.stream(table, query) as stream:
        query = replace(query, snapshot=stream.snapshot)
    found: list[bytes] = []
    more = True
    while more:
        after = found[-1] if found else None
        page, more = await points.page(table, replace(query, after=after, limit=next(sizes)), max_bytes=1 << 20)
        assert page.num_rows or not more, "an empty page must be the last"
        found += ids_of(page)
        if between is not None:
            await between()
    return found
