"""Group commit: one connection for the verbs that come by the thousand, and one commit for those that wait together.

One connection that carries 32 rows a transaction does eight to thirteen times what it does with one row, and four of
them side by side do less than one: they wait for each other's rows and flushes. So these verbs queue, as SQLite's do.

A transaction of several verbs locks all that they will lock before it runs the first of them: what each locks in
the right order for itself would be in no order for all, and two servers would wait for each other.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tilebox.server.store.postgres.errors import FAILURES, is_lost, told
from tilebox.server.store.postgres.session import SHORT_STATEMENTS, Connection, close, connect, probe, run_steps
from tilebox.server.store.sql.statements import call_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilebox.server.store.postgres.pool import PostgresPool
    from tilebox.server.store.sql.statements import Steps

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

    def tell(self) -> None:
        """Answer the caller, unless it was cancelled."""
        if self.answer.cancelled():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class GroupCommitter:
    """The queue, and the connection it uses.

    Args:
        pool: Runs a verb in a transaction of its own when its group failed.
    """

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
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
        # A caller that is cancelled leaves the verb done or undone, never half done.
        return await asyncio.shield(waiting.answer)

    async def close(self) -> None:
        """Finish what waits, then close the connection."""
        if self._worker is not None:
            await asyncio.wait([self._worker])
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    async def _work(self) -> None:
        while self._queue:
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            try:
                await self._commit(group)
            except Exception as error:  # noqa: BLE001 - every caller must be answered
                self._cut()
                if is_lost(error) or isinstance(error, TimeoutError):
                    # Perhaps it was committed. The caller can ask again, and say so.
                    for waiting in group:
                        waiting.error = told(error, self._pool.address.name, is_change=True)
                        waiting.error.__cause__ = error
                else:
                    # One verb collided with another transaction, or broke a rule of the database or of its own.
                    # Alone, each hears of its own failure only.
                    await asyncio.gather(*map(self._run_alone, group))
            for waiting in group:
                waiting.tell()

    async def _commit(self, group: list[_Waiting[Any]]) -> None:
        connection = await self._connect()
        async with connection.transaction():
            if len(group) > 1:
                await run_steps(connection, _lock([task for waiting in group for task in waiting.tasks]))
            for waiting in group:
                waiting.result = await run_steps(connection, waiting.verb())

    async def _connect(self) -> Connection:
        """Return the session; one that idled is tried first, since the network forgets idle connections."""
        now = time.monotonic()
        if self._connection is not None and now - self._used > IDLE_SECONDS:
            try:
                await probe(self._connection)
            except FAILURES:
                self._cut()
        if self._connection is not None and self._connection.is_closed():
            self._cut()
        if self._connection is None:
            self._connection = await connect(self._pool.address.url, settings=SHORT_STATEMENTS)
        self._used = now
        return self._connection

    async def _run_alone(self, waiting: _Waiting[Any]) -> None:
        try:
            waiting.result = await self._pool.write(waiting.verb)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            waiting.error = error

    def _cut(self) -> None:
        """Drop the connection, whatever state it is in; the server undoes what was not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _lock(tasks: Sequence[bytes]) -> Steps[None]:
    yield call_each("lock_jobs_of_tasks", [{"task": task} for task in tasks])
