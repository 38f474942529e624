"""Clients across event loops, threads, and forks: nothing to close, nothing left behind."""

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
from contextlib import contextmanager

import numpy as np
import pytest

from tilebox import datasets, workflows
from tilebox._io.client_cache import aio as client_cache
from tilebox.datasets import DatasetKind
from tilebox.datasets import aio as aio_datasets
from tilebox.workflows import aio as aio_workflows

YEAR = ("2024-01-01", "2025-01-01")
ROWS = 500


class Hello(workflows.Task):
    name: str


class Datasets:
    """Clients of datasets, and something that they do."""

    Client, AsyncClient = datasets.Client, aio_datasets.Client
    done = ROWS

    def __init__(self, server):
        self.server = server
        created = self.client().create_or_update_dataset(
            DatasetKind.TEMPORAL, "tests.lifecycle", [{"name": "n", "type": int}]
        )
        times = np.datetime64("2024-01-01", "ms") + np.arange(ROWS) * np.timedelta64(1000, "ms")
        created.get_or_create_collection("a").ingest({"time": times, "n": np.arange(ROWS)})

    def client(self):
        return self.Client(self.server.url, self.server.token)

    def async_client(self):
        return self.AsyncClient(self.server.url, self.server.token)

    def use(self, client):
        return client.dataset("tests.lifecycle").collection("a").load(YEAR).sizes["time"]

    async def use_async(self, client):
        collection = await (await client.dataset("tests.lifecycle")).collection("a")
        return (await collection.load(YEAR)).sizes["time"]


class Workflows(Datasets):
    """Clients of workflows, and something that they do."""

    Client, AsyncClient = workflows.Client, aio_workflows.Client
    done = "lifecycle"

    def __init__(self, server):
        self.server = server
        clusters = self.client().clusters()
        self.cluster = next((one for one in clusters.all() if one.display_name == "lifecycle"), None)
        self.cluster = self.cluster or clusters.create("lifecycle")

    def use(self, client):
        job = client.jobs().submit("lifecycle", Hello("Moon"), self.cluster)
        return client.jobs().find(job).name

    async def use_async(self, client):
        job = await client.jobs().submit("lifecycle", Hello("Moon"), self.cluster)
        return (await client.jobs().find(job)).name


@pytest.fixture(scope="module", params=[Datasets, Workflows])
def of(request, server):
    """Clients of one kind."""
    return request.param(server)


@pytest.fixture(scope="module")
def of_datasets(server):
    """Clients of datasets, where what is tested is theirs."""
    return Datasets(server)


@contextmanager
def no_warnings():
    """Fail if anything inside warns, or what it left behind does."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_one_async_client_serves_three_loops_in_turn(of):
    client = of.async_client()
    assert [asyncio.run(of.use_async(client)) for _ in range(3)] == [of.done] * 3


def test_one_async_client_serves_loops_of_several_threads(of):
    client = of.async_client()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(of.use_async(client)), range(8))) == [of.done] * 8


def test_one_sync_client_serves_several_threads(of):
    client = of.client()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: of.use(client), range(24))) == [of.done] * 24


def test_a_sync_client_works_inside_a_running_loop(of):
    async def cell():
        return of.use(of.client())

    assert asyncio.run(cell()) == of.done


def test_clients_that_nobody_closes_warn_of_nothing(of):
    with no_warnings():
        assert of.use(of.client()) == of.done
        assert asyncio.run(of.use_async(of.async_client())) == of.done


def test_a_client_that_dies_with_its_loop_closes_all_its_connections(of_datasets):
    async def main():
        client = of_datasets.async_client()
        await asyncio.gather(*[client.datasets() for _ in range(4)])

    with no_warnings():
        asyncio.run(main())


def test_an_async_client_dropped_inside_its_loop_is_closed(of_datasets):
    async def main():
        assert await of_datasets.use_async(of_datasets.async_client()) == ROWS
        gc.collect()
        loop = asyncio.get_running_loop()
        while any(client.loop is loop for client in client_cache._open_clients):  # noqa: ASYNC110 the test waits for just this
            await asyncio.sleep(0)

    with no_warnings():
        asyncio.run(main())


FORKS = """
    import os, sys
    from tilebox import datasets, workflows
    class Hello(workflows.Task):
        pass
    url, token, cluster = sys.argv[1:]
    client = {kind}.Client(url, token)
    def use():
        {use}
    assert use()
    child = os.fork()
    if child == 0:
        assert use()
        sys.exit(7)
    assert use()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert use()
"""
USES = {
    "datasets": 'return client.dataset("tests.lifecycle").collection("a").load(("2024", "2025")).sizes["time"] == 500',
    "workflows": 'return client.jobs().find(client.jobs().submit("forked", Hello(), cluster)).name == "forked"',
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", USES)
def test_parent_and_forked_child_both_go_on(server, of_datasets, kind):
    # A process of its own, since forking this one, with the server's threads in it, proves nothing.
    program = textwrap.dedent(FORKS).format(kind=kind, use=USES[kind])
    command = [sys.executable, "-W", "error", "-c", program, server.url, server.token, Workflows(server).cluster.slug]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_no_thread_stays_behind(of_datasets):
    before = {thread for thread in threading.enumerate() if thread.name.startswith("tilebox-prefetch")}
    client = of_datasets.client()
    for _ in client.dataset("tests.lifecycle").collection("a").iter_pages(page_size=10):
        break
    assert of_datasets.use(client) == ROWS
    gc.collect()
    after = {thread for thread in threading.enumerate() if thread.name.startswith("tilebox-prefetch")}
    assert after <= before


def test_a_cancelled_load_leaves_the_client_usable(of_datasets):
    async def main():
        client = of_datasets.async_client()
        task = asyncio.create_task(of_datasets.use_async(client))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1
        return await of_datasets.use_async(client)

    assert asyncio.run(main()) == ROWS
