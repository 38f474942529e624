# Generated from tests/aio/workflows/test_runner.py by scripts/unasync.py; do not edit.
"""Runners against the real server: jobs from their submission to their end."""

from __future__ import annotations

import threading
import uuid

import pytest
from worlds.sync import open_workflows, together

from tilebox.sync.workflows.runner import TaskRunner
from tilebox.workflows import (
    ExecutionContext,
    JobState,
    NonRetryableError,
    NotFoundError,
    Retry,
    Task,
    TaskState,
)
from tilebox.workflows.cache import InMemoryCache


class Sum(Task):
    """Adds up a range by halving it: a tree of tasks, and one that waits for all of them."""

    low: int
    high: int

    def execute(self, context: ExecutionContext) -> None:
        if self.high - self.low == 1:
            context.job_cache[str(self.low)] = str(self.low).encode()
            context.progress("added").done(1)
            return
        middle = (self.low + self.high) // 2
        context.submit_subtasks([Sum(self.low, middle), Sum(middle, self.high)])


class Total(Task):
    count: int

    def execute(self, context: ExecutionContext) -> None:
        parts = context.submit_subtask(Sum(0, self.count))
        context.submit_subtask(Check(self.count), depends_on=parts)


class Check(Task):
    count: int

    def execute(self, context: ExecutionContext) -> None:
        found = sum(int(context.job_cache[key]) for key in context.job_cache)
        assert found == sum(range(self.count))
        context.current_task.display = f"Check({found})"


class Flaky(Task):
    retry = Retry(delay_seconds=0.05)

    def execute(self, context: ExecutionContext) -> None:
        if context.current_task.retry_count < 2:
            raise RuntimeError("not yet")


class Never(Task):
    def execute(self, context: ExecutionContext) -> None:
        context.runner_context.append(context.current_task.retry_count)
        raise NonRetryableError("the product does not exist")


class Together(Task):
    """Ends only when there are as many at once as the barrier wants."""

    def execute(self, context: ExecutionContext) -> None:
        context.runner_context.wait(300)


@pytest.fixture
def client(server):
    """A client of the real server."""
    return open_workflows(server.url, server.token)


def a_cluster(client):
    """Return a cluster that no other test has."""
    return client.clusters().create(f"test {uuid.uuid4().hex}")


def test_a_tree_of_tasks_is_executed_in_order(client):
    cluster = a_cluster(client)
    job = client.jobs().submit("sum", Total(20), cluster=cluster)
    client.runner(cluster, tasks=[Total, Sum, Check], cache=InMemoryCache()).run_all()
    job = client.jobs().find(job.id)
    assert job.state is JobState.COMPLETED
    assert job.execution_stats.total_tasks == 41
    [progress] = job.progress
    assert (progress.label, progress.done) == ("added", 20)


def test_several_slots_and_several_runners_share_the_work(client):
    cluster = a_cluster(client)
    job = client.jobs().submit("sum", Total(200), cluster=cluster)
    cache = InMemoryCache()
    runners = [client.runner(cluster, tasks=[Total, Sum, Check], cache=cache, concurrency=3) for _ in range(2)]
    together(*(runner.run_all for runner in runners))
    assert (client.jobs().find(job.id)).state is JobState.COMPLETED


def test_a_failed_task_is_tried_again_after_its_pause(client):
    cluster = a_cluster(client)
    job = client.jobs().submit("flaky", Flaky(), cluster=cluster, max_retries=2)
    client.runner(cluster, tasks=[Flaky]).run_all()
    assert (client.jobs().find(job.id)).state is JobState.COMPLETED


def test_a_final_error_is_not_tried_again(client):
    cluster = a_cluster(client)
    attempts = []
    job = client.jobs().submit("never", Never(), cluster=cluster, max_retries=5)
    client.runner(cluster, tasks=[Never], context=attempts).run_all()
    assert attempts == [0]
    job = client.jobs().find(job.id)
    assert job.state is JobState.FAILED
    counts = job.execution_stats.tasks_by_state
    assert {state: count for state, count in counts.items() if count} == {TaskState.FAILED: 1}


def test_tasks_run_at_the_same_time_in_slots(client):
    cluster = a_cluster(client)
    barrier = threading.Barrier(3)
    job = client.jobs().submit("together", [Together(), Together(), Together()], cluster=cluster)
    client.runner(cluster, tasks=[Together], context=barrier, concurrency=3).run_all()
    assert (client.jobs().find(job.id)).state is JobState.COMPLETED


def test_nothing_to_do_is_done_at_once(client):
    cluster = a_cluster(client)
    runner = client.runner(cluster, tasks=[Sum])
    assert isinstance(runner, TaskRunner)
    assert repr(runner).startswith(f"<TaskRunner of cluster '{cluster.slug}'")
    runner.run_all()


def test_a_cluster_that_does_not_exist_is_told(client):
    with pytest.raises(NotFoundError):
        client.runner("no-such-cluster", tasks=[Sum]).run_all()
