"""`datasets.v1.DatasetService`: creating, finding, updating, listing and deleting datasets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tilebox._core.protocol.datasets.v1 import datasets_pb2 as wire
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import dataset_shapes, values
from tilebox.server.datasets.catalogue import DatasetChange

if TYPE_CHECKING:
    from tilebox._core.protocol.datasets.v1 import core_pb2
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.catalogue import Catalogue

_SLUG = re.compile(r"[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*")


class DatasetService:
    """Implements the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["DatasetService"]
    permissions = {  # noqa: RUF012
        "CreateDataset": Permission.MANAGE,
        "GetDataset": Permission.READ,
        "UpdateDataset": Permission.MANAGE,
        "DeleteDataset": Permission.MANAGE,
        "ListDatasets": Permission.READ,
    }

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def create_dataset(self, caller: Caller, request: wire.CreateDatasetRequest) -> core_pb2.Dataset:
        """Create a dataset."""
        if not request.HasField("type"):
            raise InvalidArgumentError("type is required")
        record = await self._catalogue.create(
            caller.team,
            name=request.name,
            code_name=request.code_name,
            wanted=request.type,
            summary=request.summary,
            description=request.description,
        )
        return dataset_shapes.dataset(record, caller)

    async def get_dataset(self, caller: Caller, request: wire.GetDatasetRequest) -> core_pb2.Dataset:
        """Return a dataset by slug or id."""
        if bool(request.slug) == request.HasField("id"):
            raise InvalidArgumentError("exactly one of slug and id is required")
        if request.slug:
            if not _SLUG.fullmatch(request.slug):
                raise InvalidArgumentError(f"slug {request.slug!r} must consist of names joined by dots")
            record = await self._catalogue.get_by_slug(caller.team, request.slug)
        else:
            record = await self._catalogue.get(caller.team, values.required_id(request.id, "id", is_set=True))
        return dataset_shapes.dataset(record, caller)

    async def update_dataset(self, caller: Caller, request: wire.UpdateDatasetRequest) -> core_pb2.Dataset:
        """Update the texts or the type of a dataset."""
        change = DatasetChange(
            name=request.name if request.HasField("name") else None,
            code_name=request.code_name if request.HasField("code_name") else None,
            summary=request.summary if request.HasField("summary") else None,
            description=request.description if request.HasField("description") else None,
            type=request.type if request.HasField("type") else None,
        )
        identity = values.required_id(request.id, "id", is_set=request.HasField("id"))
        return dataset_shapes.dataset(await self._catalogue.update(caller.team, identity, change), caller)

    async def delete_dataset(self, caller: Caller, request: wire.DeleteDatasetRequest) -> wire.DeleteDatasetResponse:
        """Delete a dataset and all of its datapoints, at once and permanently."""
        identity = values.required_id(request.id, "id", is_set=request.HasField("id"))
        await self._catalogue.delete(caller.team, identity)
        return wire.DeleteDatasetResponse(trashed=False)

    async def list_datasets(self, caller: Caller, _: wire.ListDatasetsRequest) -> wire.ListDatasetsResponse:
        """Return all datasets of the team, and their groups."""
        datasets, groups = await self._catalogue.datasets(caller.team)
        return wire.ListDatasetsResponse(
            datasets=[dataset_shapes.dataset(record, caller) for record in datasets],
            groups=[dataset_shapes.group(record) for record in groups],
            owned_datasets=len(datasets),
        )
