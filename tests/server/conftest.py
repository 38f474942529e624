import pytest
from support.http.wire import Wire


@pytest.fixture(params=["proto", "json"])
def wire(request, server):
    """Raw calls as an admin, in both encodings."""
    with Wire(server.url, server.token, json=request.param == "json") as wire:
        yield wire


@pytest.fixture
def proto(server):
    """Raw calls as an admin, in proto only."""
    with Wire(server.url, server.token) as wire:
        yield wire


@pytest.fixture
def dataset(proto):
    return proto.create_dataset()


@pytest.fixture
def collection(proto, dataset):
    return proto.create_collection(dataset)
