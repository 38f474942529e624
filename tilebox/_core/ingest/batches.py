"""Batches of an ingest call: splitting rows into requests, and collecting ids and errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload
from uuid import UUID

from tilebox.errors import APIError, ServerError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox._core.protocol.datasets.v1 import data_ingestion_pb2
    from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""The approximate size of one request in bytes, well below the limits of servers and of proxies before them."""

# How the server names a rejected row, counted within the request.
_REJECTED_ROW = re.compile(r"(?<=[:;] )datapoint (\d+)(?=: )")
_ID_BYTES = 16
_SHOWN_IDS = 3


class IngestResult(Sequence[UUID]):
    """The ids of ingested datapoints in the order of the input: a sequence that equals the list of them.

    It stores bytes and creates UUIDs on access: creating a million UUIDs takes longer than sending a million datapoints.

    Attributes:
        created: The number of datapoints that were new.
        existing: The number of datapoints that existed already, including duplicates within the input.
    """

    def __init__(self, ids: bytes = b"", *, created: int = 0, existing: int = 0) -> None:
        self._ids = ids
        self.created = created
        self.existing = existing

    @classmethod
    def from_wire(cls, answer: data_ingestion_pb2.IngestResponse) -> IngestResult:
        """Read the response to one batch."""
        ids = b"".join([message.uuid for message in answer.datapoint_ids])
        return cls(ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def from_extension(cls, answer: datapoints_pb2.IngestResponse) -> IngestResult:
        """Read the response to one batch that was sent as columns."""
        return cls(answer.datapoint_ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def joined(cls, parts: Iterable[IngestResult]) -> IngestResult:
        """Concatenate the ids of several batches, and sum their counts."""
        parts = list(parts)
        return cls(
            b"".join([part._ids for part in parts]),  # noqa: SLF001 - an instance of this class
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
            return [self._at(index) for index in range(len(self))[position]]
        return self._at(range(len(self))[position])

    def __iter__(self) -> Iterator[UUID]:
        return map(self._at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, IngestResult):
            return self._ids == other._ids
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(str(identity) for identity in self[:_SHOWN_IDS])
        more = ", ..." if len(self) > _SHOWN_IDS else ""
        return f"<{self.created} datapoints created, {self.existing} existing: [{shown}{more}]>"

    def _at(self, index: int) -> UUID:
        return UUID(bytes=self._ids[index * _ID_BYTES : (index + 1) * _ID_BYTES])


class IngestOutcome:
    """Successes and failures of the requests of one ingest call.

    Several threads may add to it at once: each method makes one change, to a list or to a dict.

    Args:
        rows: The number of datapoints of the whole call.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._stored: list[int] = []
        self._failures: dict[int, tuple[int, TileboxError]] = {}

    def add_stored(self, rows: int) -> None:
        """Record that a request stored a number of datapoints."""
        self._stored.append(rows)

    def add_failure(self, start: int, stop: int, error: TileboxError) -> None:
        """Record that the request with the rows from `start` up to `stop` failed."""
        self._failures[start] = stop, error

    @property
    def has_failed(self) -> bool:
        """Whether a request failed. No further request should start then."""
        return bool(self._failures)

    def raise_failure(self) -> None:
        """Raise the error of the earliest rows, if any request failed.

        The message counts rows within the whole call and says how much is stored. Further errors become notes of it.
        If the call was a single request, its error stays unchanged.

        Raises:
            TileboxError: At least one request failed.
        """
        if not self._failures:
            return
        texts = [self._located(start, stop, error) for start, (stop, error) in sorted(self._failures.items())]
        start, (stop, error) = min(self._failures.items())
        if (start, stop) != (0, self._rows):
            replace_message(error, f"{texts[0]}; {self._stored_summary()}")
            for text in texts[1:]:
                error.add_note(text)
        raise error

    def _located(self, start: int, stop: int, error: TileboxError) -> str:
        text = _REJECTED_ROW.sub(lambda match: f"datapoint {int(match[1]) + start}", str(error))
        return f"in rows {start:,} to {stop - 1:,} of {self._rows:,}, counted from 0: {text}"

    def _stored_summary(self) -> str:
        stored = sum(self._stored)
        # If a response was lost, or reports an error of the server, the request may have been stored all the same.
        is_certain = all(
            isinstance(error, APIError) and not isinstance(error, ServerError) for _, error in self._failures.values()
        )
        if is_certain and not stored:
            return "nothing of this call is stored"
        return (
            f"{'' if is_certain else 'at least '}{stored:,} datapoints of this call are stored, in whole batches; "
            "ingest all of them again with allow_existing=True to store the rest"
        )


def replace_message(error: TileboxError, message: str) -> None:
    """Replace the message of an error. Its class, code, cause and traceback stay the same."""
    error.args = (message,)
    if isinstance(error, APIError):
        error.message = message


def batch_ranges(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the range of rows of each batch: its first row, and the row after its last one.

    Args:
        rows: The number of all rows.
        size: The number of rows in a batch; the last one may be smaller.
    """
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def split_into_requests(values: Sequence[bytes], max_bytes: int = MAX_REQUEST_BYTES) -> Iterator[Sequence[bytes]]:
    """Split the serialised datapoints of a batch by size, usually into one part.

    Args:
        values: The serialised datapoints.
        max_bytes: The maximum size of a part, unless it is a single datapoint.
    """
    start = size = 0
    for position, value in enumerate(values):
        if position > start and size + len(value) > max_bytes:
            yield values[start:position]
            start, size = position, 0
        size += len(value)
    if start < len(values):
        yield values[start:]
