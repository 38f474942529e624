"""The seam of concurrency: both sides keep the same promises."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tilebox._io.concurrency import aio, sync


class BoomError(Exception):
    pass


def run_prefetched(world, items, *, depth=2, fails_after=None, take=None):
    """Iterate over items through `prefetched` of one world; return what came, and whether the source was closed."""
    found, closed = [], []

    def source():
        try:
            for number, item in enumerate(items):
                if number == fails_after:
                    raise BoomError("source")
                yield item
        finally:
            closed.append(True)

    async def async_source():
        try:
            for number, item in enumerate(items):
                if number == fails_after:
                    raise BoomError("source")
                yield item
        finally:
            closed.append(True)

    def take_sync():
        with sync.prefetched(source(), depth=depth, interrupt=lambda: None) as ready:
            for item in ready:
                found.append(item)
                if len(found) == take:
                    raise BoomError("consumer")

    async def take_async():
        async with aio.prefetched(async_source(), depth=depth, interrupt=lambda: None) as ready:
            async for item in ready:
                found.append(item)
                if len(found) == take:
                    raise BoomError("consumer")

    try:
        take_sync() if world == "sync" else asyncio.run(take_async())
    finally:
        assert closed == [True]
    return found


@pytest.mark.parametrize("world", ["aio", "sync"])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_prefetched_keeps_everything_in_order(world, count):
    assert run_prefetched(world, range(count)) == list(range(count))


@pytest.mark.parametrize("world", ["aio", "sync"])
@pytest.mark.parametrize("fails_after", [0, 1, 7])
def test_an_error_of_the_source_is_raised_in_its_place(world, fails_after):
    with pytest.raises(BoomError, match="source"):
        run_prefetched(world, range(50), fails_after=fails_after)


@pytest.mark.parametrize("world", ["aio", "sync"])
@pytest.mark.parametrize("take", [1, 3, 20])
def test_an_error_of_the_consumer_ends_the_source(world, take):
    with pytest.raises(BoomError, match="consumer"):
        run_prefetched(world, range(10**9), take=take)
    assert not [thread for thread in threading.enumerate() if thread.name == "tilebox-prefetch"]


def test_leaving_early_interrupts_a_thread_that_waits():
    interrupted = threading.Event()

    def source():
        yield 1
        assert interrupted.wait(300)
        raise BoomError("the connection is gone")

    with sync.prefetched(source(), depth=1, interrupt=interrupted.set) as ready:
        assert next(ready) == 1
    assert interrupted.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "tilebox-prefetch"]


def gather(world, function, items, **options):
    if world == "sync":
        return sync.gather_map(function, items, **options)

    async def call(item):
        await asyncio.sleep(0)
        return function(item)

    return asyncio.run(aio.gather_map(call, items, **options))


@pytest.mark.parametrize("world", ["aio", "sync"])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_gather_map_keeps_the_order(world, count):
    told = []
    assert gather(world, lambda n: n * n, range(count), limit=4, on_result=told.append) == [n * n for n in range(count)]
    assert sorted(told) == [n * n for n in range(count)]


@pytest.mark.parametrize("world", ["aio", "sync"])
def test_gather_map_raises_the_first_error_and_starts_nothing_further(world):
    started = []

    def fail(item):
        started.append(item)
        if item == 5:
            raise BoomError(str(item))
        return item

    with pytest.raises(BoomError, match="5"):
        gather(world, fail, range(10_000), limit=4)
    assert len(started) < 100


def test_gather_map_takes_several_items_at_once():
    barrier = threading.Barrier(4)
    assert sync.gather_map(lambda n: barrier.wait(300) >= 0 and n, range(4), limit=4) == [0, 1, 2, 3]


def test_callbacks_come_in_the_callers_thread():
    threads = set()
    sync.gather_map(lambda n: n, range(20), limit=4, on_result=lambda _: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_one_call_alone_runs_in_the_callers_thread():
    assert sync.gather_map(lambda _: threading.current_thread(), [None], limit=4) == [threading.current_thread()]
