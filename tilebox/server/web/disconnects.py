"""What becomes of a call whose caller goes away: reads stop, changes are carried out to their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.types import Receive

T = TypeVar("T")


async def until_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T | None:
    """Carry out a read, and stop it when its caller goes away.

    Args:
        work: The read. It starts after the request's body was read.
        receive: The request's messages.

    Returns:
        What the read returned, or None if its caller went away first.
    """
    result: T | None = None
    error: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
        try:
            result = await work
        except Exception as raised:  # noqa: BLE001 - a task group would wrap it
            error = raised
        group.cancel_scope.cancel()
    if error is not None:
        raise error
    return result


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Carry out a change to its end, though its request is cancelled: others would see half of it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def wait_until_gone(receive: Receive) -> None:
    """Return when the caller has gone away; the request's body was read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    await wait_until_gone(receive)
    scope.cancel()
