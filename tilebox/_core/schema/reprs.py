"""Text and HTML representations of schemas, datasets and collections.

The functions take plain rows, so that the classes that print themselves can import this file without a cycle.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLUMNS = ("name", "type", "queryable", "description")
# The text representation shortens descriptions to this width; HTML shows them in full.
_DESCRIPTION_WIDTH = 80
_LEFT = 'style="text-align: left"'


class FieldRow(NamedTuple):
    """The printed columns of a field."""

    name: str
    type: str
    queryable: str
    description: str


def schema_text(heading: str, fields: Iterable[FieldRow]) -> str:
    """Return a heading and an aligned table of fields: name, type, queryable, description."""
    shortened = (
        row._replace(description=textwrap.shorten(row.description, _DESCRIPTION_WIDTH, placeholder=" …"))
        for row in fields
    )
    rows = [_COLUMNS, *shortened]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def schema_html(heading: str, fields: Iterable[FieldRow]) -> str:
    """Return a heading and an HTML table of fields."""
    return f"<p>{escape(heading)}</p>{_table(_COLUMNS, fields)}"


def dataset_html(name: str, slug: str, summary: str, schema: str) -> str:
    """Return the name, slug and summary of a dataset as HTML, above its schema, which is HTML already."""
    head = f"<p><strong>{escape(name)}</strong> <code>{escape(slug)}</code></p>"
    return f"{head}{f'<p>{escape(summary)}</p>' if summary else ''}{schema}"


def collection_html(name: str, availability: str, count: int | None) -> str:
    """Return an HTML table of a collection's name, availability and count."""
    row = (name, availability, "" if count is None else f"{count:,}")
    return _table(("collection", "availability", "datapoints"), [row])


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th {_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td {_LEFT}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
