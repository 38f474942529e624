"""Clients of workflows across event loops, threads and forks: nothing to close, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from tilebox.workflows import Client, Task
from tilebox.workflows.aio import Client as AsyncClient


class Hello(Task):
    name: str


@pytest.fixture(scope="module")
def cluster(server):
    """A cluster without runners."""
    return Client(server.url, server.token).clusters().create("lifecycle")


def submit(client, cluster):
    job = client.jobs().submit("lifecycle", Hello("Moon"), cluster)
    return client.jobs().find(job).name


async def submit_async(client, cluster):
    job = await client.jobs().submit("lifecycle", Hello("Moon"), cluster)
    return (await client.jobs().find(job)).name


def test_one_async_client_serves_three_loops_in_turn(server, cluster):
    client = AsyncClient(server.url, server.token)
    jobs = client.jobs()
    job = asyncio.run(jobs.submit("lifecycle", Hello("Moon"), cluster))
    assert asyncio.run(jobs.find(job)) == asyncio.run(jobs.find(str(job.id)))


def test_clients_serve_several_threads(server, cluster):
    client, async_client = Client(server.url, server.token), AsyncClient(server.url, server.token)
    with ThreadPoolExecutor(8) as pool:
        plain = pool.map(lambda _: submit(client, cluster), range(16))
        awaited = pool.map(lambda _: asyncio.run(submit_async(async_client, cluster)), range(8))
        assert [*plain, *awaited] == ["lifecycle"] * 24


def test_a_sync_client_works_inside_a_running_loop(server, cluster):
    async def cell():
        return submit(Client(server.url, server.token), cluster)

    assert asyncio.run(cell()) == "lifecycle"


def test_clients_that_nobody_closes_warn_of_nothing(server, cluster):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert submit(Client(server.url, server.token), cluster) == "lifecycle"
        assert asyncio.run(submit_async(AsyncClient(server.url, server.token), cluster)) == "lifecycle"
        gc.collect()
    assert [str(one.message) for one in caught] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_parent_and_forked_child_both_go_on(server, cluster):
    # A process of its own, since forking this one, with the server's threads in it, proves nothing.
    program = textwrap.dedent("""
        import os, sys
        from tilebox.workflows import Client, Task
        class Hello(Task):
            pass
        jobs = Client(sys.argv[1], sys.argv[2]).jobs()
        def submit():
            return jobs.find(jobs.submit("lifecycle", Hello(), sys.argv[3])).name
        assert submit() == "lifecycle"
        child = os.fork()
        if child == 0:
            assert submit() == "lifecycle"
            sys.exit(7)
        assert submit() == "lifecycle"
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert submit() == "lifecycle"
    """)
    command = [sys.executable, "-W", "error", "-c", program, server.url, server.token, cluster.slug]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
