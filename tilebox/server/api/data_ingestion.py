"""`datasets.v1.DataIngestionService`: ingesting and deleting datapoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2 as wire
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import values

if TYPE_CHECKING:
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.ingestion import Ingestion


class DataIngestionService:
    """Implements the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["DataIngestionService"]
    permissions = {"Ingest": Permission.WRITE, "Delete": Permission.WRITE}  # noqa: RUF012

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion

    async def ingest(self, caller: Caller, request: wire.IngestRequest) -> wire.IngestResponse:
        """Store a batch of datapoints."""
        collection = values.required_id(
            request.collection_id, "collection_id", is_set=request.HasField("collection_id")
        )
        stored = await self._ingestion.ingest(
            caller.team, collection, list(request.values), allow_existing=request.allow_existing
        )
        return wire.IngestResponse(
            num_created=stored.created,
            num_existing=stored.existing,
            datapoint_ids=[ID(uuid=stored.ids[start : start + 16]) for start in range(0, len(stored.ids), 16)],
        )

    async def delete(self, caller: Caller, request: wire.DeleteRequest) -> wire.DeleteResponse:
        """Delete datapoints by id."""
        collection = values.required_id(
            request.collection_id, "collection_id", is_set=request.HasField("collection_id")
        )
        ids = [
            values.id_bytes(identity, f"datapoint_ids[{position}]")
            for position, identity in enumerate(request.datapoint_ids)
        ]
        return wire.DeleteResponse(num_deleted=await self._ingestion.delete(caller.team, collection, ids))
