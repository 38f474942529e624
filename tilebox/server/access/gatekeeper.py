"""Who a request speaks for: from the `authorization` header to a team, with what the key's role allows."""

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
    """On whose behalf a request is carried out."""

    team: Team
    key: Key

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller's key allows something."""
        return keys.permits(self.key, permission)


current_caller: ContextVar[Caller] = ContextVar("current_caller")
"""The caller of the request at hand, set by the admission layer."""


class Gatekeeper:
    """Lets requests in that carry a good key of a sufficient role.

    Args:
        store: Where keys and teams are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._authenticator = keys.Authenticator(store)
        self._teams: dict[UUID, Team] = {}

    async def admit(self, authorization: str | None, permission: Permission) -> Caller:
        """Return who calls.

        Args:
            authorization: The header of that name.
            permission: What the request needs.

        Raises:
            AuthenticationError: There is no key in the header, or no good one.
            PermissionDeniedError: The key's role does not allow it.
        """
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise AuthenticationError(
                "no API key: send the header `authorization: Bearer <key>`; clients take it from their argument "
                "token or from the environment variable TILEBOX_API_KEY"
            )
        key = await self._authenticator.authenticate(text.strip(), time.time_ns() // 1000)
        keys.require(key, permission)
        return Caller(await self._team(key.team), key)

    async def _team(self, team: UUID) -> Team:
        # Teams never change, so what is not known is read once.
        if team not in self._teams:
            self._teams = {found.id: found for found in await self._store.teams()}
        return self._teams[team]
