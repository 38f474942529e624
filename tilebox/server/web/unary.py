"""The paths that are taken thousands of times a second, as plain ASGI: one unary call in protobuf, Connect or gRPC.

A library that speaks every form of the protocols takes longer for a small request than the request itself. So this
carries out the forms that clients and runners use, and leaves the others (JSON, packed gRPC, time limits) to that
library.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass

from tilebox.server.web.bodies import headers_of, read_framed, read_message
from tilebox.server.web.connect_service import snake_case, to_connect_error, to_the_end
from tilebox.server.web.envelope import answer_error, answer_framed, answer_message

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.message import Message
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.access.gatekeeper import Gatekeeper
    from tilebox.server.access.keys import Permission
    from tilebox.server.web.connect_service import Service


def direct_calls(
    service: Service, implementation: Any, gatekeeper: Gatekeeper, *, max_body_bytes: int
) -> dict[str, Direct]:
    """Return the calls of a service that take the direct way, by path.

    Args:
        service: Who answers them in other forms.
        implementation: Who carries them out. It names them in `direct`; those in `waiting` take a third argument, a
            coroutine function that returns when the caller has gone away.
        gatekeeper: Who finds out on whose behalf a request speaks.
        max_body_bytes: Largest request.
    """
    return {
        f"{service.path}/{method.name}": Direct(
            GetMessageClass(method.input_type),
            getattr(implementation, snake_case(method.name)),
            implementation.permissions[method.name],
            gatekeeper,
            service,
            waits=method.name in getattr(implementation, "waiting", ()),
            max_body_bytes=max_body_bytes,
        )
        for method in service.descriptor.methods
        if method.name in getattr(implementation, "direct", ())
    }


class Direct:
    """One call: an ASGI application.

    Args:
        request: What is sent.
        carry_out: Who answers.
        permission: What the call needs.
        gatekeeper: Who finds out on whose behalf a request speaks.
        otherwise: Who answers requests in other forms of the protocol.
        waits: Whether the call may wait, and is to learn that its caller has gone away.
        max_body_bytes: Largest request.
    """

    def __init__(
        self,
        request: type[Message],
        carry_out: Callable[..., Coroutine[Any, Any, Message]],
        permission: Permission,
        gatekeeper: Gatekeeper,
        otherwise: ASGIApp,
        *,
        waits: bool,
        max_body_bytes: int,
    ) -> None:
        self._request = request
        self._carry_out = carry_out
        self._permission = permission
        self._gatekeeper = gatekeeper
        self._otherwise = otherwise
        self._waits = waits
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        is_grpc = _is_grpc(headers)
        if not is_grpc and not _is_connect(headers):
            await self._otherwise(scope, receive, send)
            return
        try:
            caller = await self._gatekeeper.admit(headers.get("authorization"), self._permission)
            if is_grpc:
                request = await read_framed(receive, self._request, max_bytes=self.max_body_bytes)
            else:
                request = await read_message(receive, headers, self._request, max_bytes=self.max_body_bytes)
            if self._waits:
                # Carried out to its end as well, but nobody who wants to stop waits for it.
                response = await asyncio.shield(self._carry_out(caller, request, partial(_end_of, receive)))
            else:
                response = await to_the_end(self._carry_out(caller, request))
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)
            return
        await (answer_framed if is_grpc else answer_message)(send, response)


def _is_connect(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type") == "application/proto" and "connect-timeout-ms" not in headers


def _is_grpc(headers: Mapping[str, str]) -> bool:
    return (
        headers.get("content-type") in {"application/grpc", "application/grpc+proto"}
        and headers.get("grpc-encoding", "identity") == "identity"
        and "grpc-timeout" not in headers
    )


async def _end_of(receive: Receive) -> None:
    """Return when there is nobody any more who reads the answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
