"""The engine of a runner: from its arguments to its end."""

from __future__ import annotations

import asyncio
import logging
import threading
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from tilebox._core.runner.machine import Machine
from tilebox._runner.channel import CallCancelledError, CancelToken
from tilebox._runner.delivery import OutageLog
from tilebox._runner.leases import LeaseKeeper
from tilebox._runner.run import RunnerTasks
from tilebox._runner.signals import received
from tilebox._runner.wire import EXTENSION, Server, UntrustedServerError, Wire, open_wire
from tilebox.errors import RateLimitedError, RequestTooLargeError, ServerError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tilebox._core.tasks.versions import TaskIdentifier
    from tilebox._core.wire.config import Config
    from tilebox._runner.executor import Executor

_log = logging.getLogger("tilebox.workflows.runner")

START_PAUSE_SECONDS = 5.0

T = TypeVar("T")


class Engine:
    """One runner; runs once at a time.

    Args:
        config: Where the server is, and the key.
        cluster: Its cluster; an empty one is the default cluster.
        identifiers: What it can execute.
        executor: What executes it.
        concurrency: How many tasks at once.
        grace_seconds: How long tasks may take to finish when it is told to stop.
    """

    def __init__(
        self,
        config: Config,
        *,
        cluster: str,
        identifiers: Sequence[TaskIdentifier],
        executor: Executor,
        concurrency: int,
        grace_seconds: float,
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._identifiers = identifiers
        self._executor = executor
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._run: _Run | None = None

    async def run(self, *, ends_when_done: bool) -> None:
        """Execute tasks until there are none left, or until told to stop.

        Args:
            ends_when_done: Whether to end when there are none left.

        Raises:
            RuntimeError: It runs already.
            AuthenticationError: The server does not know the key.
            PermissionDeniedError: The key's role does not allow it.
            NotFoundError: There is no such cluster.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        run = _Run(self._executor, self._concurrency, self._grace_seconds, ends_when_done=ends_when_done)
        with self._lock:
            if self._run is not None:
                raise RuntimeError("this runner runs already; make another one, or give it more concurrency")
            self._run = run
        try:
            with received(run.stop_soon) as signals:
                await run.main(self._config, self._cluster, self._identifiers)
        finally:
            with self._lock:
                self._run = None
        if signals.asks_for_interrupt:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Drain: ask for no more tasks, and end when those that are executing have finished, or their time is over.

        From any thread, also within a task. Does nothing if nothing runs.
        """
        with self._lock:
            run = self._run
        if run is not None:
            run.stop()


class _Run:
    """One run of an engine, from its first request to its last."""

    def __init__(self, executor: Executor, concurrency: int, grace_seconds: float, *, ends_when_done: bool) -> None:
        self._executor = executor
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._ends_when_done = ends_when_done
        self._random = Random()  # noqa: S311 it spreads requests, and makes up numbers that are no secrets
        self._runner_id = self._random.randbytes(16)
        self._outage = OutageLog()
        self._opening = CancelToken()
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: RunnerTasks | None = None
        self._threads: anyio.CapacityLimiter

    async def main(self, config: Config, cluster: str, identifiers: Sequence[TaskIdentifier]) -> None:
        """Find the server and the cluster, execute tasks, and close what was opened."""
        self._loop = asyncio.get_running_loop()
        # Of its own, since the default one may be taken by what else goes on in the loop.
        self._threads = anyio.CapacityLimiter(2)
        server = await self._in_thread(Server, config)
        try:
            slug = await self._find_in_thread(server, cluster)
            wire = open_wire(server, self._runner_id, slug, identifiers)
            await self._in_thread(self._executor.start, slug, self._loop)
            await self._serve(server, wire)
        except CallCancelledError:
            _log.debug("stopped before the server was found")
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(self._executor.close)
                await self._in_thread(server.close)

    def stop_soon(self) -> None:
        """Stop, from within a signal handler; the second time at once."""
        self._signals += 1
        if self._loop is not None:
            # The handler may have interrupted the very code that holds the lock.
            self._loop.call_soon_threadsafe(self.stop, 0.0 if self._signals > 1 else self._grace_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask for no more tasks, and end as soon as possible."""
        self._opening.cancel()
        if self._tasks is not None:
            self._tasks.stop(self._grace_seconds if grace_seconds is None else grace_seconds)

    async def _serve(self, server: Server, wire: Wire) -> None:
        keeper = await self._in_thread(self._open_keeper, server)
        machine = Machine(self._concurrency, ends_when_done=self._ends_when_done, random=self._random)
        tasks = RunnerTasks(
            machine,
            wire,
            self._executor,
            keeper,
            self._outage,
            slots=self._concurrency,
            grace_seconds=self._grace_seconds,
        )
        try:
            self._tasks = tasks
            self._opening.sleep(0.0)  # raises if told to stop while there were no tasks to tell
            await tasks.run()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(keeper.close)

    def _open_keeper(self, server: Server) -> LeaseKeeper:
        return LeaseKeeper(
            server.config.url,
            server.config.headers,
            runner_id=self._runner_id,
            is_extended=EXTENSION in server.extensions,
            slots=self._concurrency,
        )

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what reads files, starts processes or opens channels."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._threads)

    async def _find_in_thread(self, server: Server, cluster: str) -> str:
        try:
            return await anyio.to_thread.run_sync(
                self._find, server, cluster, limiter=self._threads, abandon_on_cancel=True
            )
        except anyio.get_cancelled_exc_class():
            self._opening.cancel()
            raise

    def _find(self, server: Server, cluster: str) -> str:
        """Return the slug of the cluster, however long it takes to reach the server.

        Raises:
            CallCancelledError: Told to stop meanwhile.
        """
        pause = START_PAUSE_SECONDS / 64
        while True:
            try:
                slug = server.find_cluster(cluster)
            except (TransportError, ServerError, RateLimitedError) as error:
                is_hopeless = isinstance(error, (RequestTooLargeError, UntrustedServerError))
                if is_hopeless or getattr(error, "code", "") == "unimplemented":
                    raise
                self._outage.failed(error)
            else:
                self._outage.ended()
                return slug
            self._opening.sleep(pause)
            pause = min(2 * pause, START_PAUSE_SECONDS)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a task group: the tasks beside it were cancelled."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
