"""Tilebox datasets: satellite metadata as `xarray.Dataset`.

    from tilebox.datasets import Client

    client = Client()
    sentinel2 = client.dataset("open_data.copernicus.sentinel2_msi")
    data = sentinel2.collection("S2A_S2MSI1C").load(("2024-07-12", "2024-07-26"))

`tilebox.datasets.aio` has the async client, with the same methods as coroutines.
"""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.queries.filters import field
    from tilebox._core.results.exports import from_storable, to_arrow, to_geodataframe, to_geoparquet, to_storable
    from tilebox._core.schema.catalogue import CollectionInfo
    from tilebox._core.schema.fields import DatasetKind
    from tilebox._core.values.intervals import TimeInterval
    from tilebox.errors import (
        APIError,
        AuthenticationError,
        ConflictError,
        InvalidArgumentError,
        MissingExtraError,
        NotFoundError,
        PageError,
        PermissionDeniedError,
        RateLimitedError,
        ServerError,
        TileboxError,
        TransportError,
    )
    from tilebox.sync.datasets.client import Client
    from tilebox.sync.datasets.dataset import TimeseriesDataset
    from tilebox.sync.datasets.timeseries import TimeseriesCollection

__all__ = [
    "APIError",
    "AuthenticationError",
    "Client",
    "CollectionInfo",
    "ConflictError",
    "DatasetKind",
    "InvalidArgumentError",
    "MissingExtraError",
    "NotFoundError",
    "PageError",
    "PermissionDeniedError",
    "RateLimitedError",
    "ServerError",
    "TileboxError",
    "TimeInterval",
    "TimeseriesCollection",
    "TimeseriesDataset",
    "TransportError",
    "field",
    "from_storable",
    "to_arrow",
    "to_geodataframe",
    "to_geoparquet",
    "to_storable",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "APIError": "tilebox.errors",
        "AuthenticationError": "tilebox.errors",
        "Client": "tilebox.sync.datasets.client",
        "CollectionInfo": "tilebox._core.schema.catalogue",
        "ConflictError": "tilebox.errors",
        "DatasetKind": "tilebox._core.schema.fields",
        "InvalidArgumentError": "tilebox.errors",
        "MissingExtraError": "tilebox.errors",
        "NotFoundError": "tilebox.errors",
        "PageError": "tilebox.errors",
        "PermissionDeniedError": "tilebox.errors",
        "RateLimitedError": "tilebox.errors",
        "ServerError": "tilebox.errors",
        "TileboxError": "tilebox.errors",
        "TimeInterval": "tilebox._core.values.intervals",
        "TimeseriesCollection": "tilebox.sync.datasets.timeseries",
        "TimeseriesDataset": "tilebox.sync.datasets.dataset",
        "TransportError": "tilebox.errors",
        "field": "tilebox._core.queries.filters",
        "from_storable": "tilebox._core.results.exports",
        "to_arrow": "tilebox._core.results.exports",
        "to_geodataframe": "tilebox._core.results.exports",
        "to_geoparquet": "tilebox._core.results.exports",
        "to_storable": "tilebox._core.results.exports",
    },
)
