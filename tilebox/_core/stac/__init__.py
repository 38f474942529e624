"""STAC items as datapoints: which fields a dataset needs for them, which collection each goes to, and its values.

`documents` finds the items in what was read, `fields` derives the schema, `rows` turns items into columns, with
`values`, `assets` and `collections` deciding the parts. Pure: reading files and addresses is the command line's.

May import: what `tilebox._core` may.
"""

from tilebox._core.stac.collections import collection_of
from tilebox._core.stac.documents import Item, Page, decode_lines, item_of_row, items_of, next_page
from tilebox._core.stac.fields import Plan, derive, plan
from tilebox._core.stac.rows import Batch, Rejection, read

__all__ = [
    "Batch",
    "Item",
    "Page",
    "Plan",
    "Rejection",
    "collection_of",
    "decode_lines",
    "derive",
    "item_of_row",
    "items_of",
    "next_page",
    "plan",
    "read",
]
