"""The outermost ASGI layer, which every request passes.

It gives each request an id, a line in the access log and a limit on its body, and turns exceptions of the inner layers
into error responses of the caller's protocol.
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
from tilebox.server.web.errors import Failure, failure_of, request_id, send_error
from tilebox.server.web.headers import header, is_grpc

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

access_log = logging.getLogger("tilebox.server.access")
logger = logging.getLogger("tilebox.server")

# How long the unread rest of a body is read and discarded.
_DRAIN_SECONDS = 30

# Probes arrive every few seconds and would flood the access log.
_PROBES = frozenset({"/healthz", "/readyz"})
# Runners send thousands of these a second; only failures are worth a line.
_FREQUENT = frozenset({"/tilebox.ext.v1.RunnerService/Exchange", "/workflows.v1.TaskService/NextTask"})

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_COMPRESSION_HEADERS = frozenset({b"accept-encoding", b"grpc-accept-encoding"})

_EXTENSIONS = (EXTENSIONS_HEADER.encode(), f"{EXTENSION}, {INGEST_EXTENSION}, {RUNNERS_EXTENSION}".encode())


class Envelope:
    """The outermost ASGI layer of the server.

    Args:
        app: The next inner layer.
        max_body_bytes: Largest request body in bytes, as sent.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ValueError: The connection is not HTTP.
        """
        if scope["type"] != "http":
            raise ValueError(f"this server speaks HTTP only, not {scope['type']}")
        scope = _without_local_compression(scope)
        identity = f"{random.getrandbits(64):016x}"
        request_id.set(identity)
        body = _Body(receive)
        response = _Response(send, identity, body)
        started = time.perf_counter()
        try:
            await self._respond(scope, body, response)
        except Exception as error:
            if response.status is not None:
                # Too late for an error response; the HTTP server aborts this one.
                logger.exception("request %s failed after its response had started", identity)
            else:
                await send_error(scope, response, failure_of(error))
        finally:
            _log_request(identity, scope, response.status, started)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _content_length(scope) > self._max_body_bytes:
            message = f"the request is larger than {self._max_body_bytes} bytes; send less at once"
            await send_error(scope, send, Failure("resource_exhausted", message), status=413)
            return
        if is_grpc(scope) and "http.response.trailers" not in scope.get("extensions", {}):
            raise ServerError("gRPC needs HTTP/2; use Connect over HTTP/1.1", code="unimplemented")
        await self._app(scope, receive, send)


class _Body:
    """The ASGI receive callable of a request, which tracks whether the whole body was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_read = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self.is_read = True
        return message

    async def drain(self) -> None:
        """Read and discard the rest of the body."""
        with anyio.move_on_after(_DRAIN_SECONDS):
            while not self.is_read:
                await self()


class _Response:
    """The ASGI send callable of a request: adds the common headers, and records the status for the access log.

    A response does not end before the body of its request was read. Many clients send the whole body before they read
    the response, and lose the response if the connection closes first.
    """

    def __init__(self, send: Send, identity: str, body: _Body) -> None:
        self._send = send
        self._body = body
        self._headers = [(REQUEST_ID_HEADER.encode(), identity.encode()), _EXTENSIONS]
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


def _log_request(identity: str, scope: Scope, status: int | None, started: float) -> None:
    path = scope["path"]
    is_routine = path in _PROBES or (path in _FREQUENT and status == 200)
    level = logging.DEBUG if is_routine else logging.INFO
    if access_log.isEnabledFor(level):
        milliseconds = (time.perf_counter() - started) * 1000
        access_log.log(level, "%s %s %s %s %.1f ms", identity, scope["method"], path, status or "gone", milliseconds)


def _without_local_compression(scope: Scope) -> Scope:
    """Turn off compression for clients on this machine, where it takes longer than sending the bytes."""
    host = (scope.get("client") or ("",))[0]
    if host not in _LOOPBACK or header(scope, b"x-forwarded-for") or header(scope, b"forwarded"):
        return scope
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _COMPRESSION_HEADERS]}


def _content_length(scope: Scope) -> int:
    text = header(scope, b"content-length")
    return int(text) if text.isdigit() else 0
