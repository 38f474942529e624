"""Execution of tasks in the threads of their slots."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Protocol

from tilebox._runner.execution import Execution, Interruption

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

    from tilebox._core.runner.exchanges import Lease, Report
    from tilebox._core.runner.registry import Registry
    from tilebox._core.tasks.context import TaskContext

_log = logging.getLogger("tilebox.workflows.runner")

LEASE_LOST = "the lease of this task was lost, so another attempt may be executing; subtasks of this one do not count"
# The pause before the next claim after a task that this runner cannot execute. The server may send it again at once.
UNKNOWN_TASK_SECONDS = 1.0


class Executor(Protocol):
    """The interface of executors, which execute each task in the thread of its slot."""

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare for tasks, before the first claim."""

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task and return its report."""

    def abandon(self, slot: int) -> None:
        """End the execution in a slot if possible, because its task was returned to the server."""

    def mark_lost(self, slot: int) -> None:
        """Tell the task in a slot that its lease is lost, so its result will not be accepted."""

    def close(self) -> None:
        """Release all resources."""


class ThreadExecutor:
    """Executes tasks in this process: functions in the slot's thread, coroutines on the runner's loop.

    Args:
        registry: The task classes.
        cache: The cache, which has a group for each job.
        runner_context: The value of `context.runner_context` in tasks.
        logger: The value of `context.logger` in tasks.
    """

    def __init__(self, registry: Registry, cache: Any, runner_context: Any, logger: Any = None) -> None:
        self._registry = registry
        self._cache = cache
        self._runner_context = runner_context
        self._logger = logger
        self._loop: asyncio.AbstractEventLoop | None = None
        self._execution: Execution | None = None
        self._contexts: dict[int, TaskContext] = {}
        self._coroutines: dict[int, Future[None]] = {}
        self._slot = threading.local()
        self._closed = threading.Event()

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:
        """Set the loop that runs coroutines."""
        self._loop = loop
        self._closed.clear()
        self._execution = Execution(
            self._registry,
            cluster=cluster,
            cache=self._cache,
            runner_context=self._runner_context,
            run_coroutine=self._run_coroutine,
            logger=self._logger,
        )

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task and return its report."""
        assert self._execution is not None  # noqa: S101 - `start` has set it
        if not self._execution.can_execute(lease.task):
            _log.error("the server sent a task whose class this runner has not registered; the task is returned")
            self._closed.wait(UNKNOWN_TASK_SECONDS)
            return lease.handed_back()
        self._slot.number = slot
        try:
            return self._execution.run(lease.task, lease.job, self._set_context)
        except Interruption:
            return lease.handed_back()
        finally:
            self._contexts.pop(slot, None)

    def abandon(self, slot: int) -> None:
        """Cancel a coroutine. A function in a thread cannot be ended, so it continues and its result is ignored."""
        coroutine = self._coroutines.get(slot)
        if coroutine is not None:
            coroutine.cancel()

    def mark_lost(self, slot: int) -> None:
        """Reject further subtasks of the task in a slot, because its lease is lost."""
        context = self._contexts.get(slot)
        if context is not None:
            context.subtasks.close(LEASE_LOST)

    def close(self) -> None:
        """Release the loop."""
        self._closed.set()
        self._loop = None

    def _set_context(self, context: TaskContext) -> None:
        self._contexts[self._slot.number] = context

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task of its own on the loop, so that cancelling the runner drains it first."""
        loop, slot = self._loop, self._slot.number
        if loop is None:
            coroutine.close()
            raise Interruption
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        self._coroutines[slot] = future
        try:
            future.result()
        except CancelledError:
            raise Interruption from None
        finally:
            del self._coroutines[slot]
