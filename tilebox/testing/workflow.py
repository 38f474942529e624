"""A whole workflow in one call: a server in this process, a runner in this thread, a job from submit to its end."""

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
    """What became of a job.

    Args:
        job: The job, ended or stopped.
        tasks: All of its tasks, parents before children.
        cache: The cache of its runner; the job's keys lie in the group of the job's id.
    """

    job: Job
    tasks: list[TaskSummary]
    cache: JobCache

    @property
    def job_cache(self) -> JobCache:
        """The part of the cache that the job's tasks saw."""
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
    """Submit a job and run it until there is nothing more to run.

    Args:
        root: Its root task, or several.
        tasks: The task classes that the runner executes.
        cache: The runner's cache; by default an empty one in memory.
        runner_context: What `context.runner_context` shall be.
        server: A server that runs already, which many tests may share; by default one for this call.
        max_retries: How often the root tasks are tried again.
        runner_options: Further arguments of `Client.runner`.

    Returns:
        What became of it. A job that failed is returned too: look at `result.job.state`.
    """
    if server is None:
        with LocalServer() as own:
            return run_workflow(
                root,
                tasks,
                cache=cache,
                runner_context=runner_context,
                server=own,
                max_retries=max_retries,
                **runner_options,
            )
    used = InMemoryCache() if cache is None else cache
    client = server.workflows()
    jobs = client.jobs()
    job = jobs.submit("test", root, max_retries=max_retries)
    client.runner(tasks=list(tasks), cache=used, context=runner_context, **runner_options).run_all()
    return WorkflowResult(jobs.find(job.id), list(jobs.tasks(job)), used)
