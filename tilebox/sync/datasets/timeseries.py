# Generated from tilebox/aio/datasets/timeseries.py by scripts/unasync.py; do not edit.
# ruff: noqa: A002 `filter` is the name that the public API has
"""A collection: datapoints of one dataset that belong together, such as those of one satellite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.queries import dataset_calls
from tilebox._core.queries import query as queries
from tilebox._core.queries.query import Query
from tilebox._core.schema import catalogue
from tilebox._core.values import ids
from tilebox.sync.datasets import loading, writing
from tilebox.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Callable

    import xarray as xr

    from tilebox._core.ingest.batches import Ingested
    from tilebox._core.queries.areas import AreaLike
    from tilebox._core.queries.filters import Expression
    from tilebox._core.schema.catalogue import CollectionInfo, DatasetInfo
    from tilebox._core.values.intervals import TimeIntervalLike
    from tilebox.sync.transport import Transport


@dataclass(frozen=True, slots=True)
class Home:
    """The dataset that a collection belongs to, and the way to its server."""

    transport: Transport
    dataset: DatasetInfo


class TimeseriesCollection:
    """A collection of datapoints. Comes from `TimeseriesDataset.collection` and `collections`."""

    def __init__(self, home: Home, info: CollectionInfo) -> None:
        self._home = home
        self._info = info

    @property
    def name(self) -> str:
        """Its name, unique in its dataset."""
        return self._info.name

    @property
    def id(self) -> UUID:
        """Its identity."""
        return self._info.id

    def info(self) -> CollectionInfo:
        """Ask how many datapoints there are now, and which interval they span.

        Raises:
            NotFoundError: The collection was deleted meanwhile.
        """
        answer = self._home.transport.call(dataset_calls.get_collection(self._home.dataset.id, self.name))
        self._info = catalogue.CollectionInfo.from_wire(answer)
        return self._info

    def load(
        self,
        time_or_interval: TimeIntervalLike,
        skip_data: bool = False,
        show_progress: bool | Callable[[float], object] = False,
        *,
        lazy: bool = False,
    ) -> xr.Dataset:
        """Load the datapoints of a time or interval.

        Args:
            time_or_interval: A `TimeInterval`, a tuple `(start, end)` that excludes its end, one time scalar for
                exactly its millisecond, or an iterable of time scalars, from the first to the last of them.
            skip_data: Load only time, id and ingestion time.
            show_progress: Show a progress bar if this takes more than one step, or call this with the finished
                fraction after each.
            lazy: Decode every variable only when it is first used.

        Returns:
            The datapoints by time along the dimension `time`; an empty dataset if there are none.

        Raises:
            TypeError: It is no time or interval; None is none.
            ValueError: The interval makes no sense.
            PageError: The answer broke off for good; nothing is returned in part.
        """
        if time_or_interval is None:
            raise TypeError(
                "load takes a time or an interval, not None; query(temporal_extent=None) loads the datapoints of all times"
            )
        return self.query(
            temporal_extent=time_or_interval, skip_data=skip_data, show_progress=show_progress, lazy=lazy
        )

    def query(
        self,
        *,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
        skip_data: bool = False,
        show_progress: bool | Callable[[float], object] = False,
        limit: int | None = None,
        descending: bool = False,
        lazy: bool = False,
    ) -> xr.Dataset:
        """Load the datapoints that meet all conditions.

        Args:
            temporal_extent: When, as in `load`; None for all times.
            spatial_extent: Where: a geometry that footprints intersect, of shapely or as GeoJSON, in degrees; or a
                dict with `geometry`, `mode` (`intersects`, `filter_contains_geometry`, `geometry_contains_filter`;
                `contains` is a deprecated alias of the second) and `coordinate_system` (`cartesian`, `spherical`).
            filter: Conditions on queryable fields, built with `field`.
            skip_data: Load only time, id and ingestion time.
            show_progress: As in `load`.
            limit: Load at most so many datapoints.
            descending: From the latest to the earliest.
            lazy: As in `load`.

        Returns:
            The datapoints along the dimension `time`; an empty dataset if there are none.

        Raises:
            ValueError: A condition makes no sense.
            PageError: The answer broke off for good; nothing is returned in part.
        """
        query = self._query(
            temporal_extent, spatial_extent, filter, skip_data=skip_data, limit=limit, is_descending=descending
        )
        return loading.load(self._home.transport, query, lazy=lazy, show_progress=show_progress)

    def iter_pages(
        self,
        *,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
        skip_data: bool = False,
        limit: int | None = None,
        descending: bool = False,
        page_size: int = 8192,
    ) -> Iterator[xr.Dataset]:
        """Iterate over the datapoints that meet all conditions, in datasets of one size and in constant memory.

        Args:
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
            PageError: The answer broke off for good.
        """
        query = self._query(
            temporal_extent, spatial_extent, filter, skip_data=skip_data, limit=limit, is_descending=descending
        )
        size = queries.check_positive(page_size, "page_size") or 1
        return loading.pages(self._home.transport, query, page_size=size)

    def count(
        self,
        *,
        temporal_extent: TimeIntervalLike | None = None,
        spatial_extent: AreaLike | None = None,
        filter: Expression | None = None,
    ) -> int:
        """Count the datapoints that meet all conditions, as in `query`, without loading them."""
        query = self._query(temporal_extent, spatial_extent, filter, skip_data=True)
        return loading.count(self._home.transport, query)

    def find(self, datapoint_id: str | UUID, skip_data: bool = False) -> xr.Dataset:
        """Load one datapoint.

        Args:
            datapoint_id: Its id.
            skip_data: Load only time, id and ingestion time.

        Returns:
            The datapoint, without a dimension `time`.

        Raises:
            ValueError: The id is no UUID.
            NotFoundError: The collection has no such datapoint.
        """
        return loading.find(
            self._home.transport,
            dataset=self._home.dataset.id,
            schema=self._home.dataset.schema,
            collections=(self.id,),
            datapoint=ids.parse(datapoint_id, name="datapoint id"),
            skip_data=skip_data,
        )

    def ingest(
        self,
        data: Any,
        allow_existing: bool = True,
        *,
        show_progress: bool | Callable[[float], object] = False,
    ) -> Ingested:
        """Store datapoints.

        Ids follow from the values, so storing the same data again changes nothing.

        Args:
            data: A dataset, a data frame, a mapping of columns, or an iterable of mappings, each one datapoint.
                `time` is required; `id` and `ingestion_time` are the server's to give and are passed over.
            allow_existing: Whether datapoints that exist are passed over; if not, they are an error.
            show_progress: As in `load`.

        Returns:
            The ids in the order of the data, a sequence that also has the numbers `created` and `existing`.

        Raises:
            ValueError: A value does not fit its field, or geometries are not in degrees; nothing is stored then.
            InvalidArgumentError: The server refused a batch; the message says which rows and what is stored.
            ConflictError: A datapoint exists, and `allow_existing` is false.
        """
        try:
            return writing.ingest(
                self._home.transport,
                what=self._what,
                collection=self.id,
                schema=self._home.dataset.schema,
                data=data,
                allow_existing=allow_existing,
                show_progress=show_progress,
            )
        finally:
            self._forget_contents()

    def delete(self, datapoints: Any) -> int:
        """Delete datapoints: all of them, or none if one does not exist (in each batch of 8192).

        Args:
            datapoints: Their ids (UUIDs or their text), or a dataset or data frame with a column `id`.

        Returns:
            How many were deleted.

        Raises:
            NotFoundError: A datapoint does not exist.
            ValueError: An id is no UUID.
        """
        try:
            return writing.delete(self._home.transport, collection=self.id, datapoints=datapoints)
        finally:
            self._forget_contents()

    @property
    def _what(self) -> str:
        return f"{self._home.dataset.name}/{self.name}"

    def _query(
        self,
        temporal_extent: Any,
        spatial_extent: Any,
        filter: Any,
        *,
        skip_data: bool,
        limit: Any = None,
        is_descending: bool = False,
    ) -> Query:
        schema = self._home.dataset.schema
        conditions = queries.parse_conditions(
            schema=schema, temporal_extent=temporal_extent, spatial_extent=spatial_extent, filter=filter, limit=limit
        )
        return Query(
            target=self._what,
            dataset=self._home.dataset.id,
            schema=schema,
            collections=(self.id,),
            skip_data=skip_data,
            is_descending=is_descending,
            availability=self._info.availability,
            **conditions,
        )

    def _forget_contents(self) -> None:
        """Drop what was known of the datapoints, after a change or one that broke off."""
        self._info = replace(self._info, availability=None, count=None)

    def __repr__(self) -> str:
        return repr(self._info)

    def _repr_html_(self) -> str:
        return self._info._repr_html_()


def collection_ids(home: Home, collections: Any) -> tuple[UUID, ...]:
    """Return the ids of collections that a caller named, for a query; none for all.

    Args:
        home: Their dataset.
        collections: None, or one or several of: names, ids, collections, infos; a dict by name counts too.

    Raises:
        NotFoundError: The dataset has no collection of a name.
        ValueError: They are none or too many.
        TypeError: They are of a type that names no collection.
    """
    if collections is None:
        return ()
    given = list(collections.values()) if isinstance(collections, dict) else collections
    if isinstance(given, (str, UUID, TimeseriesCollection, catalogue.CollectionInfo)):
        given = [given]
    by_name: dict[str, TimeseriesCollection] = {}
    if any(isinstance(one, str) for one in given):
        by_name = list_collections(home)
    return queries.check_collections(tuple(_id_of(home, one, by_name) for one in given))


def list_collections(home: Home) -> dict[str, TimeseriesCollection]:
    """Return the collections of a dataset by name."""
    answer = home.transport.call(dataset_calls.list_collections(home.dataset.id))
    infos = sorted(map(catalogue.CollectionInfo.from_wire, answer.data), key=lambda info: info.name)
    return {info.name: TimeseriesCollection(home, info) for info in infos}


def named(collections: dict[str, TimeseriesCollection], name: str) -> TimeseriesCollection:
    """Return one of the collections of a dataset.

    Raises:
        NotFoundError: There is none of that name; close ones are named.
    """
    if name in collections:
        return collections[name]
    close = catalogue.did_you_mean(name, collections)
    raise NotFoundError(f"No such collection {name}{close}")


def _id_of(home: Home, given: Any, by_name: dict[str, TimeseriesCollection]) -> UUID:
    if isinstance(given, str):
        return named(by_name, given).id
    if isinstance(given, UUID):
        return given
    if isinstance(given, (TimeseriesCollection, catalogue.CollectionInfo)):
        return given.id
    raise TypeError(f"a collection of {home.dataset.slug} is named by its name or id, not by a {type(given).__name__}")
