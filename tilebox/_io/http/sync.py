"""HTTP for the sync client: one httpx client per process, shared by its threads."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tilebox._core.http1 import Reply
    from tilebox._io.sockets.sync import SocketTransport

__all__ = ["Body", "ClientPool", "interrupt"]


class ClientPool:
    """The HTTP client of one Tilebox client, opened at the first request.

    Nobody closes a Tilebox client, so the sockets are closed when it is collected or the program ends.
    A forked child starts afresh: it must neither use nor close the parent's connections.

    Args:
        is_plain: Whether there is neither TLS nor a proxy, so that sockets of our own will do.
        options: Arguments of the `httpx.Client`.
    """

    def __init__(self, *, is_plain: bool = False, **options: Any) -> None:
        self._is_plain = is_plain and "transport" not in options
        self._options = options
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._sockets: SocketTransport | None = None
        self._headers: dict[str, str] = {}
        self._timeouts: dict[str, float | None] = {}
        self._closing: weakref.finalize[Any, Any] | None = None
        _pools.add(self)

    def client(self) -> httpx.Client:
        """Return the client of this process."""
        with self._lock:
            if self._client is None:
                self._client = self._open()
                self._closing = weakref.finalize(self, self._client.close)
            return self._client

    def post(self, address: str, body: bytes, headers: dict[str, str]) -> httpx.Response | Reply:
        """Send a request, and return the whole answer.

        Args:
            address: The URL.
            body: What to send.
            headers: Other than those of every request.

        Raises:
            HTTPError: httpx's, whichever way it takes.
        """
        client = self.client()
        if self._sockets is None or "@" in address:  # before it stands a password, which httpx knows what to do with
            return client.post(address, content=body, headers=headers)
        return self._sockets.post(address, body, {**self._headers, **headers}, self._timeouts)

    @contextmanager
    def stream(self, address: str, body: bytes, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Send a request as `post` does, and read the answer inside the `with`."""
        client = self.client()
        if self._sockets is None or "@" in address:
            with client.stream("POST", address, content=body, headers=headers) as response:
                yield response
            return
        response = self._sockets.open(address, body, {**self._headers, **headers}, self._timeouts)
        try:
            yield response
        finally:
            response.close()

    def after_fork(self) -> None:
        """Forget the parent's client, without closing what the parent goes on using."""
        self._lock = threading.Lock()
        if self._client is not None and self._closing is not None:
            self._closing.detach()
            _inherited.append(self._client)
        self._client = self._closing = None

    def _open(self) -> httpx.Client:
        import httpx

        if not self._is_plain:
            return httpx.Client(**self._options)
        from tilebox._io.sockets.sync import SocketTransport

        self._sockets = SocketTransport()
        client = httpx.Client(transport=self._sockets, **self._options)
        self._headers, self._timeouts = dict(client.headers), client.timeout.as_dict()
        return client


class Body:
    """The body of an answer, read into memory of the caller's.

    Args:
        response: The answer; nothing of its body was read.
    """

    def __init__(self, response: httpx.Response) -> None:
        # Packed, it is for httpx to unpack.
        packed = response.headers.get("content-encoding", "identity") != "identity"
        self._answer = None if packed else response.extensions.get("answer")
        self._pieces = response.iter_bytes()
        self._rest = memoryview(b"")

    def read_into(self, space: memoryview) -> int:
        """Read some bytes, at most as many as there is space, and return how many; 0 at the end."""
        if self._answer is not None:
            return int(self._answer.read_into(space))
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(space), len(self._rest))
        space[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


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
