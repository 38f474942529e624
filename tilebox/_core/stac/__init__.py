"""Conversion of STAC items to datapoints: `documents` finds items, `fields` derives a schema, `rows` makes columns.

May import: whatever `tilebox._core` may. The command line reads files and addresses.
"""

from tilebox._core.stac.collections import collection_of
from tilebox._core.stac.documents import Item, Page, decode_lines, item_from_row, next_page, parse_items
from tilebox._core.stac.fields import Plan, derive_schema, plan
from tilebox._core.stac.rows import Batch, Rejection, to_columns

__all__ = [
    "Batch",
    "Item",
    "Page",
    "Plan",
    "Rejection",
    "collection_of",
    "decode_lines",
    "derive_schema",
    "item_from_row",
    "next_page",
    "parse_items",
    "plan",
    "to_columns",
]
