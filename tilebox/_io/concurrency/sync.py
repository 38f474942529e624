"""Concurrency for the sync client: plain threads, and nothing of an event loop."""

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
    """Run a function, here and now: there is no loop to keep going."""
    return function(*args, **kwargs)


def gather_map(
    function: Callable[[T], R],
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
        each: Told every result as soon as it is there, in the caller's thread.

    Returns:
        The results in the order of the items.

    Raises:
        Exception: The first error; calls under way are awaited, further ones do not start.
    """
    waiting: Iterator[tuple[int, T]] = enumerate(items)
    begun = list(islice(waiting, min(2, limit)))
    if len(begun) == 1 and limit > 1:
        # One call alone needs no thread, which would take a small request longer than the work it does.
        result = function(begun[0][1])
        if each is not None:
            each(result)
        return [result]
    waiting = chain(begun, waiting)
    results: dict[int, R] = {}
    under_way: dict[Future[R], int] = {}
    with ThreadPoolExecutor(limit, thread_name_prefix="tilebox") as pool:
        while True:
            for position, item in islice(waiting, limit - len(under_way)):
                under_way[pool.submit(function, item)] = position
            if not under_way:
                return [results[position] for position in range(len(results))]
            for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                position = under_way.pop(done)
                results[position] = done.result()
                if each is not None:
                    each(results[position])


@contextmanager
def prefetched(
    source: Generator[T, None, None], *, depth: int, interrupt: Callable[[], object]
) -> Iterator[Iterator[T]]:
    """Let a source run ahead, in a thread, of whoever iterates over it.

    Args:
        source: What to iterate over; closed at the end, in any case.
        depth: Number of items that may lie ready.
        interrupt: Makes the source give up waiting, so that leaving early takes no time.

    Yields:
        An iterator over the same items; an error of the source is raised where its item would have been.
    """
    ready: queue.Queue[Any] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_fill, args=(source, ready, left), name="tilebox-prefetch", daemon=True)
    thread.start()
    try:
        yield _drain(ready)
    finally:
        left.set()
        if thread.is_alive():
            interrupt()
        while thread.is_alive():
            # Makes room for an item that the thread may be waiting to hand over.
            with suppress(queue.Empty):
                ready.get_nowait()
            thread.join(0.01)


def _fill(source: Generator[T, None, None], ready: queue.Queue[Any], left: threading.Event) -> None:
    try:
        with closing(source):
            for item in source:
                ready.put(item)
                if left.is_set():
                    return
    except BaseException as error:  # noqa: BLE001 it is raised to the caller, on the other side of the queue
        ready.put(_Failure(error))
    else:
        ready.put(_END)


def _drain(ready: queue.Queue[Any]) -> Iterator[Any]:
    while (item := ready.get()) is not _END:
        if isinstance(item, _Failure):
            raise item.error
        yield item
