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

from tilebox.server.store.postgres.pool import is_lost
from tilebox.server.store.statements import call_each, later

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilebox.server.store.postgres.pipeline import Pipeline
    from tilebox.server.store.postgres.pool import PostgresEngine
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

    def tell(self) -> None:
        """Answer whoever waits."""
        if self.answer.cancelled():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class GroupCommitter:
    """The queue, and the connection it uses.

    Args:
        engine: Opens connections, and runs alone what failed in company.
    """

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._queue: list[_Waiting[Any]] = []
        self._worker: asyncio.Task[None] | None = None
        self._pipeline: Pipeline | None = None
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
            except Exception as error:  # noqa: BLE001 - whoever waits must be answered
                await self._drop()
                if isinstance(error, psycopg.Error) and is_lost(error):
                    # Perhaps it was committed. Who asked can ask again, and say so.
                    await self._fail(group, error)
                else:
                    # One of them collided with another transaction, or broke a rule of the database or of its own.
                    # Alone, each hears of its own failure only.
                    await asyncio.gather(*map(self._run_alone, group))
            for waiting in group:
                waiting.tell()

    async def _commit(self, group: list[_Waiting[Any]]) -> None:
        pipeline = await self._connect()
        pipeline.command(b"BEGIN")
        if len(group) > 1:
            await pipeline.run(_lock([task for waiting in group for task in waiting.tasks]))
        for waiting in group:
            waiting.result = await pipeline.run(waiting.verb())
        pipeline.command(b"COMMIT")
        await pipeline.sync()

    async def _connect(self) -> Pipeline:
        """Return the session; one that idled is tried first, since the database may have been restarted."""
        now = time.monotonic()
        if self._pipeline is not None:
            try:
                if self._pipeline.is_lost:
                    await self._drop()
                elif now - self._used > IDLE_SECONDS:
                    await self._pipeline.sync()
            except psycopg.OperationalError:
                await self._drop()
        if self._pipeline is None:
            self._pipeline = await self._engine.open_pipeline()
        self._used = now
        return self._pipeline

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
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            await pipeline.close()


def _lock(tasks: Sequence[bytes]) -> Steps[None]:
    yield later(call_each("lock_jobs_of_tasks", [{"task": task} for task in tasks]))
