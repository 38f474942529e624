"""The store of datapoints on Lance: one table per dataset, in a folder on disk or in an object store.

Lance's calls block, so they run in worker threads, never on the event loop. Writers of a table take turns;
batches that wait for their turn become one commit.
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

from tilebox.server.points.columns import filled
from tilebox.server.points.interface import MAX_BATCH_ROWS, Ingested, Maintained, PointQuery, Points, Summary
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
# Further slices of long answers take turns in threads of their own: a hundred of them must not keep a look-up waiting.
_LONG_THREADS = 4
_INDEX_CACHE_BYTES = 512 << 20
_METADATA_CACHE_BYTES = 128 << 20

# One commit takes at most so many rows, so that no batch waits long for its neighbours.
_ROWS_PER_COMMIT = 200_000


class LancePoints(Points):
    """Datapoints in Lance tables.

    Args:
        place: The folder, or URL of the prefix, that holds the tables.
        writer_lock: Excludes other processes from writing to a table meanwhile.
        storage_options: Options of the object store, as `lance.dataset` takes them.
        retention: How long old versions can be read.
    """

    def __init__(
        self,
        place: str,
        *,
        writer_lock: WriterLock,
        storage_options: Mapping[str, str],
        retention: timedelta = upkeep.RETENTION,
    ) -> None:
        self._place = place.rstrip("/")
        self._writer_lock = writer_lock
        self._storage_options = dict(storage_options)
        self._retention = retention
        self._session = lance_sdk.Session(  # type: ignore[attr-defined]  # exported, though not in its list
            index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES
        )
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._long_threads = anyio.CapacityLimiter(_LONG_THREADS)
        self._tables: dict[UUID, Table] = {}
        self._turns: defaultdict[UUID, anyio.Lock] = defaultdict(anyio.Lock)
        self._upkeep: defaultdict[UUID, anyio.Lock] = defaultdict(anyio.Lock)
        self._waiting: defaultdict[UUID, list[writing.Batch]] = defaultdict(list)

    async def create(self, table: UUID, schema: Schema) -> None:
        """Create the table of a new dataset. A table that exists with this schema is left as it is."""
        async with self._writing(table):
            await self._run(Table.create, self._uri(table), schema, self._storage_options)

    async def drop(self, table: UUID) -> None:
        """Remove a table with everything in it. A table that does not exist is no error."""
        async with self._writing(table):
            self._tables.pop(table, None)
            await self._run(
                lance_sdk.LanceDataset.drop,
                self._uri(table),
                storage_options=self._storage_options,
                ignore_not_found=True,
            )

    async def evolve(self, table: UUID, schema: Schema) -> None:
        """Give a table the columns that a changed schema adds; their values are missing."""
        async with self._writing(table):
            await self._run(evolve, await self._table(table), schema)

    async def ingest(self, table: UUID, collection: int, rows: pa.Table, *, allow_existing: bool) -> Ingested:
        """Store datapoints whose ids are known, all or none, durably.

        Batches that wait for the same table are stored in one commit. A datapoint that is in the batch
        twice is stored once, and counted as existing the second time.

        Raises:
            ConflictError: An id exists and `allow_existing` is false; nothing was stored.
            InvalidArgumentError: The rows do not have the form of the table.
        """
        batch = writing.Batch(collection, rows, allow_existing)
        waiting = self._waiting[table]
        waiting.append(batch)
        try:
            async with self._turns[table]:
                if batch.outcome is None:
                    # Others wait for this commit too: it is not ours to cancel once it has begun.
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

        At least one datapoint is returned if there is any, however large it is.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query.
        """
        return await self._run(_page, await self._table(table), query, max_bytes)

    @asynccontextmanager
    async def stream(self, table: UUID, query: PointQuery) -> AsyncIterator[LanceStream]:
        """Open the whole answer of a query as batches in order, all from one snapshot.

        Raises:
            InvalidArgumentError: `after` names no datapoint of this query, or the snapshot is gone.
        """
        opened = await self._table(table)
        # All of a short answer comes from one hop to a worker thread: each costs as much as the look-up in an index.
        answer, slices, first = await self._run(_begin, opened, query)
        with opened.pinned(answer.version):
            if first.is_last:
                yield LanceStream(answer.version.number, answer.wanted, first.batches)
                return
            async with anyio.create_task_group() as beside:
                # One slice is read ahead while the one before it is sent.
                send, receive = anyio.create_memory_object_stream[Slice](0)
                beside.start_soon(self._read_ahead, slices, send)
                with receive:
                    yield LanceStream(answer.version.number, answer.wanted, first.batches, receive)
                    beside.cancel_scope.cancel()

    async def count(self, table: UUID, query: PointQuery) -> int:
        """Return how many datapoints a query finds, its limit set aside."""
        return await self._run(_count, await self._table(table), query)

    async def summary(self, table: UUID) -> dict[int, Summary]:
        """Return what each collection that has datapoints holds, by number."""
        return await self._run(_summary, await self._table(table))

    async def needs_maintenance(self, table: UUID) -> bool:
        """Tell whether a round of upkeep would pay now."""
        return await self._run(_is_due, await self._table(table))

    async def maintain(self, table: UUID) -> Maintained:
        """Compact small fragments, bring indexes up to date and remove versions nobody reads any more.

        Readers and writers go on meanwhile; writers wait only while something is published.
        """
        opened, actions, indexed = await self._table(table), [], 0
        async with self._upkeep[table]:
            before = await self._run(opened.latest)
            merged = await self._run(upkeep.write_merged, opened, before)
            if merged:
                async with self._writing(table):
                    if await self._run(upkeep.publish_merged, opened, before, merged):
                        actions.append("compacted")
            if await self._run(upkeep.write_places, opened, await self._run(opened.latest)):
                actions.append("placed")
            work = await self._run(upkeep.write_indexes, opened, await self._run(opened.latest))
            if work.written:
                async with self._writing(table):
                    if await self._run(upkeep.publish_indexes, opened, work):
                        actions.append("indexed")
                        indexed = work.rows
            after = await self._run(opened.latest)
            removed = await self._run(upkeep.clean, opened, after, self._retention)
        if removed:
            actions.append("cleaned")
        return Maintained(len(before.contents), len(after.contents), indexed, removed, tuple(actions))

    async def close(self) -> None:
        """Let go of all files and threads."""
        self._tables.clear()

    async def _store(self, table: UUID, own: writing.Batch) -> None:
        """Store a batch together with others that wait."""
        waiting = self._waiting[table]
        batches, rows = [own], own.rows.num_rows
        waiting.remove(own)
        while waiting and rows + waiting[0].rows.num_rows <= _ROWS_PER_COMMIT:
            batches.append(waiting.pop(0))
            rows += batches[-1].rows.num_rows
        async with self._writer_lock(table):
            await self._run(writing.store, await self._table(table), batches)

    async def _read_ahead(self, slices: Iterator[Slice], send: MemoryObjectSendStream[Slice]) -> None:
        with send:
            is_last = False
            while not is_last:
                following = await anyio.to_thread.run_sync(next, slices, _NOTHING, limiter=self._long_threads)
                is_last = following.is_last
                if following.batches:
                    await send.send(following)

    @asynccontextmanager
    async def _writing(self, table: UUID) -> AsyncIterator[None]:
        async with self._turns[table], self._writer_lock(table):
            yield

    async def _table(self, table: UUID) -> Table:
        opened = self._tables.get(table)
        if opened is None:
            opened = await self._run(Table, self._uri(table), self._storage_options, self._session)
            opened = self._tables.setdefault(table, opened)
        return opened

    def _uri(self, table: UUID) -> str:
        return f"{self._place}/{table.hex}.lance"

    async def _run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await anyio.to_thread.run_sync(functools.partial(function, *args, **kwargs), limiter=self._threads)


class Slice(NamedTuple):
    """A part of an answer, and whether it is known to be the last."""

    batches: list[pa.RecordBatch]
    is_last: bool


_NOTHING = Slice([], is_last=True)


class LanceStream:
    """An answer under way.

    Args:
        snapshot: The version that is read.
        schema: The columns of its batches.
        first: The first batches.
        slices: Where the others come from, or None if there are no others.
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
    """Read the first slice of an answer."""
    answer = Answer.of(table, query)
    slices = _slices(answer)
    with table.pinned(answer.version):
        first = next(slices, _NOTHING)
    # A short answer is over before anything is removed; a longer one may be resumed.
    if sum(batch.num_rows for batch in first.batches) >= MAX_BATCH_ROWS // 2:
        table.snapshots.mark(answer.version.number)
    return answer, slices, first


def _slices(answer: Answer) -> Iterator[Slice]:
    left = answer.query.limit
    for rows, is_last in answer.slices(MAX_BATCH_ROWS, SLICE_BYTES):
        kept = rows if left is None else rows.slice(0, left)
        if left is not None:
            left -= kept.num_rows
        yield Slice(list(batches_of(kept)), is_last or left == 0)
        if left == 0:
            return


def _page(table: Table, query: PointQuery, max_bytes: int) -> tuple[pa.Table, bool]:
    answer = Answer.of(table, query)
    limit = MAX_BATCH_ROWS if query.limit is None else query.limit
    parts: list[pa.Table] = []
    # A few more than asked for: the first slice starts inside a bin of the plan, some of which was read before.
    for rows, _ in answer.slices(limit + 1 + limit // 8 + 32):
        parts.append(rows)
        if sum(part.num_rows for part in parts) > limit or sum(part.nbytes for part in parts) > max_bytes:
            break
    found = pa.concat_tables(parts) if parts else answer.wanted.empty_table()
    page = _fitting(found.slice(0, limit), max_bytes)
    more = found.num_rows > page.num_rows
    if more:
        answer.hand_out(page["id"][-1].as_py())
        table.snapshots.mark(answer.version.number)
    return page, more


def _fitting(rows: pa.Table, max_bytes: int) -> pa.Table:
    """Return as many of the first rows as fit into some bytes, but at least one."""
    if rows.nbytes <= max_bytes:
        return rows
    fits, fails = 1, rows.num_rows
    while fails - fits > 1:
        middle = (fits + fails) // 2
        fits, fails = (middle, fails) if rows.slice(0, middle).nbytes <= max_bytes else (fits, middle)
    return rows.slice(0, fits)


def _count(table: Table, query: PointQuery) -> int:
    return Answer.of(table, query).count()


def _summary(table: Table) -> dict[int, Summary]:
    return table.latest().summary


def _is_due(table: Table) -> bool:
    return upkeep.is_due(table, table.latest())


def _find(table: Table, collections: tuple[int, ...], datapoint: bytes) -> pa.Table | None:
    version = table.latest()
    rows = find(version, collections, datapoint, version.columns.names)
    return None if rows is None else filled(rows, version.columns)
