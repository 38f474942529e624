"""Exclusive resources of a server: its data directory and its port.

The module imports little, so that a start reports a resource in use at once.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tilebox.errors import TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = "lock"


class StartError(TileboxError):
    """The server cannot start with its settings; the message says why and what to do."""


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Lock a data directory against other servers, creating it if necessary.

    Raises:
        StartError: The directory cannot be created, or another server holds the lock.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (data_dir / LOCK_FILE).open("a+")
    except OSError as error:
        raise StartError(f"cannot use data directory {data_dir}: {error.strerror or error}") from None
    with file:
        # The kernel releases the lock when the process ends, however it ends, so there are no stale locks to clean up.
        try:
            _lock(file.fileno())
        except OSError:
            file.seek(0)
            holder = file.read().strip()
            raise StartError(
                f"another server{f' (process {holder})' if holder else ''} uses data directory {data_dir.resolve()}; "
                "stop it, or choose another directory with --data-dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a port and listen on it; connections queue until the server accepts them.

    Raises:
        StartError: The address cannot be used, or the port is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"cannot listen on {host}: {error.strerror or error}; choose another --host") from None
    with listener:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # Listens before anything else starts, so that a port in use is reported first.
            listener.listen(2048)
        except OSError as error:
            raise StartError(
                f"cannot listen on {host} port {port}: {error.strerror or error}; choose another --port, "
                "or stop the program that uses it"
            ) from None
        yield listener


def url_of(host: str, listener: socket.socket) -> str:
    """Return a URL that reaches a listener from this machine."""
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reachable}:{port}"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
