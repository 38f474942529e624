# Source of tilebox/sync/datasets/dataset.py, which scripts/unasync.py writes.
# ruff: noqa: A002 `filter` is the name that the public API has
"""A dataset: datapoints of one type, in collections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tilebox._core.queries import dataset_calls
from tilebox._core.queries import query as queries
from tilebox._core.queries.query import Query
from tilebox._core.schema import catalogue
from tilebox._core.values import ids
from tilebox.aio.datasets import loading
from tilebox.aio.datasets.timeseries import Home, TimeseriesCollection, collection_ids, list_collections, named
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
    """A dataset. Comes from `Client.dataset` and `Client.datasets`."""

    def __init__(self, transport: Transport, info: DatasetInfo) -> None:
        self._transport = transport
        self._info = info
        self._home = Home(transport, info)

    @property
    def id(self) -> UUID:
        """Its identity."""
        return self._info.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._info.name

    @property
    def slug(self) -> str:
        """Its dotted path, by which `Client.dataset` finds it."""
        return self._info.slug

    @property
    def summary(self) -> str:
        """One line about it."""
        return self._info.summary

    @property
    def description(self) -> str:
        """All about it, as Markdown."""
        return self._info.description

    @property
    def schema(self) -> Schema:
        """Its fields.

        Raises:
            ValueError: A field has a type that this version does not know.
        """
        return self._info.schema

    async def collections(self) -> dict[str, TimeseriesCollection]:
        """List the collections.

        Returns:
            The collections by name; printing it shows what each holds.
        """
        return await list_collections(self._home)

    async def collection(self, name: str) -> TimeseriesCollection:
        """Access a collection. Asks the server, so that a wrong name fails here and at once.

        Args:
            name: Its name.

        Raises:
            NotFoundError: There is none of that name; the message names close ones.
        """
        return named(await list_collections(self._home), name)

    async def create_collection(self, name: str) -> TimeseriesCollection:
        """Create a collection.

        Raises:
            ConflictError: There is one of that name already.
        """
        answer = await self._transport.call(dataset_calls.create_collection(self.id, name))
        # The answer leaves out what goes without saying: nothing is in it yet.
        return TimeseriesCollection(self._home, replace(catalogue.CollectionInfo.from_wire(answer), count=0))

    async def get_or_create_collection(self, name: str) -> TimeseriesCollection:
        """Access a collection, which is created if there is none of that name."""
        existing = await list_collections(self._home)
        if name in existing:
            return existing[name]
        try:
            return await self.create_collection(name)
        except ConflictError:
            # Somebody else created it since we looked.
            return await self.collection(name)

    async def delete_collection(self, collection: CollectionLike) -> None:
        """Delete a collection with all its datapoints.

        Args:
            collection: The collection, its name or its id.

        Raises:
            NotFoundError: There is no such collection.
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
        """Load the datapoints of several collections that meet all conditions.

        Args:
            collections: Where to look: names, ids or collections; None for all of them.
            temporal_extent: When, as in `TimeseriesCollection.load`; None for all times.
            spatial_extent: Where: a geometry that footprints intersect, of shapely or as GeoJSON, in degrees; or a
                dict with `geometry`, `mode` (`intersects`, `filter_contains_geometry`, `geometry_contains_filter`;
                `contains` is a deprecated alias of the second) and `coordinate_system` (`cartesian`, `spherical`).
            filter: Conditions on queryable fields, built with `field`.
            skip_data: Load only time, id and ingestion time.
            show_progress: As in `TimeseriesCollection.load`.
            limit: Load at most so many datapoints.
            descending: From the latest to the earliest.
            lazy: Decode every variable only when it is first used.

        Returns:
            The datapoints along the dimension `time`; an empty dataset if there are none.

        Raises:
            ValueError: A condition makes no sense.
            NotFoundError: There is no collection of a name.
            PageError: The answer broke off for good; nothing is returned in part.
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
        """Iterate over the datapoints that meet all conditions, in datasets of one size and in constant memory.

        Args:
            collections: As in `query`.
            temporal_extent: As in `query`.
            spatial_extent: As in `query`.
            filter: As in `query`.
            skip_data: As in `query`.
            limit: As in `query`.
            descending: As in `query`.
            page_size: Datapoints in each dataset; the last one has fewer.

        Returns:
            An iterator over datasets.

        Raises:
            ValueError: A condition makes no sense.
            NotFoundError: There is no collection of a name.
            PageError: The answer broke off for good.
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
        """Count the datapoints that meet all conditions, as in `query`, without loading them."""
        conditions = self._conditions(temporal_extent, spatial_extent, filter, None)
        return await loading.count(self._transport, await self._query(collections, conditions, skip_data=True))

    async def find(
        self, datapoint_id: str | UUID, collections: CollectionsLike | None = None, skip_data: bool = False
    ) -> xr.Dataset:
        """Load one datapoint.

        Args:
            datapoint_id: Its id.
            collections: Where to look: names, ids or collections; None for all of them.
            skip_data: Load only time, id and ingestion time.

        Returns:
            The datapoint, without a dimension `time`.

        Raises:
            ValueError: The id is no UUID.
            NotFoundError: There is no such datapoint, or no collection of a name.
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
    """Return the error for a dataset that does not exist, with close names."""
    return NotFoundError(f"No such dataset {slug}{catalogue.did_you_mean(slug, slugs)}")
