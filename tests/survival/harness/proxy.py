"""A proxy that applies a rule to every call: it can delay, duplicate or drop the call, or kill a process."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

STOP_SECONDS = 300.0


class ConnectionLost(Exception):  # noqa: N818 - an event of the scenario rather than an error
    """The server or the client closed its connection."""


class Call:
    """A call that passes the proxy.

    Attributes:
        name: Name of the method, such as `Exchange`.
        number: Number of earlier calls of this method.
        body: The serialised request.
    """

    def __init__(self, proxy: Proxy, client: socket.socket, head: bytes, body: bytes) -> None:
        self._proxy = proxy
        self._client = client
        self._head = head
        self.body = body
        self.name = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        self.number = proxy.count(self.name)

    def exchange(self) -> runners_pb2.ExchangeRequest:
        """Parse the request of an `Exchange`."""
        assert self.name == "Exchange"
        return runners_pb2.ExchangeRequest.FromString(self.body)

    def forward(self) -> bytes:
        """Forward the call to the server, and return the response.

        Raises:
            ConnectionLost: There was no complete response.
        """
        try:
            with socket.create_connection(self._proxy.server) as upstream:
                upstream.sendall(self._head + self.body)
                self._proxy.wait_for_either(upstream, self._client)
                head, body = read_message(upstream)
        except OSError as error:
            raise ConnectionLost from error
        return head + body


class Proxy:
    """A proxy that handles each call by a rule.

    Args:
        port: Port of the server, which may stop and restart.

    Attributes:
        url: URL of the proxy.
        rule: A function of a `Call` that returns the response, or None to reset the connection; forwards by default.
    """

    def __init__(self, port: int) -> None:
        self.server = ("127.0.0.1", port)
        self.rule = Call.forward
        self.error: BaseException | None = None
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(STOP_SECONDS)
        if self.error is not None:
            raise self.error

    def count(self, name: str) -> int:
        with self._lock:
            self._counts[name] += 1
            return self._counts[name] - 1

    def hold(self) -> None:
        """Block until the proxy closes, so that the client waits over an open connection without a response."""
        self._is_closed.wait()

    def wait_for_either(self, upstream: socket.socket, client: socket.socket) -> None:
        """Wait for the response.

        Raises:
            ConnectionLost: The client disconnected first.
        """
        while not self._is_closed.is_set():
            readable, _, _ = select.select([upstream, client], [], [], 0.1)
            if upstream in readable:
                return
            if client in readable:
                raise ConnectionLost
        raise ConnectionLost

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, ConnectionLost):
            while not self._is_closed.is_set():
                head, body = read_message(client)
                answer = self._decide(Call(self, client, head, body))
                if answer is None:
                    # A reset rather than an orderly close.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                client.sendall(answer)

    def _decide(self, call: Call) -> bytes | None:
        try:
            return self.rule(call)
        except ConnectionLost:
            return None
        except BaseException as error:
            self.error = error
            raise


def read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read an HTTP/1.1 message with a content-length or in chunks, and return its head and body.

    Raises:
        ConnectionLost: The connection closed before the end of the message.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while not body.endswith(b"0\r\n\r\n"):
            body += _receive(connection)
    length = int(fields.get(b"content-length", b"0"))
    while len(body) < length:
        body += _receive(connection)
    return head + b"\r\n\r\n", body


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(1 << 16)
    if not part:
        raise ConnectionLost
    return part


def answer_body(answer: bytes) -> runners_pb2.ExchangeResponse:
    """Parse the response of an `Exchange`."""
    return runners_pb2.ExchangeResponse.FromString(answer.partition(b"\r\n\r\n")[2])
