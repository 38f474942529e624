"""How schemas, datasets and collections show themselves: aligned text, and HTML for notebooks."""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tilebox._core.catalogue import CollectionInfo, DatasetInfo
    from tilebox._core.fields import Schema

_COLUMNS = ("name", "type", "queryable", "description")
# Of a description in text; HTML has room for all of it.
_WIDTH = 80
_LEFT = 'style="text-align: left"'


def schema_text(schema: Schema) -> str:
    """Return the kind, then one line a field: name, type, queryable, description."""
    rows = [
        _COLUMNS,
        *((*row, textwrap.shorten(text, _WIDTH, placeholder=" …")) for *row, text in _schema_rows(schema)),
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([_heading(schema), *(f"  {line}" for line in lines)])


def schema_html(schema: Schema) -> str:
    """Return the same as a table."""
    return f"<p>{escape(_heading(schema))}</p>{_table(_COLUMNS, _schema_rows(schema))}"


def dataset_html(info: DatasetInfo) -> str:
    """Return a dataset's name, slug and summary, and its fields as a table."""
    head = f"<p><strong>{escape(info.name)}</strong> <code>{escape(info.slug)}</code></p>"
    summary = f"<p>{escape(info.summary)}</p>" if info.summary else ""
    return f"{head}{summary}{schema_html(info.schema)}"


def collection_html(info: CollectionInfo) -> str:
    """Return what is known about a collection as a table."""
    row = (info.name, info.shown_availability, "" if info.count is None else f"{info.count:,}")
    return _table(("collection", "availability", "datapoints"), [row])


def _heading(schema: Schema) -> str:
    return f"{schema.kind.name.capitalize()} dataset, {len(schema.fields)} fields"


def _schema_rows(schema: Schema) -> list[tuple[str, ...]]:
    return [
        (field.name, field.shown_type, "yes" if field.queryable else "", " ".join(field.description.split()))
        for field in schema
    ]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th {_LEFT}>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td {_LEFT}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
