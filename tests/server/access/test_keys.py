"""API keys: their form, their roles, and authentication."""

from __future__ import annotations

from uuid import uuid4

import anyio
import pytest

from tilebox.errors import AuthenticationError, InvalidArgumentError, PermissionDeniedError, ServerError
from tilebox.server.access import keys
from tilebox.server.access.keys import Authenticator, Permission, Role, make_key
from tilebox.server.store import open_store
from tilebox.server.store.interface import Team

pytestmark = pytest.mark.anyio

NOW_US = 1_790_000_000_000_000
SECOND_US = 1_000_000


@pytest.fixture
def anyio_backend():
    return "asyncio"


class CountingStore:
    """A real store that counts its reads and writes of keys, and fails to write uses on request."""

    def __init__(self, store):
        self._store, self.look_ups, self.touches, self.refuses_touch = store, 0, 0, False
        self.before_answer = None

    async def key_by_digest(self, digest):
        self.look_ups += 1
        key = await self._store.key_by_digest(digest)
        if self.before_answer:
            await self.before_answer()
        return key

    async def touch_key(self, key, now_us):
        self.touches += 1
        if self.refuses_touch:
            raise ServerError("the disk is full")
        await self._store.touch_key(key, now_us)

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.fixture
async def store(tmp_path):
    opened = open_store(f"sqlite://{tmp_path}/control.sqlite")
    await opened.migrate()
    yield CountingStore(opened)
    await opened.close()


@pytest.fixture
async def team(store):
    made = Team(id=uuid4(), slug="local", name="Local", created_us=NOW_US)
    await store.add_team(made)
    return made


async def _stored(store, team, **changes):
    text, key = make_key(team.id, **{"name": "laptop", "role": "run", "now_us": NOW_US, **changes})
    await store.add_key(key)
    return text, key


def test_a_key_is_recognisable_random_and_stored_as_a_hash():
    made = [make_key(uuid4(), name="x", role="read", now_us=NOW_US) for _ in range(100)]
    texts = {text for text, _ in made}
    assert len(texts) == 100
    for text, key in made:
        assert text.startswith("tbx_")
        assert text[4:].isalnum()
        assert len(text) == 36
        assert keys.is_well_formed(text)
        assert key.digest == keys.digest(text)
        assert len(key.digest) == 32
        assert key.hint == text[:8]
        assert text not in repr(key)


@pytest.mark.parametrize(
    "text", ["", "tbx_", "tbx_short", "TBX_" + "a" * 32, "tbx_" + "a" * 33, "tbx_" + "é" * 32, "tbx_" + "a" * 32 + "\n"]
)
def test_other_texts_are_not_keys(text):
    assert not keys.is_well_formed(text)


def test_the_table_of_roles():
    table = {role.value: {permission.value for permission in role.permissions} for role in Role}
    assert table == {
        "read": {"read"},
        "submit": {"read", "write"},
        "run": {"read", "write", "run"},
        "admin": {"read", "write", "run", "manage"},
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
def test_a_role_has_only_its_permissions(role, permission):
    _, key = make_key(uuid4(), name="laptop", role=role.value, now_us=NOW_US)
    if permission in role.permissions:
        keys.require(key, permission)
    else:
        with pytest.raises(PermissionDeniedError, match=rf"'laptop' has the role '{role.value}'.*admin"):
            keys.require(key, permission)
    assert keys.permits(key, permission) is (permission in role.permissions)


def test_invalid_keys_are_not_created():
    with pytest.raises(InvalidArgumentError, match="read, submit, run, admin"):
        make_key(uuid4(), name="x", role="root", now_us=NOW_US)
    with pytest.raises(InvalidArgumentError, match="has passed"):
        make_key(uuid4(), name="x", role="read", now_us=NOW_US, expires_us=NOW_US)


async def test_a_valid_key_is_accepted(store, team):
    text, key = await _stored(store, team)
    assert await Authenticator(store).authenticate(text, NOW_US) == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed"),
        ("tbx_cut", "malformed"),
        ("\ud800", "malformed"),
        ("tbx_" + "a" * 32, "unknown to this server"),
    ],
)
async def test_other_keys_are_refused_without_repeating_them(store, team, text, message):
    with pytest.raises(AuthenticationError, match=message) as told:
        await Authenticator(store).authenticate(text, NOW_US)
    assert not text or text not in str(told.value)


async def test_a_cached_key_expires_in_time(store, team):
    text, key = await _stored(store, team, expires_us=NOW_US + SECOND_US)
    authenticator = Authenticator(store)
    assert await authenticator.authenticate(text, NOW_US + SECOND_US - 1) == key
    with pytest.raises(AuthenticationError, match=r"expired at 2026-09-21T14:13:21Z.*new key") as told:
        await authenticator.authenticate(text, NOW_US + SECOND_US)
    assert text not in str(told.value)


async def test_a_revocation_takes_effect_at_once_here_and_within_seconds_in_other_processes(store, team):
    text, key = await _stored(store, team)
    here, elsewhere = Authenticator(store), Authenticator(store)
    for authenticator in (here, elsewhere):
        await authenticator.authenticate(text, NOW_US)
    assert await here.revoke(team.id, key.id, NOW_US + 1)
    assert not await here.revoke(uuid4(), key.id, NOW_US + 1)

    with pytest.raises(AuthenticationError, match=r"'laptop' .* was revoked at 2026-09-21T14:13:20Z") as told:
        await here.authenticate(text, NOW_US + 2)
    assert text not in str(told.value)
    with pytest.raises(AuthenticationError, match="revoked"):
        await elsewhere.authenticate(text, NOW_US + keys.CACHE_SECONDS * SECOND_US)
    assert keys.CACHE_SECONDS <= 5


async def test_a_revocation_during_a_read_is_not_lost(store, team):
    text, key = await _stored(store, team)
    authenticator = Authenticator(store)

    async def revoke_meanwhile():
        store.before_answer = None
        await authenticator.revoke(team.id, key.id, NOW_US + 1)

    store.before_answer = revoke_meanwhile
    await authenticator.authenticate(text, NOW_US)
    with pytest.raises(AuthenticationError, match="revoked"):
        await authenticator.authenticate(text, NOW_US + 2)


async def test_the_store_is_read_once_in_a_few_seconds(store, team):
    text, _ = await _stored(store, team)
    authenticator = Authenticator(store)
    for second in (0, 1, 4.999):
        await authenticator.authenticate(text, NOW_US + int(second * SECOND_US))
    assert store.look_ups == 1
    await authenticator.authenticate(text, NOW_US + 5 * SECOND_US)
    assert store.look_ups == 2
    # After the clock was set back, a cached key of the future is not used.
    await authenticator.authenticate(text, NOW_US)
    assert store.look_ups == 3


async def test_a_new_key_works_at_once_though_it_was_tried_before(store, team):
    text, key = make_key(team.id, name="x", role="read", now_us=NOW_US)
    authenticator = Authenticator(store)
    with pytest.raises(AuthenticationError):
        await authenticator.authenticate(text, NOW_US)
    await store.add_key(key)
    assert await authenticator.authenticate(text, NOW_US) == key


async def test_the_last_use_is_written_at_most_once_a_minute(store, team):
    text, _ = await _stored(store, team)
    authenticator = Authenticator(store)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(authenticator.authenticate, text, NOW_US)
    for second in range(1, 60, 7):
        await authenticator.authenticate(text, NOW_US + second * SECOND_US)
    assert store.touches == 1
    await authenticator.authenticate(text, NOW_US + 60 * SECOND_US)
    assert store.touches == 2
    (key,) = await store.keys(team.id)
    assert key.last_used_us == NOW_US + 60 * SECOND_US
    # A process that just started uses the stored time.
    await Authenticator(store).authenticate(text, NOW_US + 61 * SECOND_US)
    assert store.touches == 2


async def test_a_failed_write_of_the_last_use_does_not_refuse_the_key(store, team, caplog):
    text, key = await _stored(store, team)
    store.refuses_touch = True
    assert await Authenticator(store).authenticate(text, NOW_US) == key
    assert "cannot store the last use of API key" in caplog.text
    assert text not in caplog.text


async def test_the_cache_is_bounded(store, team, monkeypatch):
    monkeypatch.setattr(keys, "_CACHED_KEYS", 3)
    authenticator = Authenticator(store)
    for _ in range(5):
        text, _ = await _stored(store, team)
        await authenticator.authenticate(text, NOW_US)
    assert len(authenticator._cache) == 3
    assert len(authenticator._touched_us) == 3
