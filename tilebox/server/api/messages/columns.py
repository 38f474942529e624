"""The path that bulk ingests take, as plain ASGI: `DatapointService/Ingest` in Connect's protobuf.

What arrives is copied once, to where Arrow reads it; parsing the message in the usual way would copy it three times
more, while the loop waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anyio.to_thread
import pyarrow as pa
from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import headers_of, read_pieces
from tilebox.server.web.connect_service import to_connect_error, to_the_end
from tilebox.server.web.envelope import answer_error, answer_message

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.access.gatekeeper import Gatekeeper
    from tilebox.server.api.datapoints import DatapointService

_SMALL_BYTES = 1 << 17

# How the fields of a request begin on the wire.
_COLLECTION, _ALLOW_EXISTING, _DATAPOINTS = 0x0A, 0x10, 0x1A
_LONG = 0x80


class IngestColumns:
    """An ASGI application.

    Args:
        datapoints: Who carries requests out.
        gatekeeper: Who finds out on whose behalf a request speaks.
        otherwise: Who answers requests in other forms of the protocol, such as JSON, gRPC, or packed ones.
        max_body_bytes: Largest request.
    """

    path = "/tilebox.ext.v1.DatapointService/Ingest"

    def __init__(
        self, datapoints: DatapointService, gatekeeper: Gatekeeper, otherwise: ASGIApp, *, max_body_bytes: int
    ) -> None:
        self._datapoints = datapoints
        self._gatekeeper = gatekeeper
        self._otherwise = otherwise
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        is_packed = headers.get("content-encoding", "identity") != "identity"
        if is_packed or headers.get("content-type") != "application/proto":
            await self._otherwise(scope, receive, send)
            return
        try:
            caller = await self._gatekeeper.admit(headers.get("authorization"), Permission.WRITE)
            pieces = await read_pieces(receive, self._max_body_bytes)
            is_small = sum(map(len, pieces)) <= _SMALL_BYTES
            request, stream = take_apart(pieces) if is_small else await anyio.to_thread.run_sync(take_apart, pieces)
            response = await to_the_end(self._datapoints.ingest_stream(caller, request, stream))
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)
            return
        await answer_message(send, response)


def take_apart(pieces: list[bytes]) -> tuple[wire.IngestRequest, pa.Buffer]:
    """Return a request without its datapoints, and these, aligned as Arrow likes it.

    Args:
        pieces: The serialised request, cut anywhere.

    Raises:
        InvalidArgumentError: It is no such request.
    """
    size = sum(map(len, pieces))
    start = _start_of_datapoints(pieces[0], size)
    try:
        if start is None:
            request = wire.IngestRequest.FromString(b"".join(pieces))
            return request, pa.py_buffer(request.datapoints)
        request = wire.IngestRequest.FromString(pieces[0][: start.field])
    except DecodeError:
        raise InvalidArgumentError(f"the request is no {wire.IngestRequest.DESCRIPTOR.full_name}") from None
    stream = pa.allocate_buffer(size - start.value)
    space, end = memoryview(stream).cast("B"), 0
    for piece in (pieces[0][start.value :], *pieces[1:]):
        space[end : end + len(piece)] = piece
        end += len(piece)
    return request, stream


class _Start(NamedTuple):
    """Where a field begins, and its value."""

    field: int
    value: int


def _start_of_datapoints(piece: bytes, size: int) -> _Start | None:
    """Return where the datapoints of a request begin that ends with them, as ours do, if that is told by its start."""
    at = 0
    try:
        while piece[at] != _DATAPOINTS:
            if piece[at] not in (_COLLECTION, _ALLOW_EXISTING) or piece[at + 1] >= _LONG:
                return None
            at += 2 + (piece[at + 1] if piece[at] == _COLLECTION else 0)
        length, value, shift = 0, at + 1, 0
        while True:
            length |= (piece[value] & (_LONG - 1)) << shift
            value, shift = value + 1, shift + 7
            if piece[value - 1] < _LONG:
                return _Start(at, value) if length and value + length == size else None
    except IndexError:
        return None
