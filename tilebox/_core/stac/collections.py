"""The collection of an item, named as in the open data catalogues.

Most collections are for one platform and product. The Landsat satellites share one collection for each product, and
the collections of Sentinel-5P, a single satellite, are named for the product alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tilebox._core.stac.documents import Item

# The name of a Sentinel product starts with that of its collection: S1A_IW_RAW__0SDV... belongs to S1A_IW_RAW__0S.
_SENTINEL_1 = re.compile(r"S1[A-D]_\w{2}_\w{4}_\d[SA](?=\w{2}_)")
_SENTINEL_2 = re.compile(r"(S2[A-D])_(?:\w+_)?MSI_?(L\d[A-C]|L0_)")
_SENTINEL_3 = re.compile(r"S3[A-D]_\w{2}_\d_\w{6}(?=_)")
_SENTINEL_5P = re.compile(r"S5P_\w{4}_(L\w{2}_\w{6})(?=_)")
_LANDSAT = re.compile(r"L[COTEM]\d{2}_(L\w{3})_\d{6}_")
_SENTINEL = re.compile(r"^SENTINEL_?(\d[A-D])$")
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_PRODUCT_KEYS = (
    "product:type",
    "s2:product_type",
    "sar:product_type",
    "landsat:correction",
    "product_type",
    "processing:level",
)


def collection_of(item: Item) -> str:
    """Return the name of an item's collection.

    Examples:
        >>> collection_of({"id": "S2B_MSIL2A_20240828T174909_R141_T13TEF_20240828T214916"})
        'S2B_S2MSI2A'
        >>> collection_of({"id": "S1A_IW_RAW__0SDV_20240801T000001_20240801T000033_055013_06B3D4_1234"})
        'S1A_IW_RAW__0S'
        >>> collection_of({"id": "LC08_L2SP_033032_20241127_02_T1"})
        'L2SP'
        >>> collection_of({"id": "x1", "properties": {"platform": "Dove 3", "product:type": "ortho"}})
        'DOVE_3_ORTHO'
        >>> collection_of({"id": "x1", "collection": "naip"})
        'naip'
    """
    identifier = str(item.get("id") or "")
    return _from_product_name(identifier) or _from_properties(item) or str(item.get("collection") or "items")


def _from_product_name(name: str) -> str | None:
    if match := _SENTINEL_2.match(name):
        return f"{match[1]}_S2MSI{match[2].removeprefix('L').rstrip('_')}"
    if match := _SENTINEL_1.match(name):
        # Terrain-corrected copies keep the name of their source product, with a suffix.
        return f"{match[0]}_RTC" if name.lower().endswith("_rtc") else match[0]
    if match := _SENTINEL_3.match(name):
        return match[0]
    if match := _SENTINEL_5P.match(name) or _LANDSAT.match(name):
        return match[1]
    return None


def _from_properties(item: Item) -> str | None:
    properties = item.get("properties")
    if not isinstance(properties, dict):
        return None
    # Catalogues spell Sentinel-2A in many ways. The names of its products start with S2A.
    platform = _SENTINEL.sub(r"S\1", _normalise(properties.get("platform")))
    product = next((_normalise(properties[key]) for key in _PRODUCT_KEYS if properties.get(key)), "")
    if platform.startswith("LANDSAT") and product:
        return product
    return f"{platform}_{product}" if platform and product else None


def _normalise(value: object) -> str:
    return _UNSAFE.sub("_", str(value or "")).strip("_").upper()
