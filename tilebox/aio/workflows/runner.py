# Source of tilebox/sync/workflows/runner.py, which scripts/unasync.py writes.
"""The runner: executes the tasks of a cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.engine.aio import run_engine
from tilebox._runner.start import open_engine
from tilebox.aio.workflows.cache import NoCache

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from tilebox._core.tasks.task import Task
    from tilebox.aio.transport import Transport
    from tilebox.aio.workflows.cache import JobCache


class TaskRunner:
    """Executes tasks, of the classes that it was given.

    SIGINT and SIGTERM stop it as `stop` does; the second one stops it at once. While the server is away it waits
    for it to return, and delivers then what was finished meanwhile.

    Args:
        transport: The way to the server.
        cluster: Slug of the cluster whose tasks to execute. By default the default cluster.
        tasks: The task classes that it can execute.
        cache: Where tasks of a job share data, given to them as it is. By default they cannot.
        context: What tasks find as `context.runner_context`.
        concurrency: How many tasks to execute at a time.
        isolation: Where they are executed: `thread`, or `process` for a process of their own.
        grace_seconds: How long tasks may take to finish when the runner stops; what is left then is handed back.
        time_limit: Seconds that a task may take, with `isolation="process"`.
        memory_limit: Bytes of memory that a task may use, with `isolation="process"`.
        recycle_after: Number of tasks after which a process is replaced, with `isolation="process"`.
        logger: Where tasks log to. By default `tilebox.workflows.tasks`.

    Raises:
        ValueError: There are no tasks, two classes have the same name and version, one cannot be executed, or a
            limit makes no sense.
        TypeError: A class is no task.
    """

    def __init__(
        self,
        transport: Transport,
        cluster: str | None = None,
        tasks: Iterable[type[Task]] | None = None,
        cache: JobCache | None = None,
        context: Any = None,
        *,
        concurrency: int = 1,
        isolation: str = "thread",
        grace_seconds: float = 30.0,
        time_limit: float | None = None,
        memory_limit: int | None = None,
        recycle_after: int | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self._description = f"<TaskRunner of cluster {cluster or 'default'!r} at {transport.config.url}>"
        self._engine = open_engine(
            transport.config,
            cluster or "",
            tasks,
            NoCache() if cache is None else cache,
            context,
            concurrency=concurrency,
            isolation=isolation,
            grace_seconds=grace_seconds,
            time_limit=time_limit,
            memory_limit=memory_limit,
            recycle_after=recycle_after,
            logger=logger,
        )

    async def run_all(self) -> None:
        """Execute tasks until there are none left: also those that tasks submit, and those to be tried again.

        Raises:
            AuthenticationError: The server does not know the key.
            PermissionDeniedError: The key's role does not allow it.
            NotFoundError: There is no such cluster.
        """
        await run_engine(partial(self._engine.run, ends_when_done=True), self.stop)

    async def run_forever(self) -> None:
        """Execute tasks, and wait for more, until stopped.

        Raises:
            AuthenticationError: The server does not know the key.
            PermissionDeniedError: The key's role does not allow it.
            NotFoundError: There is no such cluster.
        """
        await run_engine(partial(self._engine.run, ends_when_done=False), self.stop)

    def stop(self) -> None:
        """Ask for no more tasks, and end once those that are executing have ended; from any thread."""
        self._engine.stop()

    def __repr__(self) -> str:
        return self._description
