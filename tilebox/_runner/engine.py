"""The engine of a runner: connects to the server, executes tasks, and shuts down."""

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
from tilebox._runner.signals import handle_signals
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
    """One runner, of which one run at a time can be active.

    Args:
        config: The server's URL and the API key.
        cluster: The slug of the cluster; an empty one stands for the default cluster.
        identifiers: The identifiers of the tasks that it can execute.
        executor: The executor of the tasks.
        concurrency: The number of tasks to execute at the same time.
        grace_seconds: The time that tasks have to finish when the runner stops, in seconds.
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
        """Execute tasks until none are left, or until the runner is stopped.

        Args:
            ends_when_done: Whether to end when no tasks are left.

        Raises:
            RuntimeError: The runner is already running.
            AuthenticationError: The API key is missing or not valid.
            PermissionDeniedError: The role of the API key does not allow it.
            NotFoundError: The cluster does not exist.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        run = _Run(self._executor, self._concurrency, self._grace_seconds, ends_when_done=ends_when_done)
        with self._lock:
            if self._run is not None:
                raise RuntimeError("this runner is already running; create another one, or increase its concurrency")
            self._run = run
        try:
            with handle_signals(run.stop_from_signal) as signals:
                await run.main(self._config, self._cluster, self._identifiers)
        finally:
            with self._lock:
                self._run = None
        if signals.needs_keyboard_interrupt:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Drain: claim no more tasks, and end when the executing ones finish or the grace period is over.

        Safe in any thread, also within a task. Does nothing if the runner is not running.
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
        self._random = Random()  # noqa: S311 for jitter, and for ids that are not secret
        self._runner_id = self._random.randbytes(16)
        self._outage = OutageLog()
        self._startup = CancelToken()
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: RunnerTasks | None = None
        self._threads: anyio.CapacityLimiter

    async def main(self, config: Config, cluster: str, identifiers: Sequence[TaskIdentifier]) -> None:
        """Connect to the server, find the cluster, execute tasks, and release all resources."""
        self._loop = asyncio.get_running_loop()
        # A limiter of its own, since other code on the loop may exhaust the default one.
        self._threads = anyio.CapacityLimiter(2)
        server = await self._in_thread(Server, config)
        try:
            slug = await self._find_cluster_in_thread(server, cluster)
            wire = open_wire(server, self._runner_id, slug, identifiers)
            await self._in_thread(self._executor.start, slug, self._loop)
            await self._serve(server, wire)
        except CallCancelledError:
            _log.debug("the runner was stopped before it reached the server")
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(self._executor.close)
                await self._in_thread(server.close)

    def stop_from_signal(self) -> None:
        """Stop from a signal handler: the first signal drains, the second ends the run at once."""
        self._signals += 1
        if self._loop is not None:
            # `stop` takes a lock, and the handler may have interrupted the code that holds it.
            self._loop.call_soon_threadsafe(self.stop, 0.0 if self._signals > 1 else self._grace_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Claim no more tasks, and end when the executing ones finish or the grace period is over."""
        self._startup.cancel()
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
            self._startup.sleep(0.0)  # raises if `stop` was called before `_tasks` was set
            await tasks.run()
        except BaseExceptionGroup as group:
            raise _root_error(group) from None
        finally:
            with anyio.CancelScope(shield=True):
                await self._in_thread(keeper.close)

    def _open_keeper(self, server: Server) -> LeaseKeeper:
        return LeaseKeeper(
            server.config.url,
            server.config.headers,
            runner_id=self._runner_id,
            has_extension=EXTENSION in server.extensions,
            slots=self._concurrency,
        )

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that blocks, such as one that opens files, processes or channels."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._threads)

    async def _find_cluster_in_thread(self, server: Server, cluster: str) -> str:
        try:
            return await anyio.to_thread.run_sync(
                self._find_cluster, server, cluster, limiter=self._threads, abandon_on_cancel=True
            )
        except anyio.get_cancelled_exc_class():
            self._startup.cancel()
            raise

    def _find_cluster(self, server: Server, cluster: str) -> str:
        """Return the slug of the cluster, retrying until the server answers.

        Raises:
            CallCancelledError: The runner was stopped meanwhile.
        """
        pause = START_PAUSE_SECONDS / 64
        while True:
            try:
                slug = server.find_cluster(cluster)
            except (TransportError, ServerError, RateLimitedError) as error:
                is_permanent = isinstance(error, (RequestTooLargeError, UntrustedServerError))
                if is_permanent or getattr(error, "code", "") == "unimplemented":
                    raise
                self._outage.failed(error)
            else:
                self._outage.ended()
                return slug
            self._startup.sleep(pause)
            pause = min(2 * pause, START_PAUSE_SECONDS)


def _root_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a task group. It is the first one, since it cancelled the other tasks."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
