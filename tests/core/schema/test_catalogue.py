"""Datasets and collections as values, their printed forms, and the tree of datasets."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tilebox._core.protocol.datasets.v1 import core_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.schema import catalogue, tree
from tilebox._core.values.intervals import TimeInterval

INTERVAL = TimeInterval(
    datetime(2013, 3, 25, 12, 8, 43, 699000, UTC), datetime(2024, 8, 19, 12, 57, 32, 456000, UTC), end_inclusive=True
)


@dataclass
class Node:
    summary: str = ""


def test_a_collection_prints_as_documented():
    info = catalogue.CollectionInfo(UUID(int=1), "L1GT", INTERVAL, 154288)
    text = "L1GT: [2013-03-25T12:08:43.699 UTC, 2024-08-19T12:57:32.456 UTC] (154288 data points)"
    assert str(info) == text
    assert str({"L1GT": info}) == f"{{'L1GT': Collection {text}}}"


def test_a_collection_without_datapoints_or_without_knowledge():
    empty = core_pb2.CollectionInfo(collection=core_pb2.Collection(name="a"), count=0)
    empty.availability.CopyFrom(query_pb2.TimeInterval())
    assert catalogue.CollectionInfo.from_wire(empty).availability is None
    assert str(catalogue.CollectionInfo.from_wire(empty)) == "a: <empty> (0 data points)"
    unknown = core_pb2.CollectionInfo(collection=core_pb2.Collection(name="a"))
    assert str(catalogue.CollectionInfo.from_wire(unknown)) == "a: <availability unknown, ask info()>"

    assert '<td style="text-align: left">&lt;empty&gt;</td>' in catalogue.CollectionInfo.from_wire(empty)._repr_html_()


def test_a_dataset_prints_as_documented():
    message = core_pb2.Dataset(name="Sentinel-1", slug="a.s1", code_name="s1", summary="Radar\nimages")
    info = catalogue.DatasetInfo.from_wire(message)
    assert str(info) == "Sentinel-1 [Timeseries Dataset]: Radar images"
    assert str(catalogue.DatasetInfo.from_wire(core_pb2.Dataset(code_name="s1"))) == "s1 [Timeseries Dataset]"


@pytest.mark.parametrize(
    ("name", "names", "wanted"),
    [
        ("S2A_S2MSI1D", ["S2A_S2MSI1C", "other"], "; did you mean S2A_S2MSI1C?"),
        ("s2a_s2msi1c", ["S2A_S2MSI1C"], "; did you mean S2A_S2MSI1C?"),
        ("x.sentinel2", ["a.sentinel2", "b.c"], "; did you mean a.sentinel2?"),
        ("x", [], "; there are none"),
        ("x", ["b", "a"], "; there are a, b"),
        ("qq", [f"name{i:02d}" for i in range(20)], ", name09, ..."),
    ],
)
def test_near_misses(name, names, wanted):
    assert catalogue.did_you_mean(name, names).endswith(wanted)


def test_the_tree_of_datasets():
    sentinel = Node("Radar " + "images of all the land and all the sea, " * 3)
    root = tree.build({"open_data.copernicus.sentinel1_sar": sentinel, "local.mine": Node()})
    assert root.open_data.copernicus.sentinel1_sar is sentinel
    assert root["open_data"]["copernicus"]["sentinel1_sar"] is sentinel
    assert dir(root) == list(root) == ["local", "open_data"]
    assert (len(root), "local" in root, "nope" in root) == (2, True, False)
    lines = repr(root).splitlines()
    assert lines[:4] == ["local:", "    mine", "open_data:", "    copernicus:"]
    assert lines[4].startswith("        sentinel1_sar: Radar images")
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) > 5
    assert repr(tree.build({})) == "<no datasets>"


def test_a_wrong_name_is_an_attribute_error_with_close_names():
    root = tree.build({"open_data.x": Node()})
    with pytest.raises(
        AttributeError, match=r"^No such dataset or dataset group 'open_date'; did you mean open_data\?$"
    ):
        _ = root.open_date
    with pytest.raises(KeyError, match="No such dataset or dataset group 'q'"):
        root["q"]
    with pytest.raises(AttributeError, match="read-only"):
        root.x = 5


def test_a_tree_can_be_copied():
    root = tree.build({"a.b": Node("s")})
    assert copy.deepcopy(root).a.b == pickle.loads(pickle.dumps(root)).a.b == Node("s")


def test_a_dataset_named_like_a_group_is_kept():
    first, second = Node("1"), Node("2")
    root = tree.build({"a": first, "a.b": second})
    assert root.a is first
