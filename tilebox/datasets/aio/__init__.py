"""The async client of Tilebox datasets, with the same methods as coroutines."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox.aio.datasets.client import Client
    from tilebox.aio.datasets.dataset import TimeseriesDataset
    from tilebox.aio.datasets.timeseries import TimeseriesCollection

__all__ = ["Client", "TimeseriesCollection", "TimeseriesDataset"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Client": "tilebox.aio.datasets.client",
        "TimeseriesCollection": "tilebox.aio.datasets.timeseries",
        "TimeseriesDataset": "tilebox.aio.datasets.dataset",
    },
)
