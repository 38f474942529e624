"""Datasets and collections of the async client, by their documented names and their newer aliases."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.aio.datasets.dataset import TimeseriesDataset
    from tilebox.aio.datasets.dataset import TimeseriesDataset as DatasetClient
    from tilebox.aio.datasets.timeseries import TimeseriesCollection
    from tilebox.aio.datasets.timeseries import TimeseriesCollection as CollectionClient

__all__ = ["CollectionClient", "DatasetClient", "TimeseriesCollection", "TimeseriesDataset"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "CollectionClient": "tilebox.aio.datasets.timeseries:TimeseriesCollection",
        "DatasetClient": "tilebox.aio.datasets.dataset:TimeseriesDataset",
        "TimeseriesCollection": "tilebox.aio.datasets.timeseries",
        "TimeseriesDataset": "tilebox.aio.datasets.dataset",
    },
)
