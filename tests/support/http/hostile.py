"""A server on a real socket that responds with arbitrary bytes, for both clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

CLOSE = object()
"""A step of a response: close the connection."""
RESET = object()
"""A step of a response: reset the connection."""
SILENCE = object()
"""A step of a response: send nothing more until the client closes the connection."""


def sized(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a response with a content-length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """Return a chunked response, without the chunk that ends it."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


class HostileServer:
    """Sends `answer` in reply to every request; each connection has a thread.

    Args:
        answer: The first value of the attribute of this name.
        tls: Its certificate, for `localhost`; without one it speaks plain HTTP.

    Attributes:
        url: Where it listens.
        answer: Bytes to send, or one of the steps above, or several of these.
        requests: The requests so far, each with head and body.
        connections: How many connections there were.
        closed: Released whenever a connection is closed on this side.
    """

    def __init__(self, answer=b"", tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.add(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                self._answer_all(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._open.add(secured)
                    self._answer_all(secured)
        self._open.discard(connection)
        self.closed.release()

    def _answer_all(self, connection: socket.socket) -> None:
        while self._answer_one(connection):
            pass

    def _answer_one(self, connection: socket.socket) -> bool:
        request = _received(connection)
        if not request:
            return False
        self.requests.append(request)
        for step in [self.answer] if isinstance(self.answer, bytes) or type(self.answer) is object else self.answer:
            if step is CLOSE:
                return False
            if step is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return False
            if step is SILENCE:
                return bool(connection.recv(1))
            connection.sendall(step)
        return True


def _received(connection: socket.socket) -> bytes:
    """Return one request, or nothing at the end of the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(1 << 20)
    return head + b"\r\n\r\n" + body
