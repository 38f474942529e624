"""PostgreSQL for a server: a pool of connections that heals itself, and errors in our words.

Nothing here knows what is stored. A connection is tried before it is handed out, so a database that was restarted
costs one round trip and no failed request.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tilebox.errors import InvalidArgumentError, ServerError, TileboxError
from tilebox.server.store.postgres.pipeline import SETTINGS as PIPELINE_SETTINGS
from tilebox.server.store.postgres.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tilebox.server.store.statements import Call, Row, Steps

    Connection = psycopg.AsyncConnection[dict[str, Any]]

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""How long to wait for a connection, from the pool or from the server."""

LOCK_SECONDS = 10.0
"""How long a statement waits for a row that another transaction changes."""

STATEMENT_SECONDS = 60.0
"""How long a statement may take."""

_ATTEMPTS = 3
_COLLISIONS = (errors.DeadlockDetected, errors.SerializationFailure)


class PostgresEngine:
    """A database, connected to on first use.

    Args:
        url: `postgresql://user:password@host/database`.
        connections: How many the pool opens at most.

    Raises:
        ValueError: The URL cannot be read.
    """

    def __init__(self, url: str, *, connections: int = 10) -> None:
        try:
            known = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            # The message of the driver may repeat the password.
            raise ValueError("the PostgreSQL URL must be postgresql://user:password@host:port/database") from error
        self.name = f"{known.get('dbname', '')} on {known.get('host', 'this machine')}"
        self._url = url
        self._connections = connections
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._opening = anyio.Lock()
        self._is_closed = False

    async def read(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb that changes nothing; again if its connection broke.

        Raises:
            ServerError: The database failed. What the verb itself raises passes through.
        """
        # Here and in `write`: a cancelled task must still give its connection back, which takes awaiting.
        # The timeouts above bound how long the task stays uncancelled.
        with anyio.CancelScope(shield=True):
            async with self.explained():
                for attempts_left in reversed(range(_ATTEMPTS)):
                    try:
                        async with (await self._open()).connection() as connection:
                            return await run_steps(connection, verb())
                    except psycopg.OperationalError as error:
                        if not attempts_left or not (isinstance(error, _COLLISIONS) or is_lost(error)):
                            raise
        raise AssertionError

    async def write(self, verb: Callable[[], Steps[T]]) -> T:
        """Run a verb in a transaction of its own; again if it collided with another one.

        Raises:
            ServerError: The database failed. What the verb itself raises passes through, and undoes the verb.
        """
        with anyio.CancelScope(shield=True):
            async with self.explained(is_change=True):
                for attempts_left in reversed(range(_ATTEMPTS)):
                    try:
                        async with (
                            (await self._open()).connection() as connection,
                            # Statements that answer nothing are not waited for: their errors come with the next
                            # one's answer, or with the commit's.
                            connection.pipeline(),
                            connection.transaction(),
                        ):
                            return await run_steps(connection, verb())
                    except _COLLISIONS:
                        if not attempts_left:
                            raise
        raise AssertionError

    async def connect(self) -> Connection:
        """Open a connection outside the pool, for what belongs to a session; the caller closes it."""
        return await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, row_factory=dict_row, connect_timeout=math.ceil(CONNECT_SECONDS)
        )

    async def open_pipeline(self) -> Pipeline:
        """Open a connection outside the pool for many short transactions; the caller closes it."""
        connection = await self.connect()
        try:
            await _configure(connection, PIPELINE_SETTINGS)
            return Pipeline(connection)
        except BaseException:
            await connection.close()
            raise

    @asynccontextmanager
    async def explained(self, *, is_change: bool = False) -> AsyncIterator[None]:
        """Say in our words what PostgreSQL raises, and what that means for a change."""
        try:
            yield
        except psycopg.Error as error:
            raise self._told(error, is_change=is_change) from error

    async def close(self) -> None:
        """Let go of all connections. May be called twice."""
        self._is_closed = True
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _open(self) -> AsyncConnectionPool[Connection]:
        if self._is_closed:
            raise ServerError(f"the database {self.name} was closed", code="unavailable")
        async with self._opening:
            if self._pool is None:
                pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
                    self._url,
                    min_size=1,
                    max_size=self._connections,
                    timeout=CONNECT_SECONDS,
                    kwargs={"autocommit": True, "row_factory": dict_row},
                    configure=_configure,
                    check=AsyncConnectionPool.check_connection,
                    open=False,
                )
                await pool.open()
                self._pool = pool
        return self._pool

    def _told(self, error: psycopg.Error, *, is_change: bool) -> TileboxError:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
            return InvalidArgumentError(f"the database refused a value: {reason}")
        if isinstance(error, errors.UndefinedTable):
            return ServerError(
                f"the database {self.name} has no tables ({reason}): start `tilebox serve` on it once, which makes them",
                code="unavailable",
            )
        if isinstance(error, psycopg.OperationalError):
            # A commit may have been done though its answer got lost.
            advice = ". Look whether the change was made before trying again" if is_change else ""
            return ServerError(f"the database {self.name} cannot be used now: {reason}{advice}", code="unavailable")
        return ServerError(f"the database {self.name} failed: {reason}{'. Nothing was stored' if is_change else ''}")


async def run_steps(connection: Connection, steps: Steps[T]) -> T:
    """Run a verb's calls on a connection and return its answer."""
    try:
        step = next(steps)
        while True:
            step = steps.send(await _rows(connection, step))
    except StopIteration as stop:
        answer: T = stop.value
        return answer


async def _rows(connection: Connection, step: Call) -> list[Row]:
    text = step.statement.pyformat
    if not text or step.each == []:
        return []
    cursor = await connection.execute(text.encode(), step.arguments if step.each is None else step.arrays)
    return [*await cursor.fetchall()] if step.statement.answers else []


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the connection broke: the server said that it stops, or said nothing any more."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    if error.sqlstate is None:
        return not isinstance(error, PoolTimeout)
    return isinstance(error, errors.AdminShutdown | errors.CrashShutdown)


async def _configure(connection: Connection, settings: Mapping[str, str] = MappingProxyType({})) -> None:
    times = {"lock_timeout": LOCK_SECONDS, "statement_timeout": STATEMENT_SECONDS}
    limits = {setting: f"{seconds * 1000:.0f}ms" for setting, seconds in times.items()}
    for setting, value in {**limits, **settings}.items():
        await connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
