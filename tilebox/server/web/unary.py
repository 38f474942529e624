"""Unary calls in protobuf, as plain ASGI: over Connect, packed or not, and over gRPC.

A library that speaks every form of the protocols takes longer for a small request than the request itself. So this
answers the forms that clients and runners use, and leaves the others (JSON, packed gRPC, time limits) to that library.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from google.protobuf.message_factory import GetMessageClass

from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission
from tilebox.server.web.bodies import SMALL_BYTES, frame, pack, parser, read_request
from tilebox.server.web.connect_service import ConnectService, snake_case
from tilebox.server.web.disconnects import to_the_end, until_gone, wait_until_gone
from tilebox.server.web.headers import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.message import Message
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tilebox.server.web.bodies import Parse

_PACKED_BYTES = 1024
"""Smaller answers are sent as they are: packing takes longer than what it spares."""

_ENCODINGS = frozenset({"identity", "gzip"})
_GRPC_TYPES = frozenset({"application/grpc", "application/grpc+proto"})


def unary_routes(implementation: Any, *, max_body_bytes: int) -> dict[str, ASGIApp]:
    """Return the applications that answer the methods of a service, by path.

    Args:
        implementation: What carries them out. It has

            - `descriptor`: the service as the wire defines it,
            - `permissions`: what each method needs, by its name on the wire,
            - a coroutine method `query_by_id(caller, request)` for the wire's `QueryByID`, and so on,
            - perhaps `waiting`: names of methods that may wait. They take a third argument, a coroutine function that
              returns when the caller has gone away,
            - perhaps `parsers`: what reads the requests of some methods, by name, where it is not protobuf.
        max_body_bytes: Largest request, packed and unpacked.
    """
    service = ConnectService(implementation, max_body_bytes=max_body_bytes)
    parsers = getattr(implementation, "parsers", {})
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
        carry_out: Carries the method out.
        parse: Reads its requests.
        otherwise: Answers requests in other forms of the protocols.
        reads: Whether the method only reads, so that it stops when its caller goes away.
        waits: Whether the method may wait, and learns itself that its caller has gone away.
        max_body_bytes: Largest request, packed and unpacked.
    """

    def __init__(
        self,
        carry_out: Callable[..., Coroutine[Any, Any, Message]],
        parse: Parse[Any],
        otherwise: ASGIApp,
        *,
        reads: bool,
        waits: bool,
        max_body_bytes: int,
    ) -> None:
        self._carry_out = carry_out
        self._parse = parse
        self._otherwise = otherwise
        self._reads = reads
        self._waits = waits
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        is_grpc = _is_grpc(headers)
        if not is_grpc and not _is_connect(headers):
            await self._otherwise(scope, receive, send)
            return
        request = await read_request(
            receive,
            self._parse,
            max_bytes=self._max_body_bytes,
            is_framed=is_grpc,
            is_packed=not is_grpc and headers.get("content-encoding") == "gzip",
        )
        response = await self._response(request, receive)
        if response is not None:
            await (_answer_grpc if is_grpc else _answer_connect)(send, response.SerializeToString(), headers)

    async def _response(self, request: Any, receive: Receive) -> Message | None:
        caller = current_caller.get()
        if self._waits:
            # Carried out to its end as well, but a server that stops does not wait for it.
            return await asyncio.shield(self._carry_out(caller, request, partial(wait_until_gone, receive)))
        work = self._carry_out(caller, request)
        return await (until_gone(work, receive) if self._reads else to_the_end(work))


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


async def _answer_connect(send: Send, content: bytes, headers: Mapping[str, str]) -> None:
    given = [(b"content-type", b"application/proto")]
    if _is_worth_packing(content, headers.get("accept-encoding")):
        content = await _packed(content)
        given.append((b"content-encoding", b"gzip"))
    given.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": 200, "headers": given})
    await send({"type": "http.response.body", "body": content})


async def _answer_grpc(send: Send, content: bytes, headers: Mapping[str, str]) -> None:
    given = [(b"content-type", b"application/grpc+proto")]
    is_packed = _is_worth_packing(content, headers.get("grpc-accept-encoding"))
    if is_packed:
        content = await _packed(content)
        given.append((b"grpc-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": 200, "headers": given, "trailers": True})
    await send({"type": "http.response.body", "body": frame(content, is_packed=is_packed)})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False})


def _is_worth_packing(content: bytes, accepted: str | None) -> bool:
    if accepted is None or len(content) < _PACKED_BYTES:
        return False
    return "gzip" in {encoding.partition(";")[0].strip() for encoding in accepted.split(",")}


async def _packed(content: bytes) -> bytes:
    return pack(content) if len(content) <= SMALL_BYTES else await anyio.to_thread.run_sync(pack, content)
