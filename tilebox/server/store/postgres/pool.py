"""A pool of connections that runs transactions and recovers after a restart of the database."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import anyio
import asyncpg

from tilebox.errors import ServerError
from tilebox.server.store.postgres import session
from tilebox.server.store.postgres.errors import DRIVER_ERRORS, TRANSIENT_ERRORS, is_connection_lost, translated_errors
from tilebox.server.store.postgres.session import GRACE_SECONDS, Connection, configure, connect_arguments, run_steps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tilebox.server.store.postgres.address import Address
    from tilebox.server.store.sql.statements import Steps

T = TypeVar("T")

_ATTEMPTS = 3
_RECONNECT_SECONDS = 0.1


class PostgresPool:
    """Connections to a database, opened on first use.

    Args:
        address: The address of the database.
        connections: The largest number of open connections.
    """

    def __init__(self, address: Address, *, connections: int = 10) -> None:
        self.address = address
        self._connections = connections
        self._pool: asyncpg.Pool | None = None
        self._opening = anyio.Lock()
        self._is_closed = False

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing and return its result. Run it again if its connection is lost.

        Raises:
            ServerError: The database failed. Errors of the verb itself pass through.
        """
        # Here and in `write`, a cancelled task must still return its connection to the pool, and must await for that.
        # The time limits of a session also limit how long this delays the cancellation.
        with anyio.CancelScope(shield=True), translated_errors(self.address.name):
            for attempts_left in reversed(range(_ATTEMPTS)):
                try:
                    async with self._connection() as connection:
                        return await run_steps(connection, verb())
                except DRIVER_ERRORS as error:
                    if not attempts_left or not (isinstance(error, TRANSIENT_ERRORS) or is_connection_lost(error)):
                        raise
        raise AssertionError

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction and return its result.

        Run it again if it conflicts with another transaction, or if its connection is lost before the commit.

        Raises:
            ServerError: The database failed. Errors of the verb itself pass through, and roll back the verb.
        """
        with anyio.CancelScope(shield=True), translated_errors(self.address.name, is_change=True):
            for attempts_left in reversed(range(_ATTEMPTS)):
                is_committing = False
                try:
                    async with self._connection() as connection:
                        async with connection.transaction():
                            result = await run_steps(connection, verb())
                            is_committing = True
                        return result
                except DRIVER_ERRORS as error:
                    # If the connection is lost during the commit, the database may have committed.
                    is_lost_before_commit = is_connection_lost(error) and not is_committing
                    if not attempts_left or not (isinstance(error, TRANSIENT_ERRORS) or is_lost_before_commit):
                        raise
        raise AssertionError

    async def close(self) -> None:
        """Close all connections. A second call does nothing."""
        self._is_closed = True
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        with anyio.move_on_after(GRACE_SECONDS, shield=True) as scope, suppress(*DRIVER_ERRORS):
            await pool.close()
        if scope.cancelled_caught:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Take a connection from the pool for the block. Retry for `CONNECT_SECONDS` while the database restarts."""
        pool = await self._open()
        deadline = time.monotonic() + session.CONNECT_SECONDS
        while True:
            try:
                connection = await pool.acquire(timeout=session.CONNECT_SECONDS)
                break
            except DRIVER_ERRORS as error:
                if not is_connection_lost(error) or time.monotonic() + _RECONNECT_SECONDS > deadline:
                    raise
            await anyio.sleep(_RECONNECT_SECONDS)
        try:
            yield connection
        finally:
            # The pool terminates a connection that cannot be returned. Its transaction has already ended, so the caller
            # need not know.
            with suppress(*DRIVER_ERRORS):
                await pool.release(connection, timeout=GRACE_SECONDS)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._is_closed:
                raise ServerError(f"the pool of the database {self.address.name} is closed", code="unavailable")
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self.address.url,
                    min_size=0,
                    max_size=self._connections,
                    init=configure,
                    reset=_keep_settings,
                    **connect_arguments(),
                )
        return self._pool


async def _keep_settings(connection: Connection) -> None:
    """Do nothing: no verb changes the settings of its session, and asyncpg's reset costs a round trip."""
