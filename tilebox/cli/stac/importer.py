"""What `tilebox import stac` does: items to datapoints, a chunk at a time, and a table of what became of them."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tilebox._core import stac
from tilebox._core.stac.fields import GRANULE_NAME
from tilebox.cli import invocation
from tilebox.cli.stac.ingest import store
from tilebox.cli.stac.sources import read_items
from tilebox.datasets import Client
from tilebox.errors import NotFoundError, PermissionDeniedError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox._core.schema.fields import Field, Schema
    from tilebox._core.stac import Item, Plan, Rejection

# Fields are worked out, and items held in memory, for this many at once.
_ITEMS_AT_ONCE = 10_000
_SHOWN_REASONS = 10
_NAMED_PER_REASON = 5


@dataclass(frozen=True)
class Options:
    """What the command was asked to do.

    Args:
        slug: The dataset.
        collection: The collection for all items; None for one by product, as `collection_of` says.
        name: What people shall call the dataset, if it is created.
        no_new_fields: Never change an existing dataset.
        dry_run: Change nothing.
    """

    slug: str
    collection: str | None
    name: str
    no_new_fields: bool
    dry_run: bool


def run(
    source: str,
    options: Options,
    *,
    body: dict[str, Any] | None,
    limit: int | None,
    url: str | None,
    token: str | None,
) -> None:
    """Import the items of a source and print what became of them.

    Args:
        source: A file, `-` or an address.
        options: What to do with them.
        body: What to post to the address.
        limit: Stop after so many items.
        url: The server, None for the environment's.
        token: An API key, None for the environment's.

    Raises:
        click.ClickException: It cannot be done; whole chunks of items may be stored by then.
        click.exceptions.Exit: Items were rejected; the others are imported.
    """
    try:
        job = _Import(Client(url=url, token=token), options)
        try:
            for items in _chunks(read_items(source, body=body), limit):
                job.take(items)
        finally:
            job.leave_nothing_empty()
    except (TileboxError, ValueError, OSError) as error:
        raise click.ClickException(_sentence(error)) from None
    job.report()
    if job.reasons:
        raise click.exceptions.Exit(1)


@dataclass
class _Tally:
    """What became of a collection's items."""

    created: int = 0
    existing: int = 0
    rejected: int = 0
    times: list[Any] = field(default_factory=list)

    def span(self, times: np.ndarray[Any, Any]) -> None:
        """Take note of the times of some items."""
        self.times = [min([*self.times, times.min()]), max([*self.times, times.max()])]

    def texts(self, unit: str) -> list[str]:
        """Return the first and the last time, to a day (`D`) or minute (`m`), or nothing."""
        return [str(time.astype(f"datetime64[{unit}]")).replace("T", " ") for time in self.times]


@dataclass
class _Import:
    """One run of the command: takes items, then reports."""

    client: Client
    options: Options
    tallies: dict[str, _Tally] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    items: int = 0
    added: list[str] = field(default_factory=list)
    is_new: bool | None = None
    has_created: bool = False
    assumed: Schema | None = None

    @property
    def stored(self) -> int:
        """Number of items that are in the dataset now."""
        return sum(tally.created + tally.existing for tally in self.tallies.values())

    def take(self, items: list[Item]) -> None:
        """Import some items."""
        known = self._known_schema()
        if self.is_new is None:
            self.is_new = known is None
        plan = stac.plan((item for item in items if isinstance(item, dict)), known)
        if known is not None and self.options.no_new_fields:
            plan = _restricted(plan, known)
        batch = stac.to_columns(items, plan, collection=self.options.collection)
        self.items += len(items)
        self._note_rejections(batch.rejected)
        if plan.added and batch.columns:
            self.added += [_short(added) for added in plan.added]
            self._apply(plan, is_new=known is None)
        for name, columns in batch.columns.items():
            self._ingest(name, columns)

    def leave_nothing_empty(self) -> None:
        """Remove the dataset if this run created it and nothing got into it."""
        if self.has_created and not self.stored:
            with suppress(TileboxError):  # what went wrong before is what the user has to know
                if not self.client.dataset(self.options.slug).count():
                    self.client.delete_dataset(self.options.slug)

    def report(self) -> None:
        """Print what happened, and what to do next."""
        if not self.items:
            raise click.ClickException("there are no items in it")
        would = "would be " if self.options.dry_run else ""
        state = f"{would}created" if self.is_new else "existing"
        click.echo(f"Dataset {self.options.slug} ({state}), {self.items:,} items read")
        if self.added:
            fields = "1 field" if len(self.added) == 1 else f"{len(self.added)} fields"
            click.echo(f"  {fields} {would}{'made' if self.is_new else 'added'}:")
            click.echo(_paragraph(self.added))
        _print_table(self.tallies, dry_run=self.options.dry_run)
        self._print_rejections()
        if not self.stored:
            kept = "; the dataset was not kept" if self.has_created else ""
            raise click.ClickException(f"no item could be imported{kept}")
        self._print_next_step()

    def _known_schema(self) -> Schema | None:
        if self.assumed is not None:
            return self.assumed
        try:
            return self.client.dataset(self.options.slug).schema
        except NotFoundError:
            return None

    def _apply(self, plan: Plan, *, is_new: bool) -> None:
        if self.options.dry_run:
            self.assumed = plan.schema
            return
        try:
            self.client.create_or_update_dataset(
                plan.schema.kind,
                self.options.slug,
                list(plan.schema.custom),
                name=self.options.name if is_new else None,
            )
            self.has_created |= is_new
        except PermissionDeniedError as error:
            if is_new:
                raise
            names = ", ".join(added.name for added in plan.added)
            raise click.ClickException(
                f"{_sentence(error)} The dataset lacks the fields {names}; give --no-new-fields to import without them."
            ) from None

    def _ingest(self, name: str, columns: dict[str, Any]) -> None:
        tally = self.tallies.setdefault(name, _Tally())
        times = columns["time"]
        if self.options.dry_run:
            tally.created += len(times)
            tally.span(times)
            return
        target = self.client.dataset(self.options.slug).get_or_create_collection(name)
        stored = store(target, columns)
        tally.created += stored.created
        tally.existing += stored.existing
        if len(stored.refused) < len(times):
            tally.span(np.delete(times, list(stored.refused)))
        names = columns[GRANULE_NAME.name]
        self._note_rejections(
            stac.Rejection(row, names[row], name, f"the server refuses it: {reason}")
            for row, reason in stored.refused.items()
        )

    def _note_rejections(self, rejected: Iterable[Rejection]) -> None:
        for rejection in rejected:
            self.tallies.setdefault(rejection.collection, _Tally()).rejected += 1
            self.reasons[rejection.reason] += 1
            if self.reasons[rejection.reason] <= _NAMED_PER_REASON:
                self.examples.setdefault(rejection.reason, []).append(rejection.name)

    def _print_rejections(self) -> None:
        if not self.reasons:
            return
        click.echo(f"\nRejected, {self.reasons.total():,} of {self.items:,} items:", err=True)
        for reason, count in self.reasons.most_common(_SHOWN_REASONS):
            named = ", ".join(self.examples[reason])
            others = f" and {count - len(self.examples[reason]):,} more" if count > len(self.examples[reason]) else ""
            click.echo(f"  {named}{others}: {reason}", err=True)
        if len(self.reasons) > _SHOWN_REASONS:
            click.echo(f"  and {len(self.reasons) - _SHOWN_REASONS} reasons more", err=True)

    def _print_next_step(self) -> None:
        if self.options.dry_run:
            click.echo(
                "\nNothing was changed. Items that are stored already count as to create here; importing them again"
                "\nchanges nothing. Run it without --dry-run to import."
            )
            return
        name, tally = max(self.tallies.items(), key=lambda entry: entry[1].created + entry[1].existing)
        first, last = tally.texts("D")
        after = np.datetime64(last, "D") + 1
        code = (
            f"from tilebox.datasets import Client; "
            f'print(Client().dataset("{self.options.slug}").collection("{name}").load(("{first}", "{after}")))'
        )
        click.echo(f"\nNext, load them:\n  {invocation.python()} -c {shlex.quote(code)}")


def _short(added: Field) -> str:
    """Name a field and the last part of its type: `assets (Assets)`."""
    kind = added.type_name or added.kind.value
    return f"{added.name} ({'list of ' if added.repeated else ''}{kind.rpartition('.')[2].lower()})"


def _paragraph(parts: Iterable[str]) -> str:
    """Set parts in lines, none of them broken."""
    glued = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    lines = textwrap.fill(glued, 110, initial_indent="    ", subsequent_indent="    ")
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def _restricted(plan: Plan, known: Schema) -> Plan:
    """Return a plan that adds no field."""
    names = {present.name for present in known}
    return stac.Plan(known, {name: key for name, key in plan.sources.items() if name in names}, ())


def _chunks(items: Iterator[Item], limit: int | None) -> Iterator[list[Item]]:
    items = islice(items, limit)
    while chunk := _read_chunk(items):
        yield chunk


def _read_chunk(items: Iterator[Item]) -> list[Item]:
    from tqdm import tqdm

    # disable=None draws no bar where the output is no terminal.
    return list(tqdm(islice(items, _ITEMS_AT_ONCE), desc="Reading items", unit=" items", leave=False, disable=None))


def _print_table(tallies: dict[str, _Tally], *, dry_run: bool) -> None:
    rows: list[tuple[str, ...]] = [
        ("COLLECTION", "TO CREATE" if dry_run else "CREATED", "EXISTING", "REJECTED", "FROM", "TO")
    ]
    for name, tally in sorted(tallies.items()):
        numbers = (f"{count:,}" for count in (tally.created, tally.existing, tally.rejected))
        rows.append((name, *numbers, *(tally.texts("m") or ("-", "-"))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    click.echo()
    for row in rows:
        cells = [
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo(f"  {'  '.join(cells)}".rstrip())


def _sentence(error: BaseException) -> str:
    text = "; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
    return text if text.endswith((".", "!", "?")) else f"{text}."
