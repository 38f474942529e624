"""`datasets.v1.DataAccessService`: queries of datapoints, page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio.to_thread

from tilebox._core.columns import messages
from tilebox._core.protocol.datasets.v1 import core_pb2
from tilebox._core.protocol.datasets.v1 import data_access_pb2 as wire
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox._core.protocol.tilebox.v1.query_pb2 import Pagination
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import selections, values

if TYPE_CHECKING:
    import pyarrow as pa

    from tilebox._core.schema.fields import Schema
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.datasets.queries import Queries
    from tilebox.server.settings import Settings


class DataAccessService:
    """Implements the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["DataAccessService"]
    permissions = {"QueryByID": Permission.READ, "Query": Permission.READ}  # noqa: RUF012

    def __init__(self, queries: Queries, settings: Settings) -> None:
        self._queries = queries
        self._settings = settings

    async def query_by_id(self, caller: Caller, request: wire.QueryByIDRequest) -> core_pb2.Any:
        """Return one datapoint by id."""
        dataset, row = await self._queries.find(
            caller.team,
            values.optional_id(request.dataset_id, "dataset_id", is_set=request.HasField("dataset_id")),
            values.ids(request.collection_ids, "collection_ids"),
            values.required_id(request.id, "id", is_set=request.HasField("id")).bytes,
        )
        schema = dataset.schema.select(()) if request.skip_data else dataset.schema
        # Encoding one datapoint takes less time than a switch to a thread.
        return core_pb2.Any(type_url=dataset.schema.type_name, value=to_messages(schema, row)[0])

    async def query(self, caller: Caller, request: wire.QueryRequest) -> wire.QueryResultPage:
        """Return a page of datapoints, ordered by time and id."""
        limit = values.page_limit(request.page, default=self._settings.page_rows, maximum=self._settings.max_page_rows)
        dataset, query = await self._queries.resolve(caller.team, selections.selection(request))
        query = replace(query, limit=limit, fields=() if request.skip_data else None)
        if request.page.HasField("starting_after"):
            query = replace(query, after=values.id_bytes(request.page.starting_after, "page.starting_after"))
        rows, has_more = await self._queries.page(dataset, query, max_bytes=self._settings.max_page_bytes)
        schema = dataset.schema.select(()) if request.skip_data else dataset.schema
        serialised = await anyio.to_thread.run_sync(to_messages, schema, rows)
        next_page = Pagination()
        if request.page.HasField("limit"):
            next_page.limit = request.page.limit
        if has_more:
            next_page.starting_after.CopyFrom(ID(uuid=rows.column("id")[-1].as_py()))
        return wire.QueryResultPage(
            data=core_pb2.RepeatedAny(type_url=dataset.schema.type_name, value=serialised), next_page=next_page
        )


def to_messages(schema: Schema, rows: pa.Table) -> list[bytes]:
    """Serialise rows as messages of a datapoint type; columns that the type lacks are left out."""
    columns = [field.name for field in schema if field.name in rows.schema.names]
    batches = rows.select(columns).combine_chunks().to_batches()
    return [value for batch in batches for value in messages.from_arrow(schema, batch)]
