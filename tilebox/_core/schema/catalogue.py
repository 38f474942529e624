"""Datasets and collections as plain values, converted from their protobuf messages."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tilebox._core.schema.fields import Schema
from tilebox._core.schema.reprs import collection_html, dataset_html
from tilebox._core.values import ids
from tilebox._core.values.intervals import TimeInterval

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from tilebox._core.protocol.datasets.v1 import core_pb2


@dataclass(frozen=True)
class CollectionInfo:
    """The metadata of a collection.

    Args:
        id: The id of the collection.
        name: The name of the collection, unique in its dataset.
        availability: The interval from the first to the last datapoint; None if the collection is empty, or if the
            request did not ask for it.
        count: The number of datapoints, or None if the request did not ask for it.
    """

    id: UUID
    name: str
    availability: TimeInterval | None
    count: int | None

    @classmethod
    def from_wire(cls, message: core_pb2.CollectionInfo) -> CollectionInfo:
        """Read a collection from its protobuf message."""
        interval = TimeInterval.from_wire(message.availability) if message.HasField("availability") else None
        return cls(
            ids.from_wire(message.collection.id),
            message.collection.name,
            None if interval is None or interval.is_empty else interval,
            message.count if message.HasField("count") else None,
        )

    @property
    def availability_text(self) -> str:
        """The interval as text, `<empty>` for an empty collection, or a hint if it is unknown."""
        if self.availability is not None:
            return str(self.availability)
        return "<empty>" if self.count == 0 else "<availability unknown, ask info()>"

    def __str__(self) -> str:
        count = "" if self.count is None else f" ({self.count} data points)"
        return f"{self.name}: {self.availability_text}{count}"

    def __repr__(self) -> str:
        return f"Collection {self}"

    def _repr_html_(self) -> str:
        return collection_html(self.name, self.availability_text, self.count)


@dataclass(frozen=True)
class DatasetInfo:
    """The metadata of a dataset.

    Args:
        id: The id of the dataset.
        slug: The dotted path, unique among all datasets.
        code_name: The last part of the slug.
        name: The display name.
        summary: A summary in one line.
        description: The description in Markdown.
        is_editable: Whether the API key may change the schema.
        message: The protobuf message of the dataset.
    """

    id: UUID
    slug: str
    code_name: str
    name: str
    summary: str
    description: str
    is_editable: bool
    message: core_pb2.Dataset = field(repr=False, compare=False)

    @classmethod
    def from_wire(cls, message: core_pb2.Dataset) -> DatasetInfo:
        """Read a dataset from its protobuf message; `schema` reads the fields later."""
        return cls(
            id=ids.from_wire(message.id),
            slug=message.slug or message.code_name,
            code_name=message.code_name,
            name=message.name or message.code_name,
            summary=message.summary,
            description=message.description,
            is_editable=message.type_editable,
            message=message,
        )

    @cached_property
    def schema(self) -> Schema:
        """The fields of the dataset.

        They are read on first use, so that a dataset with an unknown field type does not break the list of datasets.

        Raises:
            ValueError: A field has a type that this version does not know.
        """
        return Schema.from_annotated_type(self.message.type)

    def __str__(self) -> str:
        # The documentation shows this label for both kinds of dataset.
        return f"{self.name} [Timeseries Dataset]: {' '.join(self.summary.split())}".rstrip(": ")

    def _repr_html_(self) -> str:
        return dataset_html(self.name, self.slug, self.summary, self.schema._repr_html_())


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of an error text that suggests similar names, or else lists the names that exist.

    Args:
        name: The name that does not exist; may be a dotted path.
        names: The names that exist. Those that end in the same part as a dotted `name` count as similar.
    """
    names = sorted(names)
    same_end = [other for other in names if _last_part(other) == _last_part(name)]
    by_lower = {candidate.lower(): candidate for candidate in same_end or names}
    cutoff = 0.0 if same_end else 0.6
    close = [by_lower[key] for key in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=cutoff)]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    if not names:
        return "; there are none"
    return f"; there are {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"


def _last_part(path: str) -> str:
    return path.lower().rpartition(".")[2]
