"""Ids: UUIDs whose first six bytes hold a time in milliseconds since 1970, signed and big-endian.

Datapoints are ordered by (time, id bytes). `sort_key` gives that order for times before 1970 too, whose
bytes alone would sort after all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.protocol.tilebox.v1 import id_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_UUID = UUID(int=0)


def time_ms(id_bytes: bytes) -> int:
    """Return the time in an id, in milliseconds since 1970."""
    return int.from_bytes(id_bytes[:6], "big", signed=True)


def sort_key(id_bytes: bytes) -> tuple[int, bytes]:
    """Return the key by which ids are sorted: time first, then bytes."""
    return time_ms(id_bytes), id_bytes


def to_wire(value: UUID) -> id_pb2.ID:
    """Convert an id to its protobuf message."""
    return id_pb2.ID(uuid=value.bytes)


def from_wire(message: id_pb2.ID) -> UUID:
    """Read an id from its protobuf message; an unset message gives the nil UUID."""
    return UUID(bytes=message.uuid) if message.uuid else _NO_UUID


def parse(value: Any, *, name: str = "id") -> UUID:
    """Read an id from a caller's argument.

    Args:
        value: A UUID, its text, its 16 bytes, or a scalar array of one of these.
        name: The name of the argument in error messages, such as `job id`.

    Raises:
        ValueError: The text or the bytes are not a UUID.
        TypeError: The value has another type.
    """
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, UUID):
        return value
    try:
        if isinstance(value, str):
            return UUID(value)
        if isinstance(value, bytes):
            return UUID(bytes=value)
    except ValueError:
        raise ValueError(
            f"{value!r} is not a valid {name}; give a UUID such as 0186d6b6-66cc-fcfd-91df-bbbff72499c3"
        ) from None
    raise TypeError(f"{name} must be a UUID or its text, not a {type(value).__name__}")


def parse_many(value: Any) -> list[UUID]:
    """Read datapoint ids from a caller's argument.

    Args:
        value: One id, an iterable of ids, or a dataset or data frame with a column `id`.

    Raises:
        ValueError: An id is not a UUID, or a dataset has no column `id`.
        TypeError: The value has a type that cannot hold ids.
    """
    if isinstance(value, (UUID, str, bytes)):
        return [parse(value, name="datapoint id")]
    if hasattr(value, "columns") or hasattr(value, "data_vars"):
        if "id" not in value:
            raise ValueError("the data has no column `id` with the ids of its datapoints")
        value = value["id"]
    return [parse(item, name="datapoint id") for item in _items(value)]


def _items(value: Any) -> Iterable[Any]:
    if hasattr(value, "ndim"):
        # Imported here, because runner processes never need numpy; a value with `ndim` has imported it already.
        import numpy as np

        # As objects, whichever string type numpy, pandas, or Arrow under pandas, gave them.
        flat: Iterable[Any] = np.asarray(value, dtype=object).reshape(-1)
        return flat
    try:
        items: Iterable[Any] = iter(value)
        return items
    except TypeError:
        raise TypeError(f"datapoint ids must be UUIDs or a list of them, not a {type(value).__name__}") from None
