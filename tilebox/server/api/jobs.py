"""`workflows.v1.JobService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2 as wire
from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.api import parse, work_shapes
from tilebox.server.keys import Permission
from tilebox.server.services.submissions import from_legacy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox.server.auth import Caller
    from tilebox.server.services.jobs import Jobs


class JobService:
    """Answers the calls of the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["JobService"]
    permissions = {  # noqa: RUF012
        **{method.name: Permission.READ for method in descriptor.methods},
        "SubmitJob": Permission.WRITE,
        "RetryJob": Permission.WRITE,
        "CancelJob": Permission.WRITE,
        "CloneJob": Permission.WRITE,
    }

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def submit_job(self, caller: Caller, request: wire.SubmitJobRequest) -> core_pb2.Job:
        """Submit a job."""
        automation = parse.optional_id(request.automation_id, "automation_id", given=request.HasField("automation_id"))
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
        """Stop a job."""
        await self._jobs.cancel(caller.team.id, job_id(request))
        return wire.CancelJobResponse()

    async def _not_offered(self, _: Caller, __: Any) -> NoReturn:
        raise ServerError("this server does not answer that yet", code="unimplemented")

    list_job_tasks = visualize_job = query_jobs = get_job_prototype = clone_job = _not_offered
    get_job_state_counts = get_task_queue_stats = _not_offered


def job_id(request: wire.GetJobRequest | wire.RetryJobRequest | wire.CancelJobRequest) -> bytes:
    """Return the id of the job that a request is about.

    Raises:
        InvalidArgumentError: It is missing or malformed.
    """
    return parse.required_id(request.job_id, "job_id", given=request.HasField("job_id")).bytes


def root_tasks(
    tasks: core_pb2.TaskSubmissions, legacy: Sequence[core_pb2.SingleTaskSubmission]
) -> core_pb2.TaskSubmissions:
    """Return the root tasks of a job, in whichever form they came.

    Raises:
        InvalidArgumentError: They came in both.
    """
    if not legacy:
        return tasks
    if tasks.task_groups:
        raise InvalidArgumentError("give either tasks or legacy_tasks, not both")
    return from_legacy(legacy)
