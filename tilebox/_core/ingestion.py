"""Batches of datapoints on their way to the server, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2
    from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Datapoints in one request, about, in bytes: well below what servers and the proxies before them take."""

_ID_BYTES = 16
_SHOWN_IDS = 3


class Ingested(Sequence[UUID]):
    """The ids of ingested datapoints, in the order of the input: a sequence that equals the list of them.

    They are kept as bytes, because making a million UUIDs takes longer than sending a million datapoints.

    Attributes:
        created: Number of datapoints that were new.
        existing: Number of those that were there already, repeats inside the input included.
    """

    def __init__(self, ids: bytes = b"", *, created: int = 0, existing: int = 0) -> None:
        self._ids = ids
        self.created = created
        self.existing = existing

    @classmethod
    def from_wire(cls, answer: data_ingestion_pb2.IngestResponse) -> Ingested:
        """Read the answer for one batch."""
        ids = b"".join([message.uuid for message in answer.datapoint_ids])
        return cls(ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def from_extension(cls, answer: datapoints_pb2.IngestResponse) -> Ingested:
        """Read the answer for one batch that was sent as columns."""
        return cls(answer.datapoint_ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def joined(cls, parts: Iterable[Ingested]) -> Ingested:
        """Put several batches together."""
        parts = list(parts)
        return cls(
            b"".join([part._ids for part in parts]),  # noqa: SLF001 of its own class
            created=sum(part.created for part in parts),
            existing=sum(part.existing for part in parts),
        )

    def __len__(self) -> int:
        return len(self._ids) // _ID_BYTES

    @overload
    def __getitem__(self, position: int) -> UUID: ...

    @overload
    def __getitem__(self, position: slice) -> list[UUID]: ...

    def __getitem__(self, position: int | slice) -> UUID | list[UUID]:
        if isinstance(position, slice):
            return [self._at(place) for place in range(len(self))[position]]
        return self._at(range(len(self))[position])

    def __iter__(self) -> Iterator[UUID]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Ingested):
            return self._ids == other._ids
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(str(identity) for identity in self[:_SHOWN_IDS])
        more = ", ..." if len(self) > _SHOWN_IDS else ""
        return f"<{self.created} datapoints created, {self.existing} existing: [{shown}{more}]>"

    def _at(self, place: int) -> UUID:
        return UUID(bytes=self._ids[place * _ID_BYTES : (place + 1) * _ID_BYTES])


def batches(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of every batch of some size, and the one behind its last."""
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def requests_of(values: Sequence[bytes], max_bytes: int = MAX_REQUEST_BYTES) -> Iterator[Sequence[bytes]]:
    """Yield the serialised datapoints of a batch in as few requests as their size allows, usually one."""
    start = size = 0
    for position, value in enumerate(values):
        if position > start and size + len(value) > max_bytes:
            yield values[start:position]
            start, size = position, 0
        size += len(value)
    if start < len(values):
        yield values[start:]
