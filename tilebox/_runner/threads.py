"""The worker thread of a slot."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class WorkerThread:
    """A thread that runs blocking functions one at a time; the first call starts it.

    `anyio.to_thread` is unsuitable for two reasons. Its threads are not daemons, so a task that never ends would
    prevent the process from exiting. And a call costs 70 µs there, against 28 µs here.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the thread and wait for it. If the wait is cancelled, the function continues."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._calls.put(_Call(function, arguments, loop, done))
        await done

    def end(self) -> None:
        """End the thread after the function that it is running."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
            del call  # a waiting thread must not keep the arguments alive


class _Call:
    def __init__(
        self,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[None],
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._loop = loop
        self._done = done

    def run(self) -> None:
        error: BaseException | None = None
        try:
            self._function(*self._arguments)
        except BaseException as raised:  # noqa: BLE001 - it is raised in the coroutine that waits
            error = raised
        with suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: BaseException | None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)
