"""What no durable orchestrator can go below: bare sockets, three processes, one flush, and nothing else.

python floor.py serve PORT FILE | worker | measure [start] [chain]

The server keeps eight kilobytes of each submission and each report, as SQLite's log does of a small transaction or more,
flushes them, and only then hands over the task or says that it was taken. Nothing is parsed, looked up or checked.
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
    """Return a connection to the server."""
    host, _, port = workload.ADDRESS.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def serve(port: int, disk: Disk) -> None:
    """Hand over tasks."""
    listener = socket.create_server(("127.0.0.1", port))
    chosen = selectors.DefaultSelector()
    chosen.register(listener, selectors.EVENT_READ)
    idle: socket.socket | None = None
    waiting = 0
    while True:
        for key, _ in chosen.select():
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            if connection is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chosen.register(accepted, selectors.EVENT_READ)
                continue
            said = connection.recv(4096)
            if not said:
                chosen.unregister(connection)
                connection.close()
                continue
            if said[:1] != RUNNER:
                disk.keep()
            if said[:1] == SUBMIT:
                waiting += int(said[1:9])
            else:
                idle = connection
            if idle is not None and waiting:
                idle.sendall(TASK)
                idle, waiting = None, waiting - 1
            if said[:1] == SUBMIT:
                connection.sendall(b"taken")


def work() -> None:
    """Execute tasks."""
    connection = connect()
    connection.sendall(RUNNER)
    while connection.recv(4096):
        workload.MARKS.add()
        connection.sendall(DONE + TASK)


def main() -> None:
    """Be one of the three."""
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
