"""Types of the arguments and results of the workflows client."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.jobs.job import Cluster, ClusterLike, Job, JobList, QueuedTask, QueueStats, TaskList, TaskSummary
    from tilebox._core.jobs.states import JobState, QueueReason, TaskState
    from tilebox._core.jobs.stats import ExecutionStats, Progress
    from tilebox._core.tasks.versions import TaskIdentifier
    from tilebox._core.values.intervals import TimeInterval, TimeIntervalLike

__all__ = [
    "Cluster",
    "ClusterLike",
    "ExecutionStats",
    "Job",
    "JobList",
    "JobState",
    "Progress",
    "QueueReason",
    "QueueStats",
    "QueuedTask",
    "TaskIdentifier",
    "TaskList",
    "TaskState",
    "TaskSummary",
    "TimeInterval",
    "TimeIntervalLike",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Cluster": "tilebox._core.jobs.job",
        "ClusterLike": "tilebox._core.jobs.job",
        "ExecutionStats": "tilebox._core.jobs.stats",
        "Job": "tilebox._core.jobs.job",
        "JobList": "tilebox._core.jobs.job",
        "JobState": "tilebox._core.jobs.states",
        "Progress": "tilebox._core.jobs.stats",
        "QueueReason": "tilebox._core.jobs.states",
        "QueueStats": "tilebox._core.jobs.job",
        "QueuedTask": "tilebox._core.jobs.job",
        "TaskIdentifier": "tilebox._core.tasks.versions",
        "TaskList": "tilebox._core.jobs.job",
        "TaskState": "tilebox._core.jobs.states",
        "TaskSummary": "tilebox._core.jobs.job",
        "TimeInterval": "tilebox._core.values.intervals",
        "TimeIntervalLike": "tilebox._core.values.intervals",
    },
)
