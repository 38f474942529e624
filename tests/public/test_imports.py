"""The documented import paths, what they cost, and that both clients offer the same."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
import typing

import pytest

from tilebox import workflows
from tilebox.datasets import aio, sync
from tilebox.datasets.aio import timeseries as aio_timeseries
from tilebox.datasets.sync import timeseries as sync_timeseries
from tilebox.workflows import aio as aio_workflows

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
    "tilebox.workflows": ["Client", "Cluster", "ExecutionContext", "Job", "Task", "NotFoundError", "JobFailedError"],
    "tilebox.workflows.aio": ["Client"],
    "tilebox.workflows.cache": [
        "AmazonS3Cache",
        "GoogleStorageCache",
        "InMemoryCache",
        "JobCache",
        "LocalFileSystemCache",
    ],
    "tilebox.workflows.data": ["Cluster", "ExecutionStats", "Job", "JobState", "Progress", "TaskState", "TimeInterval"],
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


@pytest.mark.parametrize(
    "statement",
    [
        "from tilebox.workflows import Client, ExecutionContext, Task; Client('http://box:1', 'key').jobs().submit",
        "from tilebox.workflows.aio import Client; Client('http://box:1', 'key').jobs().submit",
    ],
)
def test_tasks_are_defined_and_a_client_made_with_little_more_than_the_wire(statement):
    # Every process of a runner does this.
    assert set(loaded_by(statement)) <= {"google.protobuf", "anyio"}


def test_a_client_is_made_without_the_libraries_that_only_requests_need():
    made = loaded_by("from tilebox.datasets import Client; Client('http://box:1', 'key')")
    assert set(made) <= {"numpy", "google.protobuf"}


PAIRS = [
    (aio.Client, sync.Client),
    (aio_timeseries.TimeseriesDataset, sync_timeseries.TimeseriesDataset),
    (aio_timeseries.TimeseriesCollection, sync_timeseries.TimeseriesCollection),
    (aio_workflows.Client, workflows.Client),
    (aio_workflows.ClusterClient, workflows.ClusterClient),
    (aio_workflows.JobClient, workflows.JobClient),
    (aio_workflows.TaskRunner, workflows.TaskRunner),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_both_clients_have_the_same_names_and_signatures(one, other):
    names = [name for name in vars(one) if not name.startswith("_") or name == "__init__"]
    assert names == [name for name in vars(other) if not name.startswith("_") or name == "__init__"]
    for name in names:
        first, second = getattr(one, name), getattr(other, name)
        assert inspect.getdoc(first) == inspect.getdoc(second)
        if callable(first):
            signature = re.sub("Async(Iterator|Client)", r"\1", str(inspect.signature(first)))
            assert signature == str(inspect.signature(second))
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
    assert list(inspect.signature(sync.Client).parameters) == ["url", "token", "http_client"]
    assert list(inspect.signature(sync_timeseries.TimeseriesCollection.find).parameters)[1:] == [
        "datapoint_id",
        "skip_data",
    ]


def test_the_documented_signatures_of_workflows():
    def parameters(function):
        return list(inspect.signature(function).parameters)

    assert parameters(workflows.Client) == ["url", "token", "http_client"]
    assert parameters(workflows.Client.runner)[1:5] == ["cluster", "tasks", "cache", "context"]
    jobs = workflows.JobClient
    assert parameters(jobs.submit)[1:] == ["job_name", "root_task_or_tasks", "cluster", "max_retries"]
    assert parameters(jobs.visualize)[1:] == ["job_or_id", "direction", "layout", "sketchy"]
    assert parameters(jobs.cancel)[1:] == parameters(jobs.retry)[1:] == parameters(jobs.find)[1:] == ["job_or_id"]
    assert parameters(workflows.ClusterClient.delete)[1:] == ["cluster_or_slug"]


def test_interval_like_can_be_used_in_annotations():
    from tilebox.datasets.data import TimeIntervalLike

    assert typing.get_args(TimeIntervalLike)
    assert TimeIntervalLike | None
