"""Datasets and collections of the sync client, by their documented names and their newer aliases."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.sync.datasets.dataset import TimeseriesDataset
    from tilebox.sync.datasets.dataset import TimeseriesDataset as DatasetClient
    from tilebox.sync.datasets.timeseries import TimeseriesCollection
    from tilebox.sync.datasets.timeseries import TimeseriesCollection as CollectionClient

__all__ = ["CollectionClient", "DatasetClient", "TimeseriesCollection", "TimeseriesDataset"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "CollectionClient": "tilebox.sync.datasets.timeseries:TimeseriesCollection",
        "DatasetClient": "tilebox.sync.datasets.dataset:TimeseriesDataset",
        "TimeseriesCollection": "tilebox.sync.datasets.timeseries",
        "TimeseriesDataset": "tilebox.sync.datasets.dataset",
    },
)
