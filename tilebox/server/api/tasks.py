"""`workflows.v1.TaskService`: the calls with which runners of the public wire get tasks and report on them.

The reports of these runners name no lease. A report is refused if its task is not running, or if the task is leased to
a runner that does name leases. A late report on a task that meanwhile is leased to another runner without lease numbers
is taken as a report of that runner.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._core.protocol.workflows.v1 import task_pb2 as wire
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages.reports import Reports, failed_publicly, microseconds, task_id
from tilebox.server.orchestration.claims import ClaimRequest, derive_runner_id
from tilebox.server.rules.task_states import TaskState, Verdict

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.orchestration.claims import Identifier
    from tilebox.server.orchestration.jobs import Jobs
    from tilebox.server.orchestration.leases import Leases
    from tilebox.server.orchestration.records import ClaimedTask, Report
    from tilebox.server.orchestration.submissions import Submissions

IDLE_SECONDS = 0.25
"""Pause that the server suggests to an idle runner of the public wire."""

EXTEND_AFTER = 1 / 3
"""Fraction of its length after which a lease should be extended."""


class TaskService:
    """Implements the service.

    Args:
        leases: Leases tasks and applies reports.
        submissions: Resolves subtasks and clusters.
        jobs: Looks up the names of jobs.
        max_lease_seconds: Longest lease that a runner may ask for.
    """

    descriptor = wire.DESCRIPTOR.services_by_name["TaskService"]
    permissions = {  # noqa: RUF012
        "NextTask": Permission.RUN,
        "TaskFailed": Permission.RUN,
        "ExtendTaskLease": Permission.RUN,
    }

    def __init__(self, leases: Leases, submissions: Submissions, jobs: Jobs, *, max_lease_seconds: float) -> None:
        self._leases = leases
        self._submissions = submissions
        self._reports = Reports(submissions)
        self._jobs = jobs
        self._lease = lease(leases.lease_us / 1e6)
        self._max_lease_us = round(max_lease_seconds * 1e6)

    async def next_task(self, caller: Caller, request: wire.NextTaskRequest) -> wire.NextTaskResponse:
        """Apply the report on a computed task, and lease the next task to the runner; each part is optional."""
        claim_request = None
        if request.HasField("next_task_to_run"):
            claim_request = await self._claim_request(caller, request.next_task_to_run)
        reports = []
        if request.HasField("computed_task"):
            cluster = claim_request.cluster if claim_request is not None else 0
            reports = [(await self._reports.computed_publicly(caller.team.id, cluster, request.computed_task))[0]]
        claimed = await self._leases.exchange(caller.team.id, reports, claim_request)
        if claim_request is None:
            return wire.NextTaskResponse()
        if not claimed.tasks:
            idling = wire.IdlingResponse(suggested_idling_duration=_duration(IDLE_SECONDS))
            return wire.NextTaskResponse(idling=idling)
        identifier = request.next_task_to_run.identifiers[claimed.identifiers[0]]
        return wire.NextTaskResponse(next_task=await self._task(caller.team.id, claimed.tasks[0], identifier))

    async def task_failed(self, caller: Caller, request: wire.TaskFailedRequest) -> wire.TaskStateResponse:
        """Apply the report on a task that failed or that the runner returns."""
        report: Report = failed_publicly(request)
        (verdict,) = (await self._leases.exchange(caller.team.id, [report], None)).verdicts
        if verdict is not Verdict.ACCEPTED:
            return wire.TaskStateResponse()
        state = await self._jobs.task_state(caller.team.id, report.task)
        return wire.TaskStateResponse(state=(state or TaskState.FAILED).value)  # type: ignore[arg-type]

    async def extend_task_lease(self, caller: Caller, request: wire.TaskLeaseRequest) -> core_pb2.TaskLease:
        """Extend a lease. The response has a lease of length zero if there is no lease to extend."""
        requested_us = microseconds(request.requested_lease) or self._leases.lease_us
        lease_us = min(max(requested_us, self._leases.lease_us), self._max_lease_us)
        (is_extended,) = await self._leases.extend(
            caller.team.id, [(task_id(request.task_id.uuid), None)], lease_us=lease_us
        )
        return lease(lease_us / 1e6) if is_extended else lease(0)

    async def _claim_request(self, caller: Caller, request: wire.NextTaskToRun) -> ClaimRequest:
        if not request.cluster_slug:
            raise InvalidArgumentError(
                "cluster_slug is required: GetCluster with an empty slug returns the default cluster"
            )
        cluster = await self._submissions.cluster_number(caller.team.id, request.cluster_slug)
        return _claim_request(caller.team.id, cluster, identifiers(request.identifiers))

    async def _task(self, team: UUID, task: ClaimedTask, identifier: core_pb2.TaskIdentifier) -> core_pb2.Task:
        job = await self._jobs.brief(team, task.job)
        if job is None:
            raise NotFoundError("the job of this task does not exist any more")
        return core_pb2.Task(
            id=id_pb2.ID(uuid=task.task),
            identifier=identifier,
            state=TaskState.RUNNING.value,  # type: ignore[arg-type]
            input=task.input,
            display=task.display,
            job=core_pb2.Job(id=id_pb2.ID(uuid=task.job), name=job.name, trace_parent=job.trace_parent),
            lease=self._lease,
            retry_count=task.retries,
        )


def identifiers(messages: object) -> tuple[Identifier, ...]:
    """Parse the identifiers of the tasks that a runner executes.

    Raises:
        InvalidArgumentError: An identifier is malformed.
    """
    return tuple(_identifier(message.name, message.version) for message in messages)  # type: ignore[attr-defined]


def lease(seconds: float) -> core_pb2.TaskLease:
    """Build the message of a lease, with the recommended wait before its extension.

    Official runners read only the whole seconds of a duration.
    """
    return core_pb2.TaskLease(
        lease=_duration(seconds), recommended_wait_until_next_extension=_duration(seconds * EXTEND_AFTER)
    )


@lru_cache(4096)  # a runner sends the same identifiers in every request
def _claim_request(team: UUID, cluster: int, identifiers: tuple[Identifier, ...]) -> ClaimRequest:
    return ClaimRequest(
        cluster=cluster,
        identifiers=identifiers,
        runner_id=derive_runner_id(str(team), str(cluster), repr(identifiers)),
        claim_id=b"",
        max_tasks=1,
        wait_seconds=0,
        is_fenced=False,
    )


@lru_cache(4096)
def _identifier(name: str, version: str) -> Identifier:
    try:
        parsed = TaskIdentifier.parse(name, version)
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from None
    return parsed.name, parsed.major, parsed.minor


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))
