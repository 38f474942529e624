"""A TCP link with the faults of a bad network: latency, packet loss, one-way cuts, half-open and torn connections.

It replaces `tc netem`, a kernel module that is not always available. It models packet loss as programs see it through
TCP: all later data waits for the retransmission, first for 200 ms, then twice as long each time.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress

PACKET_BYTES = 1460
RESEND_SECONDS = 0.2
THERE, BACK = "there", "back"


class Link:
    """Forwards connections to a server, with faults.

    Args:
        port: Port of the server.
        seed: Seed of the random faults.

    Attributes:
        url: URL of the link.
        delay_seconds: Latency of each direction.
        loss: Fraction of lost packets.
        tears: Number of further connections to reset in the middle of their data.
        torn: Number of connections reset so far.
        carried: Number of bytes delivered, by direction.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self._server = ("127.0.0.1", port)
        self.delay_seconds = 0.0
        self.loss = 0.0
        self.tears = 0
        self.torn = 0
        self.carried: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._is_open = {THERE: threading.Event(), BACK: threading.Event()}
        self._sockets: list[socket.socket] = []
        self.heal()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_closed.set()
        self.heal()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def cut(self, *directions: str) -> None:
        """Drop all data in some directions. Connections stay open, and senders get no error."""
        for direction in directions:
            self._is_open[direction].clear()

    def heal(self) -> None:
        """Deliver data again in both directions, held data first."""
        for event in self._is_open.values():
            event.set()

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError):
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        upstream = socket.create_connection(self._server)
        for end in (client, upstream):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets += [client, upstream]
            torn = self._tear()
        for source, target, direction in ((client, upstream, THERE), (upstream, client, BACK)):
            limit = torn[1] if torn and torn[0] == direction else None
            threading.Thread(target=self._carry, args=(source, target, direction, limit), daemon=True).start()

    def _tear(self) -> tuple[str, int] | None:
        """Return the direction and the number of bytes after which a new connection is reset, or None."""
        if self.tears <= 0:
            return None
        self.tears -= 1
        return self._random.choice([THERE, BACK]), self._random.randint(1, 1200)

    def _carry(self, source, target, direction, left) -> None:
        """Forward one direction of a connection. Delayed data fills the socket buffers, as in a network."""
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._travel(direction, len(data))
                if left is not None and len(data) >= left:
                    target.sendall(data[:left])
                    self._tear_off(source, target)
                    return
                left = None if left is None else left - len(data)
                target.sendall(data)
                with self._lock:
                    self.carried[direction] += len(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _travel(self, direction: str, size: int) -> None:
        seconds = self.delay_seconds
        for _ in range(0, size, PACKET_BYTES):
            pause = RESEND_SECONDS
            while self._is_lost():
                seconds, pause = seconds + pause, 2 * pause
        until = time.monotonic() + seconds
        self._is_closed.wait(max(0.0, until - time.monotonic()))
        self._is_open[direction].wait()

    def _is_lost(self) -> bool:
        with self._lock:
            return self._random.random() < self.loss

    def _tear_off(self, *ends: socket.socket) -> None:
        with self._lock:
            self.torn += 1
        for end in ends:
            # A reset in the middle of a message.
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)
            end.close()
