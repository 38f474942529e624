"""What tests of the sync client need that those of the async client need otherwise; the same names in `aio.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tilebox._core.wire.backoff import RetryPolicy
from tilebox._core.wire.config import Config
from tilebox.datasets import Client
from tilebox.sync.transport import Transport
from tilebox.workflows import Client as WorkflowsClient

IMPATIENT = RetryPolicy(attempts=4, first_seconds=0.001, longest_seconds=0.002)
Wire = httpx.HTTPTransport


def pytest_pyfunc_call(pyfuncitem):
    """Leave tests to pytest."""


def open_client(url, token=None, *, wire=None, policy=IMPATIENT) -> Client:
    """Return a client that is quick to give up, over a transport of one's own if given."""
    return _over(Client(url, token), url, token, wire, policy)


def open_workflows(url, token=None, *, wire=None, policy=IMPATIENT) -> WorkflowsClient:
    """Return a client of workflows, likewise."""
    return _over(WorkflowsClient(url, token), url, token, wire, policy)


def together(*functions):
    """Call functions at the same time, and return their results."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def _over(client, url, token, wire, policy):
    options = {} if wire is None else {"transport": wire}
    client._transport = Transport(Config.resolve(url, token, {}), policy=policy, **options)
    return client
