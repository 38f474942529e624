"""Ids: UUIDs whose first six bytes are a time in milliseconds since 1970, signed and big-endian.

Datapoints are ordered by (time, id bytes); `sort_key` gives that order also for times before 1970,
whose bytes alone would sort behind all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.protocol.tilebox.v1 import id_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_UUID = UUID(int=0)


def time_ms(id_bytes: bytes) -> int:
    """Return the milliseconds since 1970 that an id carries."""
    return int.from_bytes(id_bytes[:6], "big", signed=True)


def sort_key(id_bytes: bytes) -> tuple[int, bytes]:
    """Return what ids are ordered by."""
    return time_ms(id_bytes), id_bytes


def to_wire(value: UUID) -> id_pb2.ID:
    """Return the message of an id."""
    return id_pb2.ID(uuid=value.bytes)


def from_wire(message: id_pb2.ID) -> UUID:
    """Read the message of an id; all zeros where it is unset."""
    return UUID(bytes=message.uuid) if message.uuid else _NO_UUID


def parse(value: Any, *, what: str = "id") -> UUID:
    """Read an id that a caller gave.

    Args:
        value: A UUID, its text, its 16 bytes, or a scalar array of one of these.
        what: What it identifies, for the message of an error.

    Raises:
        ValueError: It is no UUID.
        TypeError: It is of a type that cannot be one.
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
        raise ValueError(f"{value!r} is no {what}; give a UUID such as 0186d6b6-66cc-fcfd-91df-bbbff72499c3") from None
    raise TypeError(f"{what} must be a UUID or its text, not a {type(value).__name__}")


def parse_many(value: Any) -> list[UUID]:
    """Read the ids of datapoints: an id, an iterable of ids, or a dataset or data frame with a column `id`.

    Raises:
        ValueError: One is no UUID, or a dataset has no ids.
        TypeError: They are of a type that cannot be ids.
    """
    if isinstance(value, (UUID, str, bytes)):
        return [parse(value, what="datapoint id")]
    if hasattr(value, "columns") or hasattr(value, "data_vars"):
        if "id" not in value:
            raise ValueError("the data has no column `id` that says which datapoints it holds")
        value = value["id"]
    return [parse(item, what="datapoint id") for item in _items(value)]


def _items(value: Any) -> Iterable[Any]:
    if hasattr(value, "ndim"):
        import numpy as np  # only what comes from there has an ndim, and runners need it in none of their processes

        # As objects, whatever string type numpy, pandas or Arrow behind pandas made of them.
        flat: Iterable[Any] = np.asarray(value, dtype=object).reshape(-1)
        return flat
    try:
        items: Iterable[Any] = iter(value)
        return items
    except TypeError:
        raise TypeError(f"datapoints are named by their ids, not by a {type(value).__name__}") from None
