"""The runner's way to the server: calls over a few kept connections, made by threads that wait.

A runner makes one small request after the other, so what a request costs is what a task costs. The HTTP
client of the rest of the package takes 0.3 ms of computing for each; a socket and what HTTP/1.1 needs of
parsing take 0.05 ms. Behind a proxy it is httpx after all. Imports little, since the companion process
lives on it.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 50.0  # servers and what stands before them close what is idle for a minute
# A connection that was idle for longer may have been closed by the server meanwhile.
CHECK_FROM_SECONDS = 0.5
MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 256 << 20
RECEIVE_BYTES = 65_536


class ChannelError(Exception):
    """No complete answer came."""


class Interrupted(ChannelError):  # noqa: N818 it is no error but what was asked for
    """The call was ended by `Ticket.interrupt`."""


class Answer:
    """What the server said: HTTP status, headers by lower-case name, and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Ticket:
    """A call under way, which another thread may interrupt."""

    __slots__ = ("_lock", "_pause", "_socket", "is_interrupted")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        # Made when it is needed, which is seldom: an event is dearer than all the rest here.
        self._pause: threading.Event | None = None
        self.is_interrupted = False
        """Whether the call was ended, or will not be made."""

    def interrupt(self) -> None:
        """End the call: whoever waits for it gets `Interrupted`."""
        with self._lock:
            self.is_interrupted = True
            if self._pause is not None:
                self._pause.set()
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Interrupted: The ticket was interrupted meanwhile, or before.
        """
        with self._lock:
            if self.is_interrupted:
                raise Interrupted
            if self._pause is None:
                self._pause = threading.Event()
        if self._pause.wait(seconds):
            raise Interrupted

    def attach(self, connected: socket.socket | None) -> None:
        """Note which connection the call is made over, or that it is over.

        Raises:
            Interrupted: The ticket was interrupted before.
        """
        with self._lock:
            if connected is not None and self.is_interrupted:
                raise Interrupted
            self._socket = connected


class Channel(Protocol):
    """A way to one server, shared by threads."""

    def post(self, path: str, body: bytes, *, seconds: float, ticket: Ticket | None = None) -> Answer:
        """Send a request and wait for the whole answer.

        Args:
            path: Service and method.
            body: The serialised message.
            seconds: Longest silence to bear.
            ticket: Lets another thread end the call.

        Raises:
            ChannelError: No complete answer came. The request may have reached the server.
            Interrupted: The ticket was interrupted.
        """

    def close(self) -> None:
        """Close what is open."""


def open_channel(url: str, headers: Mapping[str, str]) -> Channel:
    """Return a channel to a server; opens no connection yet.

    Args:
        url: Base URL.
        headers: Sent with every request.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    if (parts.scheme in proxies or "all" in proxies) and not proxy_bypass(parts.hostname or ""):
        return ProxiedChannel(url, headers)
    return SocketChannel(url, headers)


class SocketChannel:
    """HTTP/1.1 over sockets of one's own.

    Args:
        url: Base URL, http or https.
        headers: Sent with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._is_encrypted = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_encrypted else 80)
        self._prefix = parts.path
        fixed = {
            "host": parts.netloc,
            "content-type": "application/proto",
            "connect-protocol-version": "1",
            "accept-encoding": "identity",
            **headers,
        }
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._heads: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._tls: Any = None

    def post(self, path: str, body: bytes, *, seconds: float, ticket: Ticket | None = None) -> Answer:
        """Send a request and wait for the whole answer; see `Channel`."""
        request = b"%b%d\r\n\r\n%b" % (self._head(path), len(body), body)
        ticket = ticket or Ticket()
        connection = self._kept() or self._connect()
        return self._exchange(connection, request, seconds, ticket)

    def close(self) -> None:
        """Close the connections that are idle, and the others once their calls are over."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _head(self, path: str) -> bytes:
        head = self._heads.get(path)
        if head is None:
            head = f"POST {self._prefix}/{path} HTTP/1.1\r\n{self._headers}content-length: ".encode("latin-1")
            self._heads[path] = head
        return head

    def _kept(self) -> _Connection | None:
        now = monotonic()
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                idle = now - connection.used
                if idle < CHECK_FROM_SECONDS or (idle < IDLE_SECONDS and not connection.is_closed_by_peer()):
                    return connection
                connection.close()
        return None

    def _connect(self) -> _Connection:
        try:
            connected = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._is_encrypted:
                connected = self._encrypted(connected)
        except OSError as error:
            raise ChannelError(f"no connection to {self._host}:{self._port}: {error}") from None
        return _Connection(connected)

    def _encrypted(self, connected: socket.socket) -> socket.socket:
        if self._tls is None:
            self._tls = _tls_context()
        encrypted: socket.socket = self._tls.wrap_socket(connected, server_hostname=self._host)
        return encrypted

    def _exchange(self, connection: _Connection, request: bytes, seconds: float, ticket: Ticket) -> Answer:
        is_reusable = False
        try:
            ticket.attach(connection.socket)
            answer = connection.exchange(request, seconds)
            is_reusable = connection.is_reusable
        except (OSError, ChannelError) as error:
            if ticket.is_interrupted:
                raise Interrupted from None
            if isinstance(error, ChannelError):
                raise
            raise ChannelError(f"no complete answer from {self._host}:{self._port}: {error}") from None
        finally:
            ticket.attach(None)
            # Interrupted at the last moment, the answer is whole and the connection is not.
            self._give_back(connection, is_reusable=is_reusable and not ticket.is_interrupted)
        return answer

    def _give_back(self, connection: _Connection, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()


class ProxiedChannel:
    """The same over httpx, for what only it knows: proxies.

    Args:
        url: Base URL.
        headers: Sent with every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        import httpx

        self._url = url
        fixed = {"content-type": "application/proto", "connect-protocol-version": "1", **headers}
        self._client = httpx.Client(headers=fixed)

    def post(self, path: str, body: bytes, *, seconds: float, ticket: Ticket | None = None) -> Answer:
        """Send a request and wait for the whole answer; see `Channel`."""
        import httpx

        ticket = ticket or Ticket()
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            with self._client.stream("POST", f"{self._url}/{path}", content=body, timeout=timeout) as response:
                stream = response.extensions.get("network_stream")
                ticket.attach(None if stream is None else stream.get_extra_info("socket"))
                response.read()
        except httpx.HTTPError as error:
            if ticket.is_interrupted:
                raise Interrupted from None
            raise ChannelError(f"no complete answer from {self._url}: {error}") from None
        return Answer(response.status_code, response.headers, response.content)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class _Connection:
    """One socket, over which one request is under way at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.is_reusable = True
        self.used = monotonic()
        self._seconds: float | None = None
        self._buffer = b""

    def exchange(self, request: bytes, seconds: float) -> Answer:
        if self._seconds != seconds:
            self._seconds = seconds
            self.socket.settimeout(seconds)
        self.socket.sendall(request)
        answer = self._read()
        self.used = monotonic()
        return answer

    def is_closed_by_peer(self) -> bool:
        """Whether there is something to read, which while nothing was asked can only be the end."""
        try:
            readable, _, _ = select.select([self.socket], [], [], 0)
        except (OSError, ValueError):
            return True  # it is closed, or its number is too high for select
        return bool(readable)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.close()

    def _read(self) -> Answer:
        status, headers = self._read_head()
        while status < 200:
            status, headers = self._read_head()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = self._read_chunks()
        elif (length := headers.get("content-length")) is not None:
            body = self._take(int(length))
        else:
            body = self._take_all()
        self.is_reusable = self.is_reusable and headers.get("connection", "").lower() != "close" and not self._buffer
        return Answer(status, headers, body)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ChannelError("the answer does not look like HTTP: its head does not end")
            self._receive()
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ChannelError(f"the answer does not look like HTTP: {lines[0][:80]!r}")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if version == "HTTP/1.0" and headers.get("connection", "").lower() != "keep-alive":
            self.is_reusable = False
        return int(rest[:3]), headers

    def _read_chunks(self) -> bytes:
        chunks = []
        total = 0
        while size := int(self._take_line().partition(b";")[0], 16):
            total += size
            if total > MAX_BODY_BYTES:
                raise ChannelError("the answer is too large")
            chunks.append(self._take(size))
            self._take_line()
        while self._take_line():
            pass  # trailers
        return b"".join(chunks)

    def _take_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ChannelError("the answer does not look like HTTP: a line does not end")
            self._receive()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _take(self, size: int) -> bytes:
        if size > MAX_BODY_BYTES:
            raise ChannelError("the answer is too large")
        if len(self._buffer) < size:
            parts = [self._buffer]
            missing = size - len(self._buffer)
            while missing > 0:
                part = self.socket.recv(max(RECEIVE_BYTES, min(missing, 1 << 20)))
                if not part:
                    raise ChannelError("the answer was cut off")
                parts.append(part)
                missing -= len(part)
            self._buffer = b"".join(parts)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _take_all(self) -> bytes:
        self.is_reusable = False
        with suppress(_CutOffError):
            while len(self._buffer) <= MAX_BODY_BYTES:
                self._receive()
        return self._buffer

    def _receive(self) -> None:
        part = self.socket.recv(RECEIVE_BYTES)
        if not part:
            raise _CutOffError("the answer was cut off")
        self._buffer += part


class _CutOffError(ChannelError):
    """The connection ended."""


def _tls_context() -> Any:
    import ssl

    # As httpx does: what the environment names, else the authorities that come with certifi.
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        context = ssl.create_default_context(
            cafile=os.environ.get("SSL_CERT_FILE"), capath=os.environ.get("SSL_CERT_DIR")
        )
    else:
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
