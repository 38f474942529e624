"""The admission layer: one table of paths and permissions in front of every route.

It judges a request's API key before a byte of the body is read, and leaves the caller in `current_caller`. A path that
is not in the table is refused, so a route that somebody forgot to enter is a closed door.
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
    """An ASGI layer that lets requests in.

    Args:
        app: The routes.
        gatekeeper: Judges API keys.
        permissions: What a request of each path needs.
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
        """Let one request in.

        Raises:
            InvalidArgumentError: It has several `authorization` headers.
            AuthenticationError: It has no good API key.
            PermissionDeniedError: The role of its key does not allow it.
            ServerError: Its path is not in the table. Only those who have a good key learn this.
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
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) > 1:
        # A proxy in front may have judged another one than this server would.
        raise InvalidArgumentError(f"send one authorization header, not {len(given)}")
    return given[0].decode("latin-1") if given else None
