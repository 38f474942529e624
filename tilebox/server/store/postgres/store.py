"""The control data in PostgreSQL, for servers of several processes and machines."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import anyio
import asyncpg

from tilebox.errors import ServerError
from tilebox.server.store.catalogue.verbs import CatalogueVerbs
from tilebox.server.store.postgres.address import parse_url
from tilebox.server.store.postgres.errors import translated_errors
from tilebox.server.store.postgres.group_commit import GroupCommitter
from tilebox.server.store.postgres.pool import PostgresPool
from tilebox.server.store.postgres.session import Connection, open_session, probe, run_steps
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
"""How long a migration waits for a table. While it waits, every later transaction on that table waits behind it."""

MIGRATION_ATTEMPTS = 5
"""How often a migration tries to lock its tables."""

PROBE_SECONDS = 10.0
"""How long `announcements` waits for a notification before it probes its connection."""


class PostgresStore(CatalogueVerbs, OrchestrationVerbs, ClusterVerbs, JobVerbs):
    """The control data, shared by any number of server processes.

    Args:
        url: `postgresql://user:password@host/database`. A pooler such as PgBouncer must be in session mode, because
            locks, prepared statements and LISTEN belong to a session.

    Raises:
        ValueError: The URL is malformed or has an unsupported option.
    """

    is_shared = True

    def __init__(self, url: str) -> None:
        self._address = parse_url(url)
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
        """Create or update the tables. Only one process at a time does so; others wait for it.

        Raises:
            ServerError: The database failed, or other transactions keep the tables locked.
        """
        with translated_errors(self._address.name):
            async with open_session(self._address.url, statement_seconds=MIGRATION_SECONDS) as connection:
                await lock(connection, lock_key("migrate"))
                async with connection.transaction():
                    missing = await run_steps(connection, pending(migrations("postgres")))
                for migration in missing:
                    await _apply_with_retries(connection, migration)

    async def announcements(self) -> AsyncGenerator[Effects, None]:
        """Yield the effects of the changes that other processes make.

        The first item is empty. It arrives once the session listens: no change after that is missed.

        Raises:
            ServerError: The connection was lost. The caller may have missed changes.
        """
        with translated_errors(self._address.name):
            async with open_session(self._address.url) as connection:
                notifications: asyncio.Queue[str | None] = asyncio.Queue()
                # asyncpg passes the connection, the process id of the sender, the channel and the payload.
                await connection.add_listener("tilebox_work", lambda *args: notifications.put_nowait(args[3]))
                connection.add_termination_listener(lambda _: notifications.put_nowait(None))
                yield Effects()
                while True:
                    payload: str | None = None
                    with anyio.move_on_after(PROBE_SECONDS) as scope:
                        payload = await notifications.get()
                    if payload is None:
                        if not scope.cancelled_caught:
                            raise asyncpg.ConnectionDoesNotExistError("the connection was closed")
                        await probe(connection)
                    elif (effects := read_announcement(payload, self.process)) is not None:
                        yield effects

    async def close(self) -> None:
        """Commit the queued verbs, then close all connections."""
        await self._group_committer.close()
        await self._writer_locks.close()
        await self._pool.close()

    def writer_lock(self, table: UUID) -> AbstractAsyncContextManager[None]:
        """Return a context that keeps other processes on this database from writing to a dataset's datapoints.

        If the process dies, its session ends and releases the lock. If only the connection is lost, the holder notices
        that at the end of the block. Until then another process may hold the lock too, so the commits of the datapoints
        themselves must detect the conflict.

        Args:
            table: Id of the dataset's table of datapoints.
        """
        return self._writer_locks.hold(table)


async def _apply_with_retries(connection: Connection, migration: Migration) -> None:
    for attempt in range(1, MIGRATION_ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('lock_timeout', $1, true)", f"{MIGRATION_LOCK_SECONDS * 1000:.0f}ms"
                )
                await run_steps(connection, apply(migration))
        except asyncpg.LockNotAvailableError:
            logger.warning(
                "migration %04d could not lock its tables, which are in use (attempt %d of %d)",
                migration.number,
                attempt,
                MIGRATION_ATTEMPTS,
            )
            # Let the transactions run that queued behind this migration.
            await anyio.sleep(MIGRATION_LOCK_SECONDS)
        else:
            return
    raise ServerError(
        f"migration {migration.number} ({migration.name}) could not lock its tables in {MIGRATION_ATTEMPTS} attempts. "
        "Nothing was changed. End the transactions that use these tables, then start the server again",
        code="unavailable",
    )
