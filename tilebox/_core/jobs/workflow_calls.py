"""The calls of the API about jobs and clusters, one function per call.

Arguments are parsed by `arguments` before they come here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from tilebox._core.jobs.arguments import text
from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, diagram_pb2, job_pb2, workflows_pb2
from tilebox._core.values import ids
from tilebox._core.wire.calls import Call

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.values.intervals import TimeInterval

EXTENSION = "runners/1"

DIRECTIONS = ("down", "up", "right", "left")
LAYOUTS = ("dagre", "elk")
_PADDING = 5


def submit_job(name: str, tasks: core_pb2.TaskSubmissions, trace_parent: str) -> Call[core_pb2.Job]:
    """Submit a job.

    The API cannot recognise a repeated submission, so the call is never sent twice. A unique trace parent allows the
    client to find out whether the submission arrived.
    """
    request = job_pb2.SubmitJobRequest(tasks=tasks, job_name=name, trace_parent=trace_parent)
    return Call("workflows.v1.JobService/SubmitJob", request, core_pb2.Job, is_idempotent=False)


def get_job(job: UUID) -> Call[core_pb2.Job]:
    """Request a job."""
    return Call("workflows.v1.JobService/GetJob", job_pb2.GetJobRequest(job_id=ids.to_wire(job)), core_pb2.Job)


def query_jobs(
    filters: job_pb2.QueryFilters, page: query_pb2.Pagination | None = None
) -> Call[job_pb2.QueryJobsResponse]:
    """Request one page of jobs, latest first."""
    request = job_pb2.QueryJobsRequest(filters=filters, page=page, sort_direction=query_pb2.SORT_DIRECTION_DESCENDING)
    return Call("workflows.v1.JobService/QueryJobs", request, job_pb2.QueryJobsResponse)


def cancel_job(job: UUID) -> Call[job_pb2.CancelJobResponse]:
    """Cancel a job; cancelling it twice changes nothing."""
    request = job_pb2.CancelJobRequest(job_id=ids.to_wire(job))
    return Call("workflows.v1.JobService/CancelJob", request, job_pb2.CancelJobResponse)


def retry_job(job: UUID) -> Call[job_pb2.RetryJobResponse]:
    """Queue the failed tasks of a job again."""
    request = job_pb2.RetryJobRequest(job_id=ids.to_wire(job))
    # Not idempotent: the answer to a repetition would say that no task was rescheduled.
    return Call("workflows.v1.JobService/RetryJob", request, job_pb2.RetryJobResponse, is_idempotent=False)


def visualize_job(job: UUID, *, direction: str, layout: str, sketchy: bool) -> Call[diagram_pb2.Diagram]:
    """Request the diagram of a job.

    Raises:
        ValueError: The direction or the layout does not exist.
    """
    for name, value, values in (("direction", direction, DIRECTIONS), ("layout", layout, LAYOUTS)):
        if value not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}, not {value!r}")
    options = diagram_pb2.RenderOptions(direction=direction, layout=layout, sketchy=bool(sketchy), padding=_PADDING)
    request = job_pb2.VisualizeJobRequest(job_id=ids.to_wire(job), render_options=options)
    return Call("workflows.v1.JobService/VisualizeJob", request, diagram_pb2.Diagram)


def list_job_tasks(request: job_pb2.ListJobTasksRequest) -> Call[job_pb2.ListJobTasksResponse]:
    """Request one page of the tasks of a job."""
    return Call("workflows.v1.JobService/ListJobTasks", request, job_pb2.ListJobTasksResponse)


def explain_job(job: UUID, limit: int) -> Call[runners_pb2.ExplainJobResponse]:
    """Request the reasons why tasks of a job are queued."""
    request = runners_pb2.ExplainJobRequest(job_id=ids.to_wire(job), limit=limit)
    return Call("tilebox.ext.v1.RunnerService/ExplainJob", request, runners_pb2.ExplainJobResponse)


def await_job(job: UUID, *, seconds: float, computed_at_least: int) -> Call[core_pb2.Job]:
    """Request a job as soon as it has ended, the given number of tasks is computed, or the given time is over."""
    request = runners_pb2.AwaitJobRequest(
        job_id=ids.to_wire(job), wait=_duration(seconds), computed_at_least=computed_at_least
    )
    return Call("tilebox.ext.v1.RunnerService/AwaitJob", request, core_pb2.Job)


def get_job_prototype(job: UUID) -> Call[job_pb2.GetJobPrototypeResponse]:
    """Request the tasks and arguments with which a job was submitted."""
    request = job_pb2.GetJobPrototypeRequest(job_id=ids.to_wire(job))
    return Call("workflows.v1.JobService/GetJobPrototype", request, job_pb2.GetJobPrototypeResponse)


def clone_job(
    job: UUID, prototype: job_pb2.GetJobPrototypeResponse, *, name: str | None, cluster: str | None
) -> Call[core_pb2.Job]:
    """Submit a job again, optionally with another name or cluster."""
    request = job_pb2.CloneJobRequest(
        job_id=ids.to_wire(job),
        job_name=prototype.job_name if name is None else name,
        root_tasks_overrides=prototype.root_tasks,
    )
    if cluster is not None:
        for task in request.root_tasks_overrides:
            task.cluster_slug = cluster
    return Call("workflows.v1.JobService/CloneJob", request, core_pb2.Job, is_idempotent=False)


def count_jobs_by_state(interval: TimeInterval | None) -> Call[job_pb2.GetJobStateCountsResponse]:
    """Request the number of jobs in each state."""
    request = job_pb2.GetJobStateCountsRequest(time_interval=None if interval is None else interval.to_wire())
    return Call("workflows.v1.JobService/GetJobStateCounts", request, job_pb2.GetJobStateCountsResponse)


def get_queue_stats(
    interval: TimeInterval | None, max_age: timedelta | None
) -> Call[job_pb2.GetTaskQueueStatsResponse]:
    """Request statistics of the queue."""
    request = job_pb2.GetTaskQueueStatsRequest(
        job_time_interval=None if interval is None else interval.to_wire(),
        job_max_age=None if max_age is None else _duration(max_age.total_seconds()),
    )
    return Call("workflows.v1.JobService/GetTaskQueueStats", request, job_pb2.GetTaskQueueStatsResponse)


def create_cluster(name: str, description: str | None, slug: str | None) -> Call[workflows_pb2.Cluster]:
    """Create a cluster."""
    request = workflows_pb2.CreateClusterRequest(
        name=text(name, "name"),
        description="" if description is None else text(description, "description", may_be_empty=True),
        slug="" if slug is None else text(slug, "slug"),
    )
    return Call("workflows.v1.WorkflowsService/CreateCluster", request, workflows_pb2.Cluster, is_idempotent=False)


def get_cluster(slug: str) -> Call[workflows_pb2.Cluster]:
    """Request a cluster; the empty slug means the default cluster."""
    request = workflows_pb2.GetClusterRequest(cluster_slug=slug)
    return Call("workflows.v1.WorkflowsService/GetCluster", request, workflows_pb2.Cluster)


def list_clusters() -> Call[workflows_pb2.ListClustersResponse]:
    """Request all clusters."""
    return Call(
        "workflows.v1.WorkflowsService/ListClusters",
        workflows_pb2.ListClustersRequest(),
        workflows_pb2.ListClustersResponse,
    )


def update_cluster(slug: str, name: str | None, description: str | None) -> Call[workflows_pb2.Cluster]:
    """Change a cluster; arguments that are None leave their field unchanged."""
    request = workflows_pb2.UpdateClusterRequest(
        cluster_slug=slug,
        name=None if name is None else text(name, "name"),
        description=None if description is None else text(description, "description", may_be_empty=True),
    )
    return Call("workflows.v1.WorkflowsService/UpdateCluster", request, workflows_pb2.Cluster)


def delete_cluster(slug: str) -> Call[workflows_pb2.DeleteClusterResponse]:
    """Delete a cluster."""
    request = workflows_pb2.DeleteClusterRequest(cluster_slug=slug)
    return Call(
        "workflows.v1.WorkflowsService/DeleteCluster", request, workflows_pb2.DeleteClusterResponse, is_idempotent=False
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
