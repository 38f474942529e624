"""API keys: creation, roles and their permissions, and authentication.

The text of a key is shown once, when it is created; the store keeps its SHA-256. A slow hash would add no protection:
190 random bits cannot be guessed, however cheap a guess is.
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
"""Prefix of every key, by which people and secret scanners recognise one."""

CACHE_SECONDS = 5
"""How long a process caches a key. A revocation by another process takes effect within this time."""

TOUCH_SECONDS = 60
"""Shortest time between two writes of a key's last use."""

_CACHED_KEYS = 4096
_SECOND_US = 1_000_000
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 32  # 62^32 > 2^190
_HINT_LENGTH = len(PREFIX) + 4
_TEXT = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{_SECRET_LENGTH}}}")


class Permission(Enum):
    """A permission that a request needs."""

    READ = "read"
    WRITE = "write"
    RUN = "run"
    MANAGE = "manage"


class Role(Enum):
    """A role of a key."""

    READ = "read"
    SUBMIT = "submit"
    RUN = "run"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions of this role."""
        return PERMISSIONS[self]


PERMISSIONS = {
    Role.READ: frozenset({Permission.READ}),
    Role.SUBMIT: frozenset({Permission.READ, Permission.WRITE}),
    Role.RUN: frozenset({Permission.READ, Permission.WRITE, Permission.RUN}),
    Role.ADMIN: frozenset(Permission),
}
"""The permissions of each role. READ covers queries; WRITE datapoints, collections and jobs; RUN the calls of runners;
MANAGE datasets, clusters and keys."""

# By name, since the store keeps the role of a key as text.
_PERMISSIONS_BY_NAME = {role.value: allowed for role, allowed in PERMISSIONS.items()}


def make_key(team: UUID, *, name: str, role: str, now_us: int, expires_us: int | None = None) -> tuple[str, Key]:
    """Create a key.

    Args:
        team: Team of the key.
        name: Name of the key, in one line.
        role: A value of `Role`.
        now_us: The current time, in microseconds since 1970.
        expires_us: When the key expires, in microseconds since 1970, or None for never.

    Returns:
        The text of the key, which cannot be recovered later, and the record to store.

    Raises:
        InvalidArgumentError: The name is empty or has several lines, the role is unknown, or the key would have
            expired already.
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
    """Return whether a text has the form of a key."""
    return _TEXT.fullmatch(text) is not None


@lru_cache(_CACHED_KEYS)  # runners send their key thousands of times a second
def digest(text: str) -> bytes:
    """Return the digest of a key that the store keeps: SHA-256, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def hint(text: str) -> str:
    """Return the part of a key that may be shown to identify it."""
    return text[:_HINT_LENGTH]


def permits(key: Key, permission: Permission) -> bool:
    """Return whether the role of a key has a permission."""
    return permission in _PERMISSIONS_BY_NAME[key.role]


def require(key: Key, permission: Permission) -> None:
    """Check that the role of a key has a permission.

    Raises:
        PermissionDeniedError: The role does not have it.
    """
    if not permits(key, permission):
        sufficient = ", ".join(role.value for role in Role if permission in role.permissions)
        raise PermissionDeniedError(
            f"the API key {key.name!r} has the role {key.role!r}, which does not allow to {permission.value}: "
            f"use a key of one of the roles {sufficient}"
        )


@dataclass(frozen=True, slots=True)
class _CachedKey:
    key: Key
    read_us: int


class Authenticator:
    """Authenticates keys, with a cache of a few seconds, so that not every request reads the store.

    Args:
        store: Stores the keys.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[bytes, _CachedKey] = OrderedDict()
        self._touched_us: dict[UUID, int] = {}
        self._revocations = 0

    async def authenticate(self, text: str, now_us: int) -> Key:
        """Return the record of a key.

        Args:
            text: The text of the key, as the caller sent it.
            now_us: The current time, in microseconds since 1970.

        Raises:
            AuthenticationError: The text is malformed, or the key is unknown, revoked or expired.
        """
        if not is_well_formed(text):
            raise AuthenticationError(
                f"the API key is malformed: it must be {PREFIX} and {_SECRET_LENGTH} letters and digits; "
                "check that it was copied whole"
            )
        key_digest = digest(text)
        key = self._cached(key_digest, now_us) or await self._read(key_digest, now_us)
        _check_valid(key, now_us)
        await self._touch(key, now_us)
        return key

    async def revoke(self, team: UUID, key: UUID, now_us: int) -> bool:
        """Revoke a key, in this process at once and in others within `CACHE_SECONDS`.

        Returns:
            Whether the team has such a key.
        """
        exists = await self._store.revoke_key(team, key, now_us)
        self._revocations += 1
        self._cache.clear()
        return exists

    def _cached(self, key_digest: bytes, now_us: int) -> Key | None:
        cached = self._cache.get(key_digest)
        # The lower bound matters if the clock was set back: it must not extend the life of a cached key.
        if cached is None or not 0 <= now_us - cached.read_us < CACHE_SECONDS * _SECOND_US:
            return None
        return cached.key

    async def _read(self, key_digest: bytes, now_us: int) -> Key:
        revocations = self._revocations
        key = await self._store.key_by_digest(key_digest)
        if key is None:
            raise AuthenticationError("the API key is unknown to this server: check the key and the server's URL")
        # A record that was read before a concurrent revocation must not be cached after it.
        if revocations == self._revocations:
            self._store_in_cache(key, now_us)
        return key

    def _store_in_cache(self, key: Key, now_us: int) -> None:
        self._cache[key.digest] = _CachedKey(key, now_us)
        self._cache.move_to_end(key.digest)
        while len(self._cache) > _CACHED_KEYS:
            evicted = self._cache.popitem(last=False)[1].key
            self._touched_us.pop(evicted.id, None)

    async def _touch(self, key: Key, now_us: int) -> None:
        last_us = max(self._touched_us.get(key.id, 0), key.last_used_us or 0)
        if now_us - last_us < TOUCH_SECONDS * _SECOND_US:
            return
        # Set before the write, so that concurrent requests do not write it too.
        self._touched_us[key.id] = now_us
        try:
            await self._store.touch_key(key.id, now_us)
        except ServerError as error:
            logger.warning("cannot store the last use of API key %s: %s", key.hint, error)


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
