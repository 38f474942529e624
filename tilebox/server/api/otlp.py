"""OTLP over HTTP: spans and logs of runners are accepted, so that exporters are content, and are not kept yet.

Official runners send theirs to the port of the API, and complain for seconds when nobody takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import read_pieces
from tilebox.server.web.headers import header

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

# An empty `ExportTraceServiceResponse` or `ExportLogsServiceResponse`: all of it was taken.
_ANSWERS = {b"application/x-protobuf": b"", b"application/json": b"{}"}


class Otlp:
    """An ASGI application that takes exports.

    Args:
        max_body_bytes: Largest request.
    """

    paths = ("/v1/traces", "/v1/logs")
    permission = Permission.RUN

    def __init__(self, *, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one export.

        Raises:
            InvalidArgumentError: It is neither protobuf nor JSON, or was cut off.
            RateLimitedError: It is larger than allowed.
        """
        kind = header(scope, b"content-type").partition(b";")[0].strip()
        if kind not in _ANSWERS:
            raise InvalidArgumentError(f"content-type must be one of {b', '.join(_ANSWERS).decode()}")
        await read_pieces(receive, self._max_body_bytes)
        answer = _ANSWERS[kind]
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
