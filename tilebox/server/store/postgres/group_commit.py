"""Group commit: one connection for the most frequent verbs, and one commit for all verbs that wait at the same time.

One connection that writes 32 rows in each transaction is eight to thirteen times as fast as with one row in each. Four
such connections side by side are slower than one, because they wait for each other's rows and flushes. So these verbs
queue for one connection, as they do on SQLite.

A transaction of several verbs takes all their locks before it runs the first verb. Each verb locks its rows in a fixed
order, but the verbs of a group one after the other would not, and two servers could deadlock.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tilebox.server.store.postgres.errors import DRIVER_ERRORS, is_connection_lost, translate
from tilebox.server.store.postgres.session import SHORT_STATEMENTS, Connection, close, connect, probe, run_steps
from tilebox.server.store.sql.statements import call_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilebox.server.store.postgres.pool import PostgresPool
    from tilebox.server.store.sql.statements import Steps

T = TypeVar("T")

MAX_GROUP = 32
"""The largest number of verbs in one transaction."""

IDLE_SECONDS = 2.0
"""How long the connection may be idle before it is probed on its next use."""


class _PendingVerb(Generic[T]):
    """A verb in the queue.

    Args:
        verb: The verb.
        tasks: Ids of the tasks whose jobs it locks.
    """

    def __init__(self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes]) -> None:
        self.verb = verb
        self.tasks = tasks
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.result: T
        self.error: Exception | None = None

    def resolve(self) -> None:
        """Pass the result or the error to the caller, unless the caller was cancelled."""
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class GroupCommitter:
    """A queue of verbs, and the connection that runs them.

    Args:
        pool: Runs each verb of a failed group in a transaction of its own.
    """

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._queue: list[_PendingVerb[Any]] = []
        self._worker: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._used_at = 0.0

    async def write(self, verb: Callable[[], Steps[T]], tasks: Sequence[bytes]) -> T:
        """Run a verb in a transaction that it may share with others, and return its result after the commit.

        Args:
            verb: The verb. It runs again, alone, if its group fails.
            tasks: Ids of the tasks whose jobs it locks.

        Raises:
            ServerError: The database failed. Errors of the verb itself pass through, and roll back the verb.
        """
        pending = _PendingVerb(verb, tasks)
        self._queue.append(pending)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._run())
        # If the caller is cancelled, the verb is committed or rolled back as a whole.
        return await asyncio.shield(pending.future)

    async def close(self) -> None:
        """Run the queued verbs, then close the connection."""
        if self._worker is not None:
            await asyncio.wait([self._worker])
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    async def _run(self) -> None:
        while self._queue:
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
            try:
                await self._commit(group)
            except Exception as error:  # noqa: BLE001 - every caller must get a result or an error
                self._terminate()
                if is_connection_lost(error) or isinstance(error, TimeoutError):
                    # The group may have been committed, so it must not run again. The caller can repeat its request
                    # and mark it as repeated.
                    for pending in group:
                        pending.error = translate(error, self._pool.address.name, is_change=True)
                        pending.error.__cause__ = error
                else:
                    # One verb conflicted with another transaction, or violated a constraint or a rule of its own.
                    # Each runs alone now, so each caller gets only the error of its own verb.
                    await asyncio.gather(*map(self._run_alone, group))
            for pending in group:
                pending.resolve()

    async def _commit(self, group: list[_PendingVerb[Any]]) -> None:
        connection = await self._connect()
        async with connection.transaction():
            if len(group) > 1:
                await run_steps(connection, _lock_jobs([task for pending in group for task in pending.tasks]))
            for pending in group:
                pending.result = await run_steps(connection, pending.verb())

    async def _connect(self) -> Connection:
        """Return the open connection, or a new one.

        A connection that was idle is probed first, because firewalls and routers drop idle connections silently.
        """
        now = time.monotonic()
        if self._connection is not None and now - self._used_at > IDLE_SECONDS:
            try:
                await probe(self._connection)
            except DRIVER_ERRORS:
                self._terminate()
        if self._connection is not None and self._connection.is_closed():
            self._terminate()
        if self._connection is None:
            self._connection = await connect(self._pool.address.url, settings=SHORT_STATEMENTS)
        self._used_at = now
        return self._connection

    async def _run_alone(self, pending: _PendingVerb[Any]) -> None:
        try:
            pending.result = await self._pool.write(pending.verb)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            pending.error = error

    def _terminate(self) -> None:
        """Drop the connection in whatever state it is. The database rolls back what was not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _lock_jobs(tasks: Sequence[bytes]) -> Steps[None]:
    yield call_each("lock_jobs_of_tasks", [{"task": task} for task in tasks])
