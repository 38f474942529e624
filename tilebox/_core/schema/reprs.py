"""How schemas, datasets and collections print: aligned text, and HTML for notebooks.

Functions here take plain rows, so that the classes which print themselves can import this file.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLUMNS = ("name", "type", "queryable", "description")
# Of a description in text; HTML has room for all of it.
_WIDTH = 80
_LEFT = 'style="text-align: left"'


class FieldRow(NamedTuple):
    """A field as it is printed."""

    name: str
    type: str
    queryable: str
    description: str


def schema_text(heading: str, fields: Iterable[FieldRow]) -> str:
    """Return the heading, then one line a field: name, type, queryable, description."""
    rows = [
        _COLUMNS,
        *(row._replace(description=textwrap.shorten(row.description, _WIDTH, placeholder=" …")) for row in fields),
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def schema_html(heading: str, fields: Iterable[FieldRow]) -> str:
    """Return the same as a table."""
    return f"<p>{escape(heading)}</p>{_table(_COLUMNS, fields)}"


def dataset_html(name: str, slug: str, summary: str, schema: str) -> str:
    """Return a dataset's name, slug and summary above its schema, which is HTML already."""
    head = f"<p><strong>{escape(name)}</strong> <code>{escape(slug)}</code></p>"
    return f"{head}{f'<p>{escape(summary)}</p>' if summary else ''}{schema}"


def collection_html(name: str, availability: str, count: int | None) -> str:
    """Return what is known about a collection as a table."""
    row = (name, availability, "" if count is None else f"{count:,}")
    return _table(("collection", "availability", "datapoints"), [row])


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th {_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td {_LEFT}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
