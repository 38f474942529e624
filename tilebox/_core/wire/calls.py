"""A unary call as a value: method, request, type of the response, and whether it may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

ResponseMessage = TypeVar("ResponseMessage", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[ResponseMessage]):
    """One unary call.

    Args:
        method: Service and method, as in `datasets.v1.DatasetService/GetDataset`.
        request: The request message, or its serialised bytes.
        response_type: The class of the response message.
        is_idempotent: Whether it may be sent again when it is unknown whether the server received it.
    """

    method: str
    request: Message | bytes
    response_type: type[ResponseMessage]
    is_idempotent: bool = True

    def body(self) -> bytes:
        """Return the body of the request; equal messages give equal bytes."""
        return self.request if isinstance(self.request, bytes) else self.request.SerializeToString(deterministic=True)
