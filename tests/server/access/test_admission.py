"""The admission layer in front of every route: one table, and one check before the body is read."""

from __future__ import annotations

import json
import re
import time
from itertools import product
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from support.http.permissions import ALLOWED, EVERY_METHOD, EXPORTING, PUBLIC

import tilebox.server
from tilebox.server.access.admission import Admission
from tilebox.server.access.gatekeeper import Gatekeeper, current_caller
from tilebox.server.access.keys import Permission, Role, make_key
from tilebox.server.points import open_points
from tilebox.server.process.app import PUBLIC_PATHS, build_app, build_routes
from tilebox.server.process.workflow_parts import Orchestrator
from tilebox.server.settings import Settings
from tilebox.server.store import open_store
from tilebox.server.store.interface import Team
from tilebox.server.web.envelope import Envelope

pytestmark = pytest.mark.anyio

PROTECTED = sorted({*EVERY_METHOD, *EXPORTING})
FORMS = ("application/proto", "application/json", "application/grpc")
GRPC_STATUS = {"3": "invalid_argument", "7": "permission_denied", "12": "unimplemented", "16": "unauthenticated"}
WITHOUT_A_GOOD_KEY = ("none", "basic", "malformed", "unknown", "revoked", "expired")


@pytest.fixture
def anyio_backend():
    return "asyncio"


class World:
    """The parts of a server, and an `authorization` header of each kind."""

    def __init__(self, store, points, headers):
        self.store, self.points, self.headers = store, points, headers
        self._parts = (store, points, Settings(), Orchestrator(store, Settings()))
        self.app = build_app(*self._parts)

    def routes(self):
        return build_routes(*self._parts)

    def closed(self, app):
        """An application behind an admission layer in which every path needs the permission RUN."""
        return Envelope(Admission(app, Gatekeeper(self.store), {"/known": Permission.RUN}, public=()), max_body_bytes=9)


@pytest.fixture
async def world(tmp_path):
    store = open_store(f"sqlite://{tmp_path}/control.sqlite")
    await store.migrate()
    points = open_points(tmp_path / "points", writer_lock=store.writer_lock)
    team = Team(id=uuid4(), slug="local", name="Local", created_us=1)
    await store.add_team(team)

    async def add(**values):
        text, key = make_key(team.id, **{"name": "test", "role": "admin", "now_us": 1, **values})
        await store.add_key(key)
        return text, key

    keys = {role.value: (await add(role=role.value))[0] for role in Role}
    keys["unknown"] = make_key(team.id, name="test", role="admin", now_us=1)[0]
    keys["malformed"] = "tbx_"
    keys["expired"], _ = await add(expires_us=2)
    keys["revoked"], key = await add()
    await store.revoke_key(team.id, key.id, time.time_ns() // 1000)
    headers = {kind: [f"Bearer {key}"] for kind, key in keys.items()} | {"none": [], "basic": ["Basic dTpw"]}
    yield World(store, points, headers)
    await points.close()
    await store.close()


class Piece(bytes):
    """A piece of a body that counts the live pieces."""

    alive = most = 0

    def __init__(self, *_):
        Piece.alive += 1
        Piece.most = max(Piece.most, Piece.alive)

    def __del__(self):
        Piece.alive -= 1


class Call:
    """One request, and its response."""

    def __init__(self, path, authorization, form="application/proto", method="POST", pieces=0):
        headers = [(b"content-type", form.encode())]
        headers += [(b"authorization", value.encode()) for value in authorization]
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "extensions": {"http.response.trailers": {}},
        }
        self._pieces, self._is_read, self.sent, self.reads_before_answer = pieces, False, [], 0

    async def receive(self):
        if not any(message["type"] == "http.response.start" for message in self.sent):
            self.reads_before_answer += 1
        if self._is_read:
            await anyio.sleep_forever()  # like a client that waits for its response
        self._is_read = self._pieces <= 1
        if self._pieces:
            self._pieces -= 1
            return {"type": "http.request", "body": Piece(1000), "more_body": not self._is_read}
        # An empty message in the form of the request.
        is_grpc = b"grpc" in self.scope["headers"][0][1]
        return {"type": "http.request", "body": bytes(5) if is_grpc else b"", "more_body": False}

    async def send(self, message):
        self.sent.append(message)

    async def code(self, app):
        """Make the call, and return its error code, or None."""
        await app(self.scope, self.receive, self.send)
        headers = dict(header for message in self.sent for header in message.get("headers", ()))
        if b"grpc-status" in headers:
            status = headers[b"grpc-status"].decode()
            return None if status == "0" else GRPC_STATUS.get(status, status)
        if self.sent[0]["status"] == 200:
            return None
        return json.loads(b"".join(message.get("body", b"") for message in self.sent))["code"]


async def test_the_table_has_the_documented_permission_of_every_route(world):
    routes, permissions = world.routes()
    assert {path.removeprefix("/") for path in permissions} == set(PROTECTED)
    assert {path.removeprefix("/") for path in PUBLIC_PATHS} == PUBLIC
    assert routes.paths == permissions.keys() | PUBLIC_PATHS
    for path, permission in permissions.items():
        for role in Role:
            may = path.removeprefix("/") in ALLOWED[role.value]
            assert (permission in role.permissions) == may, (path, role)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("who", WITHOUT_A_GOOD_KEY)
async def test_without_a_valid_key_every_route_is_refused_before_its_body_is_read(world, who, form):
    for path in (*PROTECTED, "", "nowhere", PROTECTED[0] + "/", "/" + PROTECTED[0], PROTECTED[0].lower()):
        call = Call(f"/{path}", world.headers[who], form, pieces=3)
        assert (path, await call.code(world.app)) == (path, "unauthenticated")
        assert (path, call.reads_before_answer) == (path, 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("role", ALLOWED)
async def test_a_role_may_call_the_routes_of_its_permissions(world, role, form):
    for path in PROTECTED:
        call = Call(f"/{path}", world.headers[role], form)
        code = await call.code(world.app)
        if path in ALLOWED[role]:
            assert code not in ("unauthenticated", "permission_denied"), (path, code)
        else:
            assert (path, code, call.reads_before_answer) == (path, "permission_denied", 0)


@pytest.mark.parametrize("who", [*WITHOUT_A_GOOD_KEY, "read"])
async def test_probes_need_no_key(world, who):
    for path, method in product(PUBLIC, ("GET", "HEAD")):
        assert await Call(f"/{path}", world.headers[who], method=method).code(world.app) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("second", ["admin", "read", "unknown", "none"])
async def test_two_authorization_headers_are_refused_on_every_route(world, second, form):
    authorization = [*world.headers["admin"], *(world.headers[second] or [""])]
    for path, method in product((*PROTECTED, *PUBLIC, "nowhere"), ("GET", "POST")):
        call = Call(f"/{path}", authorization, form, method, pieces=3)
        assert (path, await call.code(world.app)) == (path, "invalid_argument")
        assert call.reads_before_answer == 0
        assert call.sent[0]["status"] == (200 if "grpc" in form else 400)


async def test_a_route_without_an_entry_is_refused_even_for_admins(world):
    asked = []

    async def app(scope, receive, send):
        asked.append((scope["path"], current_caller.get().key.role))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    closed = world.closed(app)
    assert await Call("/forgotten", world.headers["admin"]).code(closed) == "unimplemented"
    assert await Call("/forgotten", world.headers["none"]).code(closed) == "unauthenticated"
    assert asked == []
    assert await Call("/known", world.headers["run"]).code(closed) is None
    assert asked == [("/known", "run")]
    with pytest.raises(LookupError):
        current_caller.get()


async def test_other_http_methods_of_a_route_are_unimplemented(world):
    assert await Call(f"/{EVERY_METHOD[0]}", world.headers["admin"], method="GET").code(world.app) == "unimplemented"
    assert await Call("/healthz", [], method="POST").code(world.app) == "unimplemented"


async def test_the_body_of_a_refused_request_is_discarded_piece_by_piece(world):
    Piece.most = 0
    call = Call(f"/{PROTECTED[0]}", world.headers["none"], pieces=500)
    assert await call.code(world.app) == "unauthenticated"
    assert call.reads_before_answer == 0
    assert Piece.most <= 2


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_only_http_is_accepted(world, kind):
    with pytest.raises(ValueError, match=f"HTTP only, not {kind}"):
        await world.app({"type": kind, "path": "/healthz", "headers": []}, None, None)


def test_keys_are_checked_in_one_place():
    """Handlers read the caller from one context variable, and none of them authenticates callers itself."""
    root = Path(tilebox.server.__file__).parent
    judges = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\.admit\(|\.authenticate\(|current_caller\.set\(", path.read_text())
    }
    assert judges == {"access/admission.py", "access/gatekeeper.py"}
