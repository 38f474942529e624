"""The HTTP client of the sync client: the caller's, or one per process, shared by its threads."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.client_cache.sync import ClientCache

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

__all__ = ["HttpClient", "interrupt"]

# Checked by methods, because httpx2 has classes of its own; only sync clients have `close`.
_METHODS = ("build_request", "send", "close")


class HttpClient:
    """Provides the httpx client to use.

    Args:
        given: The caller's client, which the caller closes; or None.
        options: Returns the arguments of a client that is opened here.

    Raises:
        TypeError: `given` is not a sync HTTP client.
    """

    def __init__(self, given: Any, options: Callable[[], dict[str, Any]]) -> None:
        self._given: httpx.Client | None = None if given is None else _checked(given)
        self._clients: ClientCache[httpx.Client] = ClientCache(partial(_open, options))

    def get(self) -> httpx.Client:
        """Return the caller's client, or that of this process."""
        return self._given or self._clients.client()


def interrupt(response: httpx.Response) -> None:
    """End the wait of a thread that reads this response, which then sees the end of the stream."""
    if response.http_version == "HTTP/2":
        return  # other requests use the same connection
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _open(options: Callable[[], dict[str, Any]]) -> httpx.Client:
    import httpx

    # Not HTTP/2: httpcore sometimes sends the requests of several threads in the wrong order, which ends the connection.
    return httpx.Client(**{**options(), "http2": False})


def _checked(given: Any) -> httpx.Client:
    if isinstance(given, type) or not all(callable(getattr(given, name, None)) for name in _METHODS):
        raise TypeError(f"http_client of the sync client must be an httpx.Client, not a {_name(given)}")
    client: httpx.Client = given
    return client


def _name(given: Any) -> str:
    return f"{type(given).__module__}.{type(given).__qualname__}".removeprefix("builtins.")
