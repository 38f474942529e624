"""The documented import paths, what they cost, and that both clients offer the same."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import typing

import pytest

from tilebox.datasets import aio, sync
from tilebox.datasets.aio import timeseries as aio_timeseries
from tilebox.datasets.sync import timeseries as sync_timeseries

DOCUMENTED = {
    "tilebox.datasets": ["Client", "DatasetKind", "TimeInterval", "field", "NotFoundError", "AuthenticationError"],
    "tilebox.datasets.aio": ["Client"],
    "tilebox.datasets.aio.timeseries": [
        "TimeseriesCollection",
        "TimeseriesDataset",
        "CollectionClient",
        "DatasetClient",
    ],
    "tilebox.datasets.sync": ["Client"],
    "tilebox.datasets.sync.timeseries": [
        "TimeseriesCollection",
        "TimeseriesDataset",
        "CollectionClient",
        "DatasetClient",
    ],
    "tilebox.datasets.data": ["TimeInterval", "TimeIntervalLike"],
    "tilebox.datasets.query": ["TimeInterval", "field"],
    "tilebox.clients.core.data": ["TimeInterval", "TimeIntervalLike"],
}
HEAVY = ["xarray", "pandas", "shapely", "httpx", "numpy", "pyarrow", "anyio", "tqdm", "pydantic", "google.protobuf"]


@pytest.mark.parametrize("path", DOCUMENTED)
def test_documented_paths(path):
    module = importlib.import_module(path)
    assert set(DOCUMENTED[path]) <= set(module.__all__)
    assert sorted(module.__all__) == list(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{path}' has no attribute 'nonsense'"):
        _ = module.nonsense


def loaded_by(statement: str) -> list[str]:
    """Return which heavy modules a statement loads in a fresh interpreter."""
    program = f"import sys, json\n{statement}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    return json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


@pytest.mark.parametrize("path", DOCUMENTED)
def test_importing_a_path_loads_nothing_heavy(path):
    assert loaded_by(f"import {path}") == []


def test_a_client_is_made_without_the_libraries_that_only_requests_need():
    made = loaded_by("from tilebox.datasets import Client; Client('http://box:1', 'key')")
    assert set(made) <= {"numpy", "google.protobuf"}


PAIRS = [
    (aio.Client, sync.Client),
    (aio_timeseries.TimeseriesDataset, sync_timeseries.TimeseriesDataset),
    (aio_timeseries.TimeseriesCollection, sync_timeseries.TimeseriesCollection),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_clients_have_the_same_names_and_signatures(one, other):
    names = [name for name in vars(one) if not name.startswith("_") or name == "__init__"]
    assert names == [name for name in vars(other) if not name.startswith("_") or name == "__init__"]
    for name in names:
        first, second = getattr(one, name), getattr(other, name)
        assert inspect.getdoc(first) == inspect.getdoc(second)
        if callable(first):
            assert str(inspect.signature(first)).replace("AsyncIterator", "Iterator") == str(inspect.signature(second))
            assert not inspect.iscoroutinefunction(second)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_public_name_has_a_docstring(one, other):
    for name, member in vars(one).items():
        if not name.startswith("_"):
            assert inspect.getdoc(member), name


def test_the_documented_signatures():
    load = inspect.signature(sync_timeseries.TimeseriesCollection.load)
    assert list(load.parameters)[1:4] == ["time_or_interval", "skip_data", "show_progress"]
    assert load.parameters["skip_data"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert list(inspect.signature(sync.Client).parameters) == ["url", "token"]
    assert list(inspect.signature(sync_timeseries.TimeseriesCollection.find).parameters)[1:] == [
        "datapoint_id",
        "skip_data",
    ]


def test_interval_like_can_be_used_in_annotations():
    from tilebox.datasets.data import TimeIntervalLike

    assert typing.get_args(TimeIntervalLike)
    assert TimeIntervalLike | None
