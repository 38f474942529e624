"""What tests of the async client need that those of the sync client need otherwise; the same names in `sync.py`."""

from __future__ import annotations

import asyncio
import inspect

import httpx

# Importing reads files, once, which is no blocking that matters.
import tqdm.std  # noqa: F401
from blockbuster import blockbuster_ctx

from tilebox._core.wire.backoff import RetryPolicy
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
        asyncio.run(_run_and_close(pyfuncitem.obj(**arguments)))
    return True


def open_client(url, token=None, *, wire=None, http_client=None, policy=IMPATIENT) -> Client:
    """Return a client that is quick to give up, with an HTTP client of the test's, or a transport for one."""
    return _impatient(Client(url, token, http_client=http_client or _over(wire)), policy)


def open_workflows(url, token=None, *, wire=None, policy=IMPATIENT) -> WorkflowsClient:
    """Return a client of workflows, likewise."""
    return _impatient(WorkflowsClient(url, token, http_client=_over(wire)), policy)


def open_http_client(**options) -> httpx.AsyncClient:
    """Return an HTTP client that is closed at the end of the test."""
    _opened.append(httpx.AsyncClient(**options))
    return _opened[-1]


def hook(function):
    """Return an event hook for an HTTP client."""

    async def call(argument):
        function(argument)

    return call


async def together(*functions):
    """Call functions at the same time, and return their results."""
    return await asyncio.gather(*(function() for function in functions))


def _impatient(client, policy):
    client._transport._policy = policy
    return client


def _over(wire):
    return None if wire is None else open_http_client(transport=wire)


_opened = []


async def _run_and_close(test):
    try:
        await test
    finally:
        while _opened:
            await _opened.pop().aclose()
