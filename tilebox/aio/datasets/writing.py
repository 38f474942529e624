# Source of tilebox/sync/datasets/writing.py, which scripts/unasync.py writes.
"""Ingestion and deletion of datapoints in batches."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tilebox._core.ingest.batches import (
    MAX_REQUEST_BYTES,
    IngestOutcome,
    IngestResult,
    batch_ranges,
    replace_message,
    split_into_requests,
)
from tilebox._core.queries import dataset_calls
from tilebox._core.schema import arrow_schema
from tilebox._core.values import ids
from tilebox._io.concurrency.aio import gather_map, to_thread
from tilebox._io.progress.bars import Progress
from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import pyarrow as pa

    from tilebox._core.ingest.rows import Encoded
    from tilebox._core.schema.fields import Schema
    from tilebox._core.wire.calls import Call
    from tilebox.aio.transport import Transport

_SAMPLE_ROWS = 1024

_log = logging.getLogger("tilebox.datasets")


async def ingest(
    transport: Transport,
    *,
    target: str,
    collection: UUID,
    schema: Schema,
    data: Any,
    allow_existing: bool,
    show_progress: bool | Callable[[float], object],
) -> IngestResult:
    """Ingest datapoints in concurrent batches, each of which is stored completely or not at all."""
    from tilebox._core.ingest import rows

    encoded = await to_thread(rows.encode, schema, data)
    sender = _sender(transport, collection, encoded, target, allow_existing=allow_existing)
    outcome = IngestOutcome(encoded.rows)
    done = 0
    progress = Progress(show_progress, title=f"Ingesting into {target}", total=float(encoded.rows))

    async def send(batch: tuple[int, int]) -> IngestResult | None:
        return None if outcome.has_failed else await _deliver(transport, sender, batch, outcome)

    def note(part: IngestResult | None) -> None:
        nonlocal done
        if part is not None:
            done += len(part)
            progress.update(float(done), len(part))

    with progress:
        edges = batch_ranges(encoded.rows, sender.batch_rows)
        parts = await gather_map(send, edges, limit=sender.max_concurrent_requests, on_result=note)
        outcome.raise_failure()
    return IngestResult.joined(part for part in parts if part is not None)


async def _deliver(
    transport: Transport, sender: _Messages | _Columns, batch: tuple[int, int], outcome: IngestOutcome
) -> IngestResult | None:
    """Send one batch; return None if it fails.

    Errors are collected, not raised. An error would cancel the batches under way, and leave unknown what is stored.
    """
    parts = []
    for start, stop, call in await sender.calls(*batch):
        try:
            parts.append(sender.read(await transport.call(call)))
        except TileboxError as error:
            outcome.add_failure(start, stop, error)
            return None
        outcome.add_stored(stop - start)
    return IngestResult.joined(parts)


class _Messages:
    """Batches of serialised messages, which every server accepts."""

    batch_rows = dataset_calls.MAX_BATCH
    # Enough for the server to commit one batch while it reads the next ones.
    max_concurrent_requests = 4

    def __init__(self, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._collection = collection
        self._encoded = encoded
        self._allow_existing = allow_existing

    async def calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        """Return the requests of a batch, each with its first row and the row after its last."""
        calls = []
        for part in split_into_requests(await to_thread(self._encoded.messages, start, stop)):
            call = dataset_calls.ingest_datapoints(self._collection, part, allow_existing=self._allow_existing)
            calls.append((start, start + len(part), call))
            start += len(part)
        return calls

    def read(self, answer: Any) -> IngestResult:
        """Read the response to one of the requests."""
        return IngestResult.from_wire(answer)


class _Columns:
    """Batches as Arrow streams, for servers with this extension."""

    # The server checks one batch while it stores another. More batches of this size only slow each other down.
    max_concurrent_requests = 2

    def __init__(self, collection: UUID, encoded: Encoded, *, allow_existing: bool) -> None:
        self._collection = collection
        self._encoded = encoded
        self._allow_existing = allow_existing
        sample = encoded.table(0, _SAMPLE_ROWS)
        self.batch_rows = min(arrow_schema.MAX_INGESTED_ROWS, _rows_per_request(sample))
        # The sample of a small call has all rows, so they are not converted a second time.
        self._all_rows = sample if sample.num_rows == encoded.rows else None

    async def calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        """Return the requests of a batch, each with its first row and the row after its last."""
        return await to_thread(self._calls, start, stop)

    def _calls(self, start: int, stop: int) -> list[tuple[int, int, Call[Any]]]:
        if self._all_rows is None:
            table = self._encoded.table(start, stop)
        else:
            table = self._all_rows.slice(start, stop - start)
        calls = []
        # Later rows may be much larger than those of the sample, from which the size of batches was derived.
        is_large = table.nbytes > 2 * MAX_REQUEST_BYTES
        for first, last in batch_ranges(table.num_rows, _rows_per_request(table) if is_large else table.num_rows):
            rows = table.slice(first, last - first)
            call = dataset_calls.ingest_columns(self._collection, rows, allow_existing=self._allow_existing)
            calls.append((start + first, start + last, call))
        return calls

    def read(self, answer: Any) -> IngestResult:
        """Read the response to one of the requests."""
        return IngestResult.from_extension(answer)


def _rows_per_request(table: pa.Table) -> int:
    """Return the number of rows, at least one, that fit into a request if they are as large as those of a table."""
    size: int = table.nbytes
    rows: int = table.num_rows
    return max(1, MAX_REQUEST_BYTES * rows // max(1, size))


def _sender(
    transport: Transport, collection: UUID, encoded: Encoded, target: str, *, allow_existing: bool
) -> _Messages | _Columns:
    """Return the fastest sender that the server and the installed packages support."""
    if not transport.offers(arrow_schema.INGEST_EXTENSION):
        _log.debug("the server accepts no Arrow streams: sending datapoints of %s as protobuf messages", target)
    elif find_spec("pyarrow") is None:
        _log.debug('pyarrow is missing (pip install "tilebox-open[arrow]"): sending %s as protobuf messages', target)
    else:
        return _Columns(collection, encoded, allow_existing=allow_existing)
    return _Messages(collection, encoded, allow_existing=allow_existing)


async def delete(transport: Transport, *, collection: UUID, datapoints: Any) -> int:
    """Delete datapoints by id, one batch after the other, and return their number."""
    identifiers = ids.parse_many(datapoints)
    deleted = 0
    for start, stop in batch_ranges(len(identifiers), dataset_calls.MAX_BATCH):
        try:
            answer = await transport.call(dataset_calls.delete_datapoints(collection, identifiers[start:stop]))
        except TileboxError as error:
            if deleted:
                replace_message(
                    error, f"{error}; {deleted:,} of {len(identifiers):,} datapoints were deleted before that"
                )
            raise
        deleted += answer.num_deleted
    return deleted
