# Generated from tilebox/aio/datasets/writing.py by scripts/unasync.py; do not edit.
"""Datapoints stored and deleted, a batch at a time."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tilebox._core import arrow, ids, requests
from tilebox._core.ingestion import MAX_REQUEST_BYTES, Ingested, batches, requests_of
from tilebox._io.concurrency.sync import gather_map, to_thread
from tilebox._io.progress import Progress
from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tilebox._core.fields import Schema
    from tilebox._core.rows import Encoded
    from tilebox.sync.transport import Transport

_log = logging.getLogger("tilebox.datasets")

# Enough that the server can commit one batch while it reads the next ones.
_REQUESTS_AT_ONCE = 4


def ingest(
    transport: Transport,
    *,
    what: str,
    collection: UUID,
    schema: Schema,
    data: Any,
    allow_existing: bool,
    show_progress: bool | Callable[[float], object],
) -> Ingested:
    """Store datapoints, several batches under way at once; each batch is stored in full or not at all."""
    from tilebox._core import rows

    encoded = to_thread(rows.encode, schema, data)
    sender = _sender(transport, collection, encoded, what, allow_existing=allow_existing)
    done = 0
    progress = Progress(show_progress, title=f"Ingesting into {what}", total=float(encoded.rows))

    def note(part: Ingested) -> None:
        nonlocal done
        done += len(part)
        progress.reach(float(done), len(part))

    with progress:
        try:
            edges = batches(encoded.rows, sender.batch_rows)
            parts = gather_map(sender.send, edges, limit=_REQUESTS_AT_ONCE, each=note)
        except TileboxError as error:
            if encoded.rows > sender.batch_rows:
                error.add_note(
                    f"at least {done} of {encoded.rows} datapoints of this call are stored, in whole batches; "
                    f"ingesting the same data again with allow_existing=True stores the rest"
                )
            raise
    return Ingested.joined(parts)


class _Messages:
    """Sends batches as serialised messages, as every server takes them."""

    batch_rows = requests.MAX_BATCH

    def __init__(self, transport: Transport, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._transport = transport
        self._collection = collection
        self._encoded = encoded
        self._allow_existing = allow_existing

    def send(self, batch: tuple[int, int]) -> Ingested:
        values = to_thread(self._encoded.messages, *batch)
        parts = []
        for part in requests_of(values):
            call = requests.ingest_datapoints(self._collection, part, allow_existing=self._allow_existing)
            parts.append(Ingested.from_wire(self._transport.call(call)))
        return Ingested.joined(parts)


class _Columns:
    """Sends batches as Arrow streams, to servers that take them."""

    def __init__(self, transport: Transport, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._transport = transport
        self._collection = collection
        self._table = encoded.table()
        self._allow_existing = allow_existing
        row_bytes = max(1, self._table.nbytes // max(1, encoded.rows))
        self.batch_rows = max(1, min(arrow.MAX_INGESTED_ROWS, MAX_REQUEST_BYTES // row_bytes))

    def send(self, batch: tuple[int, int]) -> Ingested:
        start, stop = batch
        stream = to_thread(arrow.to_stream, self._table.slice(start, stop - start))
        call = requests.ingest_columns(self._collection, stream, allow_existing=self._allow_existing)
        return Ingested.from_extension(self._transport.call(call))


def _sender(
    transport: Transport, collection: UUID, encoded: Encoded, what: str, *, allow_existing: bool
) -> _Messages | _Columns:
    """Return the best way that this server and this installation have to send datapoints."""
    if not transport.offers(arrow.INGEST_EXTENSION):
        _log.debug("the server takes no Arrow streams: sending datapoints of %s as protobuf messages", what)
    elif find_spec("pyarrow") is None:
        _log.debug('pyarrow is missing (pip install "tilebox-open[arrow]"): sending %s as protobuf messages', what)
    else:
        return _Columns(transport, collection, encoded, allow_existing=allow_existing)
    return _Messages(transport, collection, encoded, allow_existing=allow_existing)


def delete(transport: Transport, *, collection: UUID, datapoints: Any) -> int:
    """Delete datapoints by id, batch after batch, and return how many they were."""
    identifiers = ids.parse_many(datapoints)
    deleted = 0
    for start, stop in batches(len(identifiers), requests.MAX_BATCH):
        try:
            answer = transport.call(requests.delete_datapoints(collection, identifiers[start:stop]))
        except TileboxError as error:
            if deleted:
                error.add_note(f"{deleted} of {len(identifiers)} datapoints were deleted before that")
            raise
        deleted += answer.num_deleted
    return deleted
