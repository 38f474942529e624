"""An engine for the async client: it runs in the loop that is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["run_engine"]


async def run_engine(main: Callable[[], Awaitable[None]], stop: Callable[[], object]) -> None:  # noqa: ARG001
    """Run an engine to its end.

    Args:
        main: The engine.
        stop: Stops it, which here cancelling the task does.
    """
    await main()
