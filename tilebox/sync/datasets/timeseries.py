# Generated from tilebox/aio/datasets/timeseries.py by scripts/unasync.py; do not edit.
# ruff: noqa: A002 `filter` is the name that the public API has
"""A collection: a group of datapoints in a dataset, such as those of one satellite."""

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

    from tilebox._core.ingest.batches import IngestResult
    from tilebox._core.queries.areas import AreaLike
    from tilebox._core.queries.filters import Expression
    from tilebox._core.schema.catalogue import CollectionInfo, DatasetInfo
    from tilebox._core.values.intervals import TimeIntervalLike
    from tilebox.sync.transport import Transport


@dataclass(frozen=True, slots=True)
class Home:
    """The dataset of a collection, and the connection to its server."""

    transport: Transport
    dataset: DatasetInfo


class TimeseriesCollection:
    """A collection of datapoints. `TimeseriesDataset.collection` and `TimeseriesDataset.collections` return it."""

    def __init__(self, home: Home, info: CollectionInfo) -> None:
        self._home = home
        self._info = info

    @property
    def name(self) -> str:
        """The name of the collection, unique in its dataset."""
        return self._info.name

    @property
    def id(self) -> UUID:
        """The id of the collection."""
        return self._info.id

    def info(self) -> CollectionInfo:
        """Fetch the current metadata of the collection.

        Returns:
            The id, the name, the availability (the interval from the first to the last datapoint) and the count.

        Raises:
            NotFoundError: The collection was deleted in the meantime.
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
        """Load the datapoints of a time or time interval.

        Args:
            time_or_interval: One of: a `TimeInterval`; a tuple `(start, end)`, which excludes its end; a time scalar,
                which means exactly its millisecond; an iterable of time scalars, which means the interval from the
                first to the last of them, both included. A time scalar is a `datetime`, an ISO 8601 string or Unix
                seconds; without a time zone it is UTC.
            skip_data: Whether to load only time, id and ingestion time.
            show_progress: Whether to show a progress bar, which appears if the load takes more than one step; or a
                function that is called after each step with the finished fraction, from 0 to 1.
            lazy: Whether to decode each variable only on its first use.

        Returns:
            The datapoints in the order of their times, along the dimension `time`; an empty dataset if there are none.

        Raises:
            TypeError: The argument is not a time or interval.
            ValueError: The interval is malformed, for example if its end is before its start.
            PageError: The response ended early and could not be resumed. No partial result is returned.
        """
        if time_or_interval is None:
            raise TypeError(
                "load needs a time or an interval, not None; to load the datapoints of all times, call query()"
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
        """Query the datapoints that meet all conditions.

        Args:
            temporal_extent: The time or interval, as in `load`; None for all times.
            spatial_extent: The area, in degrees of longitude and latitude: a geometry of shapely or GeoJSON that
                footprints must intersect; or a dict with `geometry`, `mode` (`intersects`, `filter_contains_geometry`
                or `geometry_contains_filter`; `contains` is a deprecated alias of `filter_contains_geometry`) and
                `coordinate_system` (`cartesian` or `spherical`). None for all areas.
            filter: A condition on queryable fields, built with `tilebox.datasets.query.field`.
            skip_data: Whether to load only time, id and ingestion time.
            show_progress: Whether to show a progress bar, or a callback, as in `load`.
            limit: The largest number of datapoints to load.
            descending: Whether to return the latest datapoints first.
            lazy: Whether to decode each variable only on its first use.

        Returns:
            The datapoints along the dimension `time`; an empty dataset if there are none.

        Raises:
            ValueError: A condition is malformed.
            PageError: The response ended early and could not be resumed. No partial result is returned.
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
        """Iterate over the datapoints that meet all conditions, in pages of equal size and with constant memory.

        Args:
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
            PageError: The response ended early and could not be resumed.
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
        """Count the datapoints that meet all conditions, without loading them.

        Args:
            temporal_extent: As in `query`.
            spatial_extent: As in `query`.
            filter: As in `query`.

        Returns:
            The number of datapoints.

        Raises:
            ValueError: A condition is malformed.
        """
        query = self._query(temporal_extent, spatial_extent, filter, skip_data=True)
        return loading.count(self._home.transport, query)

    def find(self, datapoint_id: str | UUID, skip_data: bool = False) -> xr.Dataset:
        """Find a datapoint by its id.

        Args:
            datapoint_id: The id of the datapoint.
            skip_data: Whether to load only time, id and ingestion time.

        Returns:
            The datapoint, as a dataset without the dimension `time`.

        Raises:
            ValueError: The id is not a UUID.
            NotFoundError: The datapoint does not exist in this collection.
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
    ) -> IngestResult:
        """Ingest datapoints.

        Ids are hashes of the values, so ingesting the same data again creates no duplicates.

        Args:
            data: An `xarray.Dataset`, a data frame, a mapping of columns, or an iterable of mappings with one datapoint
                each. `time` is required. `id` and `ingestion_time` are ignored, because the server assigns them.
            allow_existing: Whether to skip datapoints that exist already; if false, they are an error.
            show_progress: Whether to show a progress bar, or a callback, as in `load`.

        Returns:
            A sequence of the ids in the order of the data, with the attributes `created` and `existing`, the numbers
            of new and of existing datapoints.

        Raises:
            ValueError: A value does not fit its field, or a geometry is not in degrees. Nothing is stored.
            InvalidArgumentError: The server refused a batch. The message has the rows, and what was stored before.
            ConflictError: A datapoint exists already, and `allow_existing` is false.
        """
        try:
            return writing.ingest(
                self._home.transport,
                target=self._target,
                collection=self.id,
                schema=self._home.dataset.schema,
                data=data,
                allow_existing=allow_existing,
                show_progress=show_progress,
            )
        finally:
            self._reset_contents()

    def delete(self, datapoints: Any) -> int:
        """Delete datapoints by their ids.

        Each batch of 8192 is deleted completely, or not at all if one of its datapoints does not exist.

        Args:
            datapoints: The ids, as UUIDs or strings; or a dataset or data frame with a column `id`.

        Returns:
            The number of deleted datapoints.

        Raises:
            NotFoundError: A datapoint does not exist.
            ValueError: An id is not a UUID.
        """
        try:
            return writing.delete(self._home.transport, collection=self.id, datapoints=datapoints)
        finally:
            self._reset_contents()

    @property
    def _target(self) -> str:
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
            target=self._target,
            dataset=self._home.dataset.id,
            schema=schema,
            collections=(self.id,),
            skip_data=skip_data,
            is_descending=is_descending,
            availability=self._info.availability,
            **conditions,
        )

    def _reset_contents(self) -> None:
        """Forget availability and count, after a change, complete or not."""
        self._info = replace(self._info, availability=None, count=None)

    def __repr__(self) -> str:
        return repr(self._info)

    def _repr_html_(self) -> str:
        return self._info._repr_html_()


def collection_ids(home: Home, collections: Any) -> tuple[UUID, ...]:
    """Return the ids of the collections in a caller's argument; an empty tuple means all collections.

    Args:
        home: The dataset of the collections.
        collections: None, or one or several names, ids, collections or infos; or a dict with these as values.

    Raises:
        NotFoundError: A collection does not exist.
        ValueError: The list is empty or too long.
        TypeError: An item has a type that does not identify a collection.
    """
    if collections is None:
        return ()
    items = list(collections.values()) if isinstance(collections, dict) else collections
    if isinstance(items, (str, UUID, TimeseriesCollection, catalogue.CollectionInfo)):
        items = [items]
    by_name: dict[str, TimeseriesCollection] = {}
    if any(isinstance(item, str) for item in items):
        by_name = list_collections(home)
    return queries.check_collections(tuple(_id_of(home, item, by_name) for item in items))


def list_collections(home: Home) -> dict[str, TimeseriesCollection]:
    """Return the collections of a dataset by name."""
    answer = home.transport.call(dataset_calls.list_collections(home.dataset.id))
    infos = sorted(map(catalogue.CollectionInfo.from_wire, answer.data), key=lambda info: info.name)
    return {info.name: TimeseriesCollection(home, info) for info in infos}


def find_by_name(collections: dict[str, TimeseriesCollection], name: str) -> TimeseriesCollection:
    """Return the collection with a name.

    Raises:
        NotFoundError: The collection does not exist; the message suggests similar names.
    """
    if name in collections:
        return collections[name]
    close = catalogue.did_you_mean(name, collections)
    raise NotFoundError(f"No such collection {name}{close}")


def _id_of(home: Home, given: Any, by_name: dict[str, TimeseriesCollection]) -> UUID:
    if isinstance(given, str):
        return find_by_name(by_name, given).id
    if isinstance(given, UUID):
        return given
    if isinstance(given, (TimeseriesCollection, catalogue.CollectionInfo)):
        return given.id
    raise TypeError(f"a collection of {home.dataset.slug} must be a name or an id, not a {type(given).__name__}")
