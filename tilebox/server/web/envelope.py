"""What holds for every request, whatever it calls: a request id, an access log, a bounded body, an answer.

A plain ASGI layer around the routes. It knows no service; what it answers by itself it says in the form
that the caller's protocol has for errors.
"""

from __future__ import annotations

import logging
import random
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio

from tilebox._core.arrow import EXTENSION, INGEST_EXTENSION
from tilebox._core.status import EXTENSIONS_HEADER, REQUEST_ID_HEADER, error_body, http_status
from tilebox._core.workflow_requests import EXTENSION as RUNNERS_EXTENSION

if TYPE_CHECKING:
    from google.protobuf.message import Message as ProtobufMessage
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

access_log = logging.getLogger("tilebox.server.access")
logger = logging.getLogger("tilebox.server")

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Name of the request at hand, in the log and in the response header `x-request-id`."""

# How long the rest of a body that nobody wants is read and thrown away.
_DRAIN_SECONDS = 30

# Probes come every few seconds and would hide everything else.
_PROBES = frozenset({"/healthz", "/readyz"})
# Runners ask thousands of times a second. That it went well is not worth a line each time.
_FREQUENT = frozenset({"/tilebox.ext.v1.RunnerService/Exchange", "/workflows.v1.TaskService/NextTask"})

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_PACKING_HEADERS = frozenset({b"accept-encoding", b"grpc-accept-encoding"})

EXTENSIONS = (EXTENSIONS_HEADER.encode(), f"{EXTENSION}, {INGEST_EXTENSION}, {RUNNERS_EXTENSION}".encode())
"""The header by which every answer says what this server speaks besides the public wire."""

_GRPC_CODES = {
    "canceled": 1,
    "unknown": 2,
    "invalid_argument": 3,
    "deadline_exceeded": 4,
    "not_found": 5,
    "already_exists": 6,
    "permission_denied": 7,
    "resource_exhausted": 8,
    "failed_precondition": 9,
    "aborted": 10,
    "out_of_range": 11,
    "unimplemented": 12,
    "internal": 13,
    "unavailable": 14,
    "data_loss": 15,
    "unauthenticated": 16,
}


def begin_request() -> str:
    """Give the request at hand a name, and return it."""
    name = f"{random.getrandbits(64):016x}"
    request_id.set(name)
    return name


def log_request(name: str, method: str, path: str, status: int | None, started: float) -> None:
    """Write a line about a request.

    Args:
        name: Its request id.
        method: GET or POST, say.
        path: Its path.
        status: The status of the answer; None if there was nobody to answer.
        started: When it began, by `time.perf_counter`.
    """
    is_usual = path in _PROBES or (path in _FREQUENT and status == 200)
    level = logging.DEBUG if is_usual else logging.INFO
    if access_log.isEnabledFor(level):
        milliseconds = (time.perf_counter() - started) * 1000
        access_log.log(level, "%s %s %s %s %.1f ms", name, method, path, status or "gone", milliseconds)


class Envelope:
    """The outermost layer of the server.

    Args:
        app: The routes.
        max_body_bytes: Largest body of a request as it is sent.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _without_needless_packing(scope)
        name = begin_request()
        body = _Body(receive)
        answer = _Answer(send, name, body)
        started = time.perf_counter()
        try:
            await self._carry_out(scope, body, answer)
        except Exception:
            logger.exception("request %s %s failed unexpectedly", name, scope["path"])
            if not answer.status:
                await answer_error(
                    scope, answer, "internal", f"the server failed; its log says why under request id {name}"
                )
        finally:
            log_request(name, scope["method"], scope["path"], answer.status, started)

    async def _carry_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced_bytes(scope) > self._max_body_bytes:
            await answer_error(
                scope,
                send,
                "resource_exhausted",
                f"the request is larger than {self._max_body_bytes} bytes; send less at once",
                status=413,
            )
            return
        if _is_grpc(scope) and "http.response.trailers" not in scope.get("extensions", {}):
            await answer_error(scope, send, "unimplemented", "gRPC needs HTTP/2; over HTTP/1.1, speak Connect")
            return
        await self._app(scope, receive, send)


async def answer_error(scope: Scope, send: Send, code: str, message: str, *, status: int | None = None) -> None:
    """Answer a request with an error, as gRPC or as Connect has it.

    Args:
        scope: The request.
        send: Where the answer goes.
        code: A Connect code.
        message: What went wrong, and what to do.
        status: The HTTP status, where it is not the code's usual one.
    """
    headers: list[tuple[bytes, bytes]]
    if _is_grpc(scope):
        grpc_status, body = str(_GRPC_CODES[code]).encode(), b""
        headers = [
            (b"content-type", _header(scope, b"content-type")),
            (b"grpc-status", grpc_status),
            (b"grpc-message", quote(message, safe=" ,;:()'`").encode()),
        ]
        status = 200
    else:
        body = error_body(code, message)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        status = status or http_status(code)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_message(send: Send, message: ProtobufMessage) -> None:
    """Answer a request with a message, as Connect has it in protobuf."""
    body = message.SerializeToString()
    headers = [(b"content-type", b"application/proto"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_framed(send: Send, message: ProtobufMessage) -> None:
    """Answer a request with a message, as gRPC has it."""
    content = message.SerializeToString()
    body = b"\0" + len(content).to_bytes(4) + content
    headers = [(b"content-type", b"application/grpc+proto")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": body})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False})


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

    An answer is not ended before the body of its request is read: many clients send all of it before they
    look for the answer, and a connection that is closed on them loses it.
    """

    def __init__(self, send: Send, name: str, body: _Body) -> None:
        self._send = send
        self._body = body
        self._headers = [(REQUEST_ID_HEADER.encode(), name.encode()), EXTENSIONS]
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


def _without_needless_packing(scope: Scope) -> Scope:
    """Do not pack answers that stay on this machine: it takes longer than sending them."""
    host = (scope.get("client") or ("",))[0]
    if host not in _LOOPBACK or _header(scope, b"x-forwarded-for") or _header(scope, b"forwarded"):
        return scope
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _PACKING_HEADERS]}


def _is_grpc(scope: Scope) -> bool:
    return _header(scope, b"content-type").startswith(b"application/grpc")


def _announced_bytes(scope: Scope) -> int:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0


def _header(scope: Scope, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""
