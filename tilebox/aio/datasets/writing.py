# Source of tilebox/sync/datasets/writing.py, which scripts/unasync.py writes.
"""Datapoints stored and deleted, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tilebox._core import ids, requests
from tilebox._core.ingestion import Ingested, batches, requests_of
from tilebox._io.concurrency.aio import gather_map, to_thread
from tilebox._io.progress import Progress
from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tilebox._core.fields import Schema
    from tilebox.aio.transport import Transport

# Enough that the server can commit one batch while it reads the next ones.
_REQUESTS_AT_ONCE = 4


async def ingest(
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

    encoded = await to_thread(rows.encode, schema, data)
    done = 0
    progress = Progress(show_progress, title=f"Ingesting into {what}", total=float(encoded.rows))

    async def send(batch: tuple[int, int]) -> Ingested:
        values = await to_thread(encoded.messages, *batch)
        parts = []
        for part in requests_of(values):
            answer = await transport.call(requests.ingest_datapoints(collection, part, allow_existing=allow_existing))
            # Here, beside the waiting for other batches: a million ids take three seconds to read.
            parts.append(await to_thread(Ingested.from_wire, answer))
        return Ingested.joined(parts)

    def note(part: Ingested) -> None:
        nonlocal done
        done += len(part)
        progress.reach(float(done), len(part))

    with progress:
        try:
            parts = await gather_map(send, batches(encoded.rows), limit=_REQUESTS_AT_ONCE, each=note)
        except TileboxError as error:
            if encoded.rows > requests.MAX_BATCH:
                error.add_note(
                    f"at least {done} of {encoded.rows} datapoints of this call are stored, in whole batches; "
                    f"ingesting the same data again with allow_existing=True stores the rest"
                )
            raise
    return Ingested.joined(parts)


async def delete(transport: Transport, *, collection: UUID, datapoints: Any) -> int:
    """Delete datapoints by id, batch after batch, and return how many they were."""
    identifiers = ids.parse_many(datapoints)
    deleted = 0
    for start, stop in batches(len(identifiers)):
        try:
            answer = await transport.call(requests.delete_datapoints(collection, identifiers[start:stop]))
        except TileboxError as error:
            if deleted:
                error.add_note(f"{deleted} of {len(identifiers)} datapoints were deleted before that")
            raise
        deleted += answer.num_deleted
    return deleted
