"""The HTTP channel of the runner: blocking unary calls over `http.client`.

A runner makes one small request after another, so the cost of a request is the cost of a task: httpx takes
0.3 ms of processor time for each, `http.client` 0.09 ms. The heartbeat process uses this module too, so it imports
little. TLS and proxies are configured from the environment exactly as httpx does for the clients.
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
    """A call got no complete response."""


class ConnectionDroppedError(ChannelError):
    """The server closed a reused connection before it answered, so it may not have seen the request."""


class TLSError(ChannelError):
    """The server's certificate is not trusted, or the server does not speak TLS."""


class CallCancelledError(ChannelError):
    """`CancelToken.cancel` cancelled the call."""


class Response:
    """An HTTP response: status, headers by lower-case name, and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class CancelToken:
    """A handle with which another thread can cancel a call in progress."""

    __slots__ = ("_lock", "_socket", "_wakeup", "is_cancelled")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        # Created on demand: an event costs more than the rest of a token.
        self._wakeup: threading.Event | None = None
        self.is_cancelled = False
        """Whether the call was cancelled; if it has not started, it will not be made."""

    def cancel(self) -> None:
        """Cancel the call; its thread gets `CallCancelledError`."""
        with self._lock:
            self.is_cancelled = True
            if self._wakeup is not None:
                self._wakeup.set()
            if self._socket is not None:
                with suppress(OSError):
                    # Not `SSLSocket.shutdown`, which drops the TLS state that the waiting thread is using.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or the token is cancelled.

        Raises:
            CallCancelledError: The token was cancelled, before the call or during it.
        """
        with self._lock:
            if self.is_cancelled:
                raise CallCancelledError
            if self._wakeup is None:
                self._wakeup = threading.Event()
        if self._wakeup.wait(seconds):
            raise CallCancelledError

    def attach(self, connected: socket.socket | None) -> None:
        """Set the socket that `cancel` shuts down, or None when the call has ended.

        Raises:
            CallCancelledError: The token was cancelled before the call.
        """
        with self._lock:
            if connected is not None and self.is_cancelled:
                raise CallCancelledError
            self._socket = connected


class Channel:
    """A pool of connections to one server, safe to share between threads.

    Args:
        url: Base URL, http or https.
        headers: Headers to send with every request.
        proxy: URL of an HTTP proxy, as `proxy_of` returns it.

    Raises:
        ValueError: This kind of proxy is not supported.
    """

    def __init__(self, url: str, headers: Mapping[str, str], proxy: str | None = None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host, self._port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        self._prefix = parts.path
        self._headers = {
            "content-type": "application/proto",
            "connect-protocol-version": "1",
            # Responses are small, and the thread that would decompress them is the one that executes tasks.
            "accept-encoding": "identity",
            **headers,
        }
        if credentials := _basic_auth(parts.username, parts.password):
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
        """Send a request and wait for the complete response.

        Args:
            path: The service and method.
            body: The serialised message.
            seconds: The read timeout: the longest time without a byte from the server.
            cancel_token: A token with which another thread can cancel the call.

        Raises:
            ConnectionDroppedError: The server had closed the reused connection; the next call opens a new one.
            TLSError: The server's certificate is not trusted, or the server does not speak TLS.
            ChannelError: There was no complete response. The request may have reached the server.
            CallCancelledError: The token was cancelled.
        """
        cancel_token = cancel_token or CancelToken()
        reused = self._take_idle()
        connection = reused or self._connect()
        is_reusable = False
        try:
            cancel_token.attach(connection.sock)
            connection.sock.settimeout(seconds)
            response = connection.post(f"{self._prefix}/{path}", body, self._headers)
            content = _read_body(response)
            is_reusable = not response.will_close
        except (OSError, HTTPException, ChannelError) as error:
            if cancel_token.is_cancelled:
                raise CallCancelledError from None
            raise self._channel_error(error, was_reused=reused is not None) from None
        finally:
            cancel_token.attach(None)
            # A token cancelled at the last moment leaves a complete response and a broken connection.
            self._release(connection, is_reusable=is_reusable and not cancel_token.is_cancelled)
        return Response(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    def close(self) -> None:
        """Close idle connections now, and the others when their calls end."""
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
        credentials = _basic_auth(parts.username, parts.password)
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
            if monotonic() - connection.last_used < IDLE_SECONDS and not _is_readable(connection.sock):
                return connection
            connection.close()

    def _connect(self) -> _Connection:
        connection = self._new_connection()
        try:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except (OSError, HTTPException, UnicodeError) as error:
            connection.close()
            address = f"{self._dial_host}:{self._dial_port}"
            if isinstance(error, ssl.SSLCertVerificationError):
                message = f"the certificate of {address} is not trusted: {error.verify_message}"
                raise TLSError(
                    f"{message}; if a private authority signed it, set SSL_CERT_FILE to its certificate"
                ) from None
            # A server that hangs up during the handshake may just be restarting.
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise TLSError(
                    f"no TLS with {address}: {error}; if the server expects plain HTTP, use http://"
                ) from None
            raise ChannelError(f"no connection to {address}: {error}") from None
        return connection

    def _new_connection(self) -> _Connection:
        address = self._dial_host, self._dial_port
        if "https" not in (self._scheme, self._dial_scheme):
            return _Connection(*address, timeout=CONNECT_SECONDS)
        if self._tls is None:
            self._tls = _tls_context()
        connection = _TLSConnection(*address, timeout=CONNECT_SECONDS, context=self._tls)
        if self._tunnel_headers is not None:
            connection.set_tunnel(self._host, self._port, self._tunnel_headers)
        return connection

    def _channel_error(self, error: Exception, *, was_reused: bool) -> ChannelError:
        if isinstance(error, ChannelError):
            return error
        message = f"no complete response from {self._host}:{self._port}: {error or type(error).__name__}"
        # RemoteDisconnected: closed before the first byte. The other two: closed before the request was written.
        if was_reused and isinstance(error, (RemoteDisconnected, BrokenPipeError, ConnectionResetError)):
            self._close_idle()  # a server that closed one of them has probably restarted and closed all
            return ConnectionDroppedError(message)
        return ChannelError(message)

    def _release(self, connection: _Connection, *, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed:
                connection.last_used = monotonic()
                self._idle.append(connection)
                return
        connection.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def proxy_of(url: str) -> str | None:
    """Return the URL of the proxy that the environment sets for a server, or None, by the rules of httpx."""
    # Imported here because it is large: the heartbeat process gets the proxy from the runner instead.
    from urllib.request import getproxies

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    exempt = (entry.strip().lower() for entry in proxies.get("no", "").split(","))
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    if not proxy or any(_is_exempt(entry, parts.scheme, host, port) for entry in exempt):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class _Connection(HTTPConnection):
    """A connection that sends the head and body of a request in one packet.

    Two packets would wake the server twice, which costs 30 of 180 µs a call.
    """

    last_used = 0.0
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


def _read_body(response: HTTPResponse) -> bytes:
    """Read the body of a response, after checking that its end is unambiguous."""
    if response.status < 200:
        raise ChannelError(f"unexpected interim response: HTTP {response.status}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ChannelError("the response is compressed, although the request did not allow it")
    lengths = {value.strip() for value in response.headers.get_all("content-length", [])}
    if len(lengths) > 1 or not all(value.isdecimal() for value in lengths):
        raise ChannelError(f"the response has an ambiguous content-length: {', '.join(sorted(lengths))[:80]}")
    if response.status == 200 and not lengths and not response.chunked:
        # http.client also ends the head where the connection ends, so the response may have been cut off.
        raise ChannelError("the response has neither a content-length nor chunked encoding")
    if response.length is not None and response.length > MAX_BODY_BYTES:
        raise ChannelError(f"the response is too large: more than {MAX_BODY_BYTES} bytes")
    # http.client detects a truncated body of known length only if it is read without a size.
    content = response.read() if response.length is not None else response.read(MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        raise ChannelError(f"the response is too large: more than {MAX_BODY_BYTES} bytes")
    return content


def _is_readable(connected: socket.socket) -> bool:
    """Return whether a socket is readable, which on an idle connection means that the server closed it."""
    try:
        if not hasattr(select, "poll"):  # on Windows, where select has no limit on descriptor numbers
            return bool(select.select([connected], [], [], 0)[0])
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True  # this side has closed it


def _basic_auth(username: str | None, password: str | None) -> str | None:
    if username is None:
        return None
    credentials = f"{unquote(username)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def _is_exempt(entry: str, scheme: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY applies to a server."""
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
    """Return a context that trusts the same certificates as httpx."""
    if file := os.environ.get("SSL_CERT_FILE"):
        context = ssl.create_default_context(cafile=file)
    elif folder := os.environ.get("SSL_CERT_DIR"):
        context = ssl.create_default_context(capath=folder)
    else:
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
