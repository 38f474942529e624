"""The public API as a typed program uses it; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import assert_type
from uuid import UUID

import shapely
import xarray as xr

from tilebox.clients.core.data import TimeInterval as OldTimeInterval
from tilebox.datasets import Client, CollectionInfo, DatasetKind, TimeInterval, field
from tilebox.datasets.aio import Client as AsyncClient
from tilebox.datasets.aio.timeseries import TimeseriesCollection as AsyncTimeseriesCollection
from tilebox.datasets.data import TimeIntervalLike
from tilebox.datasets.sync.timeseries import TimeseriesCollection, TimeseriesDataset


def sync_program(interval: TimeIntervalLike) -> None:
    client = Client("http://localhost:8080", token="key")
    dataset = client.dataset("open_data.copernicus.sentinel2_msi")
    assert_type(dataset, TimeseriesDataset)
    assert_type(dataset.collections(), dict[str, TimeseriesCollection])
    collection = dataset.collection("S2A_S2MSI1C")
    assert_type(collection.info(), CollectionInfo)
    assert_type(collection.info().availability, TimeInterval | None)
    assert_type(collection.load(interval), xr.Dataset)
    collection.load(("2022-01-01", "2022-02-01"), skip_data=True, show_progress=True)
    collection.load(datetime(2022, 1, 1))
    collection.load([1.0, 2.0], show_progress=print)
    collection.load(OldTimeInterval(datetime(2022, 1, 1), datetime(2023, 1, 1)))
    collection.query(
        temporal_extent=interval,
        spatial_extent={"geometry": shapely.box(0, 0, 1, 1), "mode": "intersects"},
        filter=(field("cloud_cover") < 20) & ~field("platform").is_null(),
        limit=5,
        descending=True,
    )
    assert_type(collection.count(), int)
    assert_type(collection.iter_pages(), Iterator[xr.Dataset])
    ids: Sequence[UUID] = collection.ingest({"time": []})
    assert_type(collection.delete(ids), int)
    created = client.create_or_update_dataset(DatasetKind.TEMPORAL, "mine", [{"name": "a", "type": str}], name="Mine")
    assert_type(created, TimeseriesDataset)


async def async_program() -> None:
    dataset = await AsyncClient().dataset("x")
    collection = await dataset.collection("y")
    assert_type(collection, AsyncTimeseriesCollection)
    assert_type(await collection.load("2022"), xr.Dataset)
    assert_type(collection.iter_pages(page_size=5), AsyncIterator[xr.Dataset])
    assert_type(await dataset.count(collections=["y"]), int)
