"""The runner's channel against scripted servers and proxies, over real sockets."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import threading

import pytest
import trustme
from runner.exchange_server import WAIT_SECONDS
from runner.hostile_server import HostileServer, ScriptedResponse, ok

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import workflows_pb2
from tilebox._runner import channel as channel_module
from tilebox._runner.channel import (
    CallCancelledError,
    CancelToken,
    Channel,
    ChannelError,
    ConnectionDroppedError,
    TLSError,
    proxy_of,
)
from tilebox.errors import ServerError, TransportError
from tilebox.workflows import Client, ExecutionContext, Task

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


class Nothing(Task):
    def execute(self, context: ExecutionContext) -> None:
        pass


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def hostile():
    """A function that starts a server; all are stopped at the end."""
    started = []

    def start(*answers, **options):
        started.append(HostileServer(*answers, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def opened():
    """A function that opens a channel; all are closed at the end."""
    channels = []

    def start(server, *arguments, **headers):
        url = server if isinstance(server, str) else server.url
        channels.append(Channel(url, {"authorization": "Bearer key", **headers}, *arguments))
        return channels[-1]

    yield start
    for channel in channels:
        channel.close()


def post(channel, body=b"body", **options):
    return channel.post("Service/Method", body, **{"seconds": 30, **options})


# Responses


def test_a_request_and_its_response(hostile, opened):
    server = hostile(ok(b"answer", "Tilebox-Extensions: runners/1"))
    answer = post(opened(server.url + "/prefix"))
    assert (answer.status, answer.body, answer.headers["tilebox-extensions"]) == (200, b"answer", "runners/1")
    [asked] = server.asked
    assert asked.line == "POST /prefix/Service/Method HTTP/1.1"
    assert asked.body == b"body"
    expected = {
        "host": f"127.0.0.1:{server.port}",
        "authorization": "Bearer key",
        "content-type": "application/proto",
        "connect-protocol-version": "1",
        "accept-encoding": "identity",
    }
    assert expected.items() <= asked.headers.items()


def test_one_connection_serves_many_calls(hostile, opened):
    server = hostile(*[ok(b"%d" % number) for number in range(5)])
    channel = opened(server)
    assert [post(channel).body for _ in range(5)] == [b"%d" % number for number in range(5)]
    assert server.connections == 1


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nans\r\n3\r\nwer\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + ok(b"answer"),
        ok(b"answer", "content-length: 6"),
    ],
)
def test_unusual_responses_are_parsed(hostile, opened, content):
    server = hostile(content, ok(b"next"))
    channel = opened(server)
    assert post(channel).body == b"answer"
    assert post(channel).body == b"next"
    assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    ],
)
def test_a_connection_may_close_after_its_response(hostile, opened, head):
    server = hostile(ScriptedResponse(head + b"answer", closes=True), ok(b"next"))
    channel = opened(server)
    assert post(channel).body == b"answer"
    assert post(channel).body == b"next"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        ok(b"answer", "content-length: 3"),
        ok(b"answer", "content-length: 6, 7"),
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n" + ok(b"answer"),
        ok(b"\x1f\x8b", "content-encoding: gzip"),
        ScriptedResponse(ok(b"answer")[:-1], closes=True),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nansw", closes=True),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nanswer\r\n", closes=True),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nwhat?\r\n",
        ScriptedResponse(b"HTTP/1.1 200 OK\r\ncontent-le", closes=True),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500, is_endless=True),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000, is_endless=True),
        ScriptedResponse(b"x" * 100_000, is_endless=True),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        ScriptedResponse(closes=True),
    ],
)
def test_an_invalid_response_is_an_error_and_closes_its_connection(hostile, opened, said):
    server = hostile(said, ok(b"next"))
    channel = opened(server)
    with pytest.raises(ChannelError):
        post(channel)
    assert post(channel).body == b"next"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        ScriptedResponse(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + b"x" * 10_000, is_endless=True),
        ok(b"x" * 1000),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n"),
    ],
)
def test_an_endless_response_is_an_error(hostile, opened, monkeypatch, said):
    monkeypatch.setattr(channel_module, "MAX_BODY_BYTES", 999)
    with pytest.raises(ChannelError, match="too large"):
        post(opened(hostile(said)))


def test_bytes_after_a_response_are_not_the_next_response(hostile, opened):
    server = hostile(ok(b"answer") + ok(b"smuggled"), ok(b"next"))
    channel = opened(server)
    assert post(channel).body == b"answer"
    assert post(channel).body == b"next"


@pytest.mark.parametrize("code", [301, 307, 401, 502])
def test_redirects_and_errors_are_returned_as_they_are(hostile, opened, code):
    elsewhere = hostile(ok())
    page = b"<html>no</html>"
    head = f"HTTP/1.1 {code} No\r\nlocation: {elsewhere.url}\r\ncontent-length: {len(page)}\r\n\r\n".encode()
    answer = post(opened(hostile(head + page)))
    assert (answer.status, answer.body) == (code, page)
    assert elsewhere.asked == []


def test_a_read_timeout_is_an_error(hostile, opened):
    with pytest.raises(ChannelError, match="timed out"):
        post(opened(hostile()), seconds=0.05)


# Connections


def test_a_connection_that_was_closed_while_idle_is_not_reused(hostile, opened):
    server = hostile(ok(b"1"), ok(b"2"))
    channel = opened(server)
    post(channel)
    server.drop_all()
    assert post(channel).body == b"2"


def test_a_reused_connection_that_closes_raises_its_own_error(hostile, opened):
    server = hostile(ok(b"1"), ScriptedResponse(closes=True), ok(b"3"))
    channel = opened(server)
    post(channel)
    with pytest.raises(ConnectionDroppedError):
        post(channel)
    assert post(channel).body == b"3"
    assert [asked.connection for asked in server.asked] == [1, 1, 2]


def test_all_addresses_of_a_host_are_tried(hostile, opened, monkeypatch):
    server = hostile(ok(b"answer"))
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(*kind, dead), (*kind, dead), (*kind, ("127.0.0.1", server.port))]
    )
    assert post(opened(f"http://several.example:{server.port}")).body == b"answer"


def test_a_refused_connection_is_an_error(opened):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ChannelError, match=f"no connection to 127.0.0.1:{port}"):
        post(opened(f"http://127.0.0.1:{port}"))
    with pytest.raises(ChannelError):
        post(opened(f"http://{'x' * 70}.example"))


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_call_is_cancelled_from_another_thread(hostile, opened, authority, is_encrypted):
    server = hostile(ok(b"1"), tls=authority.server if is_encrypted else None)
    channel = opened(server)
    post(channel)
    cancel_token = CancelToken()
    caught = []

    def call():
        with pytest.raises(CallCancelledError):
            post(channel, cancel_token=cancel_token)
        caught.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    server.wait_for(lambda: len(server.asked) == 2)
    cancel_token.cancel()
    thread.join(WAIT_SECONDS)
    assert caught == [True]
    with pytest.raises(CallCancelledError):
        post(channel, cancel_token=cancel_token)
    server.wait_for(lambda: server.closed >= 1)


# TLS


class Authority:
    """An authority that signs certificates, and servers with one of them."""

    def __init__(self, folder):
        authority = trustme.CA()
        self.path = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.path)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.server)
        self.other_host = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("other.example").configure_cert(self.other_host)


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(signed, monkeypatch):
    """The authority, which is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(signed.path))
    return signed


def test_a_trusted_server_gets_all_calls_over_one_connection(hostile, opened, authority):
    server = hostile(ok(b"1"), ok(b"2"), tls=authority.server)
    channel = opened(server)
    assert [post(channel).body, post(channel).body] == [b"1", b"2"]
    assert server.connections == 1


def test_trusted_authorities_may_be_in_a_folder(hostile, opened, signed, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(TLSError):
        post(opened(hostile(ok(), tls=signed.server)))
    # OpenSSL finds authorities by a hash of their names.
    digest = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", signed.path], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / f"{digest}.0").write_bytes(signed.path.read_bytes())
    assert post(opened(hostile(ok(b"answer"), tls=signed.server))).body == b"answer"


@pytest.mark.parametrize("kind", ["unknown authority", "other host", "no TLS"])
def test_an_untrusted_server_ends_the_runner_at_once(hostile, signed, monkeypatch, kind):
    if kind != "unknown authority":
        monkeypatch.setenv("SSL_CERT_FILE", str(signed.path))
    tls = {"unknown authority": signed.server, "other host": signed.other_host, "no TLS": None}[kind]
    server = hostile(tls=tls, greeting=b"" if tls else b"SSH-2.0-OpenSSH_9.6\r\n")
    message = "use http://" if kind == "no TLS" else "is not trusted"
    with pytest.raises(TransportError, match=message):
        Client(f"https://127.0.0.1:{server.port}", "key").runner(tasks=[Nothing]).run_all()
    assert server.asked == []


# Proxies


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "http://box.example", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://box.example", "http://p:1"),
        ({"http_proxy": "p:1"}, "http://box.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://box.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://box.example", "http://q:2"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://box.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "box.example"}, "https://box.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "other, Example"}, "https://box.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "x.example"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".box.example"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https://box.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "box.example:8080"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "box.example:8080"}, "https://box.example:8080", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "http://box.example"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "https://box.example"}, "https://box.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "https://example"}, "https://box.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "10.0.0.1"}, "http://10.0.0.1:8080", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "0.0.1"}, "http://10.0.0.1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "localhost"}, "http://localhost:8000", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "localhost"}, "http://a.localhost", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "::1"}, "http://[::1]:8000", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "[::1]"}, "http://[::1]", None),
    ],
)
def test_the_proxy_comes_from_the_environment(monkeypatch, environment, url, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


CREDENTIALS = "Basic " + base64.b64encode(b"user:p@ss").decode()


def test_plain_requests_go_through_a_proxy(hostile, opened):
    proxy = hostile(ok(b"1"), ok(b"2"))
    channel = opened("http://box.example/prefix", proxy.url.replace("//", "//user:p%40ss@"))
    assert [post(channel).body, post(channel).body] == [b"1", b"2"]
    asked = proxy.asked[1]
    assert asked.line == "POST http://box.example/prefix/Service/Method HTTP/1.1"
    assert (asked.headers["host"], asked.headers["proxy-authorization"]) == ("box.example", CREDENTIALS)
    assert asked.headers["authorization"] == "Bearer key"
    assert asked.connection == 1


class Tunnel(HostileServer):
    """A proxy that opens a tunnel to the server after a CONNECT request."""

    def __init__(self, server):
        super().__init__()
        self.server = server

    def _talk(self, connected, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connected.recv(1)
        line, *headers = head.decode().strip().split("\r\n")
        self.asked.append((line, {one.partition(": ")[0].lower(): one.partition(": ")[2] for one in headers}))
        connected.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as behind:
            threading.Thread(target=_copy, args=(behind, connected), daemon=True).start()
            _copy(connected, behind)


def _copy(source, target):
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass


def test_encrypted_requests_go_through_a_tunnel(hostile, opened, authority):
    server = hostile(ok(b"1"), ok(b"2"), tls=authority.server)
    with Tunnel(server) as proxy:
        channel = opened(f"https://localhost:{server.port}", proxy.url.replace("//", "//user:p%40ss@"))
        assert [post(channel).body, post(channel).body] == [b"1", b"2"]
        [(line, headers)] = proxy.asked
    assert line.startswith(f"CONNECT localhost:{server.port} ")
    assert headers["proxy-authorization"] == CREDENTIALS
    assert server.asked[0].line == "POST /Service/Method HTTP/1.1"
    assert "proxy-authorization" not in server.asked[0].headers


def test_a_rejection_by_the_proxy_is_an_error(hostile, opened):
    proxy = hostile(
        ScriptedResponse(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", closes=True)
    )
    with pytest.raises(ChannelError, match="407"):
        post(opened("https://box.example", proxy.url))


@pytest.mark.parametrize("proxy", ["socks5://p:1", "https://p:1"])
def test_an_unsupported_proxy_is_an_error_before_any_request(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ValueError, match="NO_PROXY"):
        Client("https://box.example", "key").runner(tasks=[Nothing]).run_all()


def test_the_runner_and_its_heartbeat_process_use_the_proxy(scripted, running, monkeypatch):
    server = scripted(at_least=2)

    class Forward(HostileServer):
        def _talk(self, connected, number):
            with socket.create_connection(("127.0.0.1", server.port)) as behind:
                threading.Thread(target=_copy, args=(behind, connected), daemon=True).start()
                while data := connected.recv(65_536):
                    first, _, rest = data.partition(b"\r\n")
                    if first.startswith(b"POST http://box.example/"):
                        self.asked.append(first)
                        data = first.replace(b"http://box.example", b"") + b"\r\n" + rest
                    behind.sendall(data)

    server.extend_after_seconds = 0.05
    with Forward() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        released = threading.Event()
        server.submit("Held")
        elsewhere = type("Elsewhere", (), {"url": "http://box.example"})
        runner = running(elsewhere, [Held], context=released, run="run_all")
        server.wait_for(lambda: server.extended.total() > 1)
        released.set()
        runner.thread.join(WAIT_SECONDS)
    assert len(server.reports("computed")) == 1
    assert any(b"/ExtendLeases" in line for line in proxy.asked)


class Held(Task):
    def execute(self, context: ExecutionContext) -> None:
        assert context.runner_context.wait(WAIT_SECONDS)


# Through the runner


FOUND = workflows_pb2.Cluster(slug="default").SerializeToString()


def exchanged(**options):
    return runners_pb2.ExchangeResponse(**options).SerializeToString()


def test_a_runner_repeats_a_dropped_call_over_a_new_connection(hostile, caplog):
    found = ok(FOUND, "tilebox-extensions: runners/1")
    server = hostile(found, ScriptedResponse(closes=True), ok(exchanged(is_more_to_come=False)), ok(exchanged()))
    Client(server.url, "key").runner(tasks=[Nothing]).run_all()
    first, second = (runners_pb2.ExchangeRequest.FromString(one.body) for one in server.asked[1:3])
    assert first.claim_id == second.claim_id
    assert (first.is_repeated, second.is_repeated) == (False, True)
    # It does not count as an outage.
    assert caplog.text == ""


def test_a_redirect_ends_the_runner_at_the_start(hostile):
    server = hostile(b"HTTP/1.1 308 Permanent Redirect\r\nlocation: https://x.example\r\ncontent-length: 0\r\n\r\n")
    with pytest.raises(ServerError, match=r"308.*https://x\.example.*check the URL"):
        Client(server.url, "key").runner(tasks=[Nothing]).run_all()


@pytest.mark.parametrize(
    "said",
    [
        ok(b"<html><body>Log in to the network</body></html>"),
        ok(FOUND, "content-length: 3"),
        ScriptedResponse(b"HTTP/1.1 200 OK\r\n", closes=True),
        ScriptedResponse(ok(FOUND)[:-1], closes=True),
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 15\r\n\r\n<html>no</html>",
    ],
)
def test_a_runner_survives_invalid_responses(hostile, said, caplog):
    answers = [ok(FOUND, "tilebox-extensions: runners/1"), said, ok(exchanged()), ok(exchanged())]
    server = hostile(said, *answers)
    Client(server.url, "key").runner(tasks=[Nothing]).run_all()
    assert "retrying until it succeeds" in caplog.text
