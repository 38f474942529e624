"""One Connect service, which speaks gRPC too, from a protobuf service descriptor and an object with its methods.

An object that carries out `datasets.v1.DataAccessService` has a coroutine method `query_by_id(request)` for
the wire's `QueryByID`, and so on. Authorisation happens before a request's body is read; what a method
raises is turned into a code and a message here, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, TypeVar

from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tilebox.errors import APIError, MissingExtraError, TileboxError
from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission
from tilebox.server.web.envelope import request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from connectrpc.request import RequestContext
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from tilebox.server.access.gatekeeper import Caller, Gatekeeper

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class Service(ConnectASGIApplication[Any]):
    """An ASGI application that answers the calls of one service.

    Args:
        descriptor: The service as the wire defines it.
        implementation: An object with a coroutine method for each of its methods.
        permissions: What each method needs, by the wire's name of the method.
        gatekeeper: Who finds out on whose behalf a request speaks.
        max_body_bytes: Largest request message, packed and unpacked.
    """

    def __init__(
        self,
        descriptor: ServiceDescriptor,
        implementation: object,
        permissions: Mapping[str, Permission],
        gatekeeper: Gatekeeper,
        *,
        max_body_bytes: int,
    ) -> None:
        self.descriptor = descriptor
        super().__init__(
            service=implementation,
            endpoints=lambda service: {
                f"{self.path}/{method.name}": _endpoint(
                    method,
                    getattr(service, snake_case(method.name)),
                    writes=permissions[method.name] is not Permission.READ,
                )
                for method in descriptor.methods
            },
            interceptors=[_Entrance(gatekeeper, permissions)],
            read_max_bytes=max_body_bytes,
            # Pages are packed while the loop waits; the first level takes a quarter of the usual one's time.
            compressions=[GzipCompression(level=1)],
            codecs=[google_protobuf_binary_codec(), google_protobuf_json_codec(ignore_unknown_fields=False)],
        )

    @property
    def path(self) -> str:
        """The path under which all methods lie."""
        return f"/{self.descriptor.full_name}"

    def paths(self) -> Iterator[str]:
        """Yield the path of every method."""
        for method in self.descriptor.methods:
            yield f"{self.path}/{method.name}"


def snake_case(name: str) -> str:
    """Return the Python name of a method of the wire: `QueryByID` is `query_by_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def to_connect_error(error: Exception) -> ConnectError:
    """Turn what a service raised into what the wire says of it.

    Errors that were not raised on purpose are logged with their traceback and reach the caller without it.
    """
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, APIError):
        return ConnectError(Code(error.code), error.message)
    if isinstance(error, MissingExtraError):
        return ConnectError(Code.UNIMPLEMENTED, f"on the server: {error}")
    if isinstance(error, TileboxError):
        logger.error("request failed", exc_info=error)
        return ConnectError(Code.UNAVAILABLE, "a part of the server cannot be reached; try again")
    logger.error("request failed unexpectedly", exc_info=error)
    return ConnectError(
        Code.INTERNAL,
        f"the server failed; its log says why under request id {request_id.get()}. Nothing was stored in part.",
    )


class _Entrance:
    """Lets a request in, before its body is read."""

    def __init__(self, gatekeeper: Gatekeeper, permissions: Mapping[str, Permission]) -> None:
        self._gatekeeper = gatekeeper
        self._permissions = permissions

    async def on_start(self, ctx: RequestContext[Any, Any]) -> None:
        try:
            found = await self._gatekeeper.admit(
                ctx.request_headers.get("authorization"), self._permissions[ctx.method.name]
            )
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            raise to_connect_error(error) from None
        current_caller.set(found)

    async def on_end(self, token: None, ctx: RequestContext[Any, Any], error: Exception | None, /) -> None:
        """Do nothing; the outer layer logs."""


def _endpoint(
    method: MethodDescriptor, function: Callable[[Caller, Any], Coroutine[Any, Any, Message]], *, writes: bool
) -> Any:
    async def call(request: Message, _: RequestContext[Any, Any]) -> Message:
        try:
            work = function(current_caller.get(), request)
            return await (to_the_end(work) if writes else work)
        except Exception as error:  # noqa: BLE001 - the wire has a code for each
            raise to_connect_error(error) from None

    info = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    )
    return Endpoint.unary(info, call)


async def to_the_end(work: Coroutine[Any, Any, M]) -> M:
    """Carry out a change although its caller goes away, since half of it would be seen by the next."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
