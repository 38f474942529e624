"""An engine for the sync client: it gets a loop of its own, and the caller waits."""

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
        main: The engine.
        stop: Stops it.
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
    """Run it in another thread, since this one's loop is running, as in a notebook."""
    from anyio.from_thread import start_blocking_portal

    _log.info("a loop is running in this thread, and waits; the client of tilebox.workflows.aio would let it go on")
    with start_blocking_portal() as portal:
        running = portal.start_task_soon(main)
        try:
            running.result()
        except KeyboardInterrupt:
            # The notebook's stop button. The second time it is not waited for.
            stop()
            running.result()
