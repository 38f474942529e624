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

_RUNNERS = "tilebox.workflows.runner"


class Client:
    """A client of Tilebox workflows.

    Makes no request before the first call, needs no closing, and may be shared by threads and event loops.

    Args:
        url: Where the server is. By default the environment variable `TILEBOX_API_URL`, or else
            https://api.tilebox.com.
        token: The API key. By default the environment variable `TILEBOX_API_KEY`.
        http_client: An `httpx.Client` of yours (for the async client an `httpx.AsyncClient`), whose time-outs,
            proxies, certificates, event hooks and transports apply to every call. You close it; an
            `httpx.AsyncClient` belongs to one event loop. By default the client opens and closes one of its own.
            Runners do not use it: the environment variables for proxies and certificates apply to them.

    Raises:
        ValueError: The URL or the key is malformed, or the server is the hosted one and there is no key.
        TypeError: `http_client` is not an HTTP client of this kind.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, http_client: httpx.Client | None = None
    ) -> None:
        config = Config.resolve(url, token, os.environ)
        if config.is_anonymous:
            raise ValueError(
                f"workflows at {config.url} need an API key: pass token=..., or set TILEBOX_API_KEY; "
                "for a server of your own pass url=..., or set TILEBOX_API_URL"
            )
        self._transport = Transport(config, http_client=http_client)

    def jobs(self) -> JobClient:
        """Return the client of jobs: submit them, look at them, wait for them, cancel and retry them."""
        return JobClient(self._transport)

    def clusters(self) -> ClusterClient:
        """Return the client of clusters: create, list, find, change and delete them."""
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
        """Make a runner, which executes tasks; it asks for none before it is told to run.

        Args:
            cluster: The cluster whose tasks to execute, or its slug. By default the default cluster.
            tasks: The task classes that it can execute.
            cache: Where tasks of a job share data. By default they cannot.
            context: What tasks find as `context.runner_context`.
            concurrency: How many tasks to execute at a time.
            isolation: Where they are executed: `thread`, or `process` for a process of their own.
            options: Further arguments of `TaskRunner`.

        Raises:
            ValueError: Two classes have the same name and version, or one cannot be executed.
            TypeError: A class is no task.
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
        """Raise: this version cannot schedule tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "recurrent tasks (automations) are not part of this version yet; submit jobs with client.jobs().submit(...)"
        )

    def automations(self) -> NoReturn:
        """Raise: this version cannot schedule tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        self.recurrent_tasks()

    def configure_logger(self, logger: logging.Logger) -> None:
        """Let the runners of this process log through a logger of yours: with its handlers, and from its level on.

        Tasks log to what `runner(..., logger=...)` says, or else to `tilebox.workflows.tasks`.

        Args:
            logger: The logger. By default `tilebox.workflows`, as for every name below it.

        Raises:
            TypeError: It is no logger.
        """
        if not isinstance(logger, logging.Logger):
            raise TypeError(f"logger must be a logging.Logger, not a {type(logger).__name__}")
        of_runners = logging.getLogger(_RUNNERS)
        if of_runners not in _line(logger):
            of_runners.parent = logger
            # Also makes it forget which levels its former parent let through.
            of_runners.setLevel(logging.NOTSET)

    def configure_logging(self, logger: logging.Logger) -> None:
        """Do the same as `configure_logger`, by the name that it had before."""
        self.configure_logger(logger)

    def configure_tracing(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: this version cannot export traces of tasks yet.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("tracing is not part of this version yet; jobs carry a trace parent already")

    def __repr__(self) -> str:
        return f"Client(url={self._transport.config.url!r})"


def _line(logger: logging.Logger) -> Iterator[logging.Logger]:
    """Yield a logger, and those that it hands its records on to."""
    one: logging.Logger | None = logger
    while one is not None:
        yield one
        one = one.parent
