"""The control data in PostgreSQL, for servers of several processes and machines."""

from __future__ import annotations

import hashlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import anyio
import psycopg
from psycopg import errors

from tilebox.errors import ServerError
from tilebox.server.store.clusters_verbs import ClusterVerbs
from tilebox.server.store.jobs_verbs import JobVerbs
from tilebox.server.store.migrate import Migration, apply, migrations, pending
from tilebox.server.store.orchestration import Effects
from tilebox.server.store.orchestration_verbs import OrchestrationVerbs, read_announcement
from tilebox.server.store.postgres.group_commit import GroupCommitter
from tilebox.server.store.postgres.pool import PostgresEngine, run_steps
from tilebox.server.store.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from uuid import UUID

    from tilebox.server.store.postgres.pool import Connection
    from tilebox.server.store.statements import Steps

T = TypeVar("T")

logger = logging.getLogger("tilebox.server")

MIGRATION_LOCK_SECONDS = 5.0
"""How long a migration waits for a table. Who waits for a table makes all others wait behind it."""

MIGRATION_ATTEMPTS = 5
"""How often a migration tries to get its tables."""

_IDLE_LOCK_CONNECTIONS = 8


class PostgresStore(Verbs, OrchestrationVerbs, ClusterVerbs, JobVerbs):
    """The control data of any number of server processes.

    Args:
        url: `postgresql://user:password@host/database`. A pooler between, such as PgBouncer, must pool sessions:
            `writer_lock` belongs to one.

    Raises:
        ValueError: The URL cannot be read.
    """

    is_shared = True

    def __init__(self, url: str) -> None:
        self._engine = PostgresEngine(url)
        self._group_committer = GroupCommitter(self._engine)
        self._locks: WeakValueDictionary[UUID, anyio.Lock] = WeakValueDictionary()
        self._idle: list[Connection] = []
        self._is_closed = False

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing."""
        return await self._engine.read(verb)

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction of its own."""
        return await self._engine.write(verb)

    async def write_grouped(
        self,
        verb: Callable[[], Steps[T]],
        tasks: Sequence[bytes] = (),
        *,
        is_repeatable: bool = False,  # noqa: ARG002
    ) -> T:
        """Run a verb in a transaction that it may share with other waiting verbs."""
        return await self._group_committer.write(verb, tasks)

    async def migrate(self) -> None:
        """Create or update the tables; other processes that try the same wait their turn."""
        async with self._engine.explained(), await self._engine.connect() as connection:
            await _lock(connection, _lock_key("migrate"))
            async with connection.transaction():
                missing = await run_steps(connection, pending(migrations("postgres")))
            for migration in missing:
                await _apply_patiently(connection, migration)

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield what other processes changed; first of all, once nothing will be missed any more, nothing."""
        async with self._engine.explained(), await self._engine.connect() as connection:
            await connection.execute("LISTEN tilebox_work")
            yield Effects()
            async for notification in connection.notifies():
                effects = read_announcement(notification.payload, self.process)
                if effects is not None:
                    yield effects

    async def close(self) -> None:
        """Let go of all connections."""
        self._is_closed = True
        await self._group_committer.close()
        while self._idle:
            await self._idle.pop().close()
        await self._engine.close()

    @asynccontextmanager
    async def writer_lock(self, table: UUID) -> AsyncIterator[None]:
        """Keep every other process of this database from writing to a dataset's datapoints meanwhile.

        A process that dies gives the lock back with its connection. If only the connection dies, the holder does
        not notice before it ends: then the commits of the datapoints themselves must settle who was first.
        """
        # Tasks of this process wait here, and do not take a connection each.
        lock = self._locks.setdefault(table, anyio.Lock())
        key = _lock_key(f"write {table}")
        async with lock:
            async with self._engine.explained():
                connection = await self._take(key)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._give_back(connection, key)

    async def _take(self, key: int) -> Connection:
        """Return a connection that holds the lock."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await _lock(connection, key)
            except psycopg.OperationalError:
                # It idled while the database was restarted; only a fresh connection tells whether it is back.
                await connection.close()
            except BaseException:
                await connection.close()
                raise
            else:
                return connection
        connection = await self._engine.connect()
        try:
            await _lock(connection, key)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _give_back(self, connection: Connection, key: int) -> None:
        try:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (key,))
        except psycopg.Error as error:
            logger.warning("the connection that held a writer lock was lost: %s", error)
            await connection.close()
            return
        if self._is_closed or len(self._idle) >= _IDLE_LOCK_CONNECTIONS:
            await connection.close()
        else:
            self._idle.append(connection)


async def _lock(connection: Connection, key: int) -> None:
    await connection.execute("SELECT pg_advisory_lock(%s)", (key,))


def _lock_key(subject: str) -> int:
    """Return the 64 bits that PostgreSQL knows a lock by."""
    return int.from_bytes(hashlib.blake2b(f"tilebox {subject}".encode(), digest_size=8).digest(), signed=True)


async def _apply_patiently(connection: Connection, migration: Migration) -> None:
    for attempt in range(1, MIGRATION_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('lock_timeout', %s, true)", (f"{MIGRATION_LOCK_SECONDS * 1000:.0f}ms",)
                )
                await run_steps(connection, apply(migration))
        except errors.LockNotAvailable:
            logger.warning("migration %04d: its tables are in use (attempt %d)", migration.number, attempt)
            # Those who waited behind this migration get their turn.
            await anyio.sleep(MIGRATION_LOCK_SECONDS)
        else:
            return
    raise ServerError(
        f"migration {migration.number} ({migration.name}) could not get its tables in {MIGRATION_ATTEMPTS} attempts: "
        "end the transactions that hold them, then start the server again; nothing was changed",
        code="unavailable",
    )
