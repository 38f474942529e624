"""Clients across event loops, threads, forks and notebooks: nothing to close, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tilebox._io.http import aio
from tilebox.datasets import Client, DatasetKind
from tilebox.datasets.aio import Client as AsyncClient

YEAR = ("2024-01-01", "2025-01-01")
ROWS = 500


@pytest.fixture(scope="module")
def dataset(server):
    """A dataset with one collection, `a`."""
    client = Client(server.url, server.token)
    created = client.create_or_update_dataset(DatasetKind.TEMPORAL, "tests.lifecycle", [{"name": "n", "type": int}])
    times = np.datetime64("2024-01-01", "ms") + np.arange(ROWS) * np.timedelta64(1000, "ms")
    created.get_or_create_collection("a").ingest({"time": times, "n": np.arange(ROWS)})
    return created


async def load_async(client):
    collection = await (await client.dataset("tests.lifecycle")).collection("a")
    return (await collection.load(YEAR)).sizes["time"]


def load(client):
    return client.dataset("tests.lifecycle").collection("a").load(YEAR).sizes["time"]


def test_one_async_client_serves_three_loops_in_turn(server, dataset):
    client = AsyncClient(server.url, server.token)
    assert [asyncio.run(load_async(client)) for _ in range(3)] == [ROWS] * 3


def test_one_async_client_serves_loops_of_several_threads(server, dataset):
    client = AsyncClient(server.url, server.token)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(load_async(client)), range(8))) == [ROWS] * 8


def test_one_sync_client_serves_several_threads(server, dataset):
    client = Client(server.url, server.token)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: load(client), range(24))) == [ROWS] * 24


def test_a_sync_client_works_inside_a_running_loop(server, dataset):
    async def cell():
        return load(Client(server.url, server.token))

    assert asyncio.run(cell()) == ROWS


def test_clients_that_nobody_closes_warn_of_nothing(server, dataset):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load(Client(server.url, server.token)) == ROWS
        assert asyncio.run(load_async(AsyncClient(server.url, server.token))) == ROWS
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_a_client_that_dies_with_its_loop_closes_all_its_connections(server, dataset):
    async def main():
        client = AsyncClient(server.url, server.token)
        await asyncio.gather(*[client.datasets() for _ in range(4)])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_an_async_client_dropped_inside_its_loop_is_closed(server, dataset):
    async def main():
        assert await load_async(AsyncClient(server.url, server.token)) == ROWS
        gc.collect()
        loop = asyncio.get_running_loop()
        while any(one.loop is loop for one in aio._open):  # noqa: ASYNC110 the test waits for just this
            await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(one.message) for one in caught] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_parent_and_forked_child_both_go_on(server, dataset):
    # A process of its own, since forking this one, with the server's threads in it, proves nothing.
    program = textwrap.dedent("""
        import os, sys
        from tilebox.datasets import Client
        client = Client(sys.argv[1], sys.argv[2])
        def load():
            return client.dataset("tests.lifecycle").collection("a").load(("2024", "2025")).sizes["time"]
        assert load() == 500
        child = os.fork()
        if child == 0:
            assert load() == 500
            sys.exit(7)
        assert load() == 500
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert load() == 500
    """)
    command = [sys.executable, "-W", "error", "-c", program, server.url, server.token]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_no_thread_stays_behind(server, dataset):
    before = {thread for thread in threading.enumerate() if thread.name.startswith("tilebox-prefetch")}
    client = Client(server.url, server.token)
    for _ in client.dataset("tests.lifecycle").collection("a").iter_pages(page_size=10):
        break
    assert load(client) == ROWS
    gc.collect()
    after = {thread for thread in threading.enumerate() if thread.name.startswith("tilebox-prefetch")}
    assert after <= before


def test_a_cancelled_load_leaves_the_client_usable(server, dataset):
    async def main():
        client = AsyncClient(server.url, server.token)
        task = asyncio.create_task(load_async(client))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1
        return await load_async(client)

    assert asyncio.run(main()) == ROWS
