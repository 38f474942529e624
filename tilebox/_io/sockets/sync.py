"""HTTP/1.1 over sockets that block."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx

from tilebox._core.http1 import BUFFER_BYTES, BadAnswerError, Head, Incoming
from tilebox._io.sockets.requests import PostHeads, head_of, reply_of, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tilebox._core.http1 import Reply

__all__ = ["SocketTransport"]

# Servers and what stands before them close what is idle for a minute.
IDLE_SECONDS = 50.0
MAX_CONNECTIONS = 100
"""How many requests are under way at once; more of them wait, for a process may open only so many sockets."""

# What is smaller is sent with the head, in one packet where it fits.
_JOINED_BYTES = 65_536
_PIECE_BYTES = 1 << 20


class SocketTransport(httpx.BaseTransport):
    """A transport for httpx's client: http:// only, without proxies. May be shared by threads.

    The body of its answers can also be read into memory of the caller's, see `Answer.read_into`.
    """

    def __init__(self) -> None:
        self._heads = PostHeads()
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, int], list[_Connection]] = {}
        self._used: set[_Connection] = set()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer as soon as the head is there."""
        head = head_of(request.method, request.url, request.headers.raw)
        body = request.read()
        return self._answer(request.url, head, body, request.extensions.get("timeout", {}))

    def open(self, address: str, body: bytes, headers: Mapping[str, str], timeouts: dict[str, Any]) -> httpx.Response:
        """Send a POST without httpx, which takes as long to prepare a small request as a server to answer it.

        Args:
            address: The URL.
            body: What to send.
            headers: Other than those that every request has.
            timeouts: Seconds for `connect`, `read` and `write`, each None for any.

        Returns:
            The answer as soon as its head is there, to be closed by the caller.
        """
        head = self._heads.of(address, body, headers)
        return self._answer(url_of(address), head, body, timeouts)

    def post(self, address: str, body: bytes, headers: Mapping[str, str], timeouts: dict[str, Any]) -> Reply:
        """Send a POST as `open` does, and return the whole answer."""
        head = self._heads.of(address, body, headers)
        connection, answer = self._exchange(url_of(address), head, body, timeouts)
        content = connection.incoming.rest()
        if content is not None:
            self._give_back(connection, is_reusable=connection.incoming.is_reusable)
            return reply_of(answer, content)
        stream = Answer(connection, self._give_back)
        try:
            content = b"".join(stream)
        finally:
            stream.close()
        return reply_of(answer, content)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            connections = [*self._used, *(one for kept in self._idle.values() for one in kept)]
            self._idle.clear()
            self._used.clear()
        for connection in connections:
            connection.close()

    def _answer(self, url: httpx.URL, head: bytes, body: bytes, timeouts: dict[str, Any]) -> httpx.Response:
        connection, answer = self._exchange(url, head, body, timeouts)
        stream = Answer(connection, self._give_back)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=stream,
            extensions={"http_version": b"HTTP/1.1", "network_stream": connection, "answer": stream},
        )

    def _exchange(self, url: httpx.URL, head: bytes, body: bytes, timeouts: dict[str, Any]) -> tuple[_Connection, Head]:
        connection = self._connected(url, timeouts.get("connect"))
        try:
            return connection, connection.exchange(head, body, timeouts)
        except BaseException:
            self._give_back(connection, is_reusable=False)
            raise

    def _connected(self, url: httpx.URL, seconds: float | None) -> _Connection:
        place = url.host, url.port or 80
        self._room.acquire()
        try:
            connection = self._kept(place) or _connect(place, seconds)
        except BaseException:
            self._room.release()
            raise
        with self._lock:
            self._used.add(connection)
        return connection

    def _kept(self, place: tuple[str, int]) -> _Connection | None:
        while True:
            with self._lock:
                kept = self._idle.get(place)
                connection = kept.pop() if kept else None
            if connection is None or connection.is_alive():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection, *, is_reusable: bool) -> None:
        self._room.release()
        with self._lock:
            # What `close` has taken out meanwhile is closed.
            is_kept = is_reusable and connection in self._used
            self._used.discard(connection)
            if is_kept:
                connection.idle_since = monotonic()
                self._idle.setdefault(connection.place, []).append(connection)
        if not is_kept:
            connection.close()


class Answer(httpx.SyncByteStream):
    """The body of an answer."""

    def __init__(self, connection: _Connection, give_back: Callable[..., None]) -> None:
        self._connection = connection
        self._give_back: Callable[..., None] | None = give_back

    def read_into(self, space: memoryview) -> int:
        """Read some bytes, at most as many as there is space, and return how many; 0 at the end."""
        return self._connection.read_into(space)

    def close(self) -> None:
        """Let the connection go, to be used again if the body was read to its end."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self._connection, is_reusable=self._connection.incoming.is_reusable)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            piece = bytearray(min(max(self._connection.incoming.left, BUFFER_BYTES), _PIECE_BYTES))
            count = self.read_into(memoryview(piece))
            if count == 0:
                return
            yield bytes(memoryview(piece)[:count])


class _Connection:
    """One socket, over which one request is under way at a time."""

    def __init__(self, place: tuple[str, int], connected: socket.socket) -> None:
        self.place = place
        self.incoming = Incoming()
        self._socket = connected
        self._silence_seconds = connected.gettimeout()
        self.idle_since = monotonic()

    def exchange(self, head: bytes, body: bytes, timeouts: dict[str, Any]) -> Head:
        failure = None
        pieces = [head + body] if len(body) <= _JOINED_BYTES else [head, body]
        try:
            self._bear_silence(timeouts.get("write"))
            for piece in pieces:
                self._socket.sendall(piece)
        except TimeoutError as error:
            raise httpx.WriteTimeout("the server takes no more of the request") from error
        except OSError as error:
            failure = error  # a server that refuses a request may close before it has read all of it
        self._bear_silence(timeouts.get("read"))
        try:
            return self._head()
        except httpx.TransportError:
            if failure is not None:
                raise httpx.WriteError(str(failure)) from failure
            raise

    def read_into(self, space: memoryview) -> int:
        try:
            while (taken := self.incoming.take(space)) is None:
                taken = self._receive(self.incoming.room(space))
                if taken is not None:
                    break
        except BadAnswerError as error:
            raise httpx.RemoteProtocolError(str(error)) from None
        return taken

    def is_alive(self) -> bool:
        """Whether it can be used again: not idle for long, nor closed by the server."""
        if monotonic() - self.idle_since > IDLE_SECONDS:
            return False
        try:
            # While nothing is asked, something to read can only be the end.
            return not _is_readable(self._socket)
        except (OSError, ValueError):  # it is closed
            return False

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for more
        self._socket.close()

    def get_extra_info(self, name: str) -> Any:
        """Return the socket, as network streams of httpx do."""
        return self._socket if name == "socket" else None

    def _bear_silence(self, seconds: float | None) -> None:
        if seconds != self._silence_seconds:  # it takes a call of the system
            self._socket.settimeout(seconds)
            self._silence_seconds = seconds

    def _head(self) -> Head:
        try:
            while (head := self.incoming.head()) is None:
                self._receive(self.incoming.room())
        except BadAnswerError as error:
            raise httpx.RemoteProtocolError(str(error)) from None
        return head

    def _receive(self, space: memoryview) -> int | None:
        try:
            count = self._socket.recv_into(space)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the server keeps silent") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        return self.incoming.arrived(count)


def _is_readable(connected: socket.socket) -> bool:
    if not hasattr(select, "poll"):  # on Windows, where sockets of any number can be selected
        return bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _connect(place: tuple[str, int], seconds: float | None) -> _Connection:
    try:
        connected = socket.create_connection(place, seconds)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time") from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Connection(place, connected)
