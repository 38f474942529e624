# Generated from tests/aio/workflows/test_with_server.py by scripts/unasync.py; do not edit.
"""The clients of jobs and clusters with the real server; a runner in a process of its own executes the tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from support.work import client_tasks
from support.work.client_tasks import Broken, Leaf, Root
from worlds.sync import open_workflows

from tilebox.workflows import (
    ConflictError,
    InvalidArgumentError,
    JobFailedError,
    JobState,
    JobTimeoutError,
    NotFoundError,
    QueueReason,
    Task,
    TaskState,
)


class Long(Task):
    text: str


@pytest.fixture
def workflows(server):
    """A client of its own for every test."""
    return open_workflows(server.url, server.token)


@pytest.fixture
def execute(server):
    """A function that executes all tasks of a cluster, in a process of its own."""
    program = """
import sys
from support.work import client_tasks
from tilebox.workflows import Client
url, token, slug, *names = sys.argv[1:]
Client(url, token).runner(slug, tasks=[getattr(client_tasks, name) for name in names]).run_all()
"""

    def run(slug, *tasks):
        names = [task.__name__ for task in tasks]
        command = [sys.executable, "-c", program, server.url, server.token, slug, *names]
        environment = {**os.environ, "PYTHONPATH": str(Path(client_tasks.__file__).parents[2])}
        subprocess.run(command, env=environment, check=True)

    return run


@pytest.fixture
def slug():
    """A slug that no other test has."""
    return f"client-{uuid4().hex[:12]}"


def test_a_cluster_from_its_creation_to_its_end(workflows, slug):
    clusters = workflows.clusters()
    created = clusters.create("Testing", "For tests", slug=slug)
    assert repr(created) == f"Cluster(slug='{slug}', display_name='Testing')"
    assert clusters.find(slug) == created
    assert created in clusters.all()
    changed = clusters.update(created, name="Tested")
    assert (changed.display_name, changed.description, changed.slug) == ("Tested", "For tests", slug)
    with pytest.raises(ConflictError):
        clusters.create("Again", slug=slug)
    clusters.delete(changed)
    for call in (clusters.find, clusters.delete):
        with pytest.raises(NotFoundError, match=slug):
            call(slug)


def test_the_server_makes_slugs_and_keeps_its_default_cluster(workflows):
    clusters = workflows.clusters()
    created = clusters.create("testing")
    assert created.slug.startswith("testing-")
    clusters.delete(created)
    default = clusters.find()
    assert not default.deletable
    with pytest.raises(ConflictError):
        clusters.delete(default)


def test_a_job_is_executed_and_waited_for(workflows, slug, execute):
    cluster = workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    job = jobs.submit("trees", Root(3), cluster, max_retries=1)
    assert (job.name, job.state) == ("trees", JobState.SUBMITTED)
    with pytest.raises(JobTimeoutError):
        jobs.wait(job, timeout=0)
    with pytest.raises(ConflictError):
        workflows.clusters().delete(cluster)
    execute(slug, Root, Leaf)
    heard = []
    ended = jobs.wait(job, timeout=600, show_progress=heard.append)
    assert ended.state is JobState.COMPLETED
    assert ended.execution_stats.total_tasks == ended.execution_stats.count(TaskState.COMPUTED) == 4
    assert [(one.label, one.total, one.done) for one in ended.progress] == [("leaves", 3, 3)]
    assert heard[-1] == 1.0


def test_tasks_are_listed_and_drawn(workflows, slug, execute):
    workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    job = jobs.submit("trees", Root(3), slug, max_retries=1)
    execute(slug, Root, Leaf)
    tasks = jobs.tasks(job)
    assert [task.display for task in tasks] == ["Root(3)", "Leaf", "Leaf", "Leaf"]
    assert {task.parent_id for task in tasks[1:]} == {tasks[0].id}
    assert (tasks[0].max_retries, tasks[0].cluster) == (1, slug)
    assert "<svg" in jobs.visualize(job)


def test_a_queued_task_tells_why(workflows, slug):
    workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    job = jobs.submit("waits", Root(3), slug)
    (queued,) = jobs.queued(job)
    assert (queued.reason, queued.cluster, queued.identifier.name) == (QueueReason.NO_RUNNER, slug, "Root")
    jobs.cancel(job)
    assert [one.reason for one in jobs.queued(job)] == [QueueReason.JOB_STOPPED]


def test_a_failure_is_told_and_retried(workflows, slug, execute):
    workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    job = jobs.submit("breaks", Broken(), slug)
    execute(slug, Broken)
    with pytest.raises(JobFailedError, match=r"Broken: KeyError\('Title'\)") as caught:
        jobs.wait(job, timeout=600, raise_on_failure=True)
    assert caught.value.job.state is JobState.FAILED
    assert jobs.retry(job) == 1
    assert not (jobs.find(job)).state.has_ended


def test_a_job_is_cancelled_and_resumed(workflows, slug):
    workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    job = jobs.submit("stops", Root(0), slug)
    jobs.cancel(job)
    jobs.cancel(job)
    stopped = jobs.wait(job, timeout=600)
    assert (stopped.state, stopped.canceled) == (JobState.CANCELED, True)
    jobs.retry(job)
    assert not (jobs.find(job)).state.has_ended


def test_jobs_are_looked_for(workflows, slug):
    workflows.clusters().create("Testing", slug=slug)
    jobs = workflows.jobs()
    submitted = [jobs.submit(f"{slug}-{number}", Root(0), slug) for number in range(3)]
    found = jobs.query(clusters=slug)
    assert [one.id for one in found] == [one.id for one in reversed(submitted)]
    assert [one.id for one in jobs.query(clusters=slug, limit=2)] == [one.id for one in found[:2]]
    assert [one.id for one in jobs.query(name=f"{slug}-1")] == [submitted[1].id]
    assert jobs.query(("2020-01-01", "2021-01-01"), clusters=slug) == []
    assert (jobs.state_counts())[JobState.SUBMITTED] >= 3
    assert (jobs.queue_stats()).waiting_jobs >= 3
    again = jobs.clone(submitted[0], "again")
    assert again.name == "again"
    assert again.id not in {one.id for one in submitted}


def test_what_the_server_refuses(workflows, slug):
    jobs = workflows.jobs()
    with pytest.raises(NotFoundError, match=slug):
        jobs.submit("x", Root(1), slug)
    with pytest.raises(InvalidArgumentError):
        jobs.submit("x", Long("x" * 5000))
    unknown = uuid4()
    for call in (jobs.find, jobs.cancel, jobs.retry, jobs.visualize, jobs.tasks, jobs.queued, jobs.wait):
        with pytest.raises(NotFoundError, match=str(unknown)):
            call(unknown)
