"""Concurrency for the sync client: plain threads, without an event loop."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["gather_map", "prefetched", "sleep", "to_thread"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

sleep = time.sleep

_END = object()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def to_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in the current thread, because there is no loop to block."""
    return function(*args, **kwargs)


def gather_map(
    function: Callable[[T], R],
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
        on_result: Called in the caller's thread with each result as soon as it is known.

    Returns:
        The results in the order of the items.

    Raises:
        Exception: The first error; calls under way are awaited, and no further ones start.
    """
    remaining: Iterator[tuple[int, T]] = enumerate(items)
    first_items = list(islice(remaining, min(2, limit)))
    if len(first_items) == 1 and limit > 1:
        # A single call runs in this thread: starting another one would take longer than a small request.
        result = function(first_items[0][1])
        if on_result is not None:
            on_result(result)
        return [result]
    remaining = chain(first_items, remaining)
    results: dict[int, R] = {}
    under_way: dict[Future[R], int] = {}
    with ThreadPoolExecutor(limit, thread_name_prefix="tilebox") as pool:
        while True:
            for position, item in islice(remaining, limit - len(under_way)):
                under_way[pool.submit(function, item)] = position
            if not under_way:
                return [results[position] for position in range(len(results))]
            for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                position = under_way.pop(done)
                results[position] = done.result()
                if on_result is not None:
                    on_result(results[position])


@contextmanager
def prefetched(
    source: Generator[T, None, None], *, depth: int, interrupt: Callable[[], object]
) -> Iterator[Iterator[T]]:
    """Run a source ahead of its consumer, in a thread.

    Args:
        source: The source, which is always closed at the end.
        depth: The number of items to prefetch.
        interrupt: Ends the source's wait, so that the context can be left early without delay.

    Yields:
        An iterator over the same items. It raises an error of the source at the position of the failed item.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    is_closing = threading.Event()
    thread = threading.Thread(target=_fill, args=(source, ready, is_closing), name="tilebox-prefetch", daemon=True)
    thread.start()
    try:
        yield _drain(ready)
    finally:
        is_closing.set()
        if thread.is_alive():
            interrupt()
        while thread.is_alive():
            # Makes room in the queue, because the thread may be waiting to put an item into it.
            with suppress(queue.Empty):
                ready.get_nowait()
            thread.join(0.01)


def _fill(source: Generator[T, None, None], ready: queue.Queue[Any], is_closing: threading.Event) -> None:
    try:
        with closing(source):
            for item in source:
                ready.put(item)
                if is_closing.is_set():
                    return
    except BaseException as error:  # noqa: BLE001 the consumer raises it, at the other end of the queue
        ready.put(_Failure(error))
    else:
        ready.put(_END)


def _drain(ready: queue.Queue[Any]) -> Iterator[Any]:
    while (item := ready.get()) is not _END:
        if isinstance(item, _Failure):
            raise item.error
        yield item
