"""Locks between processes: PostgreSQL's advisory locks, which end with their session."""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import asyncpg

from tilebox.errors import ServerError
from tilebox.server.store.postgres.errors import DRIVER_ERRORS, is_connection_lost, translated_errors
from tilebox.server.store.postgres.session import Connection, close, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tilebox.server.store.postgres.address import Address

logger = logging.getLogger("tilebox.server")

WAIT_SECONDS = 600.0
"""How long to wait for a lock that another process holds."""

_IDLE_CONNECTIONS = 8


class WriterLocks:
    """The write locks of datasets, and the connections that hold them.

    Args:
        address: The address of the database.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._locks: WeakValueDictionary[UUID, anyio.Lock] = WeakValueDictionary()
        self._idle: list[Connection] = []
        self._is_closed = False

    @asynccontextmanager
    async def hold(self, table: UUID) -> AsyncIterator[None]:
        """Hold the lock of a dataset for the duration of the block.

        Args:
            table: Id of the dataset's table of datapoints.

        Raises:
            ServerError: The database failed, or another process held the lock for `WAIT_SECONDS`.
        """
        # The tasks of this process wait for a lock in memory first, so that waiting takes one connection, not many.
        lock = self._locks.setdefault(table, anyio.Lock())
        key = lock_key(f"write {table}")
        async with lock:
            with translated_errors(self._address.name):
                connection = await self._acquire(key)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._release(connection, key)

    async def close(self) -> None:
        """Close the idle connections. Those in use are closed when their block ends."""
        self._is_closed = True
        while self._idle:
            await close(self._idle.pop())

    async def _acquire(self, key: int) -> Connection:
        """Return a connection that holds the lock."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await _lock_or_close(connection, key)
            except DRIVER_ERRORS as error:
                # The database may have restarted while the connection was idle. Only a new connection can tell.
                if not is_connection_lost(error):
                    raise
        return await _lock_or_close(await connect(self._address.url), key)

    async def _release(self, connection: Connection, key: int) -> None:
        try:
            await connection.execute("SELECT pg_advisory_unlock($1)", key)
        except DRIVER_ERRORS as error:
            logger.warning(
                "lost the connection that held a writer lock, so another process may have held the lock too: %s", error
            )
            connection.terminate()
            return
        if self._is_closed or len(self._idle) >= _IDLE_CONNECTIONS:
            await close(connection)
        else:
            self._idle.append(connection)


async def lock(connection: Connection, key: int) -> None:
    """Acquire a lock for a session.

    Each attempt lasts for the session's `lock_timeout`, so a connection that is lost meanwhile is noticed.

    Args:
        connection: The session.
        key: The key of the lock, from `lock_key`.

    Raises:
        ServerError: Another process held the lock for `WAIT_SECONDS`.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", key)
        except asyncpg.LockNotAvailableError:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"another process has held a lock for more than {WAIT_SECONDS:.0f} s: try again later",
                    code="unavailable",
                ) from None
        else:
            return


def lock_key(subject: str) -> int:
    """Return the key of the advisory lock on a subject: a signed integer of 64 bits."""
    return int.from_bytes(hashlib.blake2b(f"tilebox {subject}".encode(), digest_size=8).digest(), signed=True)


async def _lock_or_close(connection: Connection, key: int) -> Connection:
    try:
        await lock(connection, key)
    except BaseException:
        await close(connection)
        raise
    return connection
