# Source of tests/sync/conftest.py, which scripts/unasync.py writes.
"""The client under test, called `client` in both worlds, over a real server."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.http.scripted import Faults
from worlds.aio import Wire, open_client, pytest_pyfunc_call

from tilebox.datasets import Client, DatasetKind
from tilebox.testing import LocalServer

__all__ = ["pytest_pyfunc_call"]

PAGE_ROWS = 40
ROWS = 300
FIELDS = [
    {"name": "number", "type": int, "queryable": True},
    {"name": "label", "type": str, "queryable": True},
    {"name": "center", "type": "LatLon"},
]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def paged_server(tmp_path_factory):
    """A server whose pages are small, so that few datapoints make many pages."""
    with LocalServer(tmp_path_factory.mktemp("paged") / "data", page_rows=PAGE_ROWS) as running:
        yield running


@pytest.fixture
def client(paged_server):
    """A client of its own for every test."""
    return open_client(paged_server.url, paged_server.token)


@pytest.fixture(params=["arrow", "pages"])
def either(request, paged_server):
    """A client over a transport that records; once with the Arrow extension and once without."""
    wire = Faults(Wire(), hides_extensions=request.param == "pages")
    client = open_client(paged_server.url, paged_server.token, wire=wire)
    client.wire = wire
    client.uses_arrow = request.param == "arrow"
    return client


@pytest.fixture
def faults(paged_server):
    """A function that returns a client over a transport with faults: `faults(QueryArrow=[...])`."""

    def start(*, hides_extensions=False, **plan):
        wire = Faults(Wire(), plan=plan, hides_extensions=hides_extensions)
        client = open_client(paged_server.url, paged_server.token, wire=wire)
        client.wire = wire
        return client

    return start


@pytest.fixture
def slug(request):
    """A name for a dataset that no other test has."""
    return f"tests.t{next(_numbers)}_{request.node.name.partition('[')[0].lower()}"[:90]


@pytest.fixture(scope="session")
def filled(paged_server):
    """The slug of a dataset with two collections, `even` and `odd`, of `ROWS` datapoints each, a second apart."""
    dataset = Client(paged_server.url, paged_server.token).create_or_update_dataset(
        DatasetKind.TEMPORAL, "tests.filled", FIELDS, name="Filled", summary="Numbers"
    )
    for first, name in enumerate(("even", "odd")):
        dataset.create_collection(name).ingest(columns(np.arange(first, 2 * ROWS, 2)))
    return dataset.slug


def columns(numbers):
    """Return datapoints, each of which can be told by its number."""
    return {
        "time": np.datetime64("2024-01-01", "ms") + np.asarray(numbers) * np.timedelta64(1000, "ms"),
        "number": numbers,
        "label": [f"label {one}" for one in numbers],
        "center": np.stack([np.asarray(numbers) / 10, np.asarray(numbers) / 20], axis=1),
    }
