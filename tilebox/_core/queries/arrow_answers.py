"""Incremental reading of an Arrow stream: the wire extension `arrow/1` without IO.

pyarrow reads streams from blocking files only. This reader accepts bytes as they arrive and returns whole batches, so
one loop serves threads and coroutines alike. Its interface follows `asyncio.BufferedProtocol`.

The framing is that of Arrow's IPC format, "encapsulated messages": a marker, the length of the header, the header (a
flatbuffer, in which only the length of the body matters here), and the body.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from tilebox._core.schema import arrow_schema
from tilebox._core.values import ids
from tilebox._core.wire import status
from tilebox.errors import PageError, TransportError

if TYPE_CHECKING:
    import pyarrow as pa

    from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
    from tilebox._core.queries.query import Query

_MARKER = 0xFFFFFFFF
_PREFIX_BYTES = 8
_BODY_LENGTH_SLOT = 3
# Headers are small. The limit keeps bytes that are no Arrow stream from allocating gigabytes.
_MAX_HEADER_BYTES = 1 << 26


class ArrowAnswer:
    """The answer to one query, received over as many requests as that takes.

    If the connection breaks, the next request resumes the answer: in the same snapshot, after the last datapoint.

    Args:
        query: The query.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._snapshot: int | None = None
        self._last_id: bytes | None = None
        self._reader = _MessageReader()
        self._schema: pa.Schema | None = None
        self._schema_message = b""
        self._rows_of_request = 0
        self._is_closed = False
        self.rows = 0

    def next_request(self) -> datapoints_pb2.QueryArrowRequest:
        """Return the next request, and prepare for its answer."""
        request = self._query.arrow_request()
        if self._snapshot is not None:
            request.snapshot = self._snapshot
        if self._last_id is not None:
            request.starting_after.uuid = self._last_id
        if self._query.limit is not None:
            request.limit = self._query.limit - self.rows
        self._reader = _MessageReader()
        self._schema = None
        self._rows_of_request = 0
        return request

    @property
    def is_complete(self) -> bool:
        """Whether the answer has arrived completely: its closing batch, or as many datapoints as the limit allows."""
        return self._is_closed or self.rows == self._query.limit

    @property
    def is_resumable(self) -> bool:
        """Whether another request can resume the answer without losing or repeating datapoints."""
        return self._last_id is None or self._snapshot is not None

    def get_buffer(self) -> memoryview:
        """Return the memory into which the caller reads the next bytes."""
        return self._reader.get_buffer()

    def buffer_updated(self, count: int) -> pa.RecordBatch | None:
        """Process bytes that the caller has read into the buffer.

        Args:
            count: The number of bytes.

        Returns:
            The batch that these bytes complete, or None.

        Raises:
            PageError: The stream is malformed, or does not answer the query.
            TileboxError: The server reports an error in the middle of the stream.
        """
        message = self._reader.buffer_updated(count)
        return None if message is None else self._read(message)

    def eof_received(self) -> None:
        """Process the end of the connection.

        Raises:
            TransportError: The connection ended before the stream was complete.
        """
        if not self.is_complete:
            raise TransportError(f"the answer for {self._query.target} broke off after {self.rows} datapoints")

    def _read(self, message: memoryview) -> pa.RecordBatch | None:
        import pyarrow as pa

        if self._is_closed:
            raise PageError(f"datapoints arrived after the end of the answer for {self._query.target}")
        if self._schema is None:
            self._schema_message = bytes(message)
            self._schema = pa.ipc.read_schema(pa.py_buffer(message))
            snapshot = (self._schema.metadata or {}).get(arrow_schema.SNAPSHOT_KEY)
            self._snapshot = int(snapshot) if snapshot else None
            return None
        batch = pa.ipc.read_record_batch(pa.ipc.read_message(pa.BufferReader(pa.py_buffer(message))), self._schema)
        if batch.num_rows == 0:
            self._close(bytes(message))
            return None
        self._count(batch)
        return batch

    def _count(self, batch: pa.RecordBatch) -> None:
        first, last = (batch.column("id")[row].as_py() for row in (0, batch.num_rows - 1))
        if self._last_id is not None:
            forward = ids.sort_key(self._last_id) < ids.sort_key(first)
            if forward is self._query.is_descending or first == self._last_id:
                raise PageError(f"the answer for {self._query.target} repeats datapoints or is out of order")
        self._last_id = last
        self._rows_of_request += batch.num_rows
        self.rows += batch.num_rows
        if self._query.limit is not None and self.rows > self._query.limit:
            raise PageError(f"the answer for {self._query.target} holds more datapoints than the limit")

    def _close(self, message: bytes) -> None:
        """Read the closing batch. An empty batch without metadata does not close the answer."""
        import pyarrow as pa

        # pyarrow returns the metadata of a batch only from a stream, which starts with the schema.
        with pa.ipc.open_stream(pa.py_buffer(self._schema_message + message)) as reader:
            _, metadata = reader.read_next_batch_with_custom_metadata()
        closing = dict(metadata or {})
        if arrow_schema.ERROR_KEY in closing:
            content = json.loads(closing[arrow_schema.ERROR_KEY])
            raise status.error_from_code(
                content.get("code", "unknown"), content.get("message", ""), request_id=None, call=self._query.target
            )
        if arrow_schema.ROWS_KEY in closing:
            rows = int(closing[arrow_schema.ROWS_KEY])
            if rows != self._rows_of_request:
                raise PageError(
                    f"the answer for {self._query.target} should hold {rows} datapoints, but has {self._rows_of_request}"
                )
            self._is_closed = True


class _MessageReader:
    """Splits a stream of bytes into Arrow messages.

    Each message is read into memory of its own. The record batch keeps that memory, so no byte is copied.
    """

    def __init__(self) -> None:
        self._reset()

    def get_buffer(self) -> memoryview:
        return self._buffer[self._filled :]

    def buffer_updated(self, count: int) -> memoryview | None:
        self._filled += count
        if self._filled < len(self._buffer):
            return None
        if not self._has_body and not self._read_header():
            return None
        message = self._buffer
        self._reset()
        return message

    def _reset(self) -> None:
        self._buffer = memoryview(bytearray(_PREFIX_BYTES))
        self._filled = 0
        self._has_body = False

    def _read_header(self) -> bool:
        """Grow the buffer for the header or the body, and return whether the message is complete without a body."""
        if self._filled == _PREFIX_BYTES:
            header = _header_length(self._buffer)
            if header:
                self._grow(bytearray(_PREFIX_BYTES + header))
            else:
                # Arrow's own end-of-stream marker is a header without length. It does not prove that all rows came.
                self._reset()
            return False
        body = _body_length(self._buffer[_PREFIX_BYTES:])
        # Unlike a bytearray, this memory is not filled with zeros first.
        self._grow(np.empty(len(self._buffer) + body, np.uint8))
        self._has_body = True
        return body == 0

    def _grow(self, memory: Any) -> None:
        grown = memoryview(memory)
        grown[: self._filled] = self._buffer[: self._filled]
        self._buffer = grown


def _header_length(prefix: memoryview) -> int:
    marker, length = struct.unpack("<Ii", prefix)
    if marker != _MARKER or not 0 <= length <= _MAX_HEADER_BYTES:
        raise PageError("the answer is not an Arrow stream")
    return int(length)


def _body_length(header: memoryview) -> int:
    """Return the length of the body from the header of a message.

    It is field 3 of the flatbuffer table `Message` in Arrow's `Message.fbs`. Flatbuffers leave out a field that is 0.
    """
    try:
        (table,) = struct.unpack_from("<I", header)
        (to_vtable,) = struct.unpack_from("<i", header, table)
        vtable = table - to_vtable
        (vtable_bytes,) = struct.unpack_from("<H", header, vtable)
        slot = 4 + 2 * _BODY_LENGTH_SLOT
        (offset,) = struct.unpack_from("<H", header, vtable + slot) if slot < vtable_bytes else (0,)
        length = int(struct.unpack_from("<q", header, table + offset)[0]) if offset else 0
    except struct.error:
        raise PageError("the answer is a malformed Arrow stream") from None
    if length < 0:
        raise PageError("the answer is a malformed Arrow stream")
    return length
