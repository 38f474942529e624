"""The report of `tilebox import stac`: counts for each collection, new fields and rejected items, as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from tilebox._core.schema.fields import Field
    from tilebox._core.stac import Rejection

_MAX_REASONS = 10
_NAMES_PER_REASON = 5


@dataclass
class CollectionCounts:
    """The number of a collection's items by what happened to them, and the time range of the stored ones."""

    created: int = 0
    existing: int = 0
    rejected: int = 0
    time_range: list[Any] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """The number of items that are in the collection."""
        return self.created + self.existing

    def add_times(self, times: np.ndarray[Any, Any]) -> None:
        """Extend the time range to the times of some items."""
        self.time_range = [min([*self.time_range, times.min()]), max([*self.time_range, times.max()])]

    def format_times(self, unit: str) -> list[str]:
        """Return the first and the last time, to a day (`D`) or a minute (`m`), or an empty list without items."""
        return [str(time.astype(f"datetime64[{unit}]")).replace("T", " ") for time in self.time_range]


@dataclass
class Rejections:
    """The rejected items by reason: how many, and the names of the first few."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, rejection: Rejection) -> None:
        """Count a rejected item."""
        self.counts[rejection.reason] += 1
        if self.counts[rejection.reason] <= _NAMES_PER_REASON:
            self.names.setdefault(rejection.reason, []).append(rejection.name)

    def print(self, items: int) -> None:
        """Print the most frequent reasons to standard error.

        Args:
            items: The number of all items.
        """
        click.echo(f"\nRejected, {self.counts.total():,} of {items:,} items:", err=True)
        for reason, count in self.counts.most_common(_MAX_REASONS):
            names = self.names[reason]
            others = f" and {count - len(names):,} more" if count > len(names) else ""
            click.echo(f"  {', '.join(names)}{others}: {reason}", err=True)
        if len(self.counts) > _MAX_REASONS:
            click.echo(f"  and {len(self.counts) - _MAX_REASONS} more reasons", err=True)


def describe_field(added: Field) -> str:
    """Return the name of a field and the last part of its type, such as `assets (assets)`."""
    kind = added.type_name or added.kind.value
    return f"{added.name} ({'list of ' if added.repeated else ''}{kind.rpartition('.')[2].lower()})"


def print_fields(fields: list[str], *, verb: str) -> None:
    """Print the descriptions of new fields.

    Args:
        fields: The descriptions.
        verb: What happened to the fields, such as `added`.
    """
    click.echo(f"  {'1 field' if len(fields) == 1 else f'{len(fields)} fields'} {verb}:")
    click.echo(_wrap(fields))


def print_table(collections: dict[str, CollectionCounts], *, dry_run: bool) -> None:
    """Print one row for each collection."""
    rows: list[tuple[str, ...]] = [
        ("COLLECTION", "TO CREATE" if dry_run else "CREATED", "EXISTING", "REJECTED", "FROM", "TO")
    ]
    for name, counts in sorted(collections.items()):
        numbers = (f"{count:,}" for count in (counts.created, counts.existing, counts.rejected))
        rows.append((name, *numbers, *(counts.format_times("m") or ("-", "-"))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    click.echo()
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo(f"  {'  '.join(cells)}".rstrip())


def _wrap(parts: Iterable[str]) -> str:
    """Join parts to lines of text, none of them broken within a part."""
    glued = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    lines = textwrap.fill(glued, 110, initial_indent="    ", subsequent_indent="    ")
    return lines.replace("\N{NO-BREAK SPACE}", " ")
