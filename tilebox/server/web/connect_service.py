"""A service in all variants of Connect and gRPC, from its protobuf descriptor and an object with its methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.message_factory import GetMessageClass

from tilebox.server.access.gatekeeper import current_caller
from tilebox.server.access.keys import Permission
from tilebox.server.web.disconnects import run_to_completion
from tilebox.server.web.errors import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from connectrpc.request import RequestContext
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message


class ConnectService(ConnectASGIApplication[Any]):
    """An ASGI application for the methods of one service.

    Args:
        implementation: Implements the methods, in the form that `unary_routes` describes.
        max_body_bytes: Largest request message in bytes, compressed and decompressed.
    """

    def __init__(self, implementation: Any, *, max_body_bytes: int) -> None:
        self._path = f"/{implementation.descriptor.full_name}"
        super().__init__(
            service=implementation,
            endpoints=self._endpoints_of,
            read_max_bytes=max_body_bytes,
            # Responses are compressed on the event loop; level 1 takes a quarter of the default level's time.
            compressions=[GzipCompression(level=1)],
            codecs=[google_protobuf_binary_codec(), google_protobuf_json_codec(ignore_unknown_fields=False)],
        )

    @property
    def path(self) -> str:
        """The path prefix of all methods."""
        return self._path

    def _endpoints_of(self, implementation: Any) -> dict[str, Any]:
        return {
            f"{self.path}/{method.name}": _endpoint(
                method,
                getattr(implementation, snake_case(method.name)),
                reads=implementation.permissions[method.name] is Permission.READ,
            )
            for method in implementation.descriptor.methods
        }


def snake_case(name: str) -> str:
    """Return the Python name of a method of the wire: `query_by_id` for `QueryByID`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _endpoint(method: MethodDescriptor, implement: Callable[..., Coroutine[Any, Any, Message]], *, reads: bool) -> Any:
    async def call(request: Message, _: RequestContext[Any, Any]) -> Message:
        try:
            work = implement(current_caller.get(), request)
            return await (work if reads else run_to_completion(work))
        except Exception as error:  # noqa: BLE001 - every exception maps to a code of the wire
            failure = failure_of(error)
            raise ConnectError(Code(failure.code), failure.message) from None

    info = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    )
    return Endpoint.unary(info, call)
