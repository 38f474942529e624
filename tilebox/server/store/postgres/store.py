"""The control data in PostgreSQL, for servers of several processes and machines."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import anyio
import asyncpg

from tilebox.errors import ServerError
from tilebox.server.store.catalogue.verbs import CatalogueVerbs
from tilebox.server.store.postgres.address import read_url
from tilebox.server.store.postgres.errors import explained
from tilebox.server.store.postgres.group_commit import GroupCommitter
from tilebox.server.store.postgres.pool import PostgresPool
from tilebox.server.store.postgres.session import Connection, opened, probe, run_steps
from tilebox.server.store.postgres.writer_locks import WriterLocks, lock, lock_key
from tilebox.server.store.sql.migrate import Migration, apply, migrations, pending
from tilebox.server.store.work.cluster_verbs import ClusterVerbs
from tilebox.server.store.work.interface import Effects
from tilebox.server.store.work.job_verbs import JobVerbs
from tilebox.server.store.work.verbs import OrchestrationVerbs, read_announcement

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from tilebox.server.store.sql.statements import Steps

T = TypeVar("T")

logger = logging.getLogger("tilebox.server")

MIGRATION_SECONDS = 3600.0
"""How long a statement of a migration may take."""

MIGRATION_LOCK_SECONDS = 5.0
"""How long a migration waits for a table. Whoever waits for a table makes all others wait behind it."""

MIGRATION_ATTEMPTS = 5
"""How often a migration tries to get its tables."""

PROBE_SECONDS = 10.0
"""How long nothing is announced before the connection is tried."""


class PostgresStore(CatalogueVerbs, OrchestrationVerbs, ClusterVerbs, JobVerbs):
    """The control data of any number of server processes.

    Args:
        url: `postgresql://user:password@host/database`. A pooler between, such as PgBouncer, must pool sessions:
            locks, prepared statements and LISTEN belong to one.

    Raises:
        ValueError: The URL cannot be read.
    """

    is_shared = True

    def __init__(self, url: str) -> None:
        self._address = read_url(url)
        self._pool = PostgresPool(self._address)
        self._group_committer = GroupCommitter(self._pool)
        self._writer_locks = WriterLocks(self._address)

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing."""
        return await self._pool.read(verb)

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction of its own."""
        return await self._pool.write(verb)

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
        with explained(self._address.name):
            async with opened(self._address.url, statement_seconds=MIGRATION_SECONDS) as connection:
                await lock(connection, lock_key("migrate"))
                async with connection.transaction():
                    missing = await run_steps(connection, pending(migrations("postgres")))
                for migration in missing:
                    await _apply_patiently(connection, migration)

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield what other processes changed; first of all, once nothing will be missed any more, nothing."""
        with explained(self._address.name):
            async with opened(self._address.url) as connection:
                heard: asyncio.Queue[str | None] = asyncio.Queue()
                await connection.add_listener("tilebox_work", lambda *notification: heard.put_nowait(notification[3]))
                connection.add_termination_listener(lambda _: heard.put_nowait(None))
                yield Effects()
                while True:
                    payload: str | None = None
                    with anyio.move_on_after(PROBE_SECONDS) as silence:
                        payload = await heard.get()
                    if payload is None:
                        if not silence.cancelled_caught:
                            raise asyncpg.ConnectionDoesNotExistError("the connection was closed")
                        await probe(connection)
                    elif (effects := read_announcement(payload, self.process)) is not None:
                        yield effects

    async def close(self) -> None:
        """Let go of all connections."""
        await self._group_committer.close()
        await self._writer_locks.close()
        await self._pool.close()

    def writer_lock(self, table: UUID) -> AbstractAsyncContextManager[None]:
        """Keep every other process of this database from writing to a dataset's datapoints meanwhile.

        A process that dies gives the lock back with its connection. If only the connection dies, the holder does
        not notice before it ends: then the commits of the datapoints themselves must settle who was first.
        """
        return self._writer_locks.hold(table)


async def _apply_patiently(connection: Connection, migration: Migration) -> None:
    for attempt in range(1, MIGRATION_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('lock_timeout', $1, true)", f"{MIGRATION_LOCK_SECONDS * 1000:.0f}ms"
                )
                await run_steps(connection, apply(migration))
        except asyncpg.LockNotAvailableError:
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
