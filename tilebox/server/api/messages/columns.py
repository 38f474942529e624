"""Requests to ingest columns, read without parsing them: what arrives is copied once, to where Arrow reads it.

Parsing the message in the usual way would copy it three times more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

# How the fields of a request begin on the wire.
_COLLECTION, _ALLOW_EXISTING, _DATAPOINTS = 0x0A, 0x10, 0x1A
_LONG = 0x80


class ColumnBatch(NamedTuple):
    """A request to ingest columns.

    Args:
        request: The request, perhaps without its datapoints.
        stream: The datapoints, an Arrow IPC stream.
    """

    request: wire.IngestRequest
    stream: pa.Buffer


def column_batch(request: wire.IngestRequest) -> ColumnBatch:
    """Return a request that was parsed in the usual way."""
    return ColumnBatch(request, pa.py_buffer(request.datapoints))


def parse_ingest(pieces: Sequence[bytes]) -> ColumnBatch:
    """Read a request, and align its datapoints as Arrow likes it.

    Args:
        pieces: The serialised request, cut anywhere.

    Raises:
        InvalidArgumentError: It is no such request.
    """
    size = sum(map(len, pieces))
    start = _start_of_datapoints(pieces[0], size)
    try:
        if start is None:
            return column_batch(wire.IngestRequest.FromString(b"".join(pieces)))
        request = wire.IngestRequest.FromString(pieces[0][: start.field])
    except DecodeError:
        raise InvalidArgumentError(f"the request is no {wire.IngestRequest.DESCRIPTOR.full_name}") from None
    stream = pa.allocate_buffer(size - start.value)
    space, end = memoryview(stream).cast("B"), 0
    for piece in (pieces[0][start.value :], *pieces[1:]):
        space[end : end + len(piece)] = piece
        end += len(piece)
    return ColumnBatch(request, stream)


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
