"""Tilebox workflows: tasks, jobs that consist of tasks, and runners that execute them.

    from tilebox.workflows import Client, ExecutionContext, Task

    class Hello(Task):
        name: str

        def execute(self, context: ExecutionContext) -> None:
            print(f"Hello {self.name}")

    client = Client()
    job = client.jobs().submit("hello", Hello("Moon"))
    client.runner(tasks=[Hello]).run_all()

`tilebox.workflows.aio` has the async client, with the same methods as coroutines. `tilebox.workflows.cache` has the
caches in which the tasks of a job share data.
"""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.jobs.job import Cluster, Job, JobList, QueuedTask, QueueStats, TaskList, TaskSummary
    from tilebox._core.jobs.states import JobState, QueueReason, TaskState
    from tilebox._core.jobs.stats import ExecutionStats, Progress
    from tilebox._core.tasks.current_task import CurrentTask, TaskJob
    from tilebox._core.tasks.future_task import FutureTask
    from tilebox._core.tasks.progress import ProgressTracker
    from tilebox._core.tasks.retries import Retry
    from tilebox._core.tasks.task import ExecutionContext, Task
    from tilebox._core.tasks.versions import TaskIdentifier
    from tilebox.errors import (
        APIError,
        AuthenticationError,
        ConflictError,
        InvalidArgumentError,
        JobFailedError,
        JobTimeoutError,
        LeaseLostError,
        MissingExtraError,
        NonRetryableError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitedError,
        ServerError,
        TaskDefinitionError,
        TileboxError,
        TransportError,
    )
    from tilebox.sync.workflows.client import Client
    from tilebox.sync.workflows.clusters import ClusterClient
    from tilebox.sync.workflows.jobs import JobClient
    from tilebox.sync.workflows.runner import TaskRunner

__all__ = [
    "APIError",
    "AuthenticationError",
    "Client",
    "Cluster",
    "ClusterClient",
    "ConflictError",
    "CurrentTask",
    "ExecutionContext",
    "ExecutionStats",
    "FutureTask",
    "InvalidArgumentError",
    "Job",
    "JobClient",
    "JobFailedError",
    "JobList",
    "JobState",
    "JobTimeoutError",
    "LeaseLostError",
    "MissingExtraError",
    "NonRetryableError",
    "NotFoundError",
    "PermissionDeniedError",
    "Progress",
    "ProgressTracker",
    "QueueReason",
    "QueueStats",
    "QueuedTask",
    "RateLimitedError",
    "Retry",
    "ServerError",
    "Task",
    "TaskDefinitionError",
    "TaskIdentifier",
    "TaskJob",
    "TaskList",
    "TaskRunner",
    "TaskState",
    "TaskSummary",
    "TileboxError",
    "TransportError",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "APIError": "tilebox.errors",
        "AuthenticationError": "tilebox.errors",
        "Client": "tilebox.sync.workflows.client",
        "Cluster": "tilebox._core.jobs.job",
        "ClusterClient": "tilebox.sync.workflows.clusters",
        "ConflictError": "tilebox.errors",
        "CurrentTask": "tilebox._core.tasks.current_task",
        "ExecutionContext": "tilebox._core.tasks.task",
        "ExecutionStats": "tilebox._core.jobs.stats",
        "FutureTask": "tilebox._core.tasks.future_task",
        "InvalidArgumentError": "tilebox.errors",
        "Job": "tilebox._core.jobs.job",
        "JobClient": "tilebox.sync.workflows.jobs",
        "JobFailedError": "tilebox.errors",
        "JobList": "tilebox._core.jobs.job",
        "JobState": "tilebox._core.jobs.states",
        "JobTimeoutError": "tilebox.errors",
        "LeaseLostError": "tilebox.errors",
        "MissingExtraError": "tilebox.errors",
        "NonRetryableError": "tilebox.errors",
        "NotFoundError": "tilebox.errors",
        "PermissionDeniedError": "tilebox.errors",
        "Progress": "tilebox._core.jobs.stats",
        "ProgressTracker": "tilebox._core.tasks.progress",
        "QueueReason": "tilebox._core.jobs.states",
        "QueueStats": "tilebox._core.jobs.job",
        "QueuedTask": "tilebox._core.jobs.job",
        "RateLimitedError": "tilebox.errors",
        "Retry": "tilebox._core.tasks.retries",
        "ServerError": "tilebox.errors",
        "Task": "tilebox._core.tasks.task",
        "TaskDefinitionError": "tilebox.errors",
        "TaskIdentifier": "tilebox._core.tasks.versions",
        "TaskJob": "tilebox._core.tasks.current_task",
        "TaskList": "tilebox._core.jobs.job",
        "TaskRunner": "tilebox.sync.workflows.runner",
        "TaskState": "tilebox._core.jobs.states",
        "TaskSummary": "tilebox._core.jobs.job",
        "TileboxError": "tilebox.errors",
        "TransportError": "tilebox.errors",
    },
)
