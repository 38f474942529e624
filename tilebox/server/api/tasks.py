"""`workflows.v1.TaskService`: how runners of the public wire get tasks and report on them.

Their reports name no lease. What they say of a task that is not running, or that was handed to a runner that does
name leases, is refused; a late report on a task that was meanwhile handed to another such runner is taken for that
one's.
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
from tilebox.server.orchestration.leases import Wish, runner_name
from tilebox.server.rules.task_states import TaskState, Verdict

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.orchestration.jobs import Jobs
    from tilebox.server.orchestration.leases import Identifier, Leases
    from tilebox.server.orchestration.records import ClaimedTask, Report
    from tilebox.server.orchestration.submissions import Submissions

IDLE_SECONDS = 0.25
"""How long a runner of the public wire is told to wait before it asks again."""

EXTEND_AFTER = 1 / 3
"""The part of a lease after which it is to be extended."""


class TaskService:
    """Answers the calls of the service.

    Args:
        leases: The verbs of runners.
        submissions: Reads subtasks, and knows clusters.
        jobs: Tells the names of jobs.
        max_lease_seconds: How long a lease a runner may ask for.
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
        """Take the report on a computed task, if there is one, and hand out the next one, if it is asked for."""
        wish = None
        if request.HasField("next_task_to_run"):
            wish = await self._wish(caller, request.next_task_to_run)
        reports = []
        if request.HasField("computed_task"):
            cluster = wish.cluster if wish is not None else 0
            reports = [(await self._reports.computed_publicly(caller.team.id, cluster, request.computed_task))[0]]
        handed = await self._leases.exchange(caller.team.id, reports, wish)
        if wish is None:
            return wire.NextTaskResponse()
        if not handed.tasks:
            idling = wire.IdlingResponse(suggested_idling_duration=_duration(IDLE_SECONDS))
            return wire.NextTaskResponse(idling=idling)
        identifier = request.next_task_to_run.identifiers[handed.identifiers[0]]
        return wire.NextTaskResponse(next_task=await self._task(caller.team.id, handed.tasks[0], identifier))

    async def task_failed(self, caller: Caller, request: wire.TaskFailedRequest) -> wire.TaskStateResponse:
        """Take the report on a task that failed or that is given back."""
        report: Report = failed_publicly(request)
        (verdict,) = (await self._leases.exchange(caller.team.id, [report], None)).verdicts
        if verdict is not Verdict.ACCEPTED:
            return wire.TaskStateResponse()
        state = await self._jobs.task_state(caller.team.id, report.task)
        return wire.TaskStateResponse(state=(state or TaskState.FAILED).value)  # type: ignore[arg-type]

    async def extend_task_lease(self, caller: Caller, request: wire.TaskLeaseRequest) -> core_pb2.TaskLease:
        """Extend a lease; one of no length means that there is none to extend."""
        asked_us = microseconds(request.requested_lease) or self._leases.lease_us
        lease_us = min(max(asked_us, self._leases.lease_us), self._max_lease_us)
        (is_extended,) = await self._leases.extend(
            caller.team.id, [(task_id(request.task_id.uuid), None)], lease_us=lease_us
        )
        return lease(lease_us / 1e6) if is_extended else lease(0)

    async def _wish(self, caller: Caller, request: wire.NextTaskToRun) -> Wish:
        if not request.cluster_slug:
            raise InvalidArgumentError("cluster_slug is required: GetCluster with an empty slug tells the default one")
        cluster = await self._submissions.cluster_number(caller.team.id, request.cluster_slug)
        return _wish(caller.team.id, cluster, identifiers(request.identifiers))

    async def _task(self, team: UUID, task: ClaimedTask, identifier: core_pb2.TaskIdentifier) -> core_pb2.Task:
        job = await self._jobs.brief(team, task.job)
        if job is None:
            raise NotFoundError("the job of this task is gone")
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
    """Return what a runner executes.

    Raises:
        InvalidArgumentError: An identifier is malformed.
    """
    return tuple(_identifier(message.name, message.version) for message in messages)  # type: ignore[attr-defined]


def lease(seconds: float) -> core_pb2.TaskLease:
    """Return a lease, and when to extend it. Official runners read whole seconds."""
    return core_pb2.TaskLease(
        lease=_duration(seconds), recommended_wait_until_next_extension=_duration(seconds * EXTEND_AFTER)
    )


@lru_cache(4096)  # a runner says the same in every request
def _wish(team: UUID, cluster: int, found: tuple[Identifier, ...]) -> Wish:
    return Wish(
        cluster=cluster,
        identifiers=found,
        runner=runner_name(str(team), str(cluster), repr(found)),
        claim=b"",
        count=1,
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
