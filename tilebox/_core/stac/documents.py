"""The items in a STAC document, and where its next page is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Item = dict[str, Any]

_SHOWN_CHARACTERS = 60

# What a GeoParquet row has beside its properties.
_TOP_LEVEL = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")


@dataclass(frozen=True)
class Page:
    """Where the next items are.

    Args:
        url: The address to ask.
        method: `GET` or `POST`.
        body: What to post.
        headers: What else the link asks to send.
    """

    url: str
    method: str = "GET"
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A text that is equal for equal requests, to notice a page that leads to itself."""
        return json.dumps([self.method, self.url, self.body], sort_keys=True)


def items_of(document: Any) -> list[Item]:
    """Return the items of a document: an item, an item collection, or a list of either.

    Nulls within them are left out, as for rows of a table: null says the same as nothing.

    Raises:
        ValueError: It is something else; the message says what.
    """
    if isinstance(document, list):
        return [item for part in document for item in items_of(part)]
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        # What is no object is rejected later, with its reason.
        return [_without_nulls(part) if isinstance(part, dict) else part for part in document["features"]]
    if kind == "Feature":
        return [_without_nulls(document)]
    if kind in ("Collection", "Catalog"):
        raise ValueError(f"this is a STAC {kind}, which has no items of its own; give its search or its items instead")
    raise ValueError(
        f"not STAC: expected an item, an item collection or a list of items, found {_described(document, kind)}"
    )


def next_page(document: Any, asked: Page) -> Page | None:
    """Return the page after a document, or None after the last.

    Args:
        document: The answer.
        asked: The request that it answers; relative links start there, and merged bodies from its body.
    """
    links = document.get("links") if isinstance(document, dict) else None
    for link in links or ():
        if link.get("rel") == "next" and link.get("href"):
            body = link.get("body")
            if link.get("merge"):
                body = {**(asked.body or {}), **(body or {})}
            method = str(link.get("method") or "GET").upper()
            return Page(urljoin(asked.url, link["href"]), method, body, dict(link.get("headers") or {}))
    return None


def item_of_row(row: Mapping[str, Any]) -> Item:
    """Return the item of a row of STAC GeoParquet, in which properties are columns of their own.

    Args:
        row: Values by column, the geometry as well-known binary.
    """
    item: Item = {name: row[name] for name in _TOP_LEVEL if row.get(name) is not None}
    item.setdefault("type", "Feature")
    item["properties"] = {name: value for name, value in row.items() if name not in _TOP_LEVEL}
    return _without_nulls(item)


def decode_lines(lines: Iterable[str]) -> Iterator[Any]:
    """Decode newline-delimited JSON; empty lines are skipped.

    Raises:
        ValueError: A line is no JSON; the message has its number.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip(" \t\r\n\x1e"):
            try:
                yield json.loads(line.strip(" \t\r\n\x1e"))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error


def _described(document: Any, kind: Any) -> str:
    """Say what JSON a document is, in JSON's words."""
    if isinstance(document, dict):
        if "type" in document:
            return f"an object of type {json.dumps(kind)[:_SHOWN_CHARACTERS]}"
        keys = ", ".join(map(json.dumps, document))
        shown = keys if len(keys) <= _SHOWN_CHARACTERS else f"{keys[:_SHOWN_CHARACTERS]}..."
        return f"an object without a type, with {f'the keys {shown}' if keys else 'nothing in it'}"
    if isinstance(document, str):
        return "a string"
    if isinstance(document, (int, float)) and not isinstance(document, bool):
        return "a number"
    return json.dumps(document)


def _without_nulls(item: Item) -> Item:
    """Leave out what is null in properties and assets, at any depth.

    A table has every key in every row and a document only those with values; the same item must be the same datapoint
    whichever it was read from.
    """
    return item | {name: _present(item[name]) for name in ("properties", "assets") if isinstance(item.get(name), dict)}


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _present(part) for key, part in value.items() if not _is_null(part)}
    if isinstance(value, list):
        return [_present(part) for part in value]
    return value


def _is_null(value: Any) -> bool:
    """Tell whether a value is null, or an object of nothing else, as some writers of tables have it."""
    if isinstance(value, dict):
        return bool(value) and all(_is_null(part) for part in value.values())
    return value is None
