"""Concurrency for the async client: tasks of the running loop, threads for what computes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

__all__ = ["gather_map", "prefetched", "sleep", "to_thread"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

sleep = anyio.sleep

_END = object()


class _Failure:
    def __init__(self, error: Exception) -> None:
        self.error = error


async def to_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function that computes in a thread, so that the loop goes on."""
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))


async def gather_map(
    function: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    limit: int,
    each: Callable[[R], object] | None = None,
) -> list[R]:
    """Call a function for many items, several at once.

    Args:
        function: What to do with one item.
        items: Taken one by one, when there is room for another call.
        limit: Number of calls under way at once.
        each: Told every result as soon as it is there.

    Returns:
        The results in the order of the items.

    Raises:
        Exception: The first error; calls under way are cancelled.
    """
    results: dict[int, R] = {}
    waiting = enumerate(items)

    async def work() -> None:
        for position, item in waiting:
            results[position] = await function(item)
            if each is not None:
                each(results[position])

    tasks = [asyncio.ensure_future(work()) for _ in range(limit)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[position] for position in range(len(results))]


@asynccontextmanager
async def prefetched(
    source: AsyncGenerator[T, None],
    *,
    depth: int,
    interrupt: Callable[[], object],  # noqa: ARG001 cancelling the task does it here
) -> AsyncIterator[AsyncIterator[T]]:
    """Let a source run ahead of whoever iterates over it.

    A plain task, not a task group: a generator may hold this open while it is suspended, and may be
    closed by another task, which cancel scopes do not survive.

    Args:
        source: What to iterate over; closed at the end, in any case.
        depth: Number of items that may lie ready.
        interrupt: Makes the source give up waiting, for the sync side.

    Yields:
        An iterator over the same items; an error of the source is raised where its item would have been.
    """
    ready: asyncio.Queue[Any] = asyncio.Queue(depth)
    task = asyncio.ensure_future(_fill(source, ready))
    try:
        yield _drain(ready)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _fill(source: AsyncGenerator[T, None], ready: asyncio.Queue[Any]) -> None:
    try:
        async with aclosing(source):
            async for item in source:
                await ready.put(item)
    except Exception as error:  # noqa: BLE001 it is raised to the caller, on the other side of the queue
        await ready.put(_Failure(error))
    else:
        await ready.put(_END)


async def _drain(ready: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (item := await ready.get()) is not _END:
        if isinstance(item, _Failure):
            raise item.error
        yield item
