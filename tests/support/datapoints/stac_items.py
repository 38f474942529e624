"""STAC items: small synthetic ones, and real ones if a folder of them is available."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tilebox._core.stac.documents import item_from_row, parse_items

REAL_ITEMS = Path(os.environ.get("TILEBOX_STAC_ITEMS") or Path(__file__).parents[4] / "shared" / "data")
needs_real_items = pytest.mark.skipif(
    not REAL_ITEMS.is_dir(), reason="no real items: set TILEBOX_STAC_ITEMS to a folder that has them"
)


def real_items(name):
    """Return the items of a file of real items."""
    path = REAL_ITEMS / name
    if name.endswith(".json"):
        return parse_items(json.loads(path.read_text()))
    parquet = pytest.importorskip("pyarrow.parquet")
    return [item_from_row(row) for row in parquet.read_table(path).to_pylist()]


def item(number, **properties):
    ring = [[10, 45], [11, 45], [11, 46], [10, 46], [10, 45]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2A_MSIL2A_2025071{number % 10}T100000_R065_T32TPT_2025071{number % 10}T12{number:04d}",
        "geometry": {"type": "Polygon", "coordinates": [[[x + number / 100, y] for x, y in ring]]},
        "properties": {
            "datetime": f"2025-07-1{number % 10}T10:00:00.{number:03d}Z",
            "platform": "sentinel-2a",
            "eo:cloud_cover": number * 1.5,
            "sat:orbit_state": "descending",
            **properties,
        },
        "assets": {
            "B02": {"href": f"s3://eodata/Sentinel-2/{number}.SAFE/B02.jp2", "roles": ["data"]},
            "thumbnail": {"href": f"https://example.org/{number}.jpg", "roles": ["thumbnail"]},
        },
        "links": [],
    }


ITEMS = [item(number) for number in range(6)]
