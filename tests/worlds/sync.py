"""What tests of the sync client need that those of the async client need otherwise; the same names in `aio.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from tilebox._core.wire.backoff import RetryPolicy
from tilebox.datasets import Client
from tilebox.workflows import Client as WorkflowsClient

IMPATIENT = RetryPolicy(attempts=4, first_seconds=0.001, longest_seconds=0.002)
Wire = httpx.HTTPTransport


def pytest_pyfunc_call(pyfuncitem):
    """Run a test, and close the HTTP clients that it opened."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        pyfuncitem.obj(**arguments)
    finally:
        while _opened:
            _opened.pop().close()
    return True


def open_client(url, token=None, *, wire=None, http_client=None, policy=IMPATIENT) -> Client:
    """Return a client that is quick to give up, with an HTTP client of the test's, or a transport for one."""
    return _impatient(Client(url, token, http_client=http_client or _over(wire)), policy)


def open_workflows(url, token=None, *, wire=None, policy=IMPATIENT) -> WorkflowsClient:
    """Return a client of workflows, likewise."""
    return _impatient(WorkflowsClient(url, token, http_client=_over(wire)), policy)


def open_http_client(**options) -> httpx.Client:
    """Return an HTTP client that is closed at the end of the test."""
    _opened.append(httpx.Client(**options))
    return _opened[-1]


def hook(function):
    """Return an event hook for an HTTP client."""
    return function


def together(*functions):
    """Call functions at the same time, and return their results."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def _impatient(client, policy):
    client._transport._policy = policy
    return client


def _over(wire):
    return None if wire is None else open_http_client(transport=wire)


_opened = []
