"""OTLP over HTTP: spans and logs of runners are accepted, so that exporters are content, and are not kept yet.

Official runners send theirs to the port of the API, and complain for seconds when nobody takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import headers_of, read_body
from tilebox.server.web.connect_service import to_connect_error
from tilebox.server.web.envelope import answer_error

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tilebox.server.access.gatekeeper import Gatekeeper

OTLP_PATHS = ("/v1/traces", "/v1/logs")

# An empty `ExportTraceServiceResponse` or `ExportLogsServiceResponse`: all of it was taken.
_ANSWERS = {"application/x-protobuf": b"", "application/json": b"{}"}


class Otlp:
    """An ASGI application.

    Args:
        gatekeeper: Who finds out on whose behalf a request speaks.
        max_body_bytes: Largest request.
    """

    def __init__(self, gatekeeper: Gatekeeper, *, max_body_bytes: int) -> None:
        self._gatekeeper = gatekeeper
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one export."""
        headers = headers_of(scope)
        kind = headers.get("content-type", "").partition(";")[0].strip()
        try:
            await self._gatekeeper.admit(headers.get("authorization"), Permission.RUN)
            if kind not in _ANSWERS:
                raise InvalidArgumentError(f"content-type must be one of {', '.join(_ANSWERS)}")  # noqa: TRY301
            await read_body(receive, self._max_body_bytes)
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)
            return
        answer = _ANSWERS[kind]
        given = [(b"content-type", kind.encode()), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": answer})
