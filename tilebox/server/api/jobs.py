"""`workflows.v1.JobService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tilebox._core.protocol.tilebox.v1 import id_pb2, query_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, diagram_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2 as wire
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.api.diagrams import render_options
from tilebox.server.api.messages import job_filters, values, work_shapes
from tilebox.server.clock import now_us
from tilebox.server.diagrams.graph import Theme
from tilebox.server.orchestration.submission_parsing import group_legacy_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.diagrams.rendering import Diagrams
    from tilebox.server.orchestration.job_tasks import TaskPage
    from tilebox.server.orchestration.jobs import Jobs


_JobRequest: TypeAlias = (
    wire.GetJobRequest
    | wire.RetryJobRequest
    | wire.CancelJobRequest
    | wire.ListJobTasksRequest
    | wire.VisualizeJobRequest
    | wire.GetJobPrototypeRequest
    | wire.CloneJobRequest
)

PAGE_JOBS = 100
PAGE_TASKS = 100
MAX_PAGE = 1000
MAX_PREFETCHED = 10_000
"""Most subtasks that are sent along with a page of tasks."""


class JobService:
    """Implements the service.

    Args:
        jobs: Submits, finds, cancels and retries jobs.
        diagrams: Renders diagrams of jobs.
    """

    descriptor = wire.DESCRIPTOR.services_by_name["JobService"]
    permissions = {  # noqa: RUF012
        "SubmitJob": Permission.WRITE,
        "GetJob": Permission.READ,
        "RetryJob": Permission.WRITE,
        "CancelJob": Permission.WRITE,
        "QueryJobs": Permission.READ,
        "ListJobTasks": Permission.READ,
        "VisualizeJob": Permission.READ,
        "GetJobPrototype": Permission.READ,
        "CloneJob": Permission.WRITE,
        "GetJobStateCounts": Permission.READ,
        "GetTaskQueueStats": Permission.READ,
    }

    def __init__(self, jobs: Jobs, diagrams: Diagrams) -> None:
        self._jobs = jobs
        self._diagrams = diagrams

    async def submit_job(self, caller: Caller, request: wire.SubmitJobRequest) -> core_pb2.Job:
        """Submit a job."""
        automation = values.optional_id(
            request.automation_id, "automation_id", is_set=request.HasField("automation_id")
        )
        submitted = await self._jobs.submit(
            caller.team.id,
            root_tasks(request.tasks, request.legacy_tasks),
            name=request.job_name,
            trace_parent=request.trace_parent,
            automation=None if automation is None else automation.bytes,
        )
        return work_shapes.job(submitted)

    async def get_job(self, caller: Caller, request: wire.GetJobRequest) -> core_pb2.Job:
        """Return a job by id."""
        return work_shapes.job(await self._jobs.get(caller.team.id, job_id(request)))

    async def retry_job(self, caller: Caller, request: wire.RetryJobRequest) -> wire.RetryJobResponse:
        """Queue the failed tasks of a job again."""
        count = await self._jobs.retry(caller.team.id, job_id(request))
        return wire.RetryJobResponse(num_tasks_rescheduled=count)

    async def cancel_job(self, caller: Caller, request: wire.CancelJobRequest) -> wire.CancelJobResponse:
        """Cancel a job."""
        await self._jobs.cancel(caller.team.id, job_id(request))
        return wire.CancelJobResponse()

    async def query_jobs(self, caller: Caller, request: wire.QueryJobsRequest) -> wire.QueryJobsResponse:
        """Return a page of jobs, the latest first unless the request says otherwise."""
        jobs, cursor = await self._jobs.query(
            caller.team.id,
            job_filters.job_filter(request.filters),
            latest_first=request.sort_direction != query_pb2.SORT_DIRECTION_ASCENDING,
            after=_cursor(request.page),
            count=values.page_limit(request.page, default=PAGE_JOBS, maximum=MAX_PAGE),
        )
        return wire.QueryJobsResponse(jobs=map(work_shapes.job, jobs), next_page=_next_page(request.page, cursor))

    async def list_job_tasks(self, caller: Caller, request: wire.ListJobTasksRequest) -> wire.ListJobTasksResponse:
        """Return a page of the root tasks of a job, or of the subtasks of one of its tasks."""
        parent = values.optional_id(request.parent_task_id, "parent_task_id", is_set=request.HasField("parent_task_id"))
        page = await self._jobs.tasks.page(
            caller.team.id,
            job_id(request),
            parent=None if parent is None else parent.bytes,
            after=_cursor(request.page),
            count=values.page_limit(request.page, default=PAGE_TASKS, maximum=MAX_PAGE),
        )
        response = wire.ListJobTasksResponse(page=_task_page(page, request.page))
        if request.HasField("prefetch_children"):
            limit = request.prefetch_children.limit
            if limit < 1:
                raise InvalidArgumentError(f"prefetch_children.limit must be at least 1, not {limit}")
            limit = min(limit, max(1, MAX_PREFETCHED // max(1, len(page.tasks))))
            children = await self._jobs.tasks.first_children(page, limit)
            response.prefetched_child_pages.extend(
                _task_page(child_page, query_pb2.Pagination(limit=request.prefetch_children.limit))
                for child_page in children
            )
        return response

    async def visualize_job(self, caller: Caller, request: wire.VisualizeJobRequest) -> diagram_pb2.Diagram:
        """Render the diagram of a job."""
        if request.theme not in {theme.value for theme in Theme}:
            raise InvalidArgumentError(f"theme {request.theme} is not known")
        options = render_options(request.render_options)
        graph = await self._jobs.graph(caller.team.id, job_id(request), self._diagrams.max_tasks)
        svg = await self._diagrams.render_job(graph, options, Theme(request.theme), request.include_job_name)
        return diagram_pb2.Diagram(svg=svg)

    async def get_job_prototype(
        self, caller: Caller, request: wire.GetJobPrototypeRequest
    ) -> wire.GetJobPrototypeResponse:
        """Return the name and the root tasks that a job was submitted with."""
        name, tasks = await self._jobs.tasks.prototype(caller.team.id, job_id(request))
        return wire.GetJobPrototypeResponse(root_tasks=tasks, job_name=name)

    async def clone_job(self, caller: Caller, request: wire.CloneJobRequest) -> core_pb2.Job:
        """Submit a job again."""
        cloned = await self._jobs.clone(
            caller.team.id, job_id(request), name=request.job_name, overrides=request.root_tasks_overrides
        )
        return work_shapes.job(cloned)

    async def get_job_state_counts(
        self, caller: Caller, request: wire.GetJobStateCountsRequest
    ) -> wire.GetJobStateCountsResponse:
        """Return the number of jobs in each state."""
        job_filter = job_filters.time_filter(request.time_interval, is_set=request.HasField("time_interval"))
        counts = await self._jobs.counts(caller.team.id, job_filter)
        return wire.GetJobStateCountsResponse(
            state_counts=[
                wire.JobStateCount(state=state.value, count=count)  # type: ignore[arg-type]
                for state, count in sorted(counts.items())
            ],
            total_jobs=sum(counts.values()),
        )

    async def get_task_queue_stats(
        self, caller: Caller, request: wire.GetTaskQueueStatsRequest
    ) -> wire.GetTaskQueueStatsResponse:
        """Return how much work is unfinished."""
        job_filter = job_filters.time_filter(request.job_time_interval, is_set=request.HasField("job_time_interval"))
        if request.HasField("job_max_age"):
            age = request.job_max_age
            job_filter = job_filters.younger_than(job_filter, age.seconds * 1_000_000 + age.nanos // 1000, now_us())
        backlog = await self._jobs.backlog(caller.team.id, job_filter)
        oldest = backlog.oldest_waiting_job
        return wire.GetTaskQueueStatsResponse(
            waiting_jobs=backlog.waiting_jobs,
            running_jobs=backlog.running_jobs,
            queued_tasks=backlog.queued_tasks,
            oldest_waiting_job=None if oldest is None else work_shapes.job(oldest),
        )


def job_id(request: _JobRequest) -> bytes:
    """Return the job id of a request.

    Raises:
        InvalidArgumentError: It is missing or malformed.
    """
    return values.required_id(request.job_id, "job_id", is_set=request.HasField("job_id")).bytes


def root_tasks(
    tasks: core_pb2.TaskSubmissions, legacy: Sequence[core_pb2.SingleTaskSubmission]
) -> core_pb2.TaskSubmissions:
    """Return the root tasks of a submission, which may be in the current or in the legacy form.

    Raises:
        InvalidArgumentError: The submission has tasks in both forms.
    """
    if not legacy:
        return tasks
    if tasks.task_groups:
        raise InvalidArgumentError("give either tasks or legacy_tasks, not both")
    return group_legacy_tasks(legacy)


def _cursor(page: query_pb2.Pagination) -> bytes | None:
    return values.id_bytes(page.starting_after, "page.starting_after") if page.HasField("starting_after") else None


def _next_page(page: query_pb2.Pagination, cursor: bytes | None) -> query_pb2.Pagination:
    next_page = query_pb2.Pagination()
    if page.HasField("limit"):
        next_page.limit = page.limit
    if cursor is not None:
        next_page.starting_after.CopyFrom(id_pb2.ID(uuid=cursor))
    return next_page


def _task_page(page: TaskPage, request: query_pb2.Pagination) -> wire.JobTaskPage:
    return wire.JobTaskPage(
        parent_task_id=None if page.parent is None else id_pb2.ID(uuid=page.parent),
        tasks=map(work_shapes.task_summary, page.tasks),
        next_page=_next_page(request, page.tasks[-1].id if page.has_more else None),
    )
