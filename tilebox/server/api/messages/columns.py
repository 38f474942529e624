"""Requests that ingest columns, read with one copy: from the received pieces to the buffer that Arrow reads.

Parsing the message with protobuf would copy the datapoints three more times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2 as wire
from tilebox.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

# The tag bytes of the fields of a request.
_COLLECTION, _ALLOW_EXISTING, _DATAPOINTS = 0x0A, 0x10, 0x1A
_CONTINUATION = 0x80


class ColumnBatch(NamedTuple):
    """A request that ingests columns.

    Args:
        request: The request; its `datapoints` field may be unset.
        stream: The datapoints, as an Arrow IPC stream.
    """

    request: wire.IngestRequest
    stream: pa.Buffer


def column_batch(request: wire.IngestRequest) -> ColumnBatch:
    """Return the batch of a request that protobuf parsed."""
    return ColumnBatch(request, pa.py_buffer(request.datapoints))


def parse_ingest(pieces: Sequence[bytes]) -> ColumnBatch:
    """Parse a request, and copy its datapoints to memory that is aligned for Arrow.

    Args:
        pieces: The serialised request, in pieces of any size.

    Raises:
        InvalidArgumentError: The bytes are not a valid request.
    """
    size = sum(map(len, pieces))
    start = _find_datapoints(pieces[0], size)
    try:
        if start is None:
            return column_batch(wire.IngestRequest.FromString(b"".join(pieces)))
        request = wire.IngestRequest.FromString(pieces[0][: start.field])
    except DecodeError:
        raise InvalidArgumentError(f"the request is not a valid {wire.IngestRequest.DESCRIPTOR.full_name}") from None
    stream = pa.allocate_buffer(size - start.value)
    space, end = memoryview(stream).cast("B"), 0
    for piece in (pieces[0][start.value :], *pieces[1:]):
        space[end : end + len(piece)] = piece
        end += len(piece)
    return ColumnBatch(request, stream)


class _FieldOffsets(NamedTuple):
    """The offset of a field, and of the value in it."""

    field: int
    value: int


def _find_datapoints(piece: bytes, size: int) -> _FieldOffsets | None:
    """Return the offsets of the datapoints, if the first piece has them and they are the last field.

    Requests of this SDK are of this form; others are left to protobuf.
    """
    at = 0
    try:
        while piece[at] != _DATAPOINTS:
            if piece[at] not in (_COLLECTION, _ALLOW_EXISTING) or piece[at + 1] >= _CONTINUATION:
                return None
            at += 2 + (piece[at + 1] if piece[at] == _COLLECTION else 0)
        length, value, shift = 0, at + 1, 0
        while True:
            length |= (piece[value] & (_CONTINUATION - 1)) << shift
            value, shift = value + 1, shift + 7
            if piece[value - 1] < _CONTINUATION:
                return _FieldOffsets(at, value) if length and value + length == size else None
    except IndexError:
        return None
