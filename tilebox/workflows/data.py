"""Values that the workflows client takes and gives."""

from typing import TYPE_CHECKING

from tilebox._lazy import attach

if TYPE_CHECKING:
    from tilebox._core.job_states import JobState, QueueReason, TaskState
    from tilebox._core.job_stats import ExecutionStats, Progress
    from tilebox._core.jobs import Cluster, ClusterLike, Job, JobList, QueuedTask, QueueStats, TaskList, TaskSummary
    from tilebox._core.times import TimeInterval, TimeIntervalLike
    from tilebox._core.versions import TaskIdentifier

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
        "Cluster": "tilebox._core.jobs",
        "ClusterLike": "tilebox._core.jobs",
        "ExecutionStats": "tilebox._core.job_stats",
        "Job": "tilebox._core.jobs",
        "JobList": "tilebox._core.jobs",
        "JobState": "tilebox._core.job_states",
        "Progress": "tilebox._core.job_stats",
        "QueueReason": "tilebox._core.job_states",
        "QueueStats": "tilebox._core.jobs",
        "QueuedTask": "tilebox._core.jobs",
        "TaskIdentifier": "tilebox._core.versions",
        "TaskList": "tilebox._core.jobs",
        "TaskState": "tilebox._core.job_states",
        "TaskSummary": "tilebox._core.jobs",
        "TimeInterval": "tilebox._core.times",
        "TimeIntervalLike": "tilebox._core.times",
    },
)
