# Generated from tilebox/aio/workflows/client.py by scripts/unasync.py; do not edit.
"""The client of Tilebox workflows."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, NoReturn

from tilebox._core.jobs import arguments
from tilebox._core.wire.config import Config
from tilebox.sync.transport import Transport
from tilebox.sync.workflows.clusters import ClusterClient
from tilebox.sync.workflows.jobs import JobClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx

    from tilebox._core.jobs.job import ClusterLike
    from tilebox._core.tasks.task import Task
    from tilebox.sync.workflows.cache import JobCache
    from tilebox.sync.workflows.runner import TaskRunner

_RUNNER_LOGGER = "tilebox.workflows.runner"


class Client:
    """A client for Tilebox workflows.

    Creating a client makes no request. A client needs no closing, and threads and event loops may share it.

    Args:
        url: The URL of the server. Defaults to the environment variable `TILEBOX_API_URL`, or else to
            https://api.tilebox.com.
        token: The API key. Defaults to the environment variable `TILEBOX_API_KEY`.
        http_client: Your own `httpx.Client` (or `httpx.AsyncClient` for the async client). Its time-outs, proxies,
            certificates, event hooks and transports apply to every call. You close it; an `httpx.AsyncClient`
            belongs to one event loop. By default the client opens and closes an HTTP client itself. Runners do not
            use it: the environment variables for proxies and certificates apply to them.

    Raises:
        ValueError: The URL or the key is malformed, or the hosted service is used without a key.
        TypeError: `http_client` is not an HTTP client of the right kind.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, http_client: httpx.Client | None = None
    ) -> None:
        config = Config.resolve(url, token, os.environ)
        if config.is_anonymous:
            raise ValueError(
                f"workflows at {config.url} need an API key: pass token=..., or set TILEBOX_API_KEY; "
                "to use your own server, pass url=..., or set TILEBOX_API_URL"
            )
        self._transport = Transport(config, http_client=http_client)

    def jobs(self) -> JobClient:
        """Return a client for jobs, which submits, finds, awaits, cancels and retries them."""
        return JobClient(self._transport)

    def clusters(self) -> ClusterClient:
        """Return a client for clusters, which creates, lists, finds, updates and deletes them."""
        return ClusterClient(self._transport)

    def runner(
        self,
        cluster: ClusterLike | None = None,
        tasks: Iterable[type[Task]] | None = None,
        cache: JobCache | None = None,
        context: Any = None,
        *,
        concurrency: int = 1,
        isolation: str = "thread",
        **options: Any,
    ) -> TaskRunner:
        """Create a task runner. It claims no tasks before `run_all` or `run_forever` is called.

        Args:
            cluster: The cluster whose tasks to execute, or its slug; by default the default cluster.
            tasks: The task classes that the runner registers.
            cache: The cache in which the tasks of a job share data; by default there is none.
            context: An object for the tasks, available as `context.runner_context`.
            concurrency: The number of tasks to execute at the same time.
            isolation: `thread` to execute tasks in threads of this process, or `process` to execute them in child
                processes.
            options: Further arguments of `TaskRunner`.

        Returns:
            The runner.

        Raises:
            ValueError: Two classes have the same name and version, or a class has no `execute`.
            TypeError: A class is not a task class.
        """
        from tilebox.sync.workflows.runner import TaskRunner

        return TaskRunner(
            self._transport,
            None if cluster is None else arguments.slug(cluster),
            tasks,
            cache,
            context,
            concurrency=concurrency,
            isolation=isolation,
            **options,
        )

    def recurrent_tasks(self) -> NoReturn:
        """Not available: this version cannot schedule tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "recurrent tasks (automations) are not part of this version yet; submit jobs with client.jobs().submit(...)"
        )

    def automations(self) -> NoReturn:
        """Not available: this version cannot schedule tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        self.recurrent_tasks()

    def configure_logger(self, logger: logging.Logger) -> None:
        """Make the runners of this process log through a logger of yours, with its handlers and level.

        Without this call they log to `tilebox.workflows.runner`. Tasks log to the `logger` argument of `runner`, or
        else to `tilebox.workflows.tasks`.

        Args:
            logger: The logger.

        Raises:
            TypeError: The argument is not a logger.
        """
        if not isinstance(logger, logging.Logger):
            raise TypeError(f"logger must be a logging.Logger, not a {type(logger).__name__}")
        runner_logger = logging.getLogger(_RUNNER_LOGGER)
        if runner_logger not in _with_ancestors(logger):
            runner_logger.parent = logger
            # This call also clears the cached levels of the former parent.
            runner_logger.setLevel(logging.NOTSET)

    def configure_logging(self, logger: logging.Logger) -> None:
        """Do the same as `configure_logger`; this is its former name."""
        self.configure_logger(logger)

    def configure_tracing(self, *_: Any, **__: Any) -> NoReturn:
        """Not available: this version cannot export traces of tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("tracing is not part of this version yet; jobs carry a trace parent already")

    def __repr__(self) -> str:
        return f"Client(url={self._transport.config.url!r})"


def _with_ancestors(logger: logging.Logger) -> Iterator[logging.Logger]:
    current: logging.Logger | None = logger
    while current is not None:
        yield current
        current = current.parent
