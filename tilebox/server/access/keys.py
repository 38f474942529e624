"""API keys: how they are made, what their roles allow, and who a caller is.

A key's text is shown once, when it is made; the store keeps its SHA-256. A slow hash would protect nothing here:
190 random bits cannot be guessed, whatever a guess costs.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import string
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from tilebox.errors import AuthenticationError, InvalidArgumentError, PermissionDeniedError, ServerError
from tilebox.server.store.interface import Key

if TYPE_CHECKING:
    from tilebox.server.store.interface import Store

logger = logging.getLogger("tilebox.server")

PREFIX = "tbx_"
"""What a key starts with, so that people and secret scanners recognise one."""

CACHE_SECONDS = 5
"""How long a process trusts what it read of a key: a revocation elsewhere takes effect within this time."""

TOUCH_SECONDS = 60
"""How far apart the notes of a key's last use are."""

_CACHED_KEYS = 4096
_SECOND_US = 1_000_000
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 32  # 62^32 > 2^190
_HINT_LENGTH = len(PREFIX) + 4
_TEXT = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_SECRET_LENGTH}}}")


class Permission(Enum):
    """What a request needs."""

    READ = "read"
    WRITE = "write"
    RUN = "run"
    MANAGE = "manage"


class Role(Enum):
    """What a key is for."""

    READ = "read"
    SUBMIT = "submit"
    RUN = "run"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this role allows."""
        return PERMISSIONS[self]


PERMISSIONS = {
    Role.READ: frozenset({Permission.READ}),
    Role.SUBMIT: frozenset({Permission.READ, Permission.WRITE}),
    Role.RUN: frozenset({Permission.READ, Permission.WRITE, Permission.RUN}),
    Role.ADMIN: frozenset(Permission),
}
"""Reading is queries; writing is datapoints, collections and jobs; running is what runners do; managing is datasets,
clusters and keys."""

_OF_ROLE = {role.value: allowed for role, allowed in PERMISSIONS.items()}


def make_key(team: UUID, *, name: str, role: str, now_us: int, expires_us: int | None = None) -> tuple[str, Key]:
    """Make a key.

    Args:
        team: Whom it speaks for.
        name: What its owner calls it.
        role: A value of `Role`.
        now_us: The time, in microseconds since 1970.
        expires_us: When it ends, or None for never.

    Returns:
        The text to hand out, which nobody can read again, and the record to store.

    Raises:
        InvalidArgumentError: The name is empty or no single line, the role is unknown, or the key would have expired
            already.
    """
    if not name.strip() or not name.isprintable():
        raise InvalidArgumentError(
            f"a key needs a name in one line that says who uses it, such as 'notebook', not {name!r}"
        )
    if role not in {known.value for known in Role}:
        raise InvalidArgumentError(f"role must be one of {', '.join(known.value for known in Role)}, not {role!r}")
    if expires_us is not None and expires_us <= now_us:
        raise InvalidArgumentError(f"the key {name!r} would expire at {_iso(expires_us)}, which has passed")
    text = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    key = Key(
        id=uuid4(),
        team=team,
        name=name,
        role=role,
        digest=digest(text),
        hint=hint(text),
        created_us=now_us,
        expires_us=expires_us,
    )
    return text, key


def is_well_formed(text: str) -> bool:
    """Tell whether a text could be a key at all."""
    return _TEXT.fullmatch(text) is not None


@lru_cache(_CACHED_KEYS)  # runners say theirs thousands of times a second
def digest(text: str) -> bytes:
    """Return what is stored of a key: SHA-256, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def hint(text: str) -> str:
    """Return the part of a key that may be shown, to tell keys apart."""
    return text[:_HINT_LENGTH]


def permits(key: Key, permission: Permission) -> bool:
    """Tell whether a key's role allows something."""
    return permission in _OF_ROLE[key.role]


def require(key: Key, permission: Permission) -> None:
    """Refuse what a key's role does not allow.

    Raises:
        PermissionDeniedError: It does not.
    """
    if not permits(key, permission):
        able = ", ".join(role.value for role in Role if permission in role.permissions)
        raise PermissionDeniedError(
            f"the API key {key.name!r} has the role {key.role!r}, which does not allow to {permission.value}: "
            f"use a key of one of the roles {able}"
        )


@dataclass(frozen=True, slots=True)
class _Known:
    key: Key
    read_us: int


class Authenticator:
    """Tells whose key it is, and remembers for a few seconds, so that not every request asks the store.

    Args:
        store: Where the keys are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._touched_us: dict[UUID, int] = {}
        self._revocations = 0

    async def authenticate(self, text: str, now_us: int) -> Key:
        """Return the key of a text.

        Args:
            text: What the caller sent.
            now_us: The time, in microseconds since 1970.

        Raises:
            AuthenticationError: The text is no key, or its key is unknown, revoked or expired.
        """
        if not is_well_formed(text):
            raise AuthenticationError(
                f"the API key is malformed: it must be {PREFIX} and {_SECRET_LENGTH} letters and digits; "
                "check that it was copied whole"
            )
        key_digest = digest(text)
        key = self._recall(key_digest, now_us) or await self._look_up(key_digest, now_us)
        _check_valid(key, now_us)
        await self._touch(key, now_us)
        return key

    async def revoke(self, team: UUID, key: UUID, now_us: int) -> bool:
        """Revoke a key, here at once and in other processes within `CACHE_SECONDS`; false if there is none."""
        exists = await self._store.revoke_key(team, key, now_us)
        self._revocations += 1
        self._known.clear()
        return exists

    def _recall(self, key_digest: bytes, now_us: int) -> Key | None:
        known = self._known.get(key_digest)
        # A clock that was set back must not make a key live longer, hence both sides.
        if known is None or not 0 <= now_us - known.read_us < CACHE_SECONDS * _SECOND_US:
            return None
        return known.key

    async def _look_up(self, key_digest: bytes, now_us: int) -> Key:
        revocations = self._revocations
        key = await self._store.key_by_digest(key_digest)
        if key is None:
            raise AuthenticationError("the API key is unknown to this server: check the key and the server's URL")
        # What was read before a revocation that ended meanwhile must not be remembered after it.
        if revocations == self._revocations:
            self._remember(key, now_us)
        return key

    def _remember(self, key: Key, now_us: int) -> None:
        self._known[key.digest] = _Known(key, now_us)
        self._known.move_to_end(key.digest)
        while len(self._known) > _CACHED_KEYS:
            forgotten = self._known.popitem(last=False)[1].key
            self._touched_us.pop(forgotten.id, None)

    async def _touch(self, key: Key, now_us: int) -> None:
        last_us = max(self._touched_us.get(key.id, 0), key.last_used_us or 0)
        if now_us - last_us < TOUCH_SECONDS * _SECOND_US:
            return
        # Noted before the store answers, so that requests that arrive meanwhile do not write it too.
        self._touched_us[key.id] = now_us
        try:
            await self._store.touch_key(key.id, now_us)
        except ServerError as error:
            logger.warning("the last use of API key %s could not be noted: %s", key.hint, error)


def _check_valid(key: Key, now_us: int) -> None:
    if key.revoked_us is not None:
        raise AuthenticationError(
            f"the API key {key.name!r} ({key.hint}…) was revoked at {_iso(key.revoked_us)}: use another key"
        )
    if key.expires_us is not None and key.expires_us <= now_us:
        raise AuthenticationError(
            f"the API key {key.name!r} ({key.hint}…) expired at {_iso(key.expires_us)}: ask for a new key"
        )


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // _SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
