"""The import itself: it converts items to datapoints in chunks, ingests them, and reports the result."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tilebox._core import stac
from tilebox._core.stac.fields import GRANULE_NAME
from tilebox.cli import invocation
from tilebox.cli.stac.ingest import ingest_valid
from tilebox.cli.stac.report import CollectionCounts, Rejections, describe_field, print_fields, print_table
from tilebox.cli.stac.sources import read_items
from tilebox.datasets import Client
from tilebox.errors import NotFoundError, PermissionDeniedError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox._core.schema.fields import Schema
    from tilebox._core.stac import Item, Plan, Rejection

# Fields are derived from this many items at once, and as many are held in memory.
_CHUNK_ITEMS = 10_000


@dataclass(frozen=True)
class Options:
    """The options of the command.

    Args:
        slug: The slug of the dataset.
        collection: The collection for all items; None for one by product, as `collection_of` determines it.
        name: The display name of the dataset, used if it is created.
        no_new_fields: Whether to leave the fields of an existing dataset unchanged.
        dry_run: Whether to change nothing at all.
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
    """Import the items of a source, and print a report.

    Args:
        source: The path of a file, `-` or an address.
        options: The options of the command.
        body: The JSON body to post to the address, or None to fetch it.
        limit: The maximum number of items, or None.
        url: The address of the server; None to take it from the environment.
        token: An API key; None to take it from the environment.

    Raises:
        click.ClickException: The import failed. Earlier chunks of items may be stored by then.
        click.exceptions.Exit: Items were rejected. The others are imported.
    """
    try:
        importer = _Importer(Client(url=url, token=token), options)
        try:
            for items in _chunks(read_items(source, body=body), limit):
                importer.add(items)
        finally:
            importer.discard_empty_dataset()
    except (TileboxError, ValueError, OSError) as error:
        raise click.ClickException(_sentence(error)) from None
    importer.report()
    if importer.rejections:
        raise click.exceptions.Exit(1)


@dataclass
class _Importer:
    """One run of the command.

    Args:
        client: The client of the server.
        options: The options of the command.
        collections: The counts by collection name.
        rejections: The items that were rejected.
        items: The number of items read.
        added_fields: The descriptions of the fields that this run adds.
        is_new: Whether the dataset did not exist before; None before the first chunk.
        has_created: Whether this run created the dataset.
        planned_schema: In a dry run the type that the dataset would have by now.
    """

    client: Client
    options: Options
    collections: dict[str, CollectionCounts] = field(default_factory=dict)
    rejections: Rejections = field(default_factory=Rejections)
    items: int = 0
    added_fields: list[str] = field(default_factory=list)
    is_new: bool | None = None
    has_created: bool = False
    planned_schema: Schema | None = None

    @property
    def stored(self) -> int:
        """The number of items that are in the dataset now."""
        return sum(counts.stored for counts in self.collections.values())

    def add(self, items: list[Item]) -> None:
        """Import a chunk of items."""
        known = self._known_schema()
        if self.is_new is None:
            self.is_new = known is None
        plan = stac.plan((item for item in items if isinstance(item, dict)), known)
        if known is not None and self.options.no_new_fields:
            plan = _without_new_fields(plan, known)
        batch = stac.to_columns(items, plan, collection=self.options.collection)
        self.items += len(items)
        self._add_rejections(batch.rejected)
        if plan.added and batch.columns:
            self.added_fields += [describe_field(added) for added in plan.added]
            self._update_dataset(plan, is_new=known is None)
        for name, columns in batch.columns.items():
            self._ingest(name, columns)

    def discard_empty_dataset(self) -> None:
        """Delete the dataset if this run created it and stored nothing in it."""
        if self.has_created and not self.stored:
            # An error here would hide the one that made the import fail.
            with suppress(TileboxError):
                if not self.client.dataset(self.options.slug).count():
                    self.client.delete_dataset(self.options.slug)

    def report(self) -> None:
        """Print what was imported, and how to load it.

        Raises:
            click.ClickException: There are no items, or all of them were rejected.
        """
        if not self.items:
            raise click.ClickException("there are no items in it")
        would = "would be " if self.options.dry_run else ""
        state = f"{would}created" if self.is_new else "existing"
        click.echo(f"Dataset {self.options.slug} ({state}), {self.items:,} items read")
        if self.added_fields:
            print_fields(self.added_fields, verb=f"{would}{'made' if self.is_new else 'added'}")
        print_table(self.collections, dry_run=self.options.dry_run)
        if self.rejections:
            self.rejections.print(self.items)
        if not self.stored:
            consequence = "; the dataset was not kept" if self.has_created else ""
            raise click.ClickException(f"no item could be imported{consequence}")
        self._print_next_step()

    def _known_schema(self) -> Schema | None:
        if self.planned_schema is not None:
            return self.planned_schema
        try:
            return self.client.dataset(self.options.slug).schema
        except NotFoundError:
            return None

    def _update_dataset(self, plan: Plan, *, is_new: bool) -> None:
        if self.options.dry_run:
            self.planned_schema = plan.schema
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
        counts = self.collections.setdefault(name, CollectionCounts())
        times = columns["time"]
        if self.options.dry_run:
            counts.created += len(times)
            counts.add_times(times)
            return
        collection = self.client.dataset(self.options.slug).get_or_create_collection(name)
        result = ingest_valid(collection, columns)
        counts.created += result.created
        counts.existing += result.existing
        if len(result.rejected) < len(times):
            counts.add_times(np.delete(times, list(result.rejected)))
        names = columns[GRANULE_NAME.name]
        self._add_rejections(
            stac.Rejection(row, names[row], name, f"the server refuses it: {reason}")
            for row, reason in result.rejected.items()
        )

    def _add_rejections(self, rejected: Iterable[Rejection]) -> None:
        for rejection in rejected:
            self.collections.setdefault(rejection.collection, CollectionCounts()).rejected += 1
            self.rejections.add(rejection)

    def _print_next_step(self) -> None:
        if self.options.dry_run:
            click.echo(
                "\nNothing was changed. Items that are stored already count as to create here; importing them again"
                "\nchanges nothing. Run it without --dry-run to import."
            )
            return
        name, counts = max(self.collections.items(), key=lambda entry: entry[1].stored)
        first, last = counts.format_times("D")
        end = np.datetime64(last, "D") + 1
        code = (
            f"from tilebox.datasets import Client; "
            f'print(Client().dataset("{self.options.slug}").collection("{name}").load(("{first}", "{end}")))'
        )
        click.echo(f"\nNext, load them:\n  {invocation.python()} -c {shlex.quote(code)}")


def _without_new_fields(plan: Plan, known: Schema) -> Plan:
    names = {existing.name for existing in known}
    return stac.Plan(known, {name: key for name, key in plan.sources.items() if name in names}, ())


def _chunks(items: Iterator[Item], limit: int | None) -> Iterator[list[Item]]:
    items = islice(items, limit)
    while chunk := _read_chunk(items):
        yield chunk


def _read_chunk(items: Iterator[Item]) -> list[Item]:
    from tqdm import tqdm

    # disable=None hides the bar if standard error is not a terminal.
    return list(tqdm(islice(items, _CHUNK_ITEMS), desc="Reading items", unit=" items", leave=False, disable=None))


def _sentence(error: BaseException) -> str:
    text = "; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
    return text if text.endswith((".", "!", "?")) else f"{text}."
