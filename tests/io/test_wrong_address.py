"""What a client says when its URL leads to something that is not our server over TLS."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.http.scripted import Script
from worlds.sync import open_client

from tilebox.datasets import Client, TransportError
from tilebox.errors import ConnectTimeout

TLS_ADVICE = r"does the server expect http:// rather than https://\? Otherwise, check the URL"


def test_our_own_server_without_tls_is_given_up_after_one_attempt(server, monkeypatch):
    # It waits for the rest of a request that never comes.
    monkeypatch.setattr("tilebox.sync.transport.CONNECT_SECONDS", 0.5)
    with pytest.raises(ConnectTimeout, match=f"no connection in time for .*{TLS_ADVICE}") as caught:
        Client(server.url.replace("http://", "https://"), server.token).datasets()
    assert not hasattr(caught.value, "__notes__"), "it was tried more than once"


def test_a_server_that_answers_in_plain_text_is_told_at_once():
    def refuse():
        with listener.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(refuse)
        with pytest.raises(TransportError, match=f"no complete answer .*{TLS_ADVICE}") as caught:
            Client(f"https://127.0.0.1:{listener.getsockname()[1]}", "key").datasets()
        answered.result()
    assert not hasattr(caught.value, "__notes__"), "it was tried more than once"


def test_without_tls_nothing_is_asked():
    script = Script(httpx.ConnectTimeout("silence"))
    with pytest.raises(ConnectTimeout, match="no connection in time") as caught:
        open_client("http://box:1", "key", wire=script).datasets()
    assert "https" not in str(caught.value)
    assert len(script.requests) == 1


def test_a_server_that_answered_before_is_tried_again():
    script = Script(httpx.Response(404, content=b"none"), httpx.ConnectTimeout("silence"))
    client = open_client("https://box:1", "key", wire=script)
    for _ in range(2):
        with pytest.raises(Exception, match=r"does not offer|no connection in time"):
            client.datasets()
    assert len(script.requests) > 2
