"""The outermost layer: what holds for every request, whatever it calls.

Each request gets an id, a line in the access log, a bounded body, and an answer: what the layers below raise is
answered here, in the form of the caller's protocol.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import anyio

from tilebox._core.jobs.workflow_calls import EXTENSION as RUNNERS_EXTENSION
from tilebox._core.schema.arrow_schema import EXTENSION, INGEST_EXTENSION
from tilebox._core.wire.status import EXTENSIONS_HEADER, REQUEST_ID_HEADER
from tilebox.errors import ServerError
from tilebox.server.web.errors import Failure, answer_error, failure_of, request_id
from tilebox.server.web.headers import header, is_grpc

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

access_log = logging.getLogger("tilebox.server.access")
logger = logging.getLogger("tilebox.server")

# How long the rest of a body that nobody wants is read and thrown away.
_DRAIN_SECONDS = 30

# Probes come every few seconds and would hide everything else.
_PROBES = frozenset({"/healthz", "/readyz"})
# Runners ask thousands of times a second. That it went well is not worth a line each time.
_FREQUENT = frozenset({"/tilebox.ext.v1.RunnerService/Exchange", "/workflows.v1.TaskService/NextTask"})

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_PACKING_HEADERS = frozenset({b"accept-encoding", b"grpc-accept-encoding"})

_EXTENSIONS = (EXTENSIONS_HEADER.encode(), f"{EXTENSION}, {INGEST_EXTENSION}, {RUNNERS_EXTENSION}".encode())


class Envelope:
    """The outermost layer of the server.

    Args:
        app: The layer below.
        max_body_bytes: Largest body of a request as it is sent.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ValueError: It is none of HTTP.
        """
        if scope["type"] != "http":
            raise ValueError(f"this server speaks HTTP only, not {scope['type']}")
        scope = _without_needless_packing(scope)
        name = f"{random.getrandbits(64):016x}"
        request_id.set(name)
        body = _Body(receive)
        answer = _Answer(send, name, body)
        started = time.perf_counter()
        try:
            await self._answer(scope, body, answer)
        except Exception as error:
            if answer.status is not None:
                # Too late for another answer; the server below cuts this one off.
                logger.exception("request %s failed after its answer had begun", name)
            else:
                await answer_error(scope, answer, failure_of(error))
        finally:
            _log_request(name, scope, answer.status, started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced_bytes(scope) > self._max_body_bytes:
            message = f"the request is larger than {self._max_body_bytes} bytes; send less at once"
            await answer_error(scope, send, Failure("resource_exhausted", message), status=413)
            return
        if is_grpc(scope) and "http.response.trailers" not in scope.get("extensions", {}):
            raise ServerError("gRPC needs HTTP/2; over HTTP/1.1, speak Connect", code="unimplemented")
        await self._app(scope, receive, send)


class _Body:
    """The way from the client; knows whether the body has been read to its end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_read = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self.is_read = True
        return message

    async def drain(self) -> None:
        """Read what is left of the body."""
        with anyio.move_on_after(_DRAIN_SECONDS):
            while not self.is_read:
                await self()


class _Answer:
    """The way to the client: adds the headers that every answer has, and keeps its status for the log.

    An answer does not end before the body of its request is read: many clients send all of it before they look for the
    answer, and lose the answer if the connection is closed on them.
    """

    def __init__(self, send: Send, name: str, body: _Body) -> None:
        self._send = send
        self._body = body
        self._headers = [(REQUEST_ID_HEADER.encode(), name.encode()), _EXTENSIONS]
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        if message["type"] == "http.response.body" and not message.get("more_body") and not self._body.is_read:
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


def _log_request(name: str, scope: Scope, status: int | None, started: float) -> None:
    path = scope["path"]
    is_usual = path in _PROBES or (path in _FREQUENT and status == 200)
    level = logging.DEBUG if is_usual else logging.INFO
    if access_log.isEnabledFor(level):
        milliseconds = (time.perf_counter() - started) * 1000
        access_log.log(level, "%s %s %s %s %.1f ms", name, scope["method"], path, status or "gone", milliseconds)


def _without_needless_packing(scope: Scope) -> Scope:
    """Do not pack answers that stay on this machine: it takes longer than sending them."""
    host = (scope.get("client") or ("",))[0]
    if host not in _LOOPBACK or header(scope, b"x-forwarded-for") or header(scope, b"forwarded"):
        return scope
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _PACKING_HEADERS]}


def _announced_bytes(scope: Scope) -> int:
    text = header(scope, b"content-length")
    return int(text) if text.isdigit() else 0
