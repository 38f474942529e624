"""Concurrency for the async client: tasks of the running loop, and threads for computations."""

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
    """Run a computation in a thread, so that it does not block the loop."""
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))


async def gather_map(
    function: Callable[[T], Awaitable[R]],
    items: Iterable[T],
    *,
    limit: int,
    on_result: Callable[[R], object] | None = None,
) -> list[R]:
    """Call a function for each item, with several calls at once.

    Args:
        function: The function.
        items: The items, consumed one by one when another call may start.
        limit: The largest number of concurrent calls.
        on_result: Called with each result as soon as it is known.

    Returns:
        The results in the order of the items.

    Raises:
        Exception: The first error; calls under way are cancelled.
    """
    results: dict[int, R] = {}
    remaining = enumerate(items)

    async def work() -> None:
        for position, item in remaining:
            results[position] = await function(item)
            if on_result is not None:
                on_result(results[position])

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
    interrupt: Callable[[], object],  # noqa: ARG001 the task is cancelled instead
) -> AsyncIterator[AsyncIterator[T]]:
    """Run a source ahead of its consumer, in a task.

    It is a plain task, not a task group: a generator may be suspended within this context, and another task may close
    it, which cancel scopes do not allow.

    Args:
        source: The source, which is always closed at the end.
        depth: The number of items to prefetch.
        interrupt: Ends the source's wait; used only by the sync side.

    Yields:
        An iterator over the same items. It raises an error of the source at the position of the failed item.
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
    except Exception as error:  # noqa: BLE001 the consumer raises it, at the other end of the queue
        await ready.put(_Failure(error))
    else:
        await ready.put(_END)


async def _drain(ready: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (item := await ready.get()) is not _END:
        if isinstance(item, _Failure):
            raise item.error
        yield item
