"""A small open-data catalogue with the datasets, collections and fields that the documentation talks about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from shapely import Polygon, box

from tilebox.datasets import Client, DatasetKind

SENTINEL1, SENTINEL2 = "open_data.copernicus.sentinel1_sar", "open_data.copernicus.sentinel2_msi"
LANDSAT, ERS = "open_data.copernicus.landsat8_oli_tirs", "open_data.asf.ers_sar"

# Frames of ERS-2 orbit 66974, descending from 74 to 68 degrees north; the first is the documentation's.
ERS_FRAMES = (264, 265, 267, 269, 271, 273, 275, 277, 279, 281, 283, 285, 289)
FIRST_FRAME = [(-150.753244, 74.250081), (-152.031574, 73.336051), (-149.183655, 73.001748), (-147.769339, 73.899483)]
ANTIMERIDIAN_FRAME = [
    (177.993407, 74.983185),
    (176.605009, 74.074615),
    (179.563047, 73.727752),
    (-178.904076, 74.61847),
]

PRODUCT_FIELDS = [
    {"name": "granule_name", "type": str, "description": "Name of the product"},
    {"name": "center", "type": "datasets.v1.LatLon"},
    {"name": "cloud_cover", "type": float, "queryable": True},
    {"name": "sun_elevation", "type": float},
    {"name": "bands", "type": int},
]


def fill(client: Client) -> None:
    """Create the catalogue."""
    landsat = client.create_or_update_dataset(DatasetKind.TEMPORAL, LANDSAT, PRODUCT_FIELDS, name="Landsat-8 OLI/TIRS")
    for name, count in {"L1GT": 514, "L1T": 40, "L1TP": 90, "L2SP": 60}.items():
        landsat.get_or_create_collection(name).ingest(_products(name, datetime(2022, 5, 1, tzinfo=UTC), count, hours=1))
        landsat.collection(name).ingest(_products(name, datetime(2020, 1, 1, tzinfo=UTC), 96, hours=24))
    sentinel2 = client.create_or_update_dataset(DatasetKind.TEMPORAL, SENTINEL2, PRODUCT_FIELDS, name="Sentinel-2 MSI")
    for name in ("S2A_S2MSI1C", "S2A_S2MSI2A"):
        for start in (datetime(2022, 1, 1, tzinfo=UTC), datetime(2024, 7, 12, tzinfo=UTC)):
            sentinel2.get_or_create_collection(name).ingest(_products(name, start, 60, hours=12))
    sentinel1 = client.create_or_update_dataset(DatasetKind.TEMPORAL, SENTINEL1, PRODUCT_FIELDS, name="Sentinel-1 SAR")
    raw = sentinel1.get_or_create_collection("S1A_IW_RAW__0S")
    raw.ingest(_products("S1A", datetime(2017, 1, 1, 2, 45, 25, 679000, UTC), 200, hours=240))
    raw.ingest(_products("S1A", datetime(2024, 8, 1, 0, 0, 1, 362000, UTC), 1, hours=1))
    ers = client.create_or_update_dataset(
        DatasetKind.SPATIOTEMPORAL, ERS, [{"name": "granule_name", "type": str}], name="ERS SAR Granules"
    )
    ers.get_or_create_collection("ERS-2").ingest(_orbit())


def _products(prefix: str, start: datetime, count: int, *, hours: int) -> dict[str, object]:
    number = np.arange(count)
    return {
        "time": [start + timedelta(hours=hours * int(i)) for i in number],
        "granule_name": [f"{prefix}_{i:05d}" for i in number],
        "center": np.stack([np.linspace(-60, 60, count), np.linspace(-170, 170, count)], axis=1),
        "cloud_cover": np.linspace(0, 100, count),
        "sun_elevation": np.linspace(20, 70, count),
        "bands": np.full(count, 12),
    }


def _orbit() -> dict[str, object]:
    granules = [Polygon([*FIRST_FRAME, FIRST_FRAME[0]])]
    # A box below another, with the missing granule of the documentation before the last one.
    south = [73.4 - 0.8 * i for i in range(11)] + [73.4 - 0.8 * 12.5]
    granules += [box(-152.0 - 0.8 * i, lat - 0.9, -149.0 - 0.8 * i, lat) for i, lat in enumerate(south)]
    names = [f"E2_66974_STD_F{frame}" for frame in ERS_FRAMES] + ["E2_70000_STD_F260"]
    start = datetime(2008, 2, 10, 21, 10, tzinfo=UTC)
    times = [start + timedelta(seconds=14 * i) for i in range(len(ERS_FRAMES))] + [datetime(2008, 9, 1, tzinfo=UTC)]
    granules.append(Polygon([*ANTIMERIDIAN_FRAME, ANTIMERIDIAN_FRAME[0]]))
    return {"time": times, "granule_name": names, "geometry": granules}
