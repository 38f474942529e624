"""HTTP clients of the caller's of every kind, and of ours over TLS."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest
import trustme
from httpx_aiohttp import AiohttpTransport
from support.http.hostile import CLOSE, HostileServer, sized
from support.http.http2 import Http2Server
from worlds import aio, sync

from tilebox import datasets, workflows
from tilebox._core.protocol.datasets.v1 import core_pb2, datasets_pb2
from tilebox._io.client_cache import aio as client_cache
from tilebox.datasets import aio as aio_datasets
from tilebox.errors import TransportError
from tilebox.workflows import aio as aio_workflows

ONE = datasets_pb2.ListDatasetsResponse(datasets=[core_pb2.Dataset(slug="a.b", code_name="b", name="B")])
GOOD = sized(ONE.SerializeToString(), "content-type: application/proto")


@pytest.mark.parametrize("client", [datasets.Client, workflows.Client])
def test_an_async_http_client_is_refused_by_a_sync_client(client):
    message = r"http_client of the sync client must be an httpx\.Client, not a httpx2?\.AsyncClient"
    for kind in (httpx.AsyncClient, httpx2.AsyncClient):
        with pytest.raises(TypeError, match=message):
            client("http://box:1", "key", http_client=kind())


@pytest.mark.parametrize("client", [aio_datasets.Client, aio_workflows.Client])
def test_a_sync_http_client_is_refused_by_an_async_client(client):
    message = r"http_client of the async client must be an httpx\.AsyncClient, not a httpx2?\.Client"
    for kind in (httpx.Client, httpx2.Client):
        with kind() as http_client, pytest.raises(TypeError, match=message):
            client("http://box:1", "key", http_client=http_client)


@pytest.mark.parametrize("client", [datasets.Client, workflows.Client, aio_datasets.Client, aio_workflows.Client])
@pytest.mark.parametrize(("given", "name"), [(httpx, "module"), ("http://proxy", "str"), (httpx.Client, "type")])
def test_what_is_no_client_is_refused(client, given, name):
    with pytest.raises(TypeError, match=f"http_client of the a?sync client must be .*, not a {name}"):
        client("http://box:1", "key", http_client=given)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_sync_client_of_either_library_serves(library):
    with HostileServer(CLOSE) as server, library.Client() as http_client:
        client = sync.open_client(server.url, "key", http_client=http_client)
        with pytest.raises(TransportError, match="no complete answer from"):
            client.datasets()
        assert len(server.requests) == sync.IMPATIENT.attempts
        server.answer = GOOD
        assert list(client._by_slug()) == ["a.b"]


@pytest.mark.parametrize(
    "open_http_client",
    [httpx.AsyncClient, httpx2.AsyncClient, lambda: httpx.AsyncClient(transport=AiohttpTransport())],
    ids=["httpx", "httpx2", "aiohttp"],
)
def test_an_async_client_of_either_library_and_of_aiohttp_serves(open_http_client):
    async def main():
        async with open_http_client() as http_client:
            client = aio.open_client(server.url, "key", http_client=http_client)
            with pytest.raises(TransportError, match="no complete answer from"):
                await client.datasets()
            assert len(server.requests) == aio.IMPATIENT.attempts
            server.answer = GOOD
            assert list(await client._by_slug()) == ["a.b"]

    with HostileServer(CLOSE) as server:
        asyncio.run(main())


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A certificate for `localhost` from an authority that the environment names."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def test_over_tls_tasks_share_a_connection_of_http2_and_the_key_is_in_no_log(tls, caplog):
    async def main():
        client = aio.open_client(server.url, "canary-7c1e")
        return await asyncio.gather(*[client._by_slug() for _ in range(80)])

    with caplog.at_level(logging.DEBUG), Http2Server(ONE.SerializeToString(), tls) as server:
        assert [list(found) for found in asyncio.run(main())] == [["a.b"]] * 80
    assert len(server.paths) == 80
    assert server.connections == 1
    # The server runs in other threads, and its HTTP/2 library logs what it decodes.
    logged = [record for record in caplog.records if record.thread == threading.get_ident()]
    assert "httpcore.http2" in {record.name for record in logged}
    assert "canary-7c1e" not in "".join(record.getMessage() for record in logged)


def test_over_tls_threads_have_connections_of_http1(tls):
    with HostileServer(GOOD, tls) as server, ThreadPoolExecutor(8) as pool:
        client = sync.open_client(server.url, "key")
        assert list(pool.map(lambda _: list(client._by_slug()), range(80))) == [["a.b"]] * 80
        assert len(server.requests) == 80
        assert all(b" HTTP/1.1\r\n" in request for request in server.requests)
        client._transport._http.get().close()


def test_an_authority_that_nobody_named_is_not_trusted(tls, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with HostileServer(GOOD, tls) as server:
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            sync.open_client(server.url, "key").datasets()
        assert server.requests == []


def test_a_given_client_opens_none_of_ours():
    async def main():
        async with httpx.AsyncClient() as http_client:
            await aio.open_client(server.url, "key", http_client=http_client).datasets()
        assert not [client for client in client_cache._open_clients if client.loop is asyncio.get_running_loop()]

    with HostileServer(GOOD) as server:
        asyncio.run(main())
