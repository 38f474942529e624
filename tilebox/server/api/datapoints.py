"""`tilebox.ext.v1.DatapointService`: an answer as one Arrow stream, counts, and batches that come as columns."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pyarrow as pa

from tilebox._core.arrow import ERROR_KEY, MEDIA_TYPE, ROWS_KEY, SNAPSHOT_KEY
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox._core.protocol.tilebox.v1.query_pb2 import SORT_DIRECTION_DESCENDING
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import selections as parse
from tilebox.server.services.queries import with_fields
from tilebox.server.web.bodies import headers_of, read_message
from tilebox.server.web.connect_service import to_connect_error
from tilebox.server.web.envelope import answer_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from tilebox.server.access.gatekeeper import Caller, Gatekeeper
    from tilebox.server.points.interface import PointQuery, PointStream
    from tilebox.server.services.ingestion import Ingestion
    from tilebox.server.services.queries import Queries
    from tilebox.server.store.interface import Dataset

logger = logging.getLogger("tilebox.server")

CODEC_HEADER = "tilebox-arrow-codec"
_CODECS = ("zstd", "lz4")

_SMALL_BYTES = 1 << 17
# The server below copies what it sends, which is quicker with as much as stays in the processor's cache.
_SENT_BYTES = 1 << 20


class DatapointService:
    """Answers the ordinary calls of the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["DatapointService"]
    permissions = {"Count": Permission.READ, "Ingest": Permission.WRITE}  # noqa: RUF012

    def __init__(self, queries: Queries, ingestion: Ingestion) -> None:
        self._queries = queries
        self._ingestion = ingestion

    async def count(self, caller: Caller, request: wire.CountRequest) -> wire.CountResponse:
        """Count what a query finds."""
        dataset, query = await self._queries.resolve(caller.team, parse.selection(request.query))
        return wire.CountResponse(count=await self._queries.count(dataset, query))

    async def ingest(self, caller: Caller, request: wire.IngestRequest) -> wire.IngestResponse:
        """Store a batch of datapoints that comes as columns."""
        return await self.ingest_stream(caller, request, pa.py_buffer(request.datapoints))

    async def ingest_stream(
        self, caller: Caller, request: wire.IngestRequest, stream: pa.Buffer
    ) -> wire.IngestResponse:
        """Store a batch of datapoints, which are not in the request but beside it."""
        collection = parse.required_id(request.collection_id, "collection_id", given=request.HasField("collection_id"))
        stored = await self._ingestion.ingest_stream(
            caller.team, collection, stream, allow_existing=request.allow_existing
        )
        return wire.IngestResponse(num_created=stored.created, num_existing=stored.existing, datapoint_ids=stored.ids)


class QueryArrow:
    """An ASGI application that answers a query with an Arrow IPC stream.

    The stream ends with an empty batch, which says how many rows went before it, or what went wrong under
    way. Without it the answer was cut off. A client that goes away stops the scan.

    Args:
        queries: The verbs that read datapoints.
        gatekeeper: Who finds out on whose behalf a request speaks.
        max_body_bytes: Largest request.
    """

    path = "/tilebox.ext.v1.DatapointService/QueryArrow"

    def __init__(self, queries: Queries, gatekeeper: Gatekeeper, *, max_body_bytes: int) -> None:
        self._queries = queries
        self._gatekeeper = gatekeeper
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def note_start(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            headers = headers_of(scope)
            caller = await self._gatekeeper.admit(headers.get("authorization"), Permission.READ)
            request = await read_message(receive, headers, wire.QueryArrowRequest, max_bytes=self._max_body_bytes)
            dataset, query = await self._resolve(caller, request)
            await self._answer(dataset, query, _codec(headers), receive, note_start)
        except Exception as error:
            if started:
                raise
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)

    async def _resolve(self, caller: Caller, request: wire.QueryArrowRequest) -> tuple[Dataset, PointQuery]:
        dataset, query = await self._queries.resolve(caller.team, parse.selection(request.query))
        query = replace(
            query,
            descending=request.order == SORT_DIRECTION_DESCENDING,
            limit=_limit(request),
            snapshot=request.snapshot if request.HasField("snapshot") else None,
        )
        if request.HasField("starting_after"):
            query = replace(query, after=parse.id_bytes(request.starting_after, "starting_after"))
        if request.query.skip_data:
            return dataset, replace(query, fields=())
        return dataset, with_fields(dataset, query, request.fields) if request.fields else query

    async def _answer(
        self, dataset: Dataset, query: PointQuery, codec: str | None, receive: Receive, send: Send
    ) -> None:
        async with self._queries.stream(dataset, query) as stream, anyio.create_task_group() as beside:
            beside.start_soon(_cancel_when_gone, receive, beside.cancel_scope)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-type", MEDIA_TYPE.encode())],
                }
            )
            await _send_batches(stream, codec, send)
            beside.cancel_scope.cancel()


class _Writer:
    """Turns batches into pieces of an Arrow IPC stream."""

    def __init__(self, stream: PointStream, codec: str | None) -> None:
        self._schema = stream.schema
        self._is_packed = codec is not None
        self._sink = io.BytesIO()
        schema = stream.schema.with_metadata({SNAPSHOT_KEY: str(stream.snapshot).encode()})
        self._writer = pa.ipc.new_stream(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec))
        self._head = b"" if self._is_packed else schema.serialize().to_pybytes()
        self._is_begun = False

    def encode(self, batch: pa.RecordBatch) -> list[pa.Buffer | bytes]:
        if self._is_packed:
            self._writer.write_batch(batch)
            return [self._take()]
        # What the writer would write, but at once into memory of the right size, and without the interpreter.
        head, self._is_begun = b"" if self._is_begun else self._head, True
        return [head, batch.serialize()]

    def close(self, metadata: dict[bytes, bytes]) -> bytes:
        """Return the closing batch and the end of the stream."""
        self._writer.write_batch(_empty_batch(self._schema), custom_metadata=metadata)
        self._writer.close()
        end = self._take()
        # The writer begins with the schema, which it does not know to be sent.
        return end.removeprefix(self._head) if self._is_begun else end

    def _take(self) -> bytes:
        piece = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return piece


@lru_cache(maxsize=256)
def _empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


async def _send_batches(stream: PointStream, codec: str | None, send: Send) -> None:
    writer = _Writer(stream, codec)
    rows = 0
    closing: dict[bytes, bytes]
    try:
        async for batch in stream:
            # A small batch is sooner encoded than handed over to a thread.
            is_small = batch.nbytes <= _SMALL_BYTES
            encoded = writer.encode(batch) if is_small else await anyio.to_thread.run_sync(writer.encode, batch)
            for piece in _pieces(encoded):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            rows += batch.num_rows
        closing = {ROWS_KEY: str(rows).encode()}
    except Exception as error:  # noqa: BLE001 - the status is sent already, so the stream itself must say it
        failure = to_connect_error(error)
        closing = {ERROR_KEY: json.dumps({"code": failure.code.value, "message": failure.message}).encode()}
    await send({"type": "http.response.body", "body": writer.close(closing), "more_body": False})


def _pieces(encoded: Sequence[pa.Buffer | bytes]) -> Iterator[bytes]:
    if sum(map(len, encoded)) <= _SENT_BYTES:
        yield b"".join(encoded)
        return
    for one in encoded:
        whole = memoryview(one)
        for start in range(0, len(whole), _SENT_BYTES):
            yield bytes(whole[start : start + _SENT_BYTES])


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _limit(request: wire.QueryArrowRequest) -> int | None:
    if not request.HasField("limit"):
        return None
    if request.limit < 1:
        raise InvalidArgumentError("limit must be at least 1")
    return request.limit


def _codec(headers: Mapping[str, str]) -> str | None:
    asked = headers.get(CODEC_HEADER)
    if asked is not None and asked not in _CODECS:
        raise InvalidArgumentError(f"header {CODEC_HEADER} must be one of {', '.join(_CODECS)}, not {asked[:20]!r}")
    return asked
