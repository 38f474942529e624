"""The HTTP client of the async client: the caller's, or one per event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tilebox._io.client_cache.aio import ClientCache

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx

__all__ = ["HttpClient", "interrupt"]

# Checked by methods, because httpx2 has classes of its own; only async clients have `aclose`.
_METHODS = ("build_request", "send", "aclose")


class HttpClient:
    """Provides the httpx client to use.

    Args:
        given: The caller's client, which the caller closes; or None.
        options: Returns the arguments of a client that is opened here.

    Raises:
        TypeError: `given` is not an async HTTP client.
    """

    def __init__(self, given: Any, options: Callable[[], dict[str, Any]]) -> None:
        self._given: httpx.AsyncClient | None = None if given is None else _checked(given)
        self._clients: ClientCache[httpx.AsyncClient] = ClientCache(partial(_open, options))

    async def get(self) -> httpx.AsyncClient:
        """Return the caller's client, or that of the running loop."""
        return self._given or await self._clients.client()


def interrupt(response: httpx.Response) -> None:
    """Do nothing, because cancelling a task ends its wait."""


async def _open(options: Callable[[], dict[str, Any]]) -> AsyncGenerator[httpx.AsyncClient, None]:
    import httpx

    async with httpx.AsyncClient(**options()) as client:
        yield client


def _checked(given: Any) -> httpx.AsyncClient:
    if isinstance(given, type) or not all(callable(getattr(given, name, None)) for name in _METHODS):
        raise TypeError(f"http_client of the async client must be an httpx.AsyncClient, not a {_name(given)}")
    client: httpx.AsyncClient = given
    return client


def _name(given: Any) -> str:
    return f"{type(given).__module__}.{type(given).__qualname__}".removeprefix("builtins.")
