"""What the official SDK does against a server of ours. Runs in the official SDK's environment, not in ours.

Arguments: URL, API key, transport. It ends with exit code 0 and the word `passed` if all of it works.
"""

# ruff: noqa: I001, PD011, PT017 - neither pytest nor our package is there where this runs

from __future__ import annotations

import os
import sys
from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import xarray as xr
from _tilebox.grpc.error import AuthenticationError, NotFoundError
from shapely import Point, Polygon, box
from tilebox.datasets import Client
from tilebox.datasets.data.datasets import DatasetKind
from tilebox.datasets.query import field

ROWS = 2500  # more than two pages


def main(url: str, token: str, transport: str) -> None:
    client = Client(url=url, token=token, transport=transport)
    code_name = f"official_{transport}_{uuid4().hex[:8]}"
    dataset = create(client, code_name)
    frame = ingest(dataset)
    look(client, code_name)
    read(dataset, frame)
    evolve(client, code_name, frame)
    delete(dataset)
    fail(client, dataset, url, transport)
    print("passed")


def fields() -> list[dict]:
    return [
        {"name": "granule_name", "type": str, "description": "Name", "queryable": True},
        {"name": "cloud_cover", "type": float, "queryable": True},
        {"name": "orbit", "type": int},
        {"name": "scene", "type": UUID},
        {"name": "exposure", "type": timedelta},
        {"name": "bands", "type": list[str]},
        {"name": "good", "type": bool},
    ]


def create(client, code_name):
    dataset = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, code_name, fields(), name="Official")
    again = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, code_name, fields(), name="Official")
    assert again._dataset.id == dataset._dataset.id
    assert dataset.name == "Official"
    return dataset


def ingest(dataset):
    collection = dataset.get_or_create_collection("S2A")
    assert dataset.get_or_create_collection("S2A")._collection.name == "S2A"
    frame = pd.DataFrame(
        {
            "time": pd.date_range("2024-01-01", periods=ROWS, freq="min"),
            "geometry": [Point(i % 360 - 180, 10) if i % 2 else square(i % 300 - 150) for i in range(ROWS)],
            "granule_name": [f"G{i}" for i in range(ROWS)],
            "cloud_cover": np.arange(ROWS) / ROWS * 100,
            "orbit": np.arange(ROWS),
            "scene": [uuid4() for _ in range(ROWS)],
            "exposure": pd.to_timedelta(np.arange(ROWS), unit="s"),
            "bands": [["B02"] if i % 2 else ["B02", "B03"] for i in range(ROWS)],
            "good": [i % 3 == 0 for i in range(ROWS)],
        }
    )
    ids = collection.ingest(frame)
    assert len(set(ids)) == ROWS
    assert collection.ingest(frame) == ids, "the same datapoints have the same ids"
    frame["id"] = [str(identity) for identity in ids]
    return frame


def square(west: float) -> Polygon:
    return box(west, 0, west + 1, 1)


def look(client, code_name) -> None:
    group = client.datasets()
    dataset = getattr(group.local, code_name)
    assert dataset._dataset.id == client.dataset(f"local.{code_name}")._dataset.id
    assert client._dataset_by_id(dataset._dataset.id).name == "Official"
    assert code_name in repr(group)
    collections = dataset.collections()
    assert list(collections) == ["S2A"]
    info = collections["S2A"].info()
    assert info.count == ROWS
    assert "2024-01-01T00:00:00.000 UTC" in str(info)


def read(dataset, frame) -> None:
    collection = dataset.collection("S2A")
    month = ("2024-01-01", "2024-02-01")
    everything = collection.query(temporal_extent=month)
    assert everything.sizes["time"] == ROWS
    assert list(everything.id.values) == list(frame.id)
    assert list(everything.granule_name.values) == list(frame.granule_name)
    assert everything.cloud_cover.values[0] == 0.0, "a zero is not a missing value"
    assert np.array_equal(everything.orbit.values, frame.orbit.values)
    assert list(everything.scene.values) == [str(scene) for scene in frame.scene]
    assert list(everything.geometry.values) == list(frame.geometry)
    assert np.array_equal(everything.exposure.values, frame.exposure.values.astype("timedelta64[ns]"))
    assert list(everything.bands.values[0]) == ["B02", "B03"]
    assert np.array_equal(everything.good.values, frame.good.values)

    assert dataset.query(temporal_extent=month, collections=["S2A"]).sizes["time"] == ROWS
    one = collection.query(temporal_extent="2024-01-01T00:05:00")
    assert one.sizes["time"] == 1
    assert list(one.granule_name.values) == ["G5"]
    assert collection.query(temporal_extent=("2030-01-01", "2031-01-01")).sizes.get("time", 0) == 0
    assert "granule_name" not in collection.query(temporal_extent=month, skip_data=True)

    cloudless = collection.query(
        temporal_extent=month, filter=(field("cloud_cover") < 1) & (field("granule_name") != "G3")
    )
    assert cloudless.sizes["time"] == 24
    near = collection.query(temporal_extent=month, spatial_extent=box(-180, 9, -170, 11))
    expected = sum(1 for shape in frame.geometry if shape.intersects(box(-180, 9, -170, 11)))
    assert near.sizes["time"] == expected > 0
    whole = collection.query(
        temporal_extent=month,
        spatial_extent={
            "geometry": box(-10, -5, 10, 5),
            "mode": "filter_contains_geometry",
            "coordinate_system": "spherical",
        },
    )
    assert 0 < whole.sizes["time"] < ROWS

    found = collection.find(frame.id[7])
    assert isinstance(found, xr.Dataset)
    assert str(found.granule_name.values) == "G7"
    assert str(dataset.find(frame.id[8]).granule_name.values) == "G8"


def evolve(client, code_name, frame) -> None:
    wider = [*fields(), {"name": "processing", "type": str}]
    dataset = client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, code_name, wider)
    collection = dataset.collection("S2A")
    collection.ingest({"time": ["2024-06-01"], "geometry": [Point(0, 0)], "processing": ["05.09"]})
    changed = collection.query(temporal_extent="2024-06-01")
    assert list(changed.processing.values) == ["05.09"], "the added field is seen without a restart"
    assert collection.query(temporal_extent="2024-01-01T00:05:00").granule_name.values[0] == "G5"
    assert collection.info().count == len(frame) + 1


def delete(dataset) -> None:
    collection = dataset.collection("S2A")
    part = collection.query(temporal_extent=("2024-01-01", "2024-01-01T00:10:00"))
    assert collection.delete(part) == 10
    assert collection.query(temporal_extent=("2024-01-01", "2024-01-01T00:10:00")).sizes.get("time", 0) == 0
    expect(NotFoundError, lambda: collection.delete(part))
    dataset.create_collection("short-lived")
    dataset.delete_collection("short-lived")
    assert list(dataset.collections()) == ["S2A"]


def fail(client, dataset, url, transport) -> None:
    expect(NotFoundError, lambda: client.dataset("local.no_such_dataset"))
    expect(NotFoundError, lambda: dataset.collection("Sat-X"), "No such collection Sat-X")
    expect(NotFoundError, lambda: dataset.collection("S2A").find(uuid4()), "No such datapoint")
    expect(ValueError, lambda: dataset.query(temporal_extent=("2024-02-01", "2024-01-01")))
    wide_string = {"time": ["2024-06-01"], "geometry": [Point(0, 0)], "granule_name": ["x" * 2000]}
    expect(ValueError, lambda: dataset.collection("S2A").ingest(wide_string), "datapoint 0: field 'granule_name'")
    slug = f"local.{dataset._dataset.code_name}"
    expect(ValueError, lambda: client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, []), "would lose data")
    for token in ("wrong", None):
        expect(AuthenticationError, lambda: Client(url=url, token=token, transport=transport).datasets())  # noqa: B023


def expect(kind, function, says="") -> None:
    try:
        function()
    except kind as error:
        assert says in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__} was raised")


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    # A query that failed leaves a thread of the official SDK waiting, which would keep this process for ever.
    os._exit(0)
