"""Routing by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send


class Routes:
    """An ASGI application that dispatches each request by its path.

    Paths have no parameters, so one dictionary look-up suffices. Matching one route after the other, as routers do,
    takes as long as the rest of a small request.
    """

    def __init__(self) -> None:
        self._apps: dict[str, tuple[ASGIApp, Collection[str]]] = {}

    @property
    def paths(self) -> frozenset[str]:
        """All paths with a route."""
        return frozenset(self._apps)

    def add(self, path: str, app: ASGIApp, *, methods: Collection[str] = ("POST",)) -> None:
        """Add a route.

        Args:
            path: Exact path.
            app: ASGI application that answers it.
            methods: HTTP methods of the route.
        """
        self._apps[path] = (app, methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request.

        Raises:
            ServerError: There is no route for the path and the HTTP method.
        """
        app, methods = self._apps.get(scope["path"], (None, ()))
        if app is None or scope["method"] not in methods:
            raise ServerError(f"there is nothing at {scope['path'][:200]}", code="unimplemented")
        await app(scope, receive, send)
