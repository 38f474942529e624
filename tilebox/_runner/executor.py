"""Executing tasks in the threads of their slots."""

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

LOST = "the lease of this task was lost: it counts for another attempt, and what this one submits would be lost"
# The pause before the next claim, after a task that this runner cannot execute.
UNKNOWN_TASK_SECONDS = 1.0


class Executor(Protocol):
    """Executes tasks, each in the thread of its slot."""

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready, before anything is requested."""

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task to its end."""

    def abandon(self, slot: int) -> None:
        """End the execution in a slot if possible, because its task was returned."""

    def lose(self, slot: int) -> None:
        """Let what a slot executes know that its result does not count any more."""

    def close(self) -> None:
        """Let go of everything."""


class ThreadExecutor:
    """Executes tasks in this process: functions in the slot's thread, coroutines on the runner's loop.

    Args:
        registry: The task classes.
        cache: Of all jobs.
        runner_context: What tasks find as `context.runner_context`.
        logger: What tasks find as `context.logger`.
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
        """Get ready."""
        self._loop = loop
        self._closed.clear()
        self._execution = Execution(
            self._registry,
            cluster=cluster,
            cache=self._cache,
            runner_context=self._runner_context,
            call=self._call,
            logger=self._logger,
        )

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task to its end."""
        assert self._execution is not None  # noqa: S101 - it was started
        if not self._execution.knows(lease.task):
            _log.error("the server sent a task that this runner has not registered; the task is returned")
            self._closed.wait(UNKNOWN_TASK_SECONDS)
            return lease.handed_back()
        self._slot.number = slot
        try:
            return self._execution.run(lease.task, lease.job, self._note)
        except Interruption:
            return lease.handed_back()
        finally:
            self._contexts.pop(slot, None)

    def abandon(self, slot: int) -> None:
        """Cancel a coroutine. A function in a thread continues, and its result is ignored."""
        coroutine = self._coroutines.get(slot)
        if coroutine is not None:
            coroutine.cancel()

    def lose(self, slot: int) -> None:
        """Let a task know that its result does not count any more."""
        context = self._contexts.get(slot)
        if context is not None:
            context.subtasks.close(LOST)

    def close(self) -> None:
        """Let go of the loop."""
        self._closed.set()
        self._loop = None

    def _note(self, context: TaskContext) -> None:
        self._contexts[self._slot.number] = context

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop, as a task of its own: what cancels the runner drains it, and not the task."""
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
