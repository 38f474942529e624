"""The store on one SQLite file, which is the default of `tilebox serve`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import anyio

from tilebox.server.store.catalogue.verbs import CatalogueVerbs
from tilebox.server.store.sql.migrate import apply_pending, migrations
from tilebox.server.store.sqlite.engine import SqliteEngine
from tilebox.server.store.work.cluster_verbs import ClusterVerbs
from tilebox.server.store.work.interface import Effects
from tilebox.server.store.work.job_verbs import JobVerbs
from tilebox.server.store.work.verbs import OrchestrationVerbs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tilebox.server.store.sql.statements import Call, Row, Steps

T = TypeVar("T")


class SqliteStore(CatalogueVerbs, OrchestrationVerbs, ClusterVerbs, JobVerbs):
    """The control data of one server process.

    Other processes may read and write the file, but `writer_lock` works only within this process. A server therefore
    locks its data directory when it starts.

    Args:
        path: The database file.
        flushes_reports: Whether reports of runners are flushed to disk before they are acknowledged. Otherwise the next
            flush of another write covers them.
        is_served: Whether to prepare the file for many writes.
    """

    def __init__(self, path: Path, *, flushes_reports: bool = True, is_served: bool = False) -> None:
        self._engine = SqliteEngine(path, flushes_repeatable=flushes_reports, preallocates_wal=is_served)
        # Weak, so that the locks of deleted datasets disappear; a holder keeps its lock alive.
        self._locks: WeakValueDictionary[UUID, anyio.Lock] = WeakValueDictionary()

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that only reads."""
        return await self._engine.read(lambda connection: run_steps(connection, verb()))

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in its own transaction."""
        return await self._engine.write(lambda connection: run_steps(connection, verb()))

    async def write_grouped(
        self,
        verb: Callable[[], Steps[T]],
        tasks: Sequence[bytes] = (),  # noqa: ARG002
        *,
        is_repeatable: bool = False,
    ) -> T:
        """Run a verb in a transaction. The engine groups all waiting writes, so there is nothing more to do."""
        return await self._engine.write(lambda connection: run_steps(connection, verb()), is_repeatable=is_repeatable)

    async def migrate(self) -> None:
        """Create or update the tables. Other processes that do the same at this time wait."""
        await self.write(lambda: apply_pending(migrations("sqlite")))

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield the empty first item, and then nothing: no other process runs the orchestrator on this file."""
        yield Effects()
        await anyio.sleep_forever()

    async def close(self) -> None:
        """Close all connections and end all threads."""
        await self._engine.close()

    @asynccontextmanager
    async def writer_lock(self, table: UUID) -> AsyncIterator[None]:
        """Return a lock that lets one task of this process at a time write to a dataset's datapoints."""
        lock = self._locks.setdefault(table, anyio.Lock())
        async with lock:
            yield


def run_steps(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Run the calls of a verb on a connection, and return its result."""
    try:
        step = next(steps)
        while True:
            step = steps.send(_rows(connection, step))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _rows(connection: sqlite3.Connection, step: Call) -> list[Row]:
    statement = step.statement
    if not statement.sql or step.each == []:
        return []
    if step.each is None:
        arguments = {name: value.bytes if isinstance(value, UUID) else value for name, value in step.arguments.items()}
        rows: list[Row] = connection.execute(statement.sql, arguments).fetchall()
        return rows
    if not statement.returns_rows:
        # `executemany` runs the loop in C, but refuses statements that return rows.
        connection.executemany(statement.sql, step.each)
        return []
    return [row for arguments in step.each for row in connection.execute(statement.sql, arguments).fetchall()]
