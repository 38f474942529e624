"""A way to a server that does as told with every call: holds it back, doubles it, loses it, kills somebody."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

STOP_SECONDS = 300.0


class Gone(Exception):  # noqa: N818 - it is what happened
    """The side that should answer, or the one that asked, is not there any more."""


class Call:
    """One call on its way.

    Attributes:
        name: Its method, such as `Exchange`.
        number: How many of this method came before.
        body: The serialised request.
    """

    def __init__(self, proxy: Proxy, asking: socket.socket, head: bytes, body: bytes) -> None:
        self._proxy = proxy
        self._asking = asking
        self._head = head
        self.body = body
        self.name = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        self.number = proxy.count(self.name)

    def exchange(self) -> runners_pb2.ExchangeRequest:
        """Return it as what a runner asks."""
        assert self.name == "Exchange"
        return runners_pb2.ExchangeRequest.FromString(self.body)

    def forward(self) -> bytes:
        """Pass it on, and return the answer.

        Raises:
            Gone: There was none.
        """
        try:
            with socket.create_connection(self._proxy.server) as answering:
                answering.sendall(self._head + self.body)
                self._proxy.wait_for_either(answering, self._asking)
                head, body = read_message(answering)
        except OSError as error:
            raise Gone from error
        return head + body


class Proxy:
    """Listens, and lets a rule decide what becomes of each call.

    Args:
        port: Of the server, which may come and go.

    Attributes:
        url: Where to send calls instead.
        rule: A function of a `Call` that returns the answer, or None to hang up. By default it passes the call on.
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
        """Return when all is over: who waits for an answer waits in vain, over a connection that is open."""
        self._is_closed.wait()

    def wait_for_either(self, answering: socket.socket, asking: socket.socket) -> None:
        """Return once there is an answer.

        Raises:
            Gone: Who asked has hung up.
        """
        while not self._is_closed.is_set():
            readable, _, _ = select.select([answering, asking], [], [], 0.1)
            if answering in readable:
                return
            if asking in readable:
                raise Gone
        raise Gone

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(asking,), daemon=True).start()

    def _serve(self, asking: socket.socket) -> None:
        with asking, suppress(OSError, Gone):
            while not self._is_closed.is_set():
                head, body = read_message(asking)
                answer = self._decide(Call(self, asking, head, body))
                if answer is None:
                    # Without a farewell.
                    asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                asking.sendall(answer)

    def _decide(self, call: Call) -> bytes | None:
        try:
            return self.rule(call)
        except Gone:
            return None
        except BaseException as error:
            self.error = error
            raise


def read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a message of HTTP/1.1 that says how long it is, or where it ends; returns head and body.

    Raises:
        Gone: It never came, or not to its end.
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
        raise Gone
    return part


def answer_body(answer: bytes) -> runners_pb2.ExchangeResponse:
    """Return what an answer to `Exchange` says."""
    return runners_pb2.ExchangeResponse.FromString(answer.partition(b"\r\n\r\n")[2])
