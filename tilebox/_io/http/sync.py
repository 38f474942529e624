"""HTTP for the sync client: one httpx client per process, shared by its threads."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["ClientPool", "interrupt"]


class ClientPool:
    """The HTTP client of one Tilebox client, opened at the first request.

    Nobody closes a Tilebox client, so the sockets are closed when it is collected or the program ends.
    A forked child starts afresh: it must neither use nor close the parent's connections.

    Args:
        options: Arguments of the `httpx.Client`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._closing: weakref.finalize[Any, Any] | None = None
        _pools.add(self)

    def client(self) -> httpx.Client:
        """Return the client of this process."""
        with self._lock:
            if self._client is None:
                import httpx

                self._client = httpx.Client(**self._options)
                self._closing = weakref.finalize(self, self._client.close)
            return self._client

    def after_fork(self) -> None:
        """Forget the parent's client, without closing what the parent goes on using."""
        self._lock = threading.Lock()
        if self._client is not None and self._closing is not None:
            self._closing.detach()
            _inherited.append(self._client)
        self._client = self._closing = None


def interrupt(response: httpx.Response) -> None:
    """End the waiting of a thread that reads this response: it sees the end of the stream."""
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


_pools: weakref.WeakSet[ClientPool] = weakref.WeakSet()
# Clients of the parent process: kept, since collecting one would close its sockets.
_inherited: list[httpx.Client] = []


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
