"""OTLP over HTTP: the server accepts spans and logs of runners, and discards them.

Official runners export telemetry to the port of the API, and log errors for seconds if the export fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import read_pieces
from tilebox.server.web.headers import header

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# An empty `ExportTraceServiceResponse` or `ExportLogsServiceResponse`: everything was accepted.
_RESPONSES = {b"application/x-protobuf": b"", b"application/json": b"{}"}


class Otlp:
    """An ASGI application that accepts exports.

    Args:
        max_body_bytes: Largest request.
    """

    paths = ("/v1/traces", "/v1/logs")
    permission = Permission.RUN

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one export.

        Raises:
            InvalidArgumentError: The export is neither protobuf nor JSON, or its body is incomplete.
            RateLimitedError: The export is too large.
        """
        kind = header(scope, b"content-type").partition(b";")[0].strip()
        if kind not in _RESPONSES:
            raise InvalidArgumentError(f"content-type must be one of {b', '.join(_RESPONSES).decode()}")
        await read_pieces(receive, self._max_body_bytes)
        response = _RESPONSES[kind]
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(response))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response})
