"""What tests of the async client need that those of the sync client need otherwise; the same names in `sync.py`."""

from __future__ import annotations

import asyncio
import inspect

import httpx

# Importing reads files, once, which is no blocking that matters.
import tqdm.std  # noqa: F401
from blockbuster import blockbuster_ctx

from tilebox._core.wire.backoff import RetryPolicy
from tilebox._core.wire.config import Config
from tilebox.aio.transport import Transport
from tilebox.datasets.aio import Client
from tilebox.workflows.aio import Client as WorkflowsClient
from tilebox.workflows.aio import TaskRunner  # noqa: F401

IMPATIENT = RetryPolicy(attempts=4, first_seconds=0.001, longest_seconds=0.002)
Wire = httpx.AsyncHTTPTransport


def pytest_pyfunc_call(pyfuncitem):
    """Run a coroutine test in a loop of its own, in which nothing of ours may block."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with blockbuster_ctx(scanned_modules=["tilebox.aio", "tilebox._io"]):
        asyncio.run(pyfuncitem.obj(**arguments))
    return True


def open_client(url, token=None, *, wire=None, policy=IMPATIENT) -> Client:
    """Return a client that is quick to give up, over a transport of one's own if given."""
    return _over(Client(url, token), url, token, wire, policy)


def open_workflows(url, token=None, *, wire=None, policy=IMPATIENT) -> WorkflowsClient:
    """Return a client of workflows, likewise."""
    return _over(WorkflowsClient(url, token), url, token, wire, policy)


async def together(*functions):
    """Call functions at the same time, and return their results."""
    return await asyncio.gather(*(function() for function in functions))


def _over(client, url, token, wire, policy):
    options = {} if wire is None else {"transport": wire}
    client._transport = Transport(Config.resolve(url, token, {}), policy=policy, **options)
    return client
