"""HTTP/1.1 over sockets that the running loop waits for."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx

from tilebox._core.http1 import BUFFER_BYTES, BadAnswerError, Head, Incoming
from tilebox._io.sockets.requests import PostHeads, head_of, reply_of, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from tilebox._core.http1 import Reply

__all__ = ["SocketTransport"]

# Servers and what stands before them close what is idle for a minute.
IDLE_SECONDS = 50.0
MAX_CONNECTIONS = 100
"""How many requests are under way at once; more of them wait, for a process may open only so many sockets."""

# What is smaller is sent with the head, in one packet where it fits.
_JOINED_BYTES = 65_536
_PIECE_BYTES = 1 << 20


class SocketTransport(httpx.AsyncBaseTransport):
    """A transport for httpx's client: http:// only, without proxies. Belongs to one loop.

    The body of its answers can also be read into memory of the caller's, see `Answer.read_into`.
    """

    def __init__(self) -> None:
        self._heads = PostHeads()
        self._idle: dict[tuple[str, int], list[_Connection]] = {}
        self._used: set[_Connection] = set()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer as soon as the head is there."""
        head = head_of(request.method, request.url, request.headers.raw)
        body = await request.aread()
        return await self._answer(request.url, head, body, request.extensions.get("timeout", {}))

    async def open(
        self, address: str, body: bytes, headers: Mapping[str, str], timeouts: dict[str, Any]
    ) -> httpx.Response:
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
        return await self._answer(url_of(address), head, body, timeouts)

    async def post(self, address: str, body: bytes, headers: Mapping[str, str], timeouts: dict[str, Any]) -> Reply:
        """Send a POST as `open` does, and return the whole answer."""
        head = self._heads.of(address, body, headers)
        connection, answer = await self._exchange(url_of(address), head, body, timeouts)
        content = connection.incoming.rest()
        if content is not None:
            self._give_back(connection, is_reusable=connection.incoming.is_reusable)
            return reply_of(answer, content)
        stream = Answer(connection, self._give_back)
        try:
            content = b"".join([piece async for piece in stream])
        finally:
            await stream.aclose()
        return reply_of(answer, content)

    async def aclose(self) -> None:
        """Close all connections."""
        connections = [*self._used, *(one for kept in self._idle.values() for one in kept)]
        self._idle.clear()
        self._used.clear()
        for connection in connections:
            connection.close()

    async def _answer(self, url: httpx.URL, head: bytes, body: bytes, timeouts: dict[str, Any]) -> httpx.Response:
        connection, answer = await self._exchange(url, head, body, timeouts)
        stream = Answer(connection, self._give_back)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=stream,
            extensions={"http_version": b"HTTP/1.1", "network_stream": connection, "answer": stream},
        )

    async def _exchange(
        self, url: httpx.URL, head: bytes, body: bytes, timeouts: dict[str, Any]
    ) -> tuple[_Connection, Head]:
        connection = await self._connected(url, timeouts.get("connect"))
        try:
            return connection, await connection.exchange(head, body, timeouts)
        except BaseException:
            self._give_back(connection, is_reusable=False)
            raise

    async def _connected(self, url: httpx.URL, seconds: float | None) -> _Connection:
        place = url.host, url.port or 80
        await self._room.acquire()
        try:
            connection = self._kept(place) or await _connect(place, seconds)
        except BaseException:
            self._room.release()
            raise
        self._used.add(connection)
        return connection

    def _kept(self, place: tuple[str, int]) -> _Connection | None:
        kept = self._idle.get(place, [])
        while kept:
            connection = kept.pop()
            if connection.is_alive():
                return connection
            connection.close()
        return None

    def _give_back(self, connection: _Connection, *, is_reusable: bool) -> None:
        self._room.release()
        # What `aclose` has taken out meanwhile is closed.
        is_kept = is_reusable and connection in self._used
        self._used.discard(connection)
        if is_kept:
            connection.idle_since = monotonic()
            self._idle.setdefault(connection.place, []).append(connection)
        else:
            connection.close()


class Answer(httpx.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, connection: _Connection, give_back: Callable[..., None]) -> None:
        self._connection = connection
        self._give_back: Callable[..., None] | None = give_back

    async def read_into(self, space: memoryview) -> int:
        """Read some bytes, at most as many as there is space, and return how many; 0 at the end."""
        return await self._connection.read_into(space)

    async def aclose(self) -> None:
        """Let the connection go, to be used again if the body was read to its end."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self._connection, is_reusable=self._connection.incoming.is_reusable)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            piece = bytearray(min(max(self._connection.incoming.left, BUFFER_BYTES), _PIECE_BYTES))
            count = await self.read_into(memoryview(piece))
            if count == 0:
                return
            yield bytes(memoryview(piece)[:count])


class _Connection:
    """One socket, over which one request is under way at a time."""

    def __init__(self, place: tuple[str, int], connected: socket.socket) -> None:
        self.place = place
        self.incoming = Incoming()
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._silence_seconds: float | None = None
        self._is_waiting = False
        self.idle_since = monotonic()

    async def exchange(self, head: bytes, body: bytes, timeouts: dict[str, Any]) -> Head:
        failure = None
        pieces = [head + body] if len(body) <= _JOINED_BYTES else [head, body]
        try:
            async with asyncio.timeout(timeouts.get("write")):
                with self._waiting():
                    for piece in pieces:
                        await self._loop.sock_sendall(self._socket, piece)
        except TimeoutError as error:
            raise httpx.WriteTimeout("the server takes no more of the request") from error
        except OSError as error:
            failure = error  # a server that refuses a request may close before it has read all of it
        self._silence_seconds = timeouts.get("read")
        try:
            return await self._head()
        except httpx.TransportError:
            if failure is not None:
                raise httpx.WriteError(str(failure)) from failure
            raise

    async def read_into(self, space: memoryview) -> int:
        try:
            while (taken := self.incoming.take(space)) is None:
                taken = await self._receive(self.incoming.room(space))
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
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # while nothing is asked, something to read can only be the end

    def close(self) -> None:
        with suppress(OSError):
            if self._is_waiting:
                # The loop watches the socket still: whoever waits sees the end, and then closes it.
                self._socket.shutdown(socket.SHUT_RDWR)
            else:
                self._socket.close()

    def get_extra_info(self, name: str) -> Any:
        """Return the socket, as network streams of httpx do."""
        return self._socket if name == "socket" else None

    async def _head(self) -> Head:
        try:
            while (head := self.incoming.head()) is None:
                await self._receive(self.incoming.room())
        except BadAnswerError as error:
            raise httpx.RemoteProtocolError(str(error)) from None
        return head

    async def _receive(self, space: memoryview) -> int | None:
        try:
            async with asyncio.timeout(self._silence_seconds):
                with self._waiting():
                    count = await self._loop.sock_recv_into(self._socket, space)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the server keeps silent") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if count >= BUFFER_BYTES:
            await asyncio.sleep(0)  # bytes that are there already would keep the loop from everything else
        return self.incoming.arrived(count)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False


async def _connect(place: tuple[str, int], seconds: float | None) -> _Connection:
    try:
        async with asyncio.timeout(seconds):
            connected = await _first_that_answers(place)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time") from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Connection(place, connected)


async def _first_that_answers(place: tuple[str, int]) -> socket.socket:
    """Connect to one of the addresses that a name stands for, as `socket.create_connection` does."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"{place[0]} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(*place, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        connected.setblocking(False)
        try:
            await loop.sock_connect(connected, address)
        except OSError as error:
            connected.close()
            failure = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failure
