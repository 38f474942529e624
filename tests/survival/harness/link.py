"""A way to a server that carries bytes as a bad network does: late, with losses, in one direction, half-open, torn off.

It stands for `tc netem`, which kernels without that module lack. What TCP makes of a lost packet is what programs see
of it: all that follows waits until it was sent again, first after 200 ms, then after twice as long each time.
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
    """Listens, and carries what comes to a server, and what that says back.

    Args:
        port: Of the server.
        seed: Of the chance.

    Attributes:
        url: Where to connect instead.
        delay_seconds: How long bytes take, each way.
        loss: Which share of packets is lost.
        tears: How many more connections are torn off in the middle of what they carry.
        carried: How many bytes arrived, by direction.
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
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self, *directions: str) -> None:
        """Let nothing through in some directions; who sends learns nothing of it, and connections stay open."""
        for direction in directions:
            self._is_open[direction].clear()

    def heal(self) -> None:
        """Let everything through again, what was held up first."""
        for event in self._is_open.values():
            event.set()

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError):
                self._connect(asking)

    def _connect(self, asking: socket.socket) -> None:
        answering = socket.create_connection(self._server)
        for end in (asking, answering):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets += [asking, answering]
            torn = self._tear()
        for source, target, direction in ((asking, answering, THERE), (answering, asking, BACK)):
            limit = torn[1] if torn and torn[0] == direction else None
            threading.Thread(target=self._carry, args=(source, target, direction, limit), daemon=True).start()

    def _tear(self) -> tuple[str, int] | None:
        """Return in which direction, and after how many bytes, a new connection is torn off."""
        if self.tears <= 0:
            return None
        self.tears -= 1
        return self._random.choice([THERE, BACK]), self._random.randint(1, 1200)

    def _carry(self, source, target, direction, left) -> None:
        """Carry one direction of a connection. What waits here waits in the sockets before it, as in a network."""
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
            # A reset, in the middle of a message.
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)
            end.close()
