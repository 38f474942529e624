"""The command `tilebox import stac`."""

# ruff: noqa: D301 - click takes the character \b as the start of lines to be left alone

from __future__ import annotations

import json
from typing import Any

import click


@click.group("import")
def command() -> None:
    """Bring catalogues from elsewhere into a dataset."""


@command.command("stac")
@click.argument("source", metavar="FILE_OR_URL")
@click.option("--dataset", "slug", required=True, help="The dataset, as open_data.copernicus.sentinel2_msi.")
@click.option("--collection", help="One collection for all items.  [default: by product, see above]")
@click.option("--name", help="The display name of the dataset, if it is created.")
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

    Collections are named for platform and product, as S2B_S2MSI2A; those of Landsat and Sentinel-5P for the
    product alone, as L2SP, so that Landsat 7, 8 and 9 share one. Items without either go to their STAC collection.

    Items that cannot be datapoints are rejected, named with the reason, and the others imported; the exit code is then
    1, as it is if the import fails.

    \b
    Examples:
        tilebox import stac items.parquet --dataset open_data.copernicus.sentinel2_msi
        tilebox import stac https://stac.example.org/search --search '{"collections": ["sentinel-2-l2a"]}' \\
            --limit 5000 --dataset open_data.copernicus.sentinel2_msi
    """
    body = _search_body(search, source)
    # Imported on use, because it imports the client, which would slow down every other command.
    from tilebox.cli.stac.importer import Options, run

    options = Options(slug, collection, name or slug.rpartition(".")[2], no_new_fields, dry_run)
    run(source, options, body=body, limit=limit, url=url, token=token)


def _search_body(search: str | None, source: str) -> dict[str, Any] | None:
    if search is None:
        return None
    if not source.startswith(("http://", "https://")):
        raise click.BadParameter("only an address can be searched, not a file", param_hint="--search")
    try:
        body = json.loads(search)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--search") from None
    if not isinstance(body, dict):
        raise click.BadParameter("a search must be a JSON object", param_hint="--search")
    return body
