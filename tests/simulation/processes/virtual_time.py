"""Virtual time, which passes only when all tasks wait, and processes that die between two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class Stuck(AssertionError):  # noqa: N818 - it is what happened
    """All tasks wait, and no timer is left to wake one of them."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without a clock and sockets: when all tasks wait, its time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass. The loop calls this as it would call a selector, to wait for sockets or the next timer."""
        if timeout is None:
            raise Stuck
        self._now += timeout
        return []

    def _process_events(self, events: list[Any]) -> None:
        """Do nothing: there are no sockets."""


class Process:
    """A group of tasks that die together.

    Args:
        loop: The loop that runs them.
        on_error: Called with an exception that ends a task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._on_mistake = on_error
        # A dictionary has a fixed order. A set would cancel the tasks in an order that differs from run to run.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.is_dead = False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as a task of this process."""
        if self.is_dead:
            coroutine.close()
            return
        # A context of its own, so that it inherits no context variables from the process that starts it.
        task = self._loop.create_task(coroutine, context=Context())
        self._tasks[task] = None
        task.add_done_callback(self._on_task_done)

    def kill(self) -> None:
        """Cancel all tasks. A task of the process itself that calls this must then await `wait_forever`."""
        self.is_dead = True
        for task in list(self._tasks):
            task.cancel()

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_mistake(error)


async def wait_forever() -> None:
    """Wait until the task is cancelled."""
    await asyncio.get_running_loop().create_future()
