"""Calls whose client disconnects: reads are cancelled, writes run to completion."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive

T = TypeVar("T")


async def cancel_on_disconnect(work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
    """Run a read, and cancel it when its client disconnects.

    Args:
        work: The read.
        receive: ASGI callable of the request, whose body was read before.

    Returns:
        The result of the read, or None if the client disconnected first.
    """
    result: T | None = None
    error: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
        try:
            result = await work
        except Exception as raised:  # noqa: BLE001 - the task group would wrap it in an exception group
            error = raised
        group.cancel_scope.cancel()
    if error is not None:
        raise error
    return result


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run a write to completion, even if its request is cancelled: half a write would be visible to others."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected. The body of the request must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    await wait_for_disconnect(receive)
    scope.cancel()
