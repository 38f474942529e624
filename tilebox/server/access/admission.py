"""The admission layer: one table of paths and permissions in front of every route.

It checks the API key of a request before the body is read, and sets `current_caller`. It refuses a path that is not in
the table, so that a route without an entry is inaccessible rather than open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.access.gatekeeper import Gatekeeper


class Admission:
    """An ASGI layer that authenticates and authorizes requests.

    Args:
        app: The routes.
        gatekeeper: Checks API keys.
        permissions: The permission that each path needs.
        public: Paths that need no key.
    """

    def __init__(
        self, app: ASGIApp, gatekeeper: Gatekeeper, permissions: Mapping[str, Permission], *, public: Collection[str]
    ) -> None:
        self._app = app
        self._gatekeeper = gatekeeper
        self._permissions = permissions
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on if its API key allows it.

        Raises:
            InvalidArgumentError: The request has several `authorization` headers.
            AuthenticationError: The request has no valid API key.
            PermissionDeniedError: The role of the key does not have the permission.
            ServerError: The path is not in the table. Only callers with a valid key get this error.
        """
        authorization = _authorization(scope)
        path = scope["path"]
        if path in self._public:
            await self._app(scope, receive, send)
            return
        permission = self._permissions.get(path)
        caller = await self._gatekeeper.admit(authorization, permission or Permission.READ)
        if permission is None:
            raise ServerError(f"there is nothing at {path[:200]}", code="unimplemented")
        token = current_caller.set(caller)
        try:
            await self._app(scope, receive, send)
        finally:
            current_caller.reset(token)


def _authorization(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        # A proxy in front may have checked another one of them than this server would.
        raise InvalidArgumentError(f"send one authorization header, not {len(values)}")
    return values[0].decode("latin-1") if values else None
