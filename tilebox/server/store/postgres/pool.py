"""Transactions on a pool of connections, which heals itself when the database was restarted."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import anyio
import asyncpg

from tilebox.errors import ServerError
from tilebox.server.store.postgres import session
from tilebox.server.store.postgres.errors import COLLISIONS, FAILURES, explained, is_lost
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
        address: Where the database is.
        connections: The most that the pool opens.
    """

    def __init__(self, address: Address, *, connections: int = 10) -> None:
        self.address = address
        self._connections = connections
        self._pool: asyncpg.Pool | None = None
        self._opening = anyio.Lock()
        self._is_closed = False

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing; again if its connection broke.

        Raises:
            ServerError: The database failed. What the verb itself raises passes through.
        """
        # Here and in `write`: a cancelled task must still give its connection back, which takes awaiting.
        # The time limits of a session bound how long the task stays uncancelled.
        with anyio.CancelScope(shield=True), explained(self.address.name):
            for attempts_left in reversed(range(_ATTEMPTS)):
                try:
                    async with self._connection() as connection:
                        return await run_steps(connection, verb())
                except FAILURES as error:
                    if not attempts_left or not (isinstance(error, COLLISIONS) or is_lost(error)):
                        raise
        raise AssertionError

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction; again if it collided with another one, or lost its connection before the commit.

        Raises:
            ServerError: The database failed. What the verb itself raises passes through, and undoes the verb.
        """
        with anyio.CancelScope(shield=True), explained(self.address.name, is_change=True):
            for attempts_left in reversed(range(_ATTEMPTS)):
                is_committing = False
                try:
                    async with self._connection() as connection:
                        async with connection.transaction():
                            answer = await run_steps(connection, verb())
                            is_committing = True
                        return answer
                except FAILURES as error:
                    is_undone = isinstance(error, COLLISIONS) or (is_lost(error) and not is_committing)
                    if not attempts_left or not is_undone:
                        raise
        raise AssertionError

    async def close(self) -> None:
        """Let go of all connections. May be called twice."""
        self._is_closed = True
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is None:
            return
        with anyio.move_on_after(GRACE_SECONDS, shield=True) as too_long, suppress(*FAILURES):
            await pool.close()
        if too_long.cancelled_caught:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Take a connection from the pool; while the database restarts, try again for a while."""
        pool = await self._open()
        until = time.monotonic() + session.CONNECT_SECONDS
        while True:
            try:
                connection = await pool.acquire(timeout=session.CONNECT_SECONDS)
                break
            except FAILURES as error:
                if not is_lost(error) or time.monotonic() + _RECONNECT_SECONDS > until:
                    raise
            await anyio.sleep(_RECONNECT_SECONDS)
        try:
            yield connection
        finally:
            # A connection that cannot be given back is cut by the pool; what was done with it is done.
            with suppress(*FAILURES):
                await pool.release(connection, timeout=GRACE_SECONDS)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._is_closed:
                raise ServerError(f"the database {self.address.name} was closed", code="unavailable")
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self.address.url,
                    min_size=0,
                    max_size=self._connections,
                    init=configure,
                    reset=_keep,
                    **connect_arguments(),
                )
        return self._pool


async def _keep(connection: Connection) -> None:
    """Leave a session as it is: no verb changes its settings, and the usual reset costs a round trip."""
