"""Routes: which application answers a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send


class Routes:
    """An ASGI application that hands each request to the application of its path.

    Paths have no parameters, so one look-up finds it: trying one route after the other costs as much as a small task.
    """

    def __init__(self) -> None:
        self._apps: dict[str, tuple[ASGIApp, Collection[str]]] = {}

    @property
    def paths(self) -> frozenset[str]:
        """All paths that are answered."""
        return frozenset(self._apps)

    def add(self, path: str, app: ASGIApp, *, methods: Collection[str] = ("POST",)) -> None:
        """Let an application answer a path."""
        self._apps[path] = (app, methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ServerError: No application answers this path and HTTP method.
        """
        app, methods = self._apps.get(scope["path"], (None, ()))
        if app is None or scope["method"] not in methods:
            raise ServerError(f"there is nothing at {scope['path'][:200]}", code="unimplemented")
        await app(scope, receive, send)
