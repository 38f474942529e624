"""One connection for the verbs that come by the thousand, and one commit for those that wait together.

One connection that carries 32 rows a transaction does eight to thirteen times what it does with one row, and four of
them side by side do less than one: they wait for each other's rows and flushes. So these verbs queue, as SQLite's do.

A transaction of several verbs locks all that they will lock before it runs the first of them: what each locks in
the right order for itself would be in no order for all, and two servers would wait for each other.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psycopg

from tilebox.server.store.postgres_engine import is_lost, run_steps
from tilebox.server.store.statements import call_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilebox.server.store.postgres_engine import Connection, PostgresEngine
    from tilebox.server.store.statements import Steps

T = TypeVar("T")

MAX_GROUP = 32
"""Verbs committed together at most."""

IDLE_SECONDS = 2.0
"""How long a connection may idle without being tried before it is used again."""


class _Waiting(Generic[T]):
    """A verb that waits for its turn, with the tasks whose jobs it locks."""

    def __init__(self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes]) -> None:
        self.verb = verb
        self.tasks = tasks
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.result: T
        self.error: Exception | None = None

    async def run(self, connection: Connection) -> None:
        """Run in a transaction, and keep what the verb itself raises."""
        async with connection.transaction():
            self.result = await run_steps(connection, self.verb())

    def tell(self) -> None:
        """Answer whoever waits."""
        if self.answer.cancelled():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class Together:
    """The queue, and the connection it uses.

    Args:
        engine: Opens connections, and runs alone what failed in company.
    """

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._queue: list[_Waiting[Any]] = []
        self._worker: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._used = 0.0

    async def write(self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes]) -> T:
        """Run a verb in a transaction that it may share with others, and return its answer once that is committed.

        Args:
            verb: What to run.
            tasks: Those whose jobs it locks.

        Raises:
            ServerError: The database failed. What the verb itself raises passes through, and undoes the verb.
        """
        waiting = _Waiting(verb, tasks)
        self._queue.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        # Whoever goes away leaves the verb done or undone, never half done.
        return await asyncio.shield(waiting.answer)

    async def close(self) -> None:
        """Finish what waits, then let go of the connection."""
        if self._worker is not None:
            await asyncio.wait([self._worker])
        await self._drop()

    async def _work(self) -> None:
        while self._queue:
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            try:
                await self._commit(group)
            except psycopg.Error as error:
                await self._drop()
                if is_lost(error):
                    # Perhaps it was committed. Who asked can ask again, and say so.
                    await self._fail(group, error)
                else:
                    # One of them collided with another transaction, or broke a rule of the database. Alone, each
                    # hears of its own failure only.
                    await asyncio.gather(*map(self._run_alone, group))
            except Exception as error:  # noqa: BLE001 - whoever waits must be answered
                await self._drop()
                await self._fail(group, error)
            for waiting in group:
                waiting.tell()

    async def _commit(self, group: list[_Waiting[Any]]) -> None:
        connection = await self._connect()
        async with connection.pipeline(), connection.transaction():
            await run_steps(connection, _lock([task for waiting in group for task in waiting.tasks]))
            for waiting in group:
                waiting.error = None
                try:
                    await waiting.run(connection)
                except psycopg.Error:
                    raise
                except Exception as error:  # noqa: BLE001 - told to the one who asked
                    waiting.error = error

    async def _connect(self) -> Connection:
        """Return the connection; one that idled is tried first, since the database may have been restarted."""
        now = time.monotonic()
        if self._connection is not None and now - self._used > IDLE_SECONDS:
            try:
                await self._connection.execute("SELECT 1")
            except psycopg.OperationalError:
                await self._drop()
        if self._connection is None or self._connection.closed:
            self._connection = await self._engine.connect()
        self._used = now
        return self._connection

    async def _fail(self, group: list[_Waiting[Any]], error: Exception) -> None:
        try:
            async with self._engine.explained(is_change=True):
                raise error  # noqa: TRY301
        except Exception as told:  # noqa: BLE001 - told to the ones who asked
            for waiting in group:
                waiting.error = told

    async def _run_alone(self, waiting: _Waiting[Any]) -> None:
        waiting.error = None
        try:
            waiting.result = await self._engine.write(waiting.verb)
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            waiting.error = error

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _lock(tasks: Sequence[bytes]) -> Steps[None]:
    yield call_each("lock_jobs_of_tasks", [{"task": task} for task in tasks])
