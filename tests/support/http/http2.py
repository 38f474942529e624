"""A server that speaks HTTP/2 over TLS and nothing else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events


class Http2Server:
    """Sends one body in reply to every request.

    Args:
        body: The body.
        tls: Its certificate, for `localhost`.

    Attributes:
        url: Where it listens.
        paths: What was asked for.
        connections: How many connections there were.
    """

    def __init__(self, body: bytes, tls: ssl.SSLContext) -> None:
        self._context = tls
        self._context.set_alpn_protocols(["h2"])
        self._body = body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.paths: list[str] = []
        self.connections = 0

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain, self._context.wrap_socket(plain, server_side=True) as connection:
            self._open.append(connection)
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            state.initiate_connection()
            connection.sendall(state.data_to_send())
            while received := connection.recv(65_536):
                for event in state.receive_data(received):
                    self._answer(state, event)
                connection.sendall(state.data_to_send())

    def _answer(self, state: h2.connection.H2Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.paths.append(dict(event.headers)[":path"])
        elif isinstance(event, h2.events.DataReceived):
            state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            state.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/proto")])
            state.send_data(event.stream_id, self._body, end_stream=True)
