"""`tilebox.ext.v1.DatapointService`: counting datapoints, and ingesting them as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import columns, selections, values

if TYPE_CHECKING:
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.ingestion import Ingestion
    from tilebox.server.datasets.queries import Queries


class DatapointService:
    """Implements the unary methods of the service; `QueryArrow` implements the other one."""

    descriptor = wire.DESCRIPTOR.services_by_name["DatapointService"]
    permissions = {"Count": Permission.READ, "Ingest": Permission.WRITE}  # noqa: RUF012
    parsers = {"Ingest": columns.parse_ingest}  # noqa: RUF012

    def __init__(self, queries: Queries, ingestion: Ingestion) -> None:
        self._queries = queries
        self._ingestion = ingestion

    async def count(self, caller: Caller, request: wire.CountRequest) -> wire.CountResponse:
        """Return the number of datapoints that a query selects."""
        dataset, query = await self._queries.resolve(caller.team, selections.selection(request.query))
        return wire.CountResponse(count=await self._queries.count(dataset, query))

    async def ingest(self, caller: Caller, request: wire.IngestRequest | columns.ColumnBatch) -> wire.IngestResponse:
        """Store a batch of datapoints in columns."""
        batch = request if isinstance(request, columns.ColumnBatch) else columns.column_batch(request)
        collection = values.required_id(
            batch.request.collection_id, "collection_id", is_set=batch.request.HasField("collection_id")
        )
        stored = await self._ingestion.ingest_stream(
            caller.team, collection, batch.stream, allow_existing=batch.request.allow_existing
        )
        return wire.IngestResponse(num_created=stored.created, num_existing=stored.existing, datapoint_ids=stored.ids)
