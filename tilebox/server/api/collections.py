"""`datasets.v1.CollectionService`: creating, finding, listing and deleting collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.datasets.v1 import collections_pb2 as wire
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import dataset_shapes, values

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.protocol.datasets.v1 import core_pb2
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.catalogue import Catalogue
    from tilebox.server.datasets.records import Summary


class CollectionService:
    """Implements the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["CollectionService"]
    permissions = {  # noqa: RUF012
        "CreateCollection": Permission.WRITE,
        "GetCollectionByName": Permission.READ,
        "DeleteCollection": Permission.WRITE,
        "ListCollections": Permission.READ,
    }

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def create_collection(self, caller: Caller, request: wire.CreateCollectionRequest) -> core_pb2.CollectionInfo:
        """Create a collection."""
        dataset = values.required_id(request.dataset_id, "dataset_id", is_set=request.HasField("dataset_id"))
        return dataset_shapes.collection(await self._catalogue.create_collection(caller.team, dataset, request.name))

    async def get_collection_by_name(
        self, caller: Caller, request: wire.GetCollectionByNameRequest
    ) -> core_pb2.CollectionInfo:
        """Return a collection by name."""
        dataset = values.required_id(request.dataset_id, "dataset_id", is_set=request.HasField("dataset_id"))
        if not request.collection_name:
            raise InvalidArgumentError("collection_name is required")
        record = await self._catalogue.collection_by_name(caller.team, dataset, request.collection_name)
        summaries = await self._summaries(dataset, request)
        return dataset_shapes.collection(
            record,
            summaries.get(record.number),
            with_availability=request.with_availability,
            with_count=request.with_count,
        )

    async def delete_collection(
        self, caller: Caller, request: wire.DeleteCollectionRequest
    ) -> wire.DeleteCollectionResponse:
        """Delete a collection and all of its datapoints."""
        collection = values.required_id(
            request.collection_id, "collection_id", is_set=request.HasField("collection_id")
        )
        dataset = values.optional_id(request.dataset_id, "dataset_id", is_set=request.HasField("dataset_id"))
        await self._catalogue.delete_collection(caller.team, collection, dataset)
        return wire.DeleteCollectionResponse()

    async def list_collections(
        self, caller: Caller, request: wire.ListCollectionsRequest
    ) -> wire.ListCollectionsResponse:
        """Return all collections of a dataset."""
        dataset = values.required_id(request.dataset_id, "dataset_id", is_set=request.HasField("dataset_id"))
        records = await self._catalogue.collections(caller.team, dataset)
        summaries = await self._summaries(dataset, request)
        infos = [
            dataset_shapes.collection(
                record,
                summaries.get(record.number),
                with_availability=request.with_availability,
                with_count=request.with_count,
            )
            for record in records
        ]
        return wire.ListCollectionsResponse(data=infos, owned_collections=len(infos))

    async def _summaries(
        self, dataset: UUID, request: wire.ListCollectionsRequest | wire.GetCollectionByNameRequest
    ) -> dict[int, Summary]:
        if request.with_availability or request.with_count:
            return await self._catalogue.summaries(dataset)
        return {}
