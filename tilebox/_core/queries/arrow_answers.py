"""An Arrow stream as it arrives, piece by piece: the wire extension `arrow/1` without IO.

pyarrow reads streams from files that block. Here bytes are put where they belong whenever there are some, and
whole batches come out, so that one loop serves threads and coroutines alike. The framing is Arrow's: a
marker, the length of a header, the header (a flatbuffer, of which only the body's length matters here),
the body.
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
_MAX_HEADER_BYTES = 1 << 26


class ArrowAnswer:
    """The answer to one query, over as many requests as it takes to get all of it.

    Every request takes up where the last answer broke off: same snapshot, behind the last datapoint.

    Args:
        query: What was asked.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._snapshot: int | None = None
        self._last_id: bytes | None = None
        self._messages = _Messages()
        self._schema: pa.Schema | None = None
        self._schema_message = b""
        self._rows_of_request = 0
        self._is_closed = False
        self.rows = 0

    def next_request(self) -> datapoints_pb2.QueryArrowRequest:
        """Return what to send, and get ready for its answer."""
        request = self._query.arrow_request()
        if self._snapshot is not None:
            request.snapshot = self._snapshot
        if self._last_id is not None:
            request.starting_after.uuid = self._last_id
        if self._query.limit is not None:
            request.limit = self._query.limit - self.rows
        self._messages = _Messages()
        self._schema = None
        self._rows_of_request = 0
        return request

    @property
    def is_complete(self) -> bool:
        """Whether all has come: the closing batch, or as many datapoints as were wanted."""
        return self._is_closed or self.rows == self._query.limit

    @property
    def is_resumable(self) -> bool:
        """Whether a further request can take up the answer without losing or repeating anything."""
        return self._last_id is None or self._snapshot is not None

    def room(self) -> memoryview:
        """Return where the bytes that arrive next belong."""
        return self._messages.room()

    def received(self, count: int) -> pa.RecordBatch | None:
        """Take note of bytes that were put there, and return the batch that they complete, if they do.

        Raises:
            PageError: The stream is not what was asked for.
            TileboxError: The server reports that it failed under way.
        """
        message = self._messages.received(count)
        return None if message is None else self._read(message)

    def end(self) -> None:
        """Take note that no more bytes come.

        Raises:
            TransportError: The stream has no proper end, so it was cut off.
        """
        if not self.is_complete:
            raise TransportError(f"the answer for {self._query.what} broke off after {self.rows} datapoints")

    def _read(self, message: memoryview) -> pa.RecordBatch | None:
        import pyarrow as pa

        if self._is_closed:
            raise PageError("datapoints arrived after the end of the answer")
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
                raise PageError(f"the answer for {self._query.what} goes back to datapoints that it had given already")
        self._last_id = last
        self._rows_of_request += batch.num_rows
        self.rows += batch.num_rows
        if self._query.limit is not None and self.rows > self._query.limit:
            raise PageError(f"the answer for {self._query.what} holds more datapoints than the limit")

    def _close(self, message: bytes) -> None:
        """Read the closing batch; an empty batch without metadata is merely empty."""
        import pyarrow as pa

        with pa.ipc.open_stream(pa.py_buffer(self._schema_message + message)) as reader:
            _, metadata = reader.read_next_batch_with_custom_metadata()
        closing = dict(metadata or {})
        if arrow_schema.ERROR_KEY in closing:
            content = json.loads(closing[arrow_schema.ERROR_KEY])
            raise status.error_from_code(
                content.get("code", "unknown"), content.get("message", ""), request_id=None, what=self._query.what
            )
        if arrow_schema.ROWS_KEY in closing:
            rows = int(closing[arrow_schema.ROWS_KEY])
            if rows != self._rows_of_request:
                raise PageError(
                    f"the answer for {self._query.what} should hold {rows} datapoints, but {self._rows_of_request} came"
                )
            self._is_closed = True


class _Messages:
    """Cuts a stream of bytes into Arrow's messages, each in memory of its own, in which it stays."""

    def __init__(self) -> None:
        self._begin()

    def room(self) -> memoryview:
        return self._space[self._filled :]

    def received(self, count: int) -> memoryview | None:
        self._filled += count
        if self._filled < len(self._space):
            return None
        if not self._has_body and not self._read_head():
            return None
        message = self._space
        self._begin()
        return message

    def _begin(self) -> None:
        self._space = memoryview(bytearray(_PREFIX_BYTES))
        self._filled = 0
        self._has_body = False

    def _read_head(self) -> bool:
        """Make room for what follows prefix and header, and tell whether that is nothing."""
        if self._filled == _PREFIX_BYTES:
            header = _header_length(self._space)
            if header:
                self._widen(bytearray(_PREFIX_BYTES + header))
            else:
                self._begin()  # a header without length: Arrow's own mark of the end, which proves nothing
            return False
        body = _body_length(self._space[_PREFIX_BYTES:])
        self._widen(np.empty(len(self._space) + body, np.uint8))
        self._has_body = True
        return body == 0

    def _widen(self, memory: Any) -> None:
        widened = memoryview(memory)
        widened[: self._filled] = self._space[: self._filled]
        self._space = widened


def _header_length(prefix: memoryview) -> int:
    marker, length = struct.unpack("<Ii", prefix)
    if marker != _MARKER or not 0 <= length <= _MAX_HEADER_BYTES:
        raise PageError("the answer is no Arrow stream")
    return int(length)


def _body_length(header: memoryview) -> int:
    """Read one number out of a flatbuffer: field 3 of its root table, 0 where it is left out."""
    try:
        (table,) = struct.unpack_from("<I", header)
        (to_vtable,) = struct.unpack_from("<i", header, table)
        vtable = table - to_vtable
        (vtable_bytes,) = struct.unpack_from("<H", header, vtable)
        slot = 4 + 2 * _BODY_LENGTH_SLOT
        (offset,) = struct.unpack_from("<H", header, vtable + slot) if slot < vtable_bytes else (0,)
        length = int(struct.unpack_from("<q", header, table + offset)[0]) if offset else 0
    except struct.error:
        raise PageError("the answer is a broken Arrow stream") from None
    if length < 0:
        raise PageError("the answer is a broken Arrow stream")
    return length
