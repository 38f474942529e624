"""The control data in one SQLite file: what `tilebox serve` uses unless it is told otherwise."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import anyio

from tilebox.server.store.catalogue.verbs import Verbs
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


class SqliteStore(Verbs, OrchestrationVerbs, ClusterVerbs, JobVerbs):
    """The control data of one server process.

    Other processes may read and write the file, but `writer_lock` holds within this process only: whoever serves
    a data directory locks that directory first.

    Args:
        path: The database file.
        flushes_reports: Whether what runners report is on disk before it is acknowledged, and not only with the next
            other change.
        is_served: Whether much will be written, so that preparing for it is worth while.
    """

    def __init__(self, path: Path, *, flushes_reports: bool = True, is_served: bool = False) -> None:
        self._engine = SqliteEngine(path, flushes_repeatable=flushes_reports, makes_room=is_served)
        self._locks: WeakValueDictionary[UUID, anyio.Lock] = WeakValueDictionary()

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing."""
        return await self._engine.read(lambda connection: run_steps(connection, verb()))

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction of its own."""
        return await self._engine.write(lambda connection: run_steps(connection, verb()))

    async def write_grouped(
        self,
        verb: Callable[[], Steps[T]],
        tasks: Sequence[bytes] = (),  # noqa: ARG002
        *,
        is_repeatable: bool = False,
    ) -> T:
        """Run a verb in a transaction. The engine commits all waiting verbs together anyway."""
        return await self._engine.write(lambda connection: run_steps(connection, verb()), is_repeatable=is_repeatable)

    async def migrate(self) -> None:
        """Create or update the tables; other processes that try the same wait their turn."""
        await self.write(lambda: apply_pending(migrations("sqlite")))

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield nothing, for ever: all that happens to the file happens in this process."""
        yield Effects()
        await anyio.sleep_forever()

    async def close(self) -> None:
        """Let go of all connections and threads."""
        await self._engine.close()

    @asynccontextmanager
    async def writer_lock(self, table: UUID) -> AsyncIterator[None]:
        """Keep every other task of this process from writing to a dataset's datapoints meanwhile."""
        lock = self._locks.setdefault(table, anyio.Lock())
        async with lock:
            yield


def run_steps(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Run a verb's calls on a connection and return its answer."""
    try:
        step = next(steps)
        while True:
            step = steps.send(_rows(connection, step))
    except StopIteration as stop:
        answer: T = stop.value
        return answer


def _rows(connection: sqlite3.Connection, step: Call) -> list[Row]:
    statement = step.statement
    if not statement.sql or step.each == []:
        return []
    if step.each is None:
        arguments = {name: value.bytes if isinstance(value, UUID) else value for name, value in step.arguments.items()}
        rows: list[Row] = connection.execute(statement.sql, arguments).fetchall()
        return rows
    if not statement.answers:
        connection.executemany(statement.sql, step.each)
        return []
    return [row for arguments in step.each for row in connection.execute(statement.sql, arguments).fetchall()]
