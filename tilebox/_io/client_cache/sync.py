"""The cache of library clients for the sync client: one per process, shared by its threads."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__caches__ = ["ClientCache"]


class Closable(Protocol):
    """A client that can be closed."""

    def close(self) -> Any:
        """Close its connections."""


C = TypeVar("C", bound=Closable)


class ClientCache(Generic[C]):
    """One client per process, opened on its first use, and closed when the cache is collected or the program ends.

    A forked child opens its own client, because it must neither use nor close the parent's connections.

    Args:
        open_client: Returns the client.
        given: A client that the caller has opened for this process, and closes; or None.
    """

    def __init__(self, open_client: Callable[[], C], given: C | None = None) -> None:
        self._open_client = open_client
        self._lock = threading.Lock()
        self._client = given
        self._closing: weakref.finalize[Any, Any] | None = None
        _caches.add(self)

    def client(self) -> C:
        """Return the client of this process."""
        with self._lock:
            if self._client is None:
                self._client = self._open_client()
                self._closing = weakref.finalize(self, self._client.close)
            return self._client

    def after_fork(self) -> None:
        """Forget the parent's client without closing its connections, which the parent still uses."""
        self._lock = threading.Lock()
        if self._closing is not None:
            self._closing.detach()
        if self._client is not None:
            _inherited.append(self._client)
        self._client = self._closing = None


_caches: weakref.WeakSet[ClientCache[Any]] = weakref.WeakSet()
# Clients of the parent process, referenced here because collecting one would close its connections.
_inherited: list[Any] = []


def _after_fork_in_child() -> None:
    for cache in list(_caches):
        cache.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
