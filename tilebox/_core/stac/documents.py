"""Parsing of STAC documents: their items, and the request for their next page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Item = dict[str, Any]

_SHOWN_CHARACTERS = 60

# The members of an item. All other columns of STAC GeoParquet are properties.
_TOP_LEVEL = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")


@dataclass(frozen=True)
class Page:
    """The request for a page of items.

    Args:
        url: The address.
        method: `GET` or `POST`.
        body: The JSON body to post, or None.
        headers: The request headers that the link demands.
    """

    url: str
    method: str = "GET"
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A text that is equal for equal requests, to detect a loop of pages."""
        return json.dumps([self.method, self.url, self.body], sort_keys=True)


def parse_items(document: Any) -> list[Item]:
    """Return the items of a document.

    Null values inside items are left out, as they are for rows of a table: null means the same as an absent value.

    Args:
        document: Decoded JSON: an item, an item collection, or a list of these.

    Raises:
        ValueError: The document is something else; the message says what.
    """
    if isinstance(document, list):
        return [item for part in document for item in parse_items(part)]
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        # Features that are no objects are rejected later, with a reason for each.
        return [_without_nulls(part) if isinstance(part, dict) else part for part in document["features"]]
    if kind == "Feature":
        return [_without_nulls(document)]
    if kind in ("Collection", "Catalog"):
        raise ValueError(f"this is a STAC {kind}, which contains no items; pass its search or its items instead")
    raise ValueError(
        f"not STAC: expected an item, an item collection or a list of items, found {_describe(document, kind)}"
    )


def next_page(document: Any, asked: Page) -> Page | None:
    """Return the request for the page after a document, or None after the last page.

    Args:
        document: The decoded response.
        asked: Its request, against which relative links resolve, and with whose body `merge` links are merged.
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


def item_from_row(row: Mapping[str, Any]) -> Item:
    """Convert a row of STAC GeoParquet, in which each property is a column, to an item.

    Args:
        row: Values by column name, the geometry as well-known binary.
    """
    item: Item = {name: row[name] for name in _TOP_LEVEL if row.get(name) is not None}
    item.setdefault("type", "Feature")
    item["properties"] = {name: value for name, value in row.items() if name not in _TOP_LEVEL}
    return _without_nulls(item)


def decode_lines(lines: Iterable[str]) -> Iterator[Any]:
    """Decode newline-delimited JSON. Empty lines and record separators (RFC 7464) are skipped.

    Raises:
        ValueError: A line is not JSON; the message has its number, counted from 1.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip(" \t\r\n\x1e"):
            try:
                yield json.loads(line.strip(" \t\r\n\x1e"))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error


def _describe(document: Any, kind: Any) -> str:
    """Describe an unexpected JSON document, in the terms of JSON."""
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
    """Drop nulls in properties and assets, at any depth.

    A table has every key in every row, a document only the keys with values. The same item must become the same
    datapoint from both.
    """
    return item | {
        name: _drop_nulls(item[name]) for name in ("properties", "assets") if isinstance(item.get(name), dict)
    }


def _drop_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_nulls(part) for key, part in value.items() if not _is_null(part)}
    if isinstance(value, list):
        return [_drop_nulls(part) for part in value]
    return value


def _is_null(value: Any) -> bool:
    """Return whether a value is null, or an object of nulls only, which some writers of tables use for null."""
    if isinstance(value, dict):
        return bool(value) and all(_is_null(part) for part in value.values())
    return value is None
