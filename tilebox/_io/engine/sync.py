"""The engine of the sync client runs in a new loop, while the caller waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_engine"]

_log = logging.getLogger("tilebox.workflows.runner")


def run_engine(main: Callable[[], Awaitable[None]], stop: Callable[[], object]) -> None:
    """Run an engine to its end.

    Args:
        main: The main coroutine of the engine.
        stop: Stops the engine.
    """
    import asyncio

    import anyio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        anyio.run(main)
    else:
        _run_beside(main, stop)


def _run_beside(main: Callable[[], Awaitable[None]], stop: Callable[[], object]) -> None:
    """Run the engine in another thread, because a loop is already running in this one, as in a notebook."""
    from anyio.from_thread import start_blocking_portal

    _log.info(
        "the runner blocks the event loop of this thread until it ends; use the client of tilebox.workflows.aio to keep "
        "the loop running"
    )
    with start_blocking_portal() as portal:
        running = portal.start_task_soon(main)
        try:
            running.result()
        except KeyboardInterrupt:
            # The stop button of a notebook. A second interrupt ends the wait.
            stop()
            running.result()
