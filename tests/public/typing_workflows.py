"""The public API of workflows as a typed program uses it; checked by mypy and pyright, never run."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type
from uuid import UUID

from tilebox.workflows import Client, Cluster, ExecutionContext, Job, JobState, QueuedTask, Task, TaskList, TaskRunner
from tilebox.workflows.aio import Client as AsyncClient
from tilebox.workflows.aio import TaskRunner as AsyncTaskRunner


class Hello(Task):
    name: str
    times: int = 1

    def execute(self, context: ExecutionContext) -> None:
        context.submit_subtask(Hello(self.name), depends_on=[])


def sync_program() -> None:
    client = Client("http://localhost:8080", token="key")
    cluster = client.clusters().create("testing")
    assert_type(cluster, Cluster)
    assert_type(client.clusters().all(), list[Cluster])
    jobs = client.jobs()
    job = jobs.submit("hello", Hello("Moon", times=2), cluster, max_retries=5)
    assert_type(job, Job)
    assert_type(job.id, UUID)
    assert_type(job.state, JobState)
    jobs.submit("hello", [Hello("Moon"), Hello("Mars")], ["a", cluster])
    jobs.submit(Hello("Moon"), cluster="testing-CvufcSxcC9SKfe")
    for found in jobs.query(("2024-01-01", datetime(2024, 2, 1)), job_states=[JobState.FAILED, "running"], limit=5):
        assert_type(found, Job)
        assert_type(jobs.retry(found), int)
    assert_type(jobs.visualize(job, direction="right", layout="elk", sketchy=False), str)
    assert_type(jobs.tasks(job.id), TaskList)
    assert_type(jobs.queued(str(job.id)), list[QueuedTask])
    assert_type(jobs.wait(job, timeout=5, show_progress=print, raise_on_failure=True), Job)
    assert_type(jobs.state_counts(), dict[JobState, int])
    assert_type(client.runner("dev-cluster", tasks=[Hello]), TaskRunner)


async def async_program() -> None:
    client = AsyncClient()
    job = await client.jobs().submit("hello", Hello("Moon"))
    assert_type(await client.jobs().wait(job), Job)
    assert_type(await client.clusters().find(), Cluster)
    runner = client.runner(tasks=[Hello], concurrency=4)
    assert_type(runner, AsyncTaskRunner)
    await runner.run_all()
