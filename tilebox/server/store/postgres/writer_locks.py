"""Locks that one process of many holds: PostgreSQL's advisory locks, which end with their session."""

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
from tilebox.server.store.postgres.errors import FAILURES, explained, is_lost
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
    """The locks of the datasets, with the connections that hold them.

    Args:
        address: Where the database is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._locks: WeakValueDictionary[UUID, anyio.Lock] = WeakValueDictionary()
        self._idle: list[Connection] = []
        self._is_closed = False

    @asynccontextmanager
    async def hold(self, table: UUID) -> AsyncIterator[None]:
        """Hold the lock of a dataset for the block."""
        # Tasks of this process wait here, and do not take a connection each.
        lock = self._locks.setdefault(table, anyio.Lock())
        key = lock_key(f"write {table}")
        async with lock:
            with explained(self._address.name):
                connection = await self._take(key)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._give_back(connection, key)

    async def close(self) -> None:
        """Close the idle connections."""
        self._is_closed = True
        while self._idle:
            await close(self._idle.pop())

    async def _take(self, key: int) -> Connection:
        """Return a connection that holds the lock."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await _locked(connection, key)
            except FAILURES as error:
                # It idled while the database was restarted; only a fresh connection tells whether it is back.
                if not is_lost(error):
                    raise
        return await _locked(await connect(self._address.url), key)

    async def _give_back(self, connection: Connection, key: int) -> None:
        try:
            await connection.execute("SELECT pg_advisory_unlock($1)", key)
        except FAILURES as error:
            logger.warning("the connection that held a writer lock was lost: %s", error)
            connection.terminate()
            return
        if self._is_closed or len(self._idle) >= _IDLE_CONNECTIONS:
            await close(connection)
        else:
            self._idle.append(connection)


async def lock(connection: Connection, key: int) -> None:
    """Take a lock for a session.

    It is waited for in slices of the session's `lock_timeout`, so that a lost connection is noticed on the way.

    Raises:
        ServerError: Another process held it all the time.
    """
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", key)
        except asyncpg.LockNotAvailableError:
            if time.monotonic() > until:
                raise ServerError(
                    f"another process has held a lock for more than {WAIT_SECONDS:.0f} s: try again later",
                    code="unavailable",
                ) from None
        else:
            return


def lock_key(subject: str) -> int:
    """Return the 64 bits that PostgreSQL knows a lock by."""
    return int.from_bytes(hashlib.blake2b(f"tilebox {subject}".encode(), digest_size=8).digest(), signed=True)


async def _locked(connection: Connection, key: int) -> Connection:
    try:
        await lock(connection, key)
    except BaseException:
        await close(connection)
        raise
    return connection
