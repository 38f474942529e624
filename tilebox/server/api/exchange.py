"""The path that runners take thousands of times a second, as plain ASGI: `RunnerService/Exchange` in Connect's protobuf.

A runner that goes away while it waits for a task gets none. One that goes away with tasks on their way to it gets
them when it repeats its request; if it never does, its lease ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2 as wire
from tilebox.server.api.bodies import headers_of, read_message
from tilebox.server.api.connect import to_connect_error
from tilebox.server.http import answer_error
from tilebox.server.keys import Permission

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.api.runners import RunnerService
    from tilebox.server.auth import Gatekeeper

_HEADERS = [(b"content-type", b"application/proto")]


class Exchange:
    """An ASGI application.

    Args:
        runners: Who carries requests out.
        gatekeeper: Who finds out on whose behalf a request speaks.
        otherwise: Who answers requests in other forms of the protocol, such as JSON or gRPC.
        max_body_bytes: Largest request.
    """

    path = "/tilebox.ext.v1.RunnerService/Exchange"

    def __init__(
        self, runners: RunnerService, gatekeeper: Gatekeeper, otherwise: ASGIApp, *, max_body_bytes: int
    ) -> None:
        self._runners = runners
        self._gatekeeper = gatekeeper
        self._otherwise = otherwise
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        if headers.get("content-type") != "application/proto":
            await self._otherwise(scope, receive, send)
            return
        try:
            caller = await self._gatekeeper.admit(headers.get("authorization"), Permission.RUN)
            request = await read_message(receive, headers, wire.ExchangeRequest, max_bytes=self._max_body_bytes)
            gone = anyio.Event()
            watching = asyncio.ensure_future(_watch(receive, gone)) if request.HasField("wait") else None
            try:
                # To the end, whoever goes away: half a report would be seen by the next.
                response = await asyncio.shield(self._runners.exchange(caller, request, gone))
            finally:
                if watching is not None:
                    watching.cancel()
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            failure = to_connect_error(error)
            await answer_error(scope, send, failure.code.value, failure.message)
            return
        body = response.SerializeToString()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
        await send({"type": "http.response.body", "body": body})


async def _watch(receive: Receive, gone: anyio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
