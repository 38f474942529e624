"""A call as a value: what to send, what comes back, and whether sending it twice does any harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One unary call.

    Args:
        method: Service and method, as in `datasets.v1.DatasetService/GetDataset`.
        request: What to send; bytes are a message that is serialised already.
        answer: What comes back.
        is_idempotent: Whether it may be sent again when nobody knows if it arrived.
    """

    method: str
    request: Message | bytes
    answer: type[Answer]
    is_idempotent: bool = True

    def body(self) -> bytes:
        """Return what to send as bytes."""
        return self.request if isinstance(self.request, bytes) else self.request.SerializeToString(deterministic=True)
