"""What callers give to the client of jobs, read or refused before anything is sent."""

from __future__ import annotations

import re
from random import Random
from uuid import UUID

import pytest

from tilebox._core.jobs import workflow_calls
from tilebox._core.jobs.arguments import count, job_filters, job_id, make_trace_parent, seconds, submission
from tilebox._core.jobs.job import Cluster, Job
from tilebox._core.jobs.states import JobState, TaskState
from tilebox._core.protocol.workflows.v1 import core_pb2, job_pb2
from tilebox._core.tasks.task import Task

JOB = UUID("018dd029-58ca-74e5-8b58-b4f99d610f9a")


class Hello(Task):
    name: str = "World"


class Other(Task):
    pass


def clusters_of(tasks: core_pb2.TaskSubmissions) -> list[str]:
    return [
        tasks.cluster_slug_lookup[pointer] for group in tasks.task_groups for pointer in group.cluster_slug_pointers
    ]


def names_of(tasks: core_pb2.TaskSubmissions) -> list[str]:
    return [
        tasks.identifier_lookup[pointer].name for group in tasks.task_groups for pointer in group.identifier_pointers
    ]


def retries_of(tasks: core_pb2.TaskSubmissions) -> list[int]:
    return [number for group in tasks.task_groups for number in group.max_retries_values]


@pytest.mark.parametrize(
    ("tasks", "clusters", "expected"),
    [
        (Hello(), None, [("Hello", "")]),
        (Hello(), "", [("Hello", "")]),
        (Hello(), "dev", [("Hello", "dev")]),
        (Hello(), Cluster("dev", "Dev"), [("Hello", "dev")]),
        (Hello(), ["dev"], [("Hello", "dev")]),
        ([Hello(), Other()], "dev", [("Hello", "dev"), ("Other", "dev")]),
        ((Hello(), Other()), ["dev"], [("Hello", "dev"), ("Other", "dev")]),
        ([Hello(), Other()], ["dev", Cluster("gpu")], [("Hello", "dev"), ("Other", "gpu")]),
        # Made in the test: their names would differ from process to process.
        (lambda: iter([Hello(), Other()]), lambda: iter(["dev", "gpu"]), [("Hello", "dev"), ("Other", "gpu")]),
    ],
    ids=lambda value: "made" if callable(value) else str(value),
)
def test_tasks_and_their_clusters(tasks, clusters, expected):
    if callable(tasks):
        tasks, clusters = tasks(), clusters()
    name, message = submission("my-job", tasks, clusters, 3)
    assert name == "my-job"
    assert sorted(zip(names_of(message), clusters_of(message), strict=True)) == sorted(expected)
    assert retries_of(message) == [3] * len(expected)


@pytest.mark.parametrize("tasks", [Hello(), [Hello(), Other()]])
def test_the_name_may_be_left_out_as_the_documentation_does(tasks):
    name, message = submission(tasks, None, "dev", 0)
    assert name == "Hello"
    assert names_of(message)[0] == "Hello"
    assert submission(None, tasks, "dev", 0)[0] == "Hello"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("x", Hello, None, 0), TypeError, "write Hello(...)"),
        (("x", [Hello(), Other], None, 0), TypeError, "write Other(...)"),
        ((Hello, None, "dev", 0), TypeError, "write Hello(...)"),
        (("x", 5, None, 0), TypeError, "not 5"),
        (("x", "Hello", None, 0), TypeError, "not 'Hello'"),
        (("x", [Hello(), None], None, 0), TypeError, "not None"),
        (("x", None, None, 0), TypeError, "not None"),
        ((Hello(), "dev", None, 0), TypeError, "not 'dev'"),
        (("x", [], None, 0), ValueError, "at least one task"),
        (("", Hello(), None, 0), ValueError, "job_name must not be empty"),
        ((5, Hello(), None, 0), TypeError, "job_name must be a string, not a int"),
        (("x", [Hello(), Other()], ["a", "b", "c"], 0), ValueError, "there are 2 tasks but 3 clusters"),
        (("x", Hello(), [], 0), ValueError, "there are 1 tasks but 0 clusters"),
        (("x", Hello(), 5, 0), TypeError, "a cluster must be a slug, or a Cluster that the client returned, not 5"),
        (("x", Hello(), None, -1), ValueError, "max_retries must be between 0 and 2147483647"),
        (("x", Hello(), None, 1.5), TypeError, "max_retries must be an integer, not 1.5"),
    ],
    ids=str,
)
def test_malformed_submissions_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        submission(*arguments)


@pytest.mark.parametrize("value", [JOB, str(JOB), JOB.bytes, Job(JOB, "x")], ids=str)
def test_ways_to_name_a_job(value):
    assert job_id(value) == JOB


def test_what_names_no_job():
    with pytest.raises(ValueError, match="'some-job-id' is not a valid job id; give a UUID"):
        job_id("some-job-id")
    with pytest.raises(TypeError, match="job id must be a UUID or its text, not a int"):
        job_id(5)


def test_filters():
    filters = job_filters(
        ("2024-01-01", "2024-02-01"), JOB, "failed", "my-job", [TaskState.FAILED, "queued"], ["dev", Cluster("gpu")]
    )
    assert filters.time_interval.start_time.ToJsonString() == "2024-01-01T00:00:00Z"
    assert filters.time_interval.end_time.ToJsonString() == "2024-02-01T00:00:00Z"
    assert [one.uuid for one in filters.automation_ids] == [JOB.bytes]
    assert list(filters.states) == [core_pb2.JOB_STATE_FAILED]
    assert list(filters.task_states) == [core_pb2.TASK_STATE_FAILED, core_pb2.TASK_STATE_QUEUED]
    assert (filters.name, list(filters.cluster_slugs)) == ("my-job", ["dev", "gpu"])
    assert job_filters(None, None, None, None, None, None) == job_pb2.QueryFilters()
    states = job_filters(None, None, (one for one in JobState), None, None, None).states
    assert list(states) == list(range(7))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"job_states": "finished"},
            ValueError,
            "'finished' is not a JobState; the states are SUBMITTED, RUNNING, STARTED",
        ),
        ({"task_states": 3}, TypeError, "a state must be a TaskState or its name, not a int"),
        ({"automation_ids": "x"}, ValueError, "is not a valid automation id"),
        ({"name": ""}, ValueError, "name must not be empty"),
        ({"name": "x" * 101}, ValueError, "at most 100 characters"),
        ({"clusters": [None]}, TypeError, "a cluster must be a Cluster"),
        ({"temporal_extent": ("2024-02-01", "2024-01-01")}, ValueError, "is before its start"),
    ],
    ids=str,
)
def test_malformed_filters_are_refused(arguments, error, message):
    given = dict.fromkeys(["temporal_extent", "automation_ids", "job_states", "name", "task_states", "clusters"])
    with pytest.raises(error, match=re.escape(message)):
        job_filters(**given | arguments)


@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_is_positive(value):
    with pytest.raises(ValueError, match="limit must be positive"):
        count(value)


@pytest.mark.parametrize(
    ("value", "error"), [("5", TypeError), (True, TypeError), (-1, ValueError), (float("nan"), ValueError)]
)
def test_a_timeout_is_a_number_of_seconds(value, error):
    with pytest.raises(error, match="timeout must"):
        seconds(value)
    assert seconds(5) == 5.0
    assert seconds(None) is None


def test_trace_parents_are_those_of_the_w3c_and_never_the_same():
    random = Random(1)
    made = {make_trace_parent(random) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01", one) for one in made)

    class Zeros(Random):
        def getrandbits(self, k):
            return 0

    assert make_trace_parent(Zeros()) == f"00-{1:032x}-{1:016x}-01"
    assert make_trace_parent(random, trace_id=5, flags=0).startswith(f"00-{5:032x}-")


@pytest.mark.parametrize(
    ("options", "what"), [({"direction": "sideways"}, "direction"), ({"layout": "tala"}, "layout")]
)
def test_diagrams_that_cannot_be_drawn(options, what):
    given = {"direction": "down", "layout": "dagre", "sketchy": True} | options
    with pytest.raises(ValueError, match=f"{what} must be one of"):
        workflow_calls.visualize_job(JOB, **given)


def test_what_must_not_be_sent_twice():
    tasks = core_pb2.TaskSubmissions()
    prototype = job_pb2.GetJobPrototypeResponse(job_name="x", root_tasks=[core_pb2.SingleTaskSubmission()])
    assert not workflow_calls.submit_job("x", tasks, "").is_idempotent
    assert not workflow_calls.retry_job(JOB).is_idempotent
    clone = workflow_calls.clone_job(JOB, prototype, name=None, cluster="gpu")
    assert not clone.is_idempotent
    assert (clone.request.job_name, clone.request.root_tasks_overrides[0].cluster_slug) == ("x", "gpu")
    assert not workflow_calls.create_cluster("x", None, None).is_idempotent
    assert not workflow_calls.delete_cluster("x").is_idempotent
    assert workflow_calls.cancel_job(JOB).is_idempotent
    assert workflow_calls.get_job(JOB).is_idempotent
