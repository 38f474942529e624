"""The store of datapoints on Lance: one table per dataset, in a folder on disk or in an object store.

Lance's calls block, so they run in worker threads, never on the event loop. One writer of a table runs at a
time; batches that wait for it are committed together (group commit).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import lance as lance_sdk
import pyarrow as pa

from tilebox.server.points.columns import with_missing_columns
from tilebox.server.points.interface import MAX_BATCH_ROWS, IngestResult, MaintenanceResult, PointQuery, Points, Summary
from tilebox.server.points.lance import upkeep, writing
from tilebox.server.points.lance.answers import SLICE_BYTES, Answer, batches_of, find
from tilebox.server.points.lance.evolution import evolve
from tilebox.server.points.lance.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from uuid import UUID

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from tilebox._core.schema.fields import Schema

    WriterLock = Callable[[UUID], AbstractAsyncContextManager[None]]

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 16
# Further slices of long answers have threads of their own: a hundred streams must not delay a look-up.
_STREAM_THREADS = 4
_INDEX_CACHE_BYTES = 512 << 20
_METADATA_CACHE_BYTES = 128 << 20

# Bounds a group commit, so that no batch waits long for others.
_MAX_COMMIT_ROWS = 200_000


class LancePoints(Points):
    """Datapoints in Lance tables.

    Args:
        location: The folder, or the URL of the prefix, that holds the tables.
        writer_lock: Keeps other processes from writing to a table while it is held.
        storage_options: Options of the object store, as `lance.dataset` takes them.
        retention: How long a version stays readable after a client learned of it.
    """

    def __init__(
        self,
        location: str,
        *,
        writer_lock: WriterLock,
        storage_options: Mapping[str, str],
        retention: timedelta = upkeep.RETENTION,
    ) -> None:
        self._location = location.rstrip("/")
        self._writer_lock = writer_lock
        self._storage_options = dict(storage_options)
        self._retention = retention
        self._session = lance_sdk.Session(  # type: ignore[attr-defined]  # public, but missing in __all__
            index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES
        )
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._stream_threads = anyio.CapacityLimiter(_STREAM_THREADS)
        self._tables: dict[UUID, Table] = {}
        self._write_locks: defaultdict[UUID, anyio.Lock] = defaultdict(anyio.Lock)
        self._maintenance_locks: defaultdict[UUID, anyio.Lock] = defaultdict(anyio.Lock)
        self._waiting: defaultdict[UUID, list[writing.Batch]] = defaultdict(list)

    async def create(self, table: UUID, schema: Schema) -> None:
        """Create the table of a new dataset. Leave an existing table with this schema unchanged."""
        async with self._writing(table):
            await self._run(Table.create, self._uri(table), schema, self._storage_options)

    async def drop(self, table: UUID) -> None:
        """Remove a table with everything in it. Do nothing if it does not exist."""
        async with self._writing(table):
            self._tables.pop(table, None)
            await self._run(
                lance_sdk.LanceDataset.drop,
                self._uri(table),
                storage_options=self._storage_options,
                ignore_not_found=True,
            )

    async def evolve(self, table: UUID, schema: Schema) -> None:
        """Add the columns that a changed schema adds. Existing rows have no values in them."""
        async with self._writing(table):
            await self._run(evolve, await self._table(table), schema)

    async def ingest(self, table: UUID, collection: int, rows: pa.Table, *, allow_existing: bool) -> IngestResult:
        """Store datapoints that have their ids, all or none, durably.

        Batches that wait for the same table share one commit. A datapoint that occurs twice in the batch
        is stored once, and counts as existing the second time.

        Raises:
            ConflictError: An id exists and `allow_existing` is false; nothing was stored.
            InvalidArgumentError: The rows do not fit the columns of the table.
        """
        batch = writing.Batch(collection, rows, allow_existing)
        waiting = self._waiting[table]
        waiting.append(batch)
        try:
            async with self._write_locks[table]:
                if batch.outcome is None:
                    # Other callers wait for this commit too, so cancelling one of them must not cancel it.
                    with anyio.CancelScope(shield=True):
                        await self._store(table, batch)
        finally:
            if batch in waiting:
                waiting.remove(batch)
        return batch.result()

    async def delete(self, table: UUID, collection: int, ids: list[bytes]) -> int:
        """Delete datapoints of a collection, all or none, and return how many.

        Raises:
            NotFoundError: The collection lacks one of them; nothing was deleted.
        """
        async with self._writing(table):
            return await self._run(writing.delete, await self._table(table), collection, ids)

    async def delete_collection(self, table: UUID, collection: int) -> None:
        """Delete all datapoints of a collection."""
        async with self._writing(table):
            await self._run(writing.delete_collection, await self._table(table), collection)

    async def find(self, table: UUID, collections: tuple[int, ...], datapoint: bytes) -> pa.Table | None:
        """Return one datapoint by id as a table of one row, or None."""
        return await self._run(_find, await self._table(table), collections, datapoint)

    async def page(self, table: UUID, query: PointQuery, *, max_bytes: int) -> tuple[pa.Table, bool]:
        """Return the first datapoints of a query, bounded by its limit and by bytes, and whether more follow.

        If any datapoint matches, at least one is returned, however large it is.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query.
        """
        return await self._run(_page, await self._table(table), query, max_bytes)

    @asynccontextmanager
    async def stream(self, table: UUID, query: PointQuery) -> AsyncIterator[LanceStream]:
        """Stream all results of a query as batches in order, all from one snapshot.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query, or the snapshot is gone.
        """
        opened = await self._table(table)
        # One call in a worker thread reads all of a short answer: a thread switch costs as much as an index look-up.
        answer, slices, first = await self._run(_begin, opened, query)
        with opened.pinned(answer.version):
            if first.is_last:
                yield LanceStream(answer.version.number, answer.wanted, first.batches)
                return
            async with anyio.create_task_group() as tasks:
                # A buffer of zero slices: one slice is read ahead while the one before it is sent.
                send, receive = anyio.create_memory_object_stream[Slice](0)
                tasks.start_soon(self._read_ahead, slices, send)
                with receive:
                    yield LanceStream(answer.version.number, answer.wanted, first.batches, receive)
                    tasks.cancel_scope.cancel()

    async def count(self, table: UUID, query: PointQuery) -> int:
        """Return how many datapoints match a query, ignoring its limit."""
        return await self._run(_count, await self._table(table), query)

    async def summary(self, table: UUID) -> dict[int, Summary]:
        """Return a summary of each collection that has datapoints, by collection number."""
        return await self._run(_summary, await self._table(table))

    async def needs_maintenance(self, table: UUID) -> bool:
        """Tell whether a round of maintenance is due."""
        return await self._run(_needs_maintenance, await self._table(table))

    async def maintain(self, table: UUID) -> MaintenanceResult:
        """Compact small fragments, bring indexes up to date and remove versions that no reader needs.

        Readers and writers continue meanwhile; writers wait only while a result is committed.
        """
        opened, actions, indexed = await self._table(table), [], 0
        async with self._maintenance_locks[table]:
            before = await self._run(opened.latest)
            merged = await self._run(upkeep.write_merged, opened, before)
            if merged:
                async with self._writing(table):
                    if await self._run(upkeep.publish_merged, opened, before, merged):
                        actions.append("compacted")
            if await self._run(upkeep.write_spatial_copies, opened, await self._run(opened.latest)):
                actions.append("copied")
            work = await self._run(upkeep.write_indexes, opened, await self._run(opened.latest))
            if work.written:
                async with self._writing(table):
                    if await self._run(upkeep.publish_indexes, opened, work):
                        actions.append("indexed")
                        indexed = work.rows
            after = await self._run(opened.latest)
            removed = await self._run(upkeep.remove_old, opened, after, self._retention)
        if removed:
            actions.append("cleaned")
        return MaintenanceResult(len(before.fragments), len(after.fragments), indexed, removed, tuple(actions))

    async def close(self) -> None:
        """Release all files and threads."""
        self._tables.clear()

    async def _store(self, table: UUID, own: writing.Batch) -> None:
        """Store a batch in one commit with others that wait."""
        waiting = self._waiting[table]
        batches, rows = [own], own.rows.num_rows
        waiting.remove(own)
        while waiting and rows + waiting[0].rows.num_rows <= _MAX_COMMIT_ROWS:
            batches.append(waiting.pop(0))
            rows += batches[-1].rows.num_rows
        async with self._writer_lock(table):
            await self._run(writing.store, await self._table(table), batches)

    async def _read_ahead(self, slices: Iterator[Slice], send: MemoryObjectSendStream[Slice]) -> None:
        with send:
            is_last = False
            while not is_last:
                part = await anyio.to_thread.run_sync(next, slices, _END, limiter=self._stream_threads)
                is_last = part.is_last
                if part.batches:
                    await send.send(part)

    @asynccontextmanager
    async def _writing(self, table: UUID) -> AsyncIterator[None]:
        async with self._write_locks[table], self._writer_lock(table):
            yield

    async def _table(self, table: UUID) -> Table:
        opened = self._tables.get(table)
        if opened is None:
            opened = await self._run(Table, self._uri(table), self._storage_options, self._session)
            opened = self._tables.setdefault(table, opened)
        return opened

    def _uri(self, table: UUID) -> str:
        return f"{self._location}/{table.hex}.lance"

    async def _run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await anyio.to_thread.run_sync(functools.partial(function, *args, **kwargs), limiter=self._threads)


class Slice(NamedTuple):
    """A slice of an answer, and whether it is known to be the last."""

    batches: list[pa.RecordBatch]
    is_last: bool


_END = Slice([], is_last=True)


class LanceStream:
    """A result that is being streamed.

    Args:
        snapshot: The version that is read.
        schema: The columns of the batches.
        first: The first batches.
        slices: The stream of further slices, or None if there are none.
    """

    def __init__(
        self,
        snapshot: int,
        schema: pa.Schema,
        first: list[pa.RecordBatch],
        slices: MemoryObjectReceiveStream[Slice] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.schema = schema
        self._first = first
        self._slices = slices

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        while self._first:
            yield self._first.pop(0)
        if self._slices is not None:
            async for part in self._slices:
                for batch in part.batches:
                    yield batch


def _begin(table: Table, query: PointQuery) -> tuple[Answer, Iterator[Slice], Slice]:
    """Prepare an answer and read its first slice."""
    answer = Answer.of(table, query)
    slices = _slices(answer)
    with table.pinned(answer.version):
        first = next(slices, _END)
    # A short answer ends before its version could be removed. A long one may be resumed by the client, so it is marked.
    if sum(batch.num_rows for batch in first.batches) >= MAX_BATCH_ROWS // 2:
        table.snapshots.mark(answer.version.number)
    return answer, slices, first


def _slices(answer: Answer) -> Iterator[Slice]:
    remaining = answer.query.limit
    for rows, is_last in answer.slices(MAX_BATCH_ROWS, SLICE_BYTES):
        within_limit = rows if remaining is None else rows.slice(0, remaining)
        if remaining is not None:
            remaining -= within_limit.num_rows
        yield Slice(list(batches_of(within_limit)), is_last or remaining == 0)
        if remaining == 0:
            return


def _page(table: Table, query: PointQuery, max_bytes: int) -> tuple[pa.Table, bool]:
    answer = Answer.of(table, query)
    limit = MAX_BATCH_ROWS if query.limit is None else query.limit
    parts: list[pa.Table] = []
    # Ask for some more rows than the limit: the first slice begins inside a bin of the plan, part of which the page
    # before has read.
    for rows, _ in answer.slices(limit + 1 + limit // 8 + 32):
        parts.append(rows)
        if sum(part.num_rows for part in parts) > limit or sum(part.nbytes for part in parts) > max_bytes:
            break
    combined = pa.concat_tables(parts) if parts else answer.wanted.empty_table()
    page = _truncate(combined.slice(0, limit), max_bytes)
    more = combined.num_rows > page.num_rows
    if more:
        answer.remember_cursor(page["id"][-1].as_py())
        table.snapshots.mark(answer.version.number)
    return page, more


def _truncate(rows: pa.Table, max_bytes: int) -> pa.Table:
    """Return as many of the first rows as fit into `max_bytes`, but at least one."""
    if rows.nbytes <= max_bytes:
        return rows
    fits, exceeds = 1, rows.num_rows
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        fits, exceeds = (middle, exceeds) if rows.slice(0, middle).nbytes <= max_bytes else (fits, middle)
    return rows.slice(0, fits)


def _count(table: Table, query: PointQuery) -> int:
    return Answer.of(table, query).count()


def _summary(table: Table) -> dict[int, Summary]:
    return table.latest().summary


def _needs_maintenance(table: Table) -> bool:
    return upkeep.is_due(table, table.latest())


def _find(table: Table, collections: tuple[int, ...], datapoint: bytes) -> pa.Table | None:
    version = table.latest()
    rows = find(version, collections, datapoint, version.columns.names)
    return None if rows is None else with_missing_columns(rows, version.columns)
