# Generated from tilebox/aio/workflows/runner.py by scripts/unasync.py; do not edit.
"""The task runner, which executes the tasks of a cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.engine.sync import run_engine
from tilebox._runner.start import open_engine
from tilebox.sync.workflows.cache import NoCache

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from tilebox._core.tasks.task import Task
    from tilebox.sync.transport import Transport
    from tilebox.sync.workflows.cache import JobCache


class TaskRunner:
    """A runner, which claims and executes tasks of the classes that it registers. `Client.runner` returns it.

    The first SIGINT or SIGTERM stops it as `stop` does; a second one stops it at once. During an outage of the server
    it keeps trying, and delivers finished results when the server is back.

    Args:
        transport: The connection to the server.
        cluster: The slug of the cluster whose tasks to execute; by default the default cluster.
        tasks: The task classes that the runner registers.
        cache: The cache in which the tasks of a job share data; by default there is none.
        context: An object for the tasks, available as `context.runner_context`.
        concurrency: The number of tasks to execute at the same time.
        isolation: `thread` to execute tasks in threads of this process, or `process` to execute them in child
            processes.
        grace_seconds: The time that tasks have to finish when the runner stops, in seconds. Unfinished tasks are then
            returned to the server.
        time_limit: The longest duration of a task in seconds, with `isolation="process"`.
        memory_limit: The largest memory of a task in bytes, with `isolation="process"`.
        recycle_after: The number of tasks after which a child process is replaced, with `isolation="process"`.
        logger: The logger of the tasks; by default `tilebox.workflows.tasks`.

    Raises:
        ValueError: There are no tasks, two classes have the same name and version, a class has no `execute`, or a
            limit is out of range.
        TypeError: A class is not a task class.
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

    def run_all(self) -> None:
        """Execute all available tasks, including their subtasks and retries, then return.

        Raises:
            AuthenticationError: The API key is missing or not valid.
            PermissionDeniedError: The role of the API key does not allow it.
            NotFoundError: The cluster does not exist.
        """
        run_engine(partial(self._engine.run, ends_when_done=True), self.stop)

    def run_forever(self) -> None:
        """Execute tasks and wait for more, until the runner is stopped.

        Raises:
            AuthenticationError: The API key is missing or not valid.
            PermissionDeniedError: The role of the API key does not allow it.
            NotFoundError: The cluster does not exist.
        """
        run_engine(partial(self._engine.run, ends_when_done=False), self.stop)

    def stop(self) -> None:
        """Stop the runner: claim no more tasks, and end when the executing ones have finished. Safe in any thread."""
        self._engine.stop()

    def __repr__(self) -> str:
        return self._description
