"""Error responses: the code and the message of an exception, in the caller's protocol."""

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
"""Id of the current request, for the log and the response header `x-request-id`."""

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
    """The part of an error that the caller sees.

    Args:
        code: A Connect error code.
        message: What went wrong, and what to do.
    """

    code: str
    message: str


def failure_of(error: Exception) -> Failure:
    """Return the code and the message that the caller gets for an exception.

    Unexpected exceptions are logged with their traceback; the caller gets no details of them.
    """
    if isinstance(error, APIError):
        return Failure(error.code, error.message)
    if isinstance(error, MissingExtraError):
        return Failure("unimplemented", f"on the server: {error}")
    if isinstance(error, TileboxError):
        logger.error("request failed", exc_info=error)
        return Failure("unavailable", "the server cannot reach its database or storage; try again")
    logger.error("request failed unexpectedly", exc_info=error)
    return Failure(
        "internal",
        f"the server failed; its log says why under request id {request_id.get()}. Nothing was stored in part.",
    )


async def send_error(scope: Scope, send: Send, failure: Failure, *, status: int | None = None) -> None:
    """Send an error response, in gRPC or in Connect.

    Args:
        scope: ASGI scope of the request.
        send: ASGI callable that sends the response.
        failure: The error.
        status: HTTP status of a Connect response, if it is not the default status of the code.
    """
    if is_grpc(scope):
        await _send_grpc_error(scope, send, failure)
        return
    body = error_body(*failure)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status or http_status(failure.code), "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_grpc_error(scope: Scope, send: Send, failure: Failure) -> None:
    headers = [(b"content-type", header(scope, b"content-type"))]
    status = [
        (b"grpc-status", b"%d" % _GRPC_CODES[failure.code]),
        (b"grpc-message", quote(failure.message, safe=" ,;:()'`").encode()),
    ]
    # Over HTTP/1.1 there are no trailers here, so the status goes into the headers. Over HTTP/2 it must not: the body
    # that ASGI sends after the headers is a frame that ends the stream, and clients take that for a broken stream.
    has_trailers = "http.response.trailers" in scope.get("extensions", {})
    start = {"type": "http.response.start", "status": 200, "trailers": has_trailers}
    await send({**start, "headers": headers if has_trailers else headers + status})
    await send({"type": "http.response.body", "body": b""})
    if has_trailers:
        await send({"type": "http.response.trailers", "headers": status, "more_trailers": False})
