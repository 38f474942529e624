"""The runner's HTTP: unary calls over `http.client`, made by threads that wait.

A runner makes one small request after another, so the cost of a request is the cost of a task: httpx takes
0.3 ms of processor time for each, `http.client` 0.09 ms. The heartbeat companion shares this module, so it imports
little. TLS and proxies are set up from the environment exactly as httpx does it for the clients.
"""

from __future__ import annotations

import base64
import os
import select
import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, RemoteDisconnected
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 50.0  # servers and load balancers close connections that are idle for a minute
MAX_BODY_BYTES = 256 << 20
DEFAULT_PORTS = {"http": 80, "https": 443}


class ChannelError(Exception):
    """No complete answer came."""


class ConnectionDroppedError(ChannelError):
    """The server closed a kept connection before it answered: it may not have seen the request."""


class TLSError(ChannelError):
    """The server's certificate is not trusted, or the server does not speak TLS."""


class CallCancelledError(ChannelError):
    """`CancelToken.cancel` ended the call."""


class Response:
    """What the server said: HTTP status, headers by lower-case name, and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class CancelToken:
    """A call in progress, which another thread may cancel."""

    __slots__ = ("_lock", "_socket", "_wakeup", "is_cancelled")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        # Created on demand: an event costs more than the rest of a token.
        self._wakeup: threading.Event | None = None
        self.is_cancelled = False
        """Whether the call was ended, or will not be made."""

    def cancel(self) -> None:
        """End the call: its thread gets `CallCancelledError`."""
        with self._lock:
            self.is_cancelled = True
            if self._wakeup is not None:
                self._wakeup.set()
            if self._socket is not None:
                with suppress(OSError):
                    # Not `SSLSocket.shutdown`, which drops the TLS state that the waiting thread is using.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            CallCancelledError: The token was cancelled, before or meanwhile.
        """
        with self._lock:
            if self.is_cancelled:
                raise CallCancelledError
            if self._wakeup is None:
                self._wakeup = threading.Event()
        if self._wakeup.wait(seconds):
            raise CallCancelledError

    def attach(self, connected: socket.socket | None) -> None:
        """Note the socket that the call uses, or None when the call has ended.

        Raises:
            CallCancelledError: The token was cancelled before.
        """
        with self._lock:
            if connected is not None and self.is_cancelled:
                raise CallCancelledError
            self._socket = connected


class Channel:
    """Calls of one server over kept connections. May be shared by threads.

    Args:
        url: Base URL, http or https.
        headers: Sent with every request.
        proxy: URL of an HTTP proxy, as `proxy_of` returns it.

    Raises:
        ValueError: The proxy is of a kind that is not supported.
    """

    def __init__(self, url: str, headers: Mapping[str, str], proxy: str | None = None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host, self._port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        self._prefix = parts.path
        self._headers = {
            "content-type": "application/proto",
            "connect-protocol-version": "1",
            # Answers are small, and the thread that unpacks one is the thread that executes tasks.
            "accept-encoding": "identity",
            **headers,
        }
        if credentials := _basic(parts.username, parts.password):
            self._headers["authorization"] = credentials
        self._dial_scheme, self._dial_host, self._dial_port = self._scheme, self._host, self._port
        self._tunnel_headers: dict[str, str] | None = None
        if proxy is not None:
            self._use_proxy(proxy, parts.netloc.rpartition("@")[2])
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._tls: ssl.SSLContext | None = None

    def post(self, path: str, body: bytes, *, seconds: float, cancel_token: CancelToken | None = None) -> Response:
        """Send a request and wait for the whole answer.

        Args:
            path: Service and method.
            body: The serialised message.
            seconds: How long the server may keep silent.
            cancel_token: Lets another thread end the call.

        Raises:
            ConnectionDroppedError: The server had closed the kept connection; the next call opens a new one.
            TLSError: The server's certificate is not trusted, or the server does not speak TLS.
            ChannelError: No complete answer came. The request may have reached the server.
            CallCancelledError: The token was cancelled.
        """
        cancel_token = cancel_token or CancelToken()
        kept = self._take_idle()
        connection = kept or self._connect()
        is_reusable = False
        try:
            cancel_token.attach(connection.sock)
            connection.sock.settimeout(seconds)
            response = connection.post(f"{self._prefix}/{path}", body, self._headers)
            content = _read(response)
            is_reusable = not response.will_close
        except (OSError, HTTPException, ChannelError) as error:
            if cancel_token.is_cancelled:
                raise CallCancelledError from None
            raise self._error(error, is_kept=kept is not None) from None
        finally:
            cancel_token.attach(None)
            # A token cancelled at the last moment leaves a whole answer and a broken connection.
            self._give_back(connection, is_reusable=is_reusable and not cancel_token.is_cancelled)
        return Response(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    def close(self) -> None:
        """Close the idle connections now, and the others when their calls end."""
        with self._lock:
            self._is_closed = True
        self._close_idle()

    def _use_proxy(self, proxy: str, target: str) -> None:
        parts = urlsplit(proxy)
        if parts.scheme not in DEFAULT_PORTS or (self._scheme == parts.scheme == "https"):
            raise ValueError(
                f"a runner cannot reach {self._scheme}://{target} through a proxy of the kind {parts.scheme}://; "
                "use an http:// proxy, or list the host in NO_PROXY"
            )
        self._dial_scheme, self._dial_host = parts.scheme, parts.hostname or ""
        self._dial_port = parts.port or DEFAULT_PORTS[parts.scheme]
        credentials = _basic(parts.username, parts.password)
        proxy_headers = {"proxy-authorization": credentials} if credentials else {}
        if self._scheme == "https":
            self._tunnel_headers = {"host": f"{target.partition(':')[0]}:{self._port}", **proxy_headers}
        else:
            self._prefix = f"http://{target}{self._prefix}"
            self._headers.update(proxy_headers)

    def _take_idle(self) -> _Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if monotonic() - connection.used < IDLE_SECONDS and not _is_readable(connection.sock):
                return connection
            connection.close()

    def _connect(self) -> _Connection:
        connection = self._new_connection()
        try:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except (OSError, HTTPException, UnicodeError) as error:
            connection.close()
            place = f"{self._dial_host}:{self._dial_port}"
            if isinstance(error, ssl.SSLCertVerificationError):
                message = f"the certificate of {place} is not trusted: {error.verify_message}"
                raise TLSError(f"{message}; SSL_CERT_FILE may name the authority that signed it") from None
            # A server that hangs up during the handshake may just be restarting.
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise TLSError(f"no TLS with {place}: {error}; does it expect http:// rather than https://?") from None
            raise ChannelError(f"no connection to {place}: {error}") from None
        return connection

    def _new_connection(self) -> _Connection:
        place = self._dial_host, self._dial_port
        if "https" not in (self._scheme, self._dial_scheme):
            return _Connection(*place, timeout=CONNECT_SECONDS)
        if self._tls is None:
            self._tls = _tls_context()
        connection = _TLSConnection(*place, timeout=CONNECT_SECONDS, context=self._tls)
        if self._tunnel_headers is not None:
            connection.set_tunnel(self._host, self._port, self._tunnel_headers)
        return connection

    def _error(self, error: Exception, *, is_kept: bool) -> ChannelError:
        if isinstance(error, ChannelError):
            return error
        message = f"no complete answer from {self._host}:{self._port}: {error or type(error).__name__}"
        # RemoteDisconnected: closed before the first byte. The other two: closed before the request was written.
        if is_kept and isinstance(error, (RemoteDisconnected, BrokenPipeError, ConnectionResetError)):
            self._close_idle()  # a server that closes one of them, closes all
            return ConnectionDroppedError(message)
        return ChannelError(message)

    def _give_back(self, connection: _Connection, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed:
                connection.used = monotonic()
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def proxy_of(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for a server, by the rules of httpx; None for none."""
    from urllib.request import getproxies  # imports too much for the companion, which is told its proxy

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    exempt = (entry.strip().lower() for entry in proxies.get("no", "").split(","))
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    if not proxy or any(_matches(entry, parts.scheme, host, port) for entry in exempt):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class _Connection(HTTPConnection):
    """Sends head and body of a request in one packet: two would wake the server twice (30 of 180 µs a call)."""

    used = 0.0
    _unsent: list[bytes] | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        unsent: list[bytes] = []
        self._unsent = unsent
        self.request("POST", url, body, headers)
        self._unsent = None
        self.send(b"".join(unsent))
        return self.getresponse()

    def send(self, data: Any) -> None:
        if self._unsent is None:
            super().send(data)
        else:
            self._unsent.append(data)


class _TLSConnection(_Connection, HTTPSConnection):
    pass


def _read(response: HTTPResponse) -> bytes:
    """Return the body of an answer, once it is clear where it ends."""
    if response.status < 200:
        raise ChannelError(f"an interim answer that nobody asked for: HTTP {response.status}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ChannelError("the answer is compressed, which was not asked for")
    lengths = {value.strip() for value in response.headers.get_all("content-length", [])}
    if len(lengths) > 1 or not all(value.isdecimal() for value in lengths):
        raise ChannelError(f"the answer has no clear length: {', '.join(sorted(lengths))[:80]}")
    if response.status == 200 and not lengths and not response.chunked:
        # http.client takes the end of the connection for the end of the head: this may be half of an answer.
        raise ChannelError("the answer does not say where it ends")
    if response.length is not None and response.length > MAX_BODY_BYTES:
        raise ChannelError("the answer is too large")
    # A body of known length is read without naming a size: only then http.client notices that it was cut off.
    content = response.read() if response.length is not None else response.read(MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        raise ChannelError("the answer is too large")
    return content


def _is_readable(connected: socket.socket) -> bool:
    """Tell whether there is something to read, which before a request can only be the end of the connection."""
    try:
        if not hasattr(select, "poll"):  # on Windows, where sockets of any number can be selected
            return bool(select.select([connected], [], [], 0)[0])
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True  # it is closed on this side


def _basic(username: str | None, password: str | None) -> str | None:
    if username is None:
        return None
    credentials = f"{unquote(username)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _matches(entry: str, scheme: str, host: str, port: int) -> bool:
    """Tell whether an entry of NO_PROXY is about a server."""
    if entry in ("", "*"):
        return entry == "*"
    parts = urlsplit(entry if "://" in entry else f"all://{entry}")
    name = parts.hostname or entry.strip("[]")
    if entry.count(":") > 1 and not entry.startswith("[") and "://" not in entry:
        return host == entry  # an IPv6 address
    if parts.scheme not in ("all", scheme) or (parts.port is not None and parts.port != port):
        return False
    is_exact = "://" in entry or name == "localhost" or name.replace(".", "").isdecimal()
    return host == name or (not is_exact and host.endswith("." + name.removeprefix(".")))


def _tls_context() -> ssl.SSLContext:
    """Return a context that trusts what httpx would trust."""
    if file := os.environ.get("SSL_CERT_FILE"):
        context = ssl.create_default_context(cafile=file)
    elif folder := os.environ.get("SSL_CERT_DIR"):
        context = ssl.create_default_context(capath=folder)
    else:
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
