"""Several equal servers on one PostgreSQL and one place of datapoints."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.http.wire import CallError, Wire, datapoint, query
from support.store.postgres import fresh_database, postgres_server

from tilebox._core.protocol.datasets.v1 import collections_pb2
from tilebox.testing import LocalServer

__all__ = ["postgres_server"]


@pytest.fixture
def two_servers(postgres_server, tmp_path):
    with fresh_database(postgres_server) as database:
        shared = {"database": database, "storage": str(tmp_path / "datapoints")}
        first = LocalServer(tmp_path / "first", **shared)
        with first, LocalServer(tmp_path / "second", token=first.token, **shared) as second:
            yield first, second


def test_the_first_server_creates_the_key_and_both_accept_it(two_servers):
    for server in two_servers:
        with Wire(server.url, server.token) as wire:
            assert wire.call("DatasetService/ListDatasets").owned_datasets == 0


def test_writers_on_both_servers_neither_lose_nor_duplicate(two_servers):
    first, second = two_servers
    with Wire(first.url, first.token) as one, Wire(second.url, second.token) as other:
        dataset = one.create_dataset()
        collection = one.create_collection(dataset)
        batches = [[datapoint(dataset, 100 * batch + row) for row in range(100)] for batch in range(6)]

        def write(wire):
            return sum(wire.ingest(collection, batch).num_created for batch in batches)

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(write, [one, other])) == 600
        for wire in (one, other):
            assert sum(map(len, wire.query(query(dataset)))) == 600
        request = collections_pb2.DeleteCollectionRequest(collection_id=collection.id)
        one.call("CollectionService/DeleteCollection", request)
        with pytest.raises(CallError, match="not_found"):
            other.ingest(collection, batches[0])
