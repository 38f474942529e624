"""Authentication: from the `authorization` header to the caller, a team and its key."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebox.errors import AuthenticationError
from tilebox.server.access import keys

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.access.keys import Permission
    from tilebox.server.store.interface import Key, Store, Team


@dataclass(frozen=True, slots=True)
class Caller:
    """The team and the API key of a request."""

    team: Team
    key: Key

    def may(self, permission: Permission) -> bool:
        """Return whether the role of the caller's key has a permission."""
        return keys.permits(self.key, permission)


current_caller: ContextVar[Caller] = ContextVar("current_caller")
"""The caller of the current request, set by the admission layer."""


class Gatekeeper:
    """Authenticates requests by API key, and checks the role of the key.

    Args:
        store: Stores keys and teams.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._authenticator = keys.Authenticator(store)
        self._teams: dict[UUID, Team] = {}

    async def admit(self, authorization: str | None, permission: Permission) -> Caller:
        """Return the caller of a request.

        Args:
            authorization: Value of the `authorization` header, or None.
            permission: The permission that the request needs.

        Raises:
            AuthenticationError: The header has no key, or the key is not valid.
            PermissionDeniedError: The role of the key does not have the permission.
        """
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise AuthenticationError(
                "no API key: send the header `authorization: Bearer <key>`; clients take the key from their argument "
                "token or from the environment variable TILEBOX_API_KEY"
            )
        key = await self._authenticator.authenticate(text.strip(), time.time_ns() // 1000)
        keys.require(key, permission)
        return Caller(await self._team(key.team), key)

    async def _team(self, team: UUID) -> Team:
        # Teams never change, so they are read again only for an unknown id.
        if team not in self._teams:
            self._teams = {record.id: record for record in await self._store.teams()}
        return self._teams[team]
