"""A server on a real socket that answers with exactly the bytes that a test gives it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

from runner.exchange_server import WAIT_SECONDS


@dataclass
class ScriptedResponse:
    """One response: its bytes, and whether the server closes the connection afterwards."""

    content: bytes = b""
    closes: bool = False
    is_endless: bool = False


@dataclass
class Request:
    """One request: its first line, headers by lower-case name, body, and the number of its connection."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


def ok(body: bytes = b"", *headers: str) -> bytes:
    """Return a valid response."""
    lines = ["HTTP/1.1 200 OK", "content-type: application/proto", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class HostileServer:
    """A server that gives one scripted response to each request, and sends nothing after the last one.

    Args:
        answers: The responses, as bytes or as `ScriptedResponse`.
        tls: The TLS context of the server, or None for plain connections.
        greeting: The bytes to send before the first request.
    """

    def __init__(self, *answers: bytes | ScriptedResponse, tls=None, greeting: bytes = b"") -> None:
        self.answers = [one if isinstance(one, ScriptedResponse) else ScriptedResponse(one) for one in answers]
        self.tls = tls
        self.greeting = greeting
        self.changed = threading.Condition()
        self.asked: list[Request] = []
        self.connections = 0
        self.closed = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def wait_for(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_SECONDS), "it did not happen in time"

    def drop_all(self) -> None:
        """Close all connections from this side."""
        with self.changed:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self.wait_for(lambda: self.closed == self.connections)

    def stop(self) -> None:
        self._listening.close()
        with self.changed:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with self.changed:
            self.connections += 1
            number = self.connections
            self._open.append(connected)
            self.changed.notify_all()
        try:
            if self.tls is not None:
                connected = self.tls.wrap_socket(connected, server_side=True)
                with self.changed:
                    self._open.append(connected)
            connected.sendall(self.greeting)
            self._talk(connected, number)
        except (OSError, ValueError):
            pass  # clients that go away are what is tried here
        finally:
            connected.close()
            with self.changed:
                self.closed += 1
                self.changed.notify_all()

    def _talk(self, connected: socket.socket, number: int) -> None:
        with connected.makefile("rb") as stream:
            while line := stream.readline():
                headers = {}
                while (header := stream.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                with self.changed:
                    self.asked.append(Request(line.decode().strip(), headers, body, number))
                    said = self.answers.pop(0) if self.answers else ScriptedResponse()
                    self.changed.notify_all()
                connected.sendall(said.content)
                while said.is_endless:
                    connected.sendall(said.content)
                if said.closes:
                    return
