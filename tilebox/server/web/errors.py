"""Errors as answers: the code and message of an exception, in the form of the caller's protocol."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from tilebox._core.wire.status import error_body, http_status
from tilebox.errors import APIError, MissingExtraError, TileboxError
from tilebox.server.web.headers import header, is_grpc

if TYPE_CHECKING:
    from starlette.types import Scope, Send

logger = logging.getLogger("tilebox.server")

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Name of the request at hand, in the log and in the response header `x-request-id`."""

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


class Failure(NamedTuple):
    """What a caller is told of an error.

    Args:
        code: A Connect code.
        message: What went wrong, and what to do.
    """

    code: str
    message: str


def failure_of(error: Exception) -> Failure:
    """Return what the caller is told of an exception.

    Exceptions that no service raised on purpose are logged with their traceback, of which the caller learns nothing.
    """
    if isinstance(error, APIError):
        return Failure(error.code, error.message)
    if isinstance(error, MissingExtraError):
        return Failure("unimplemented", f"on the server: {error}")
    if isinstance(error, TileboxError):
        logger.error("request failed", exc_info=error)
        return Failure("unavailable", "a part of the server cannot be reached; try again")
    logger.error("request failed unexpectedly", exc_info=error)
    return Failure(
        "internal",
        f"the server failed; its log says why under request id {request_id.get()}. Nothing was stored in part.",
    )


async def answer_error(scope: Scope, send: Send, failure: Failure, *, status: int | None = None) -> None:
    """Answer a request with an error, as gRPC or as Connect has it.

    Args:
        scope: The request.
        send: Where the answer goes.
        failure: The error.
        status: The HTTP status of a Connect answer, where it is not the usual one of the code.
    """
    if is_grpc(scope):
        await _answer_grpc(scope, send, failure)
        return
    body = error_body(*failure)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status or http_status(failure.code), "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_grpc(scope: Scope, send: Send, failure: Failure) -> None:
    headers = [(b"content-type", header(scope, b"content-type"))]
    status = [
        (b"grpc-status", b"%d" % _GRPC_CODES[failure.code]),
        (b"grpc-message", quote(failure.message, safe=" ,;:()'`").encode()),
    ]
    # Over HTTP/1.1, which has no trailers here, the status can only stand in the head. Over HTTP/2 it must not: the body
    # that ASGI sends behind a head is a frame which ends the stream, and clients take that for a broken one.
    has_trailers = "http.response.trailers" in scope.get("extensions", {})
    start = {"type": "http.response.start", "status": 200, "trailers": has_trailers}
    await send({**start, "headers": headers if has_trailers else headers + status})
    await send({"type": "http.response.body", "body": b""})
    if has_trailers:
        await send({"type": "http.response.trailers", "headers": status, "more_trailers": False})
