"""The floor of every durable orchestrator: bare sockets, three processes, one flush, and nothing else.

python floor.py serve PORT FILE | worker | measure [start] [chain]

For each submission and each report, the server writes eight kilobytes, about what SQLite's log takes for a small
transaction. It flushes them, and only then sends the task or the acknowledgement. It parses, looks up and checks
nothing.
"""

from __future__ import annotations

import selectors
import socket
import sys

import workload
from disk import Disk

SUBMIT, DONE, RUNNER = b"s", b"d", b"r"
TASK = b"t" * 300


def connect() -> socket.socket:
    """Connect to the server."""
    host, _, port = workload.ADDRESS.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def serve(port: int, disk: Disk) -> None:
    """Run the server."""
    listener = socket.create_server(("127.0.0.1", port))
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    idle: socket.socket | None = None
    waiting = 0
    while True:
        for key, _ in selector.select():
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            if connection is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(accepted, selectors.EVENT_READ)
                continue
            message = connection.recv(4096)
            if not message:
                selector.unregister(connection)
                connection.close()
                continue
            if message[:1] != RUNNER:
                disk.write_durably()
            if message[:1] == SUBMIT:
                waiting += int(message[1:9])
            else:
                idle = connection
            if idle is not None and waiting:
                idle.sendall(TASK)
                idle, waiting = None, waiting - 1
            if message[:1] == SUBMIT:
                connection.sendall(b"taken")


def work() -> None:
    """Run the worker."""
    connection = connect()
    connection.sendall(RUNNER)
    while connection.recv(4096):
        workload.MARKS.add()
        connection.sendall(DONE + TASK)


def main() -> None:
    """Run one of the three processes."""
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), Disk(sys.argv[3]))
    elif sys.argv[1] == "worker":
        work()
    else:
        connection = connect()

        def submit(count: int) -> None:
            connection.sendall(SUBMIT + b"%08d" % count + TASK)
            connection.recv(4096)

        peer = workload.Peer(fan_out=submit, start=lambda: submit(1), chain=submit)
        workload.measure(peer, sys.argv[2:])


if __name__ == "__main__":
    main()
