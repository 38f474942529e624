# Source of tilebox/sync/datasets/dataset.py, which scripts/unasync.py writes.
# ruff: noqa: A002 `filter` is the name that the public API has
"""A dataset: datapoints with one schema, grouped into collections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tilebox._core.queries import dataset_calls
from tilebox._core.queries import query as queries
from tilebox._core.queries.query import Query
from tilebox._core.schema import catalogue
from tilebox._core.values import ids
from tilebox.aio.datasets import loading
from tilebox.aio.datasets.timeseries import Home, TimeseriesCollection, collection_ids, find_by_name, list_collections
from tilebox.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from uuid import UUID

    import xarray as xr

    from tilebox._core.queries.areas import AreaLike
    from tilebox._core.queries.filters import Expression
    from tilebox._core.schema.catalogue import CollectionInfo, DatasetInfo
    from tilebox._core.schema.fields import Schema
    from tilebox._core.values.intervals import TimeIntervalLike
    from tilebox.aio.transport import Transport

    CollectionLike = str | UUID | TimeseriesCollection | CollectionInfo
    CollectionsLike = CollectionLike | Iterable[CollectionLike] | Mapping[str, CollectionLike]


class TimeseriesDataset:
    """A dataset. `Client.dataset` and `Client.datasets` return it."""

    def __init__(self, transport: Transport, info: DatasetInfo) -> None:
        self._transport = transport
        self._info = info
        self._home = Home(transport, info)

    @property
    def id(self) -> UUID:
        """The id of the dataset."""
        return self._info.id

    @property
    def name(self) -> str:
        """The display name of the dataset."""
        return self._info.name

    @property
    def slug(self) -> str:
        """The dotted path of the dataset, the argument of `Client.dataset`."""
        return self._info.slug

    @property
    def summary(self) -> str:
        """The summary of the dataset, one line."""
        return self._info.summary

    @property
    def description(self) -> str:
        """The description of the dataset in Markdown."""
        return self._info.description

    @property
    def schema(self) -> Schema:
        """The fields of the dataset.

        Raises:
            ValueError: A field has a type that this version does not know.
        """
        return self._info.schema

    async def collections(self) -> dict[str, TimeseriesCollection]:
        """List the collections of the dataset.

        Returns:
            The collections by name. Printing the dict shows the availability and count of each.
        """
        return await list_collections(self._home)

    async def collection(self, name: str) -> TimeseriesCollection:
        """Get a collection by its name.

        Args:
            name: The name of the collection.

        Returns:
            The collection.

        Raises:
            NotFoundError: The collection does not exist; the message suggests similar names.
        """
        return find_by_name(await list_collections(self._home), name)

    async def create_collection(self, name: str) -> TimeseriesCollection:
        """Create a collection.

        Args:
            name: The name of the collection.

        Returns:
            The collection, which is empty.

        Raises:
            ConflictError: A collection with this name exists already.
        """
        answer = await self._transport.call(dataset_calls.create_collection(self.id, name))
        # The response has no count, and a new collection is empty.
        return TimeseriesCollection(self._home, replace(catalogue.CollectionInfo.from_wire(answer), count=0))

    async def get_or_create_collection(self, name: str) -> TimeseriesCollection:
        """Get a collection, or create it if it does not exist.

        Args:
            name: The name of the collection.

        Returns:
            The collection.
        """
        existing = await list_collections(self._home)
        if name in existing:
            return existing[name]
        try:
            return await self.create_collection(name)
        except ConflictError:
            # Another client created it in the meantime.
            return await self.collection(name)

    async def delete_collection(self, collection: CollectionLike) -> None:
        """Delete a collection with all its datapoints.

        Args:
            collection: The collection, its name or its id.

        Raises:
            NotFoundError: The collection does not exist.
        """
        (identity,) = await collection_ids(self._home, [collection])
        await self._transport.call(dataset_calls.delete_collection(self.id, identity))

    async def query(
        self,
        *,
        collections: CollectionsLike | None = None,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
        skip_data: bool = False,
        show_progress: bool | Callable[[float], object] = False,
        limit: int | None = None,
        descending: bool = False,
        lazy: bool = False,
    ) -> xr.Dataset:
        """Query the datapoints of one or more collections that meet all conditions.

        Args:
            collections: The collections to query, as names, ids or collection objects; None for all collections.
            temporal_extent: The time or interval, as in `TimeseriesCollection.load`; None for all times.
            spatial_extent: The area, in degrees of longitude and latitude: a geometry of shapely or GeoJSON that
                footprints must intersect; or a dict with `geometry`, `mode` (`intersects`, `filter_contains_geometry`
                or `geometry_contains_filter`; `contains` is a deprecated alias of `filter_contains_geometry`) and
                `coordinate_system` (`cartesian` or `spherical`). None for all areas.
            filter: A condition on queryable fields, built with `tilebox.datasets.query.field`.
            skip_data: Whether to load only time, id and ingestion time.
            show_progress: Whether to show a progress bar, or a callback, as in `TimeseriesCollection.load`.
            limit: The largest number of datapoints to load.
            descending: Whether to return the latest datapoints first.
            lazy: Whether to decode each variable only on its first use.

        Returns:
            The datapoints along the dimension `time`; an empty dataset if there are none.

        Raises:
            ValueError: A condition is malformed.
            NotFoundError: A collection does not exist.
            PageError: The response ended early and could not be resumed. No partial result is returned.
        """
        conditions = self._conditions(temporal_extent, spatial_extent, filter, limit)
        query = await self._query(collections, conditions, skip_data=skip_data, is_descending=descending)
        return await loading.load(self._transport, query, lazy=lazy, show_progress=show_progress)

    def iter_pages(
        self,
        *,
        collections: CollectionsLike | None = None,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
        skip_data: bool = False,
        limit: int | None = None,
        descending: bool = False,
        page_size: int = 8192,
    ) -> AsyncIterator[xr.Dataset]:
        """Iterate over the datapoints that meet all conditions, in pages of equal size and with constant memory.

        Args:
            collections: As in `query`.
            temporal_extent: As in `query`.
            spatial_extent: As in `query`.
            filter: As in `query`.
            skip_data: As in `query`.
            limit: As in `query`.
            descending: As in `query`.
            page_size: The number of datapoints per page; the last page may have fewer.

        Returns:
            An iterator over datasets, one per page.

        Raises:
            ValueError: A condition is malformed.
            NotFoundError: A collection does not exist.
            PageError: The response ended early and could not be resumed.
        """
        conditions = self._conditions(temporal_extent, spatial_extent, filter, limit)
        size = queries.check_positive(page_size, "page_size") or 1
        return self._pages(collections, conditions, size, skip_data=skip_data, is_descending=descending)

    async def count(
        self,
        *,
        collections: CollectionsLike | None = None,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
    ) -> int:
        """Count the datapoints that meet all conditions, without loading them.

        Args:
            collections: As in `query`.
            temporal_extent: As in `query`.
            spatial_extent: As in `query`.
            filter: As in `query`.

        Returns:
            The number of datapoints.

        Raises:
            ValueError: A condition is malformed.
            NotFoundError: A collection does not exist.
        """
        conditions = self._conditions(temporal_extent, spatial_extent, filter, None)
        return await loading.count(self._transport, await self._query(collections, conditions, skip_data=True))

    async def find(
        self, datapoint_id: str | UUID, collections: CollectionsLike | None = None, skip_data: bool = False
    ) -> xr.Dataset:
        """Find a datapoint by its id.

        Args:
            datapoint_id: The id of the datapoint.
            collections: The collections to search, as names, ids or collection objects; None for all collections.
            skip_data: Whether to load only time, id and ingestion time.

        Returns:
            The datapoint, as a dataset without the dimension `time`.

        Raises:
            ValueError: The id is not a UUID.
            NotFoundError: The datapoint or a collection does not exist.
        """
        return await loading.find(
            self._transport,
            dataset=self.id,
            schema=self.schema,
            collections=await collection_ids(self._home, collections),
            datapoint=ids.parse(datapoint_id, name="datapoint id"),
            skip_data=skip_data,
        )

    def _conditions(self, temporal_extent: Any, spatial_extent: Any, filter: Any, limit: Any) -> dict[str, Any]:
        return queries.parse_conditions(
            schema=self.schema,
            temporal_extent=temporal_extent,
            spatial_extent=spatial_extent,
            filter=filter,
            limit=limit,
        )

    async def _query(
        self, collections: Any, conditions: dict[str, Any], *, skip_data: bool, is_descending: bool = False
    ) -> Query:
        return Query(
            target=self.name,
            dataset=self.id,
            schema=self.schema,
            collections=await collection_ids(self._home, collections),
            skip_data=skip_data,
            is_descending=is_descending,
            **conditions,
        )

    async def _pages(
        self, collections: Any, conditions: dict[str, Any], size: int, *, skip_data: bool, is_descending: bool
    ) -> AsyncIterator[xr.Dataset]:
        query = await self._query(collections, conditions, skip_data=skip_data, is_descending=is_descending)
        async for page in loading.pages(self._transport, query, page_size=size):
            yield page

    def __repr__(self) -> str:
        return str(self._info)

    def _repr_html_(self) -> str:
        return self._info._repr_html_()


def missing(slug: str, slugs: Iterable[str]) -> NotFoundError:
    """Return the error for a dataset that does not exist, which suggests similar slugs."""
    return NotFoundError(f"No such dataset {slug}{catalogue.did_you_mean(slug, slugs)}")
