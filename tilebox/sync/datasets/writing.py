# Generated from tilebox/aio/datasets/writing.py by scripts/unasync.py; do not edit.
"""Datapoints stored and deleted, a batch at a time."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tilebox._core.ingest.batches import (
    MAX_REQUEST_BYTES,
    Ingested,
    IngestOutcome,
    batch_ranges,
    replace_message,
    split_into_requests,
)
from tilebox._core.queries import dataset_calls
from tilebox._core.schema import arrow_schema
from tilebox._core.values import ids
from tilebox._io.concurrency.sync import gather_map, to_thread
from tilebox._io.progress.bars import Progress
from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import pyarrow as pa

    from tilebox._core.ingest.rows import Encoded
    from tilebox._core.schema.fields import Schema
    from tilebox._core.wire.calls import Call
    from tilebox.sync.transport import Transport

_SAMPLE_ROWS = 1024

_log = logging.getLogger("tilebox.datasets")


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
    from tilebox._core.ingest import rows

    encoded = to_thread(rows.encode, schema, data)
    sender = _sender(transport, collection, encoded, what, allow_existing=allow_existing)
    outcome = IngestOutcome(encoded.rows)
    done = 0
    progress = Progress(show_progress, title=f"Ingesting into {what}", total=float(encoded.rows))

    def send(batch: tuple[int, int]) -> Ingested | None:
        return None if outcome.has_failed else _deliver(transport, sender, batch, outcome)

    def note(part: Ingested | None) -> None:
        nonlocal done
        if part is not None:
            done += len(part)
            progress.reach(float(done), len(part))

    with progress:
        edges = batch_ranges(encoded.rows, sender.batch_rows)
        parts = gather_map(send, edges, limit=sender.requests_at_once, each=note)
        outcome.raise_failure()
    return Ingested.joined(part for part in parts if part is not None)


def _deliver(
    transport: Transport, sender: _Messages | _Columns, batch: tuple[int, int], outcome: IngestOutcome
) -> Ingested | None:
    """Send one batch, or return None once something failed.

    Errors are not raised here: that would cancel the batches under way, and nobody would know what is stored.
    """
    parts = []
    for start, stop, call in sender.calls(*batch):
        try:
            parts.append(sender.read(transport.call(call)))
        except TileboxError as error:
            outcome.add_failure(start, stop, error)
            return None
        outcome.add_stored(stop - start)
    return Ingested.joined(parts)


class _Messages:
    """Batches as serialised messages, as every server takes them."""

    batch_rows = dataset_calls.MAX_BATCH
    # Enough that the server can commit one batch while it reads the next ones.
    requests_at_once = 4

    def __init__(self, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._collection = collection
        self._encoded = encoded
        self._allow_existing = allow_existing

    def calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        """Return the requests of a batch, each with its first row and the one behind its last."""
        calls = []
        for part in split_into_requests(to_thread(self._encoded.messages, start, stop)):
            call = dataset_calls.ingest_datapoints(self._collection, part, allow_existing=self._allow_existing)
            calls.append((start, start + len(part), call))
            start += len(part)
        return calls

    def read(self, answer: Any) -> Ingested:
        """Read the answer to one of them."""
        return Ingested.from_wire(answer)


class _Columns:
    """Batches as Arrow streams, for servers that take them."""

    # One is checked while another is stored; with more of this size, they only get in each other's way.
    requests_at_once = 2

    def __init__(self, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._collection = collection
        self._encoded = encoded
        self._allow_existing = allow_existing
        sample = encoded.table(0, _SAMPLE_ROWS)
        self.batch_rows = min(arrow_schema.MAX_INGESTED_ROWS, _rows_of_a_request(sample))
        # A small call's rows are all in it, and are not converted twice.
        self._whole = sample if sample.num_rows == encoded.rows else None

    def calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        """Return the requests of a batch, each with its first row and the one behind its last."""
        return to_thread(self._calls, start, stop)

    def _calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        table = self._encoded.table(start, stop) if self._whole is None else self._whole.slice(start, stop - start)
        calls = []
        # Rows further down may be much larger than those by which batches were cut.
        is_large = table.nbytes > 2 * MAX_REQUEST_BYTES
        for first, last in batch_ranges(table.num_rows, _rows_of_a_request(table) if is_large else table.num_rows):
            rows = table.slice(first, last - first)
            call = dataset_calls.ingest_columns(self._collection, rows, allow_existing=self._allow_existing)
            calls.append((start + first, start + last, call))
        return calls

    def read(self, answer: Any) -> Ingested:
        """Read the answer to it."""
        return Ingested.from_extension(answer)


def _rows_of_a_request(table: pa.Table) -> int:
    """Return how many rows like those of a table a request may carry, at least one."""
    size: int = table.nbytes
    rows: int = table.num_rows
    return max(1, MAX_REQUEST_BYTES * rows // max(1, size))


def _sender(
    transport: Transport, collection: UUID, encoded: Encoded, what: str, *, allow_existing: bool
) -> _Messages | _Columns:
    """Return the best way that this server and this installation have to send datapoints."""
    if not transport.offers(arrow_schema.INGEST_EXTENSION):
        _log.debug("the server takes no Arrow streams: sending datapoints of %s as protobuf messages", what)
    elif find_spec("pyarrow") is None:
        _log.debug('pyarrow is missing (pip install "tilebox-open[arrow]"): sending %s as protobuf messages', what)
    else:
        return _Columns(collection, encoded, allow_existing=allow_existing)
    return _Messages(collection, encoded, allow_existing=allow_existing)


def delete(transport: Transport, *, collection: UUID, datapoints: Any) -> int:
    """Delete datapoints by id, batch after batch, and return how many they were."""
    identifiers = ids.parse_many(datapoints)
    deleted = 0
    for start, stop in batch_ranges(len(identifiers), dataset_calls.MAX_BATCH):
        try:
            answer = transport.call(dataset_calls.delete_datapoints(collection, identifiers[start:stop]))
        except TileboxError as error:
            if deleted:
                replace_message(
                    error, f"{error}; {deleted:,} of {len(identifiers):,} datapoints were deleted before that"
                )
            raise
        deleted += answer.num_deleted
    return deleted
