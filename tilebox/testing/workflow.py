"""Execution of a whole workflow in one call: a server in this process, a runner in this thread, and one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilebox.testing.local_server import LocalServer
from tilebox.workflows.cache import InMemoryCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.jobs.job import Job, TaskSummary
    from tilebox._core.tasks.task import Task
    from tilebox.workflows.cache import JobCache


@dataclass(frozen=True)
class WorkflowResult:
    """The result of a job.

    Args:
        job: The job after the run.
        tasks: All tasks of the job, each followed by its subtasks.
        cache: The cache of the runner, in which the job has the group of its id.
    """

    job: Job
    tasks: list[TaskSummary]
    cache: JobCache

    @property
    def job_cache(self) -> JobCache:
        """The job's group of the cache, as its tasks see it."""
        return self.cache.group(str(self.job.id))


def run_workflow(
    root: Task | Iterable[Task],
    tasks: Iterable[type[Task]],
    *,
    cache: JobCache | None = None,
    runner_context: Any = None,
    server: LocalServer | None = None,
    max_retries: int = 0,
    **runner_options: Any,
) -> WorkflowResult:
    """Submit a job and execute its tasks until none are left.

    Args:
        root: The root task, or several.
        tasks: The task classes that the runner registers.
        cache: The cache of the runner; by default an empty one in memory.
        runner_context: The value of `context.runner_context`.
        server: A running server, which several tests may share; by default a new one for this call.
        max_retries: The number of times that each root task is retried after a failed attempt.
        runner_options: Further arguments of `Client.runner`.

    Returns:
        The job, its tasks and the cache. A failed job is returned too; check `result.job.state`.
    """
    if server is None:
        with LocalServer() as new_server:
            return run_workflow(
                root,
                tasks,
                cache=cache,
                runner_context=runner_context,
                server=new_server,
                max_retries=max_retries,
                **runner_options,
            )
    runner_cache = InMemoryCache() if cache is None else cache
    client = server.workflows()
    jobs = client.jobs()
    job = jobs.submit("test", root, max_retries=max_retries)
    client.runner(tasks=list(tasks), cache=runner_cache, context=runner_context, **runner_options).run_all()
    return WorkflowResult(jobs.find(job.id), list(jobs.tasks(job)), runner_cache)
