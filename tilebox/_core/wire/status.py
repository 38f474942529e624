"""Connect codes with their HTTP statuses and error classes: one table for client and server.

The server looks up the status of an error that it raised; the client looks up the error of a code that it received.
A gateway between the two sends a status without a code. `code_of_status` reads it by the table of the Connect
protocol, except that 429 is `resource_exhausted`, the code that itself travels as 429.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebox.errors import (
    APIError,
    AuthenticationError,
    ConflictError,
    ConnectTimeout,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TileboxError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST_ID_HEADER = "x-request-id"
EXTENSIONS_HEADER = "tilebox-extensions"


@dataclass(frozen=True, slots=True)
class Status:
    """A Connect code, its HTTP status, and the error that the client raises for it."""

    code: str
    http: int
    error: type[TileboxError]


STATUSES: Mapping[str, Status] = {
    status.code: status
    for status in (
        Status("canceled", 499, ServerError),
        Status("unknown", 500, ServerError),
        Status("invalid_argument", 400, InvalidArgumentError),
        Status("deadline_exceeded", 504, ConnectTimeout),
        Status("not_found", 404, NotFoundError),
        Status("already_exists", 409, ConflictError),
        Status("permission_denied", 403, PermissionDeniedError),
        Status("resource_exhausted", 429, RateLimitedError),
        Status("failed_precondition", 400, ConflictError),
        Status("aborted", 409, ConflictError),
        Status("out_of_range", 400, InvalidArgumentError),
        Status("unimplemented", 501, ServerError),
        Status("internal", 500, ServerError),
        # Nothing was done, and a retry may succeed: the service starts, stops, or has no disk or database at the moment,
        # or a gateway cannot reach it.
        Status("unavailable", 503, TransportError),
        Status("data_loss", 500, ServerError),
        Status("unauthenticated", 401, AuthenticationError),
    )
}

_CODES_OF_STATUS: Mapping[int, str] = {
    400: "internal",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    413: "resource_exhausted",
    429: "resource_exhausted",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}

_MAX_BODY_IN_MESSAGE = 200


def http_status(code: str) -> int:
    """Return the HTTP status of a Connect code; 500 for an unknown code."""
    return STATUSES[code].http if code in STATUSES else 500


def code_of_status(http: int) -> str:
    """Return the Connect code for an HTTP status that arrived without one."""
    return _CODES_OF_STATUS.get(http, "unknown")


def code_of(error: BaseException) -> str:
    """Return the code with which the server reports an error; `internal` for an unexpected one."""
    if isinstance(error, APIError):
        return error.code
    for status in STATUSES.values():
        if type(error) is status.error:
            return status.code
    return "internal"


def error_body(code: str, message: str) -> bytes:
    """Return the JSON body of an error, as the Connect protocol defines it."""
    return json.dumps({"code": code, "message": message}).encode()


def error_from_response(http: int, body: bytes, headers: Mapping[str, str], *, call: str) -> TileboxError:
    """Convert an error response to the error to raise.

    Args:
        http: The HTTP status.
        body: The body: Connect's JSON, or the page of a gateway.
        headers: The headers by lower-case name.
        call: The call in error messages, as in `DatasetService/ListDatasets at https://...`.

    Returns:
        The error to raise.
    """
    if 300 <= http < 400:
        target = headers.get("location", "")[:_MAX_BODY_IN_MESSAGE]
        return ServerError(
            f"{call} redirects to {target!r}; the API key is not sent to another address, so check the URL"
        )
    code, message, is_from_server = _read_body(http, body)
    if code == "unavailable" and not is_from_server:
        return TransportError(f"no answer from {call}: {message}; try again later")
    return error_from_code(code, message, request_id=headers.get(REQUEST_ID_HEADER), call=call)


def error_from_code(code: str, message: str, *, request_id: str | None, call: str) -> TileboxError:
    """Return the error of a Connect code, whose message adds advice to the server's words."""
    status = STATUSES.get(code, STATUSES["unknown"])
    suffix = f" (request {request_id})" if request_id else ""
    if code == "unimplemented":
        message = f"the server does not offer {call}: {message}; check the URL, or update the server or this package"
    elif code == "unavailable":
        message = f"the server is unavailable for {call}: {message}{suffix}; try again later"
    elif code == "deadline_exceeded":
        message = f"{call} took too long: {message}{suffix}; request less data, or try again later"
    elif status.error is ServerError:
        message = f"the server failed at {call}: {message}{suffix}"
    if issubclass(status.error, APIError):
        return status.error(message, code=code, request_id=request_id)
    return status.error(message)


def _read_body(http: int, body: bytes) -> tuple[str, str, bool]:
    """Return the code, the message, and whether they come from the server rather than a gateway."""
    try:
        content = json.loads(body)
        code, message = content["code"], content.get("message", "")
    except (ValueError, TypeError, KeyError, AttributeError):
        text = " ".join(body[:_MAX_BODY_IN_MESSAGE].decode(errors="replace").split())
        return code_of_status(http), f"HTTP {http} {text}".rstrip(), False
    return (code if code in STATUSES else code_of_status(http)), str(message) or f"HTTP {http}", True
