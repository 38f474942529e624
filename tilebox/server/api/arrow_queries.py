"""`QueryArrow` of `tilebox.ext.v1.DatapointService`: the result of a query as one Arrow IPC stream."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import anyio.to_thread
import pyarrow as pa

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox._core.protocol.tilebox.v1.query_pb2 import SORT_DIRECTION_DESCENDING
from tilebox._core.schema.arrow_schema import ERROR_KEY, MEDIA_TYPE, ROWS_KEY, SNAPSHOT_KEY
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import selections, values
from tilebox.server.datasets.queries import with_fields
from tilebox.server.web.bodies import parser, read_request
from tilebox.server.web.disconnects import cancel_on_disconnect
from tilebox.server.web.errors import failure_of
from tilebox.server.web.headers import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from tilebox.server.datasets.queries import Queries
    from tilebox.server.datasets.records import Dataset, PointQuery, PointStream

CODEC_HEADER = "tilebox-arrow-codec"
_CODECS = ("zstd", "lz4")

# Encoding a smaller batch takes less time than a switch to a thread.
_SMALL_BYTES = 1 << 17
# The HTTP server copies what it sends, which is faster in chunks that stay in the processor's cache.
_CHUNK_BYTES = 1 << 20


class QueryArrow:
    """An ASGI application that answers a query with an Arrow IPC stream.

    The stream ends with an empty batch, whose metadata holds the number of rows, or the error that interrupted the
    scan. A response without this batch is incomplete. The scan stops when the client disconnects.

    Args:
        queries: Reads datapoints.
        max_body_bytes: Largest request body, in bytes.
    """

    path = "/tilebox.ext.v1.DatapointService/QueryArrow"
    permission = Permission.READ

    def __init__(self, queries: Queries, *, max_body_bytes: int) -> None:
        self._queries = queries
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            APIError: The request failed before anything was sent.
        """
        headers = headers_of(scope)
        if headers.get("content-type") != "application/proto":
            raise InvalidArgumentError("content-type must be application/proto")
        request = await read_request(
            receive,
            parser(wire.QueryArrowRequest),
            max_bytes=self._max_body_bytes,
            is_compressed=headers.get("content-encoding") == "gzip",
        )
        dataset, query = await self._resolve(request)
        codec = _codec(headers)
        async with self._queries.stream(dataset, query) as stream:
            await cancel_on_disconnect(_send_batches(stream, codec, send), receive)

    async def _resolve(self, request: wire.QueryArrowRequest) -> tuple[Dataset, PointQuery]:
        dataset, query = await self._queries.resolve(current_caller.get().team, selections.selection(request.query))
        query = replace(
            query,
            descending=request.order == SORT_DIRECTION_DESCENDING,
            limit=_limit(request),
            snapshot=request.snapshot if request.HasField("snapshot") else None,
        )
        if request.HasField("starting_after"):
            query = replace(query, after=values.id_bytes(request.starting_after, "starting_after"))
        if request.query.skip_data:
            return dataset, replace(query, fields=())
        return dataset, with_fields(dataset, query, request.fields) if request.fields else query


class _Writer:
    """Encodes batches as pieces of an Arrow IPC stream."""

    def __init__(self, stream: PointStream, codec: str | None) -> None:
        self._schema = stream.schema
        self._is_compressed = codec is not None
        self._sink = io.BytesIO()
        schema = stream.schema.with_metadata({SNAPSHOT_KEY: str(stream.snapshot).encode()})
        self._writer = pa.ipc.new_stream(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec))
        self._schema_message = b"" if self._is_compressed else schema.serialize().to_pybytes()
        self._has_schema_sent = False

    def encode(self, batch: pa.RecordBatch) -> list[pa.Buffer | bytes]:
        if self._is_compressed:
            self._writer.write_batch(batch)
            return [self._take()]
        # The bytes that the writer would write, but allocated once at the right size, and with the GIL released.
        head = b"" if self._has_schema_sent else self._schema_message
        self._has_schema_sent = True
        return [head, batch.serialize()]

    def close(self, metadata: dict[bytes, bytes]) -> bytes:
        """Return the closing batch and the end of the stream."""
        self._writer.write_batch(_empty_batch(self._schema), custom_metadata=metadata)
        self._writer.close()
        end = self._take()
        # The writer starts with the schema, unaware that `encode` has sent it.
        return end.removeprefix(self._schema_message) if self._has_schema_sent else end

    def _take(self) -> bytes:
        piece = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return piece


@lru_cache(maxsize=256)
def _empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


async def _send_batches(stream: PointStream, codec: str | None, send: Send) -> None:
    head = [(b"content-type", MEDIA_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    writer = _Writer(stream, codec)
    rows = 0
    closing: dict[bytes, bytes]
    try:
        async for batch in stream:
            is_small = batch.nbytes <= _SMALL_BYTES
            encoded = writer.encode(batch) if is_small else await anyio.to_thread.run_sync(writer.encode, batch)
            for chunk in _chunks(encoded):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            rows += batch.num_rows
        closing = {ROWS_KEY: str(rows).encode()}
    except Exception as error:  # noqa: BLE001 - the status was sent already, so the stream itself carries the error
        failure = failure_of(error)
        closing = {ERROR_KEY: json.dumps(failure._asdict()).encode()}
    await send({"type": "http.response.body", "body": writer.close(closing), "more_body": False})


def _chunks(encoded: Sequence[pa.Buffer | bytes]) -> Iterator[bytes]:
    if sum(map(len, encoded)) <= _CHUNK_BYTES:
        yield b"".join(encoded)
        return
    for buffer in encoded:
        view = memoryview(buffer)
        for start in range(0, len(view), _CHUNK_BYTES):
            yield bytes(view[start : start + _CHUNK_BYTES])


def _limit(request: wire.QueryArrowRequest) -> int | None:
    if not request.HasField("limit"):
        return None
    if request.limit < 1:
        raise InvalidArgumentError("limit must be at least 1")
    return request.limit


def _codec(headers: Mapping[str, str]) -> str | None:
    codec = headers.get(CODEC_HEADER)
    if codec is not None and codec not in _CODECS:
        raise InvalidArgumentError(f"header {CODEC_HEADER} must be one of {', '.join(_CODECS)}, not {codec[:20]!r}")
    return codec
