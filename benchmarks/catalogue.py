"""The benchmark dataset: like Sentinel-2, with 25 fields besides time, id and ingestion time, generated from a seed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import numpy as np
import pandas as pd
import shapely

SLUG = "bench.sentinel2"
TEN_YEARS_MS = 10 * 365 * 86_400_000
START = np.datetime64("2015-06-23T00:00:00", "ms")
INTERVAL = ("2015-01-01", "2026-01-01")

FIELDS = [
    {"name": "granule_name", "type": str, "description": "Name of the product"},
    {"name": "location", "type": str},
    {"name": "thumbnail", "type": str},
    {"name": "platform", "type": str, "queryable": True},
    {"name": "mgrs_tile", "type": str, "queryable": True},
    {"name": "processing_level", "type": "datasets.v1.ProcessingLevel"},
    {"name": "flight_direction", "type": "datasets.v1.FlightDirection"},
    {"name": "datatake_id", "type": UUID},
    {"name": "product_id", "type": UUID},
    {"name": "cloud_cover", "type": float, "queryable": True},
    {"name": "snow_cover", "type": float},
    {"name": "sun_elevation", "type": float},
    {"name": "sun_azimuth", "type": float},
    {"name": "mean_incidence", "type": float},
    {"name": "nodata_share", "type": float},
    {"name": "water_share", "type": float},
    {"name": "vegetation_share", "type": float},
    {"name": "orbit_number", "type": int, "queryable": True},
    {"name": "relative_orbit", "type": int},
    {"name": "file_size", "type": int},
    {"name": "bands", "type": int},
    {"name": "online", "type": bool},
    {"name": "published", "type": datetime},
    {"name": "updated", "type": datetime},
]
"""24 fields; `geometry` is the 25th."""


def datapoints(count: int, seed: int = 0) -> pd.DataFrame:
    """Return datapoints in order of time. Equal seeds give equal datapoints."""
    random = np.random.default_rng(seed)
    offset = np.sort(random.integers(0, TEN_YEARS_MS, count)).astype("timedelta64[ms]")
    time = START + offset
    west, south = random.uniform(-180, 178.5, count), random.uniform(-56, 82, count)
    skew = random.uniform(0.05, 0.3, count)
    corners = np.stack(
        [west, south, west + 1, south - skew * 0.2, west + 1 + skew, south + 0.9, west + skew, south + 1, west, south]
    )
    rings = corners.T.reshape(count, 5, 2)
    tiles = np.array([f"T{zone:02d}{band}" for zone in range(1, 61) for band in ("TQM", "UNA", "WES")], dtype=object)
    tile = tiles[random.integers(0, len(tiles), count)]
    number = np.arange(count)
    name = np.array([f"S2A_MSIL2A_{n:015d}_N0511_R{n % 143:03d}" for n in number], dtype=object)
    return pd.DataFrame(
        {
            "time": time,
            "geometry": shapely.polygons(rings),
            "granule_name": name,
            "location": np.array([f"/eodata/Sentinel-2/MSI/L2A/{n}.SAFE" for n in name], dtype=object),
            "thumbnail": np.array([f"https://catalogue.example/thumbnails/{n}.jpg" for n in number], dtype=object),
            "platform": np.array(["S2A", "S2B", "S2C"], dtype=object)[random.integers(0, 3, count)],
            "mgrs_tile": tile,
            "processing_level": np.array(["L1C", "L2A"], dtype=object)[random.integers(0, 2, count)],
            "flight_direction": np.array(["ASCENDING", "DESCENDING"], dtype=object)[random.integers(0, 2, count)],
            "datatake_id": _uuids(random, count),
            "product_id": _uuids(random, count),
            "cloud_cover": random.uniform(0, 100, count),
            "snow_cover": random.uniform(0, 100, count),
            "sun_elevation": random.uniform(10, 80, count),
            "sun_azimuth": random.uniform(0, 360, count),
            "mean_incidence": random.uniform(0, 12, count),
            "nodata_share": random.uniform(0, 1, count),
            "water_share": random.uniform(0, 1, count),
            "vegetation_share": random.uniform(0, 1, count),
            "orbit_number": number // 500,
            "relative_orbit": number % 143,
            "file_size": random.integers(1, 2**31, count),
            "bands": np.full(count, 13),
            "online": random.integers(0, 2, count).astype(bool),
            "published": time + np.timedelta64(6, "h"),
            "updated": time + np.timedelta64(9, "h"),
        }
    )


def _uuids(random: np.random.Generator, count: int) -> np.ndarray:
    raw = random.bytes(16 * count)
    return np.array([UUID(bytes=raw[i : i + 16]) for i in range(0, 16 * count, 16)], dtype=object)
