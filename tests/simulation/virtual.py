"""Time that passes only when nothing else can happen, and processes that die between two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class Stuck(AssertionError):  # noqa: N818 - it is what happened
    """Nothing can happen any more, and what was waited for has not."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without a clock and without sockets: when all have done what they could, the time of the next timer comes."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass; called as a selector is, which waits for sockets or for the next timer."""
        if timeout is None:
            raise Stuck
        self._now += timeout
        return []

    def _process_events(self, events: list[Any]) -> None:
        """Do nothing: there are no sockets."""


class Process:
    """What dies together: tasks of a loop, of which none runs on once it is dead.

    Args:
        loop: Where they run.
        on_mistake: Told of an exception that no process should end by.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_mistake: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._on_mistake = on_mistake
        # A dictionary, since a set would end them in an order of its own.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.is_dead = False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Let something run in it."""
        if self.is_dead:
            coroutine.close()
            return
        # In a context of its own: nothing of the process that happens to start it is known to it.
        task = self._loop.create_task(coroutine, context=Context())
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def kill(self) -> None:
        """End it here and now; whoever calls this from within must await `nothing` then."""
        self.is_dead = True
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_mistake(error)


async def nothing() -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()
