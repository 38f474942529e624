"""Unary protobuf calls in plain ASGI: over Connect, with or without gzip, and over gRPC.

For a small request, a library for all variants of these protocols takes longer than the method itself. This module
implements the variants that clients and runners use, and leaves the others (JSON, compressed gRPC, time limits) to the
library.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from google.protobuf.message_factory import GetMessageClass

from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import SMALL_BYTES, compress, frame, parser, read_request
from tilebox.server.web.connect_service import ConnectService, snake_case
from tilebox.server.web.disconnects import cancel_on_disconnect, run_to_completion, wait_for_disconnect
from tilebox.server.web.headers import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.message import Message
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.web.bodies import Parse

_MIN_COMPRESSED_BYTES = 1024
"""Smaller responses are sent uncompressed: compression takes longer than it saves."""

_ENCODINGS = frozenset({"identity", "gzip"})
_GRPC_TYPES = frozenset({"application/grpc", "application/grpc+proto"})


def unary_routes(implementation: Any, *, max_body_bytes: int) -> dict[str, ASGIApp]:
    """Return the applications that answer the methods of a service, by path.

    Args:
        implementation: Implements the service. It has

            - `descriptor`: the protobuf descriptor of the service,
            - `permissions`: the permission that each method needs, by the method's name on the wire,
            - a coroutine method `query_by_id(caller, request)` for the wire's `QueryByID`, and so on,
            - optionally `waiting`: names of methods that may wait. They take a third argument, a coroutine function
              that returns when the client has disconnected,
            - optionally `parsers`: functions that parse the requests of some methods instead of protobuf, by name.
        max_body_bytes: Largest request in bytes, compressed and decompressed.
    """
    service = ConnectService(implementation, max_body_bytes=max_body_bytes)
    parsers = getattr(implementation, "parsers", {})
    # Every method has its own route, so that the path is dispatched by one look-up.
    return {
        f"{service.path}/{method.name}": Unary(
            getattr(implementation, snake_case(method.name)),
            parsers.get(method.name) or parser(GetMessageClass(method.input_type)),
            service,
            reads=implementation.permissions[method.name] is Permission.READ,
            waits=method.name in getattr(implementation, "waiting", ()),
            max_body_bytes=max_body_bytes,
        )
        for method in implementation.descriptor.methods
    }


class Unary:
    """An ASGI application that answers one method.

    Args:
        method: Implements the method.
        parse: Parses its requests.
        fallback: Answers requests in other variants of the protocols.
        reads: Whether the method only reads, so that it is cancelled when its client disconnects.
        waits: Whether the method may wait, and handles the disconnect of its client itself.
        max_body_bytes: Largest request in bytes, compressed and decompressed.
    """

    def __init__(
        self,
        method: Callable[..., Coroutine[Any, Any, Message]],
        parse: Parse[Any],
        fallback: ASGIApp,
        *,
        reads: bool,
        waits: bool,
        max_body_bytes: int,
    ) -> None:
        self._method = method
        self._parse = parse
        self._fallback = fallback
        self._reads = reads
        self._waits = waits
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        is_grpc = _is_grpc(headers)
        if not is_grpc and not _is_connect(headers):
            await self._fallback(scope, receive, send)
            return
        request = await read_request(
            receive,
            self._parse,
            max_bytes=self._max_body_bytes,
            is_framed=is_grpc,
            is_compressed=not is_grpc and headers.get("content-encoding") == "gzip",
        )
        response = await self._call(request, receive)
        if response is not None:
            await (_send_grpc if is_grpc else _send_connect)(send, response.SerializeToString(), headers)

    async def _call(self, request: Any, receive: Receive) -> Message | None:
        caller = current_caller.get()
        if self._waits:
            # Runs to completion too, but a server that stops does not wait for it.
            return await asyncio.shield(self._method(caller, request, partial(wait_for_disconnect, receive)))
        work = self._method(caller, request)
        return await (cancel_on_disconnect(work, receive) if self._reads else run_to_completion(work))


def _is_connect(headers: Mapping[str, str]) -> bool:
    return (
        headers.get("content-type") == "application/proto"
        and headers.get("content-encoding", "identity") in _ENCODINGS
        and "connect-timeout-ms" not in headers
    )


def _is_grpc(headers: Mapping[str, str]) -> bool:
    return (
        headers.get("content-type") in _GRPC_TYPES
        and headers.get("grpc-encoding", "identity") == "identity"
        and "grpc-timeout" not in headers
    )


async def _send_connect(send: Send, content: bytes, headers: Mapping[str, str]) -> None:
    response_headers = [(b"content-type", b"application/proto")]
    if _should_compress(content, headers.get("accept-encoding")):
        content = await _compress(content)
        response_headers.append((b"content-encoding", b"gzip"))
    response_headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": 200, "headers": response_headers})
    await send({"type": "http.response.body", "body": content})


async def _send_grpc(send: Send, content: bytes, headers: Mapping[str, str]) -> None:
    response_headers = [(b"content-type", b"application/grpc+proto")]
    is_compressed = _should_compress(content, headers.get("grpc-accept-encoding"))
    if is_compressed:
        content = await _compress(content)
        response_headers.append((b"grpc-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": 200, "headers": response_headers, "trailers": True})
    await send({"type": "http.response.body", "body": frame(content, is_compressed=is_compressed)})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False})


def _should_compress(content: bytes, accepted: str | None) -> bool:
    if accepted is None or len(content) < _MIN_COMPRESSED_BYTES:
        return False
    return "gzip" in {encoding.partition(";")[0].strip() for encoding in accepted.split(",")}


async def _compress(content: bytes) -> bytes:
    return compress(content) if len(content) <= SMALL_BYTES else await anyio.to_thread.run_sync(compress, content)
