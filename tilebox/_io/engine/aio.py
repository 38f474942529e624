"""The engine of the async client runs in the running loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_engine"]


async def run_engine(main: Callable[[], Awaitable[None]], stop: Callable[[], object]) -> None:  # noqa: ARG001
    """Run an engine to its end.

    Args:
        main: The main coroutine of the engine.
        stop: Stops the engine; used only by the sync side, because here the task is cancelled.
    """
    await main()
