"""Batches of datapoints on their way to the server, and what became of them."""

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
"""Datapoints in one request, about, in bytes: well below what servers and the proxies before them take."""

# How the server names a rejected row, by its place in the request.
_REJECTED_ROW = re.compile(r"(?<=[:;] )datapoint (\d+)(?=: )")
_ID_BYTES = 16
_SHOWN_IDS = 3


class IngestResult(Sequence[UUID]):
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
    def from_wire(cls, answer: data_ingestion_pb2.IngestResponse) -> IngestResult:
        """Read the answer for one batch."""
        ids = b"".join([message.uuid for message in answer.datapoint_ids])
        return cls(ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def from_extension(cls, answer: datapoints_pb2.IngestResponse) -> IngestResult:
        """Read the answer for one batch that was sent as columns."""
        return cls(answer.datapoint_ids, created=answer.num_created, existing=answer.num_existing)

    @classmethod
    def joined(cls, parts: Iterable[IngestResult]) -> IngestResult:
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
        if isinstance(other, IngestResult):
            return self._ids == other._ids
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(str(identity) for identity in self[:_SHOWN_IDS])
        more = ", ..." if len(self) > _SHOWN_IDS else ""
        return f"<{self.created} datapoints created, {self.existing} existing: [{shown}{more}]>"

    def _at(self, place: int) -> UUID:
        return UUID(bytes=self._ids[place * _ID_BYTES : (place + 1) * _ID_BYTES])


class Delivery:
    """What became of the requests into which one call was cut.

    May be told by several threads at once.

    Args:
        rows: Datapoints of the whole call.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._stored: list[int] = []
        self._failures: dict[int, tuple[int, TileboxError]] = {}

    def note_stored(self, rows: int) -> None:
        """Take note that a request stored so many datapoints."""
        self._stored.append(rows)

    def note_failure(self, start: int, stop: int, error: TileboxError) -> None:
        """Take note that the request with the rows from `start` up to `stop` failed."""
        self._failures[start] = stop, error

    @property
    def has_failed(self) -> bool:
        """Whether a request failed, so that no further one should start."""
        return bool(self._failures)

    def raise_failure(self) -> None:
        """Raise the error of the earliest rows, if there is any.

        Its message names rows as the caller knows them and says how much is stored; further errors become its notes.
        A call that was one request keeps its error as it is.
        """
        if not self._failures:
            return
        texts = [self._located(start, stop, error) for start, (stop, error) in sorted(self._failures.items())]
        start, (stop, error) = min(self._failures.items())
        if (start, stop) != (0, self._rows):
            reword(error, f"{texts[0]}; {self._what_is_stored()}")
            for text in texts[1:]:
                error.add_note(text)
        raise error

    def _located(self, start: int, stop: int, error: TileboxError) -> str:
        text = _REJECTED_ROW.sub(lambda match: f"datapoint {int(match[1]) + start}", str(error))
        return f"in rows {start:,} to {stop - 1:,} of {self._rows:,}, counted from 0: {text}"

    def _what_is_stored(self) -> str:
        stored = sum(self._stored)
        # A request whose answer was lost, or whose answer is that the server broke down, may have been stored.
        is_certain = all(
            isinstance(error, APIError) and not isinstance(error, ServerError) for _, error in self._failures.values()
        )
        if is_certain and not stored:
            return "nothing of this call is stored"
        return (
            f"{'' if is_certain else 'at least '}{stored:,} datapoints of this call are stored, in whole batches; "
            "ingest all of it again with allow_existing=True to store the rest"
        )


def reword(error: TileboxError, message: str) -> None:
    """Give an error another message, so that its class, code, cause and traceback stay."""
    error.args = (message,)
    if isinstance(error, APIError):
        error.message = message


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
