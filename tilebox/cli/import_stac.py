"""`tilebox import stac`: a STAC catalogue into a dataset."""

# ruff: noqa: D301 - click takes the character \b as the start of lines to be left alone

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tilebox._core import stac
from tilebox.cli.stac_sources import read_items
from tilebox.errors import NotFoundError, PermissionDeniedError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilebox._core.fields import Schema
    from tilebox._core.stac import Item, Plan, Rejection
    from tilebox.datasets import Client

# Fields are worked out, and items held in memory, for this many at once.
_ITEMS_AT_ONCE = 10_000
_SHOWN_REASONS = 10


@click.group("import")
def command() -> None:
    """Bring catalogues from elsewhere into a dataset."""


@command.command("stac")
@click.argument("source", metavar="FILE_OR_URL")
@click.option("--dataset", "slug", required=True, help="The dataset, as open_data.copernicus.sentinel2_msi.")
@click.option("--collection", help="One collection for all items.  [default: one a platform and product]")
@click.option("--name", help="What people shall call the dataset, if it is created.")
@click.option("--search", metavar="JSON", help="Post this STAC search to the address and follow its pages.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many items.")
@click.option(
    "--no-new-fields", is_flag=True, help="Never change an existing dataset; drop properties it has no field for."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, without any change.")
@click.option("--url", help="The server.  [default: $TILEBOX_API_URL]")
@click.option("--token", help="An API key.  [default: $TILEBOX_API_KEY]")
def import_stac(
    source: str,
    slug: str,
    *,
    collection: str | None,
    name: str | None,
    search: str | None,
    limit: int | None,
    no_new_fields: bool,
    dry_run: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Import STAC items from FILE_OR_URL.

    It may be an item, an item collection, a list of items, newline-delimited JSON, STAC GeoParquet, `-` for the
    standard input, or the address of a STAC API's search, which is followed page by page. The dataset is created with
    fields for the items' properties, or gets the fields that it lacks. Importing the same items again changes nothing.

    \b
    Examples:
        tilebox import stac items.parquet --dataset open_data.copernicus.sentinel2_msi
        tilebox import stac https://stac.example.org/search --search '{"collections": ["sentinel-2-l2a"]}' \\
            --limit 5000 --dataset open_data.copernicus.sentinel2_msi
    """
    body = _search_body(search, source)
    options = _Options(slug, collection, name or slug.rpartition(".")[2], no_new_fields, dry_run)
    try:
        from tilebox.datasets import Client

        job = _Import(Client(url=url, token=token), options)
        for items in _chunks(read_items(source, body=body), limit):
            job.take(items)
    except (TileboxError, ValueError, OSError) as error:
        raise click.ClickException(_sentence(error)) from None
    job.report()


@dataclass(frozen=True)
class _Options:
    slug: str
    collection: str | None
    name: str
    no_new_fields: bool
    dry_run: bool


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
    options: _Options
    tallies: dict[str, _Tally] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    items: int = 0
    added: list[str] = field(default_factory=list)
    is_new: bool | None = None
    assumed: Schema | None = None

    def take(self, items: list[Item]) -> None:
        """Import some items."""
        known = self._known_schema()
        if self.is_new is None:
            self.is_new = known is None
        plan = stac.plan((item for item in items if isinstance(item, dict)), known)
        if known is not None and self.options.no_new_fields:
            plan = _restricted(plan, known)
        batch = stac.read(items, plan, collection=self.options.collection)
        self.items += len(items)
        self._note_rejections(batch.rejected)
        if plan.added and batch.columns:
            self.added += [str(added) for added in plan.added]
            self._apply(plan, is_new=known is None)
        for name, columns in batch.columns.items():
            self._ingest(name, columns)

    def report(self) -> None:
        """Print what happened, and what to do next."""
        if not self.items:
            raise click.ClickException("there are no items in it")
        would = "would be " if self.options.dry_run else ""
        state = f"{would}created" if self.is_new else "existing"
        click.echo(f"Dataset {self.options.slug} ({state}), {self.items:,} items read")
        if self.added and (self.options.dry_run or not self.is_new):
            click.echo(f"  fields that {'would be' if self.options.dry_run else 'were'} added: {', '.join(self.added)}")
        elif self.added:
            click.echo(f"  {len(self.added)} fields made from the items' properties")
        _print_table(self.tallies, dry_run=self.options.dry_run)
        self._print_rejections()
        if all(not tally.created + tally.existing for tally in self.tallies.values()):
            raise click.ClickException("no item could be imported")
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
        except PermissionDeniedError as error:
            if is_new:
                raise
            names = ", ".join(added.name for added in plan.added)
            raise click.ClickException(
                f"{_sentence(error)} The dataset lacks the fields {names}; give --no-new-fields to import without them."
            ) from None

    def _ingest(self, name: str, columns: dict[str, Any]) -> None:
        tally = self.tallies.setdefault(name, _Tally())
        tally.span(columns["time"])
        if self.options.dry_run:
            tally.created += len(columns["time"])
            return
        target = self.client.dataset(self.options.slug).get_or_create_collection(name)
        before = target.info().count or 0
        ids = target.ingest(columns, show_progress=True)
        created = (target.info().count or 0) - before
        tally.created += created
        tally.existing += len(ids) - created

    def _note_rejections(self, rejected: Iterable[Rejection]) -> None:
        for rejection in rejected:
            self.tallies.setdefault(rejection.collection, _Tally()).rejected += 1
            self.reasons[rejection.reason] += 1
            self.examples.setdefault(rejection.reason, rejection.name)

    def _print_rejections(self) -> None:
        if not self.reasons:
            return
        click.echo("\nRejected:", err=True)
        for reason, count in self.reasons.most_common(_SHOWN_REASONS):
            others = f" and {count - 1:,} more" if count > 1 else ""
            click.echo(f"  {self.examples[reason]}{others}: {reason}", err=True)
        if len(self.reasons) > _SHOWN_REASONS:
            click.echo(f"  and {len(self.reasons) - _SHOWN_REASONS} reasons more", err=True)

    def _print_next_step(self) -> None:
        if self.options.dry_run:
            click.echo("\nNothing was changed. Run it again without --dry-run to import.")
            return
        name, tally = max(self.tallies.items(), key=lambda entry: entry[1].created + entry[1].existing)
        first, last = tally.texts("D")
        after = np.datetime64(last, "D") + 1
        code = (
            f"from tilebox.datasets import Client; "
            f'print(Client().dataset("{self.options.slug}").collection("{name}").load(("{first}", "{after}")))'
        )
        click.echo(f"\nNext, load them:\n  python -c {shlex.quote(code)}")


def _restricted(plan: Plan, known: Schema) -> Plan:
    """Return a plan that adds no field."""
    names = {present.name for present in known}
    return stac.Plan(known, {name: key for name, key in plan.sources.items() if name in names}, ())


def _search_body(search: str | None, source: str) -> dict[str, Any] | None:
    if search is None:
        return None
    if not source.startswith(("http://", "https://")):
        raise click.BadParameter("only an address can be searched", param_hint="--search")
    try:
        body = json.loads(search)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--search") from None
    if not isinstance(body, dict):
        raise click.BadParameter("a search is a JSON object", param_hint="--search")
    return body


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
    text = str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
