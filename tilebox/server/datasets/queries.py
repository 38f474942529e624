"""Queries of datapoints: by id, in pages, as one stream, or as a count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox._core.queries import filters
from tilebox._core.schema.catalogue import did_you_mean
from tilebox._core.schema.fields import METADATA_NAMES, DatasetKind
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.points.interface import PointQuery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    import pyarrow as pa

    from tilebox._core.queries.filters import Expression
    from tilebox.server.datasets.catalogue import Catalogue
    from tilebox.server.points.interface import Area, Points, PointStream
    from tilebox.server.store.interface import Collection, Dataset, Team

MAX_COLLECTIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The datapoints that a request selects, before datasets and collections are looked up.

    Args:
        dataset: Id of the dataset, or None to derive it from the collections.
        collections: Ids of the collections to search; an empty sequence means all of the dataset.
        start_ms: First millisecond to include, or None.
        end_ms: First millisecond to exclude, or None.
        first_id: Smallest id to include, or None.
        last_id: Largest id to include, or None.
        area: The spatial filter, or None.
        where: The filter on fields, or None.
    """

    dataset: UUID | None
    collections: Sequence[UUID]
    start_ms: int | None = None
    end_ms: int | None = None
    first_id: bytes | None = None
    last_id: bytes | None = None
    area: Area | None = None
    where: Expression | None = None


class Queries:
    """The service that reads datapoints.

    Args:
        catalogue: Finds datasets and collections.
        points: Stores datapoints.
    """

    def __init__(self, catalogue: Catalogue, points: Points) -> None:
        self._catalogue = catalogue
        self._points = points

    async def resolve(self, team: Team, selection: Selection) -> tuple[Dataset, PointQuery]:
        """Look up the dataset and collections of a selection, and check its filters against the dataset's type.

        Raises:
            NotFoundError: The team has no such dataset or collection.
            InvalidArgumentError: The filters do not fit the dataset.
        """
        dataset, numbers = await self._scope(team, selection.dataset, selection.collections)
        if selection.area is not None and dataset.schema.kind is not DatasetKind.SPATIOTEMPORAL:
            raise InvalidArgumentError(f"dataset {dataset.slug} has no footprints, so it cannot be queried by area")
        if selection.where is not None:
            try:
                filters.check(selection.where, dataset.schema)
            except ValueError as error:
                raise InvalidArgumentError(f"dataset {dataset.slug}: {error}") from None
        query = PointQuery(
            collections=numbers,
            start_ms=selection.start_ms,
            end_ms=selection.end_ms,
            first_id=selection.first_id,
            last_id=selection.last_id,
            area=selection.area,
            where=selection.where,
        )
        return dataset, query

    async def page(self, dataset: Dataset, query: PointQuery, *, max_bytes: int) -> tuple[pa.Table, bool]:
        """Return the first datapoints of a query, bounded by its limit and by bytes, and whether more follow."""
        return await self._points.page(dataset.id, query, max_bytes=max_bytes)

    async def count(self, dataset: Dataset, query: PointQuery) -> int:
        """Return how many datapoints match a query."""
        return await self._points.count(dataset.id, query)

    def stream(self, dataset: Dataset, query: PointQuery) -> AbstractAsyncContextManager[PointStream]:
        """Stream all results of a query."""
        return self._points.stream(dataset.id, query)

    async def find(
        self, team: Team, dataset: UUID | None, collections: Sequence[UUID], datapoint: bytes
    ) -> tuple[Dataset, pa.Table]:
        """Return one datapoint and its dataset.

        Raises:
            NotFoundError: There is no such dataset, collection or datapoint.
        """
        record, numbers = await self._scope(team, dataset, collections)
        row = await self._points.find(record.id, numbers, datapoint)
        if row is None:
            raise NotFoundError(f"No such datapoint {UUID(bytes=datapoint)}")
        return record, row

    async def _scope(
        self, team: Team, dataset: UUID | None, collections: Sequence[UUID]
    ) -> tuple[Dataset, tuple[int, ...]]:
        if len(collections) > MAX_COLLECTIONS:
            raise InvalidArgumentError(f"at most {MAX_COLLECTIONS} collection_ids in a request, not {len(collections)}")
        if dataset is None and not collections:
            raise InvalidArgumentError("dataset_id or collection_ids is required")
        requested = [
            await self._catalogue.collection(team, collection_id) for collection_id in dict.fromkeys(collections)
        ]
        record = await self._catalogue.get(team, dataset or requested[0].dataset)
        _check_same_dataset(record, requested, derived=dataset is None)
        selected = requested or await self._catalogue.collections(team, record.id)
        return record, tuple(collection.number for collection in selected)


def with_fields(dataset: Dataset, query: PointQuery, names: Sequence[str]) -> PointQuery:
    """Return a query that reads only the named fields, besides time, id and ingestion time.

    Raises:
        InvalidArgumentError: The dataset does not have one of the fields.
    """
    known = [field.name for field in dataset.schema]
    for name in names:
        if name not in known:
            raise InvalidArgumentError(f"dataset {dataset.slug} has no field {name!r}{did_you_mean(name, known)}")
    return replace(query, fields=tuple(name for name in known if name in names and name not in METADATA_NAMES))


def _check_same_dataset(dataset: Dataset, collections: Sequence[Collection], *, derived: bool) -> None:
    for collection in collections:
        if collection.dataset != dataset.id:
            if derived:
                raise InvalidArgumentError(
                    "collection_ids belong to several datasets, but a query reads only one; send one query per dataset"
                )
            raise NotFoundError(f"No such collection {collection.id} in dataset {dataset.slug}")
