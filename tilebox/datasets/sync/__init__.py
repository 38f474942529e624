"""The sync client of Tilebox datasets, as in `tilebox.datasets`."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.sync.datasets.client import Client
    from tilebox.sync.datasets.dataset import TimeseriesDataset
    from tilebox.sync.datasets.timeseries import TimeseriesCollection

__all__ = ["Client", "TimeseriesCollection", "TimeseriesDataset"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Client": "tilebox.sync.datasets.client",
        "TimeseriesCollection": "tilebox.sync.datasets.timeseries",
        "TimeseriesDataset": "tilebox.sync.datasets.dataset",
    },
)
