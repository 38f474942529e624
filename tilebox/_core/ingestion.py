"""Batches of datapoints on their way to the server, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tilebox._core.requests import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Datapoints in one request, about, in bytes: well below what servers and the proxies before them take."""


class Ingested(list[UUID]):
    """The ids of ingested datapoints, in the order of the input.

    Attributes:
        created: Number of datapoints that were new.
        existing: Number of those that were there already, repeats inside the input included.
    """

    def __init__(self, ids: Iterable[UUID] = (), *, created: int = 0, existing: int = 0) -> None:
        super().__init__(ids)
        self.created = created
        self.existing = existing

    @classmethod
    def from_wire(cls, answer: data_ingestion_pb2.IngestResponse) -> Ingested:
        """Read the answer for one batch."""
        ids = (UUID(bytes=message.uuid) for message in answer.datapoint_ids)
        return cls(ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def joined(cls, parts: Iterable[Ingested]) -> Ingested:
        """Put several batches together."""
        result = cls()
        for part in parts:
            result.extend(part)
            result.created += part.created
            result.existing += part.existing
        return result


def batches(rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of every batch, and the one behind its last."""
    for start in range(0, rows, MAX_BATCH):
        yield start, min(start + MAX_BATCH, rows)


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
