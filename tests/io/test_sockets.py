"""The transports of our own, in both worlds: what comes over the wire, and what goes wrong on it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tilebox._io.http import aio as aio_http
from tilebox._io.http import sync as sync_http
from tilebox._io.sockets import aio, sync

LARGE = bytes(range(256)) * 20_000


def sized(body: bytes, *headers: bytes) -> bytes:
    return b"".join([b"HTTP/1.1 200 OK\r\n", *headers, b"content-length: %d\r\n\r\n" % len(body), body])


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


class Server:
    """Answers each request with what it was told to; an answer that ends in None ends the connection too."""

    def __init__(self, *answers: list[bytes | None]) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection, contextlib.suppress(ConnectionError):
                    while self._answer_one(connection):
                        pass
                self.ended.release()

    def _answer_one(self, connection) -> bool:
        request = b""
        while b"\r\n\r\n" not in request:
            received = connection.recv(65_536)
            if not received:
                return False
            request += received
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += connection.recv(1 << 20)
        self.requests.append(head + b"\r\n\r\n" + body)
        for piece in self.answers.pop(0):
            if piece is None:
                return False
            connection.sendall(piece)
        return True


class Blocking:
    """A client of the sync world."""

    def __init__(self, **options):
        self._client = httpx.Client(transport=sync.SocketTransport(), trust_env=False, **options)

    def post(self, url, body=b""):
        return self._client.post(url, content=body)

    def stream(self, url):
        return self._client.stream("POST", url, content=b"")

    def post_together(self, url, count):
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(self.post, [url] * count))

    def read_into(self, url, spaces):
        found = []
        with self.stream(url) as response:
            body = sync_http.Body(response)
            for space in spaces:
                target = bytearray(space)
                found.append(bytes(target[: body.read_into(memoryview(target))]))
        return found

    def leave(self, url):
        with self.stream(url):
            pass

    def close(self):
        self._client.close()


class BlockingDirectly(Blocking):
    """The same past httpx's client."""

    def __init__(self, **options):
        self._pool = sync_http.ClientPool(is_plain=True, trust_env=False, **options)

    def post(self, url, body=b""):
        return self._pool.post(url, body, {"x-of-this-one": "yes"})

    def stream(self, url):
        return self._pool.stream(url, b"", {})

    def close(self):
        self._pool.client().close()


class Awaited:
    """The same of the async world, in a loop of its own."""

    def __init__(self, **options):
        self._loop = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=aio.SocketTransport(), trust_env=False, **options)

    def post(self, url, body=b""):
        return self._loop.run(self.send(url, body))

    def send(self, url, body=b""):
        return self._client.post(url, content=body)

    def stream(self, url):
        return self._client.stream("POST", url, content=b"")

    def post_together(self, url, count):
        async def post():
            return await asyncio.gather(*[self.send(url) for _ in range(count)])

        return self._loop.run(post())

    def read_into(self, url, spaces):
        async def read():
            found = []
            async with self.stream(url) as response:
                body = aio_http.Body(response)
                for space in spaces:
                    target = bytearray(space)
                    found.append(bytes(target[: await body.read_into(memoryview(target))]))
            return found

        return self._loop.run(read())

    def leave(self, url):
        async def leave():
            async with self.stream(url):
                pass

        self._loop.run(leave())

    def run(self, coroutine):
        return self._loop.run(coroutine)

    def close(self):
        self._loop.run(self._client.aclose())
        self._loop.close()


class AwaitedDirectly(Awaited):
    """The same past httpx's client."""

    def __init__(self, **options):
        self._loop = asyncio.Runner()
        self._pool = aio_http.ClientPool(is_plain=True, trust_env=False, **options)

    def send(self, url, body=b""):
        return self._pool.post(url, body, {"x-of-this-one": "yes"})

    def stream(self, url):
        return self._pool.stream(url, b"", {})

    def close(self):
        self._loop.run(self._close())
        self._loop.close()

    async def _close(self):
        await (await self._pool.client()).aclose()


@pytest.fixture(params=[Blocking, BlockingDirectly, Awaited, AwaitedDirectly])
def open_client(request):
    opened = []

    def open_one(**options):
        opened.append(request.param(**options))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def client(open_client):
    return open_client(timeout=5)


def test_requests_go_out_whole_and_share_a_connection(client):
    with Server(*[[sized(b"%d" % n)] for n in range(3)]) as server:
        assert [client.post(f"{server.url}/p?q", body).content for body in (b"", b"abc", LARGE)] == [b"0", b"1", b"2"]
        assert [one.partition(b"\r\n\r\n")[2] for one in server.requests] == [b"", b"abc", LARGE]
        assert server.requests[0].startswith(b"POST /p?q HTTP/1.1\r\n")
        assert server.connections == 1
        close(client)


def test_an_answer_that_is_packed_unasked_is_unpacked(client):
    with Server([sized(gzip.compress(LARGE), b"content-encoding: gzip\r\nX-Of-Ours: 1\r\n")]) as server:
        answer = client.post(server.url)
        assert (answer.status_code, answer.content, answer.headers["x-of-ours"]) == (200, LARGE, "1")
        close(client)


@pytest.mark.parametrize("kind", [BlockingDirectly, AwaitedDirectly])
def test_past_httpx_a_request_has_the_headers_that_it_has_with_it(kind):
    with Server([sized(b"")], [sized(b"")]) as server:
        for client in (
            kind(headers={"authorization": "Bearer x"}),
            kind.__base__(headers={"authorization": "Bearer x"}),
        ):
            client.post(f"{server.url}/path", b"abc")
            close(client)
        direct, usual = (set(one.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")) for one in server.requests)
        assert direct - usual == {b"x-of-this-one: yes"}
        assert usual - direct == set()


@pytest.mark.parametrize("kind", [BlockingDirectly, AwaitedDirectly])
def test_past_httpx_each_request_says_its_own_path_length_and_headers(kind):
    with Server(*[[sized(b"")] for _ in range(4)]) as server:
        client = kind()
        client.post(f"{server.url}/a", b"abc")
        client.post(f"{server.url}/b", b"")
        client.post(f"{server.url}/a", b"abcdefghijk")
        client.leave(f"{server.url}/a")
        heads = [one.partition(b"\r\n\r\n")[0].lower().split(b"\r\n") for one in server.requests]
        assert [head[0].split()[1] for head in heads] == [b"/a", b"/b", b"/a", b"/a"]
        lengths = [[line for line in head if line.startswith(b"content-length")] for head in heads]
        assert lengths == [[b"content-length: %d" % length] for length in (3, 0, 11, 0)]
        assert [b"x-of-this-one: yes" in head for head in heads] == [True, True, True, False]
        close(client)


@pytest.mark.parametrize("kind", [BlockingDirectly, AwaitedDirectly])
def test_a_password_in_the_url_is_sent_as_httpx_does(kind):
    with Server([sized(b"")]) as server:
        client = kind()
        client.post(server.url.replace("//", "//name:word@"))
        assert b"\r\nauthorization: basic bmftztp3b3jk" in server.requests[0].lower()
        close(client)


@pytest.mark.parametrize("answer", [sized(LARGE), chunked(LARGE[:7], LARGE[7:90_000], LARGE[90_000:])])
@pytest.mark.parametrize("space", [1_000_000, 100_000])
def test_a_body_is_read_into_memory_of_the_callers(client, answer, space):
    with Server([answer]) as server:
        found = client.read_into(server.url, [8] + [space] * (len(LARGE) // 1_000 + 2))
        assert b"".join(found) == LARGE
        assert found[-1] == b""
        close(client)


def test_a_body_that_httpx_carries_is_read_the_same_way():
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=iter([b"abc", b"", b"defg"])))
    with httpx.Client(transport=transport) as client, client.stream("POST", "http://box") as response:
        body, target = sync_http.Body(response), memoryview(bytearray(2))
        found = [bytes(target[: body.read_into(target)]) for _ in range(6)]
    assert found == [b"ab", b"c", b"de", b"fg", b"", b""]


@pytest.mark.parametrize(
    "answer",
    [
        [None],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", None],
        [chunked(b"abc")[:-5], None],
        [b"SSH-2.0\r\n\r\n"],
    ],
)
def test_an_answer_that_breaks_off_or_is_none_is_an_error(client, answer):
    with Server(answer, [sized(b"again")]) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(server.url)
        assert client.post(server.url).content == b"again"
        assert server.connections == 2
        close(client)


def test_a_server_that_refuses_while_it_is_sent_much_is_heard(client):
    refusal = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"

    def refuse():
        with listener.accept()[0] as connection:
            connection.recv(10)
            connection.sendall(refusal)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        response = client.post(f"http://127.0.0.1:{listener.getsockname()[1]}", LARGE * 4)
        close(client)
        thread.join()
    assert (response.status_code, response.content) == (413, b"no")


def test_a_connection_that_the_server_closed_is_not_used_again(client):
    with Server([sized(b"1"), None], [sized(b"2")]) as server:
        assert client.post(server.url).content == b"1"
        server.ended.acquire()
        assert client.post(server.url).content == b"2"
        assert server.connections == 2
        close(client)


def test_an_answer_that_is_left_unread_ends_its_connection(client):
    with Server([sized(b"a" * 10), None], [sized(b"2")]) as server:
        client.leave(server.url)
        assert client.post(server.url).content == b"2"
        assert server.connections == 2
        close(client)


def test_requests_beyond_the_most_connections_wait_for_one(open_client, monkeypatch):
    for world in (aio, sync):
        monkeypatch.setattr(world, "MAX_CONNECTIONS", 1)
    client = open_client(timeout=5)
    with Server(*[[sized(b"a")]] * 5) as server:
        with pytest.raises(httpx.ConnectError):
            client.post("http://no-such-host.invalid")
        client.leave(server.url)
        assert [answer.content for answer in client.post_together(server.url, 4)] == [b"a"] * 4
        assert server.connections == 2
        close(client)


def test_silence_is_an_error(open_client):
    client = open_client(timeout=httpx.Timeout(5, read=0.05))
    released = threading.Event()

    def keep_silent():
        with listener.accept()[0]:
            released.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=keep_silent)
        thread.start()
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"http://127.0.0.1:{listener.getsockname()[1]}")
        released.set()
        thread.join()


def test_nobody_there_is_an_error(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        client.post(f"http://127.0.0.1:{port}")
    with pytest.raises(httpx.ConnectError):
        client.post(f"http://no-such-host.invalid:{port}")


def test_a_header_with_a_line_break_is_refused(open_client):
    client = open_client(headers={"authorization": "Bearer a\nb"})
    with pytest.raises(httpx.LocalProtocolError):
        client.post("http://127.0.0.1:9")


def test_cancelling_ends_the_wait_and_closes_the_connection():
    client, accepted, ended = Awaited(timeout=5), threading.Event(), threading.Event()

    def serve():
        with listener.accept()[0] as connection:
            connection.recv(65_536)
            accepted.set()
            while connection.recv(65_536):
                pass
            ended.set()

    async def cancel(url):
        task = asyncio.ensure_future(client._client.post(url))
        await asyncio.to_thread(accepted.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client.run(cancel(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join()
    client.close()


def close(client) -> None:
    """Close a client before its server, which waits for that."""
    client.close()
    client.close = lambda: None
