"""`tilebox.ext.v1.RunnerService`: exchanges of this SDK's runners, and calls that wait for jobs or explain them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2 as wire
from tilebox.errors import InvalidArgumentError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import values, work_shapes
from tilebox.server.api.messages.reports import Reports, failed, microseconds, returned, task_id, text
from tilebox.server.api.tasks import EXTEND_AFTER, identifiers
from tilebox.server.orchestration.claims import ClaimRequest
from tilebox.server.rules.task_states import Verdict

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.orchestration.claims import ClaimedTasks
    from tilebox.server.orchestration.jobs import Jobs
    from tilebox.server.orchestration.leases import Leases
    from tilebox.server.orchestration.queued_reasons import QueueExplainer
    from tilebox.server.orchestration.records import Report
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.orchestration.wakeups import Disconnected

EXPLAINED_TASKS = 100
"""Number of queued tasks to explain if a request names no limit."""

_ID_BYTES = 16
_MAX_CAUSE_CHARACTERS = 1000

_MESSAGES = {
    Verdict.ACCEPTED: "",
    Verdict.REPEATED: "it was accepted before",
    Verdict.STALE: "the lease is not valid any more: the task was taken back, or has ended",
}


class RunnerService:
    """Implements the service.

    Args:
        leases: Leases tasks and applies reports.
        submissions: Resolves subtasks and clusters.
        jobs: Looks up jobs.
        explainer: Explains queued tasks.
    """

    descriptor = wire.DESCRIPTOR.services_by_name["RunnerService"]
    permissions = {  # noqa: RUF012
        "Exchange": Permission.RUN,
        "ExtendLeases": Permission.RUN,
        "ReportDeath": Permission.RUN,
        "ExplainJob": Permission.READ,
        "AwaitJob": Permission.READ,
    }
    waiting = frozenset({"Exchange"})

    def __init__(self, leases: Leases, submissions: Submissions, jobs: Jobs, explainer: QueueExplainer) -> None:
        self._leases = leases
        self._submissions = submissions
        self._jobs = jobs
        self._explainer = explainer
        self._reports = Reports(submissions)
        self._lease, self._extend_after = _duration(leases.lease_us), _duration(round(leases.lease_us * EXTEND_AFTER))

    async def exchange(
        self, caller: Caller, request: wire.ExchangeRequest, disconnected: Disconnected | None = None
    ) -> wire.ExchangeResponse:
        """Apply reports, and lease tasks to the runner, waiting for them if the request says so.

        A runner that disconnects while it waits is leased no task. If it disconnects after tasks were leased, it gets
        them by repeating the request with the same claim id; otherwise their leases expire.
        """
        cluster = await self._submissions.cluster_number(caller.team.id, request.cluster_slug)
        claim_request = self._claim_request(cluster, request) if request.max_tasks else None
        reports, refusals = await self._parse_reports(caller.team.id, cluster, request)
        if claim_request is not None and any(refusals):
            # The runner must learn without delay that a task failed because its subtasks were refused.
            claim_request = replace(claim_request, wait_seconds=0.0)
        claimed = await self._leases.exchange(
            caller.team.id, reports, claim_request, is_repeated=request.is_repeated, disconnected=disconnected
        )
        response = wire.ExchangeResponse(
            outcomes=[_outcome(verdict, refusal) for verdict, refusal in zip(claimed.verdicts, refusals, strict=True)],
            is_more_to_come=claimed.is_more_to_come,
            lease=self._lease,
            extend_after=self._extend_after,
        )
        await self._add_tasks(caller.team.id, claimed, response)
        return response

    async def extend_leases(self, caller: Caller, request: wire.ExtendLeasesRequest) -> wire.ExtendLeasesResponse:
        """Extend leases."""
        leases = [(task_id(lease.task_id), int(lease.lease_number)) for lease in request.leases]
        extended = await self._leases.extend(caller.team.id, leases)
        return wire.ExtendLeasesResponse(
            lost=[lease for lease, is_extended in zip(request.leases, extended, strict=True) if not is_extended],
            lease=self._lease,
            extend_after=self._extend_after,
        )

    async def report_death(self, caller: Caller, request: wire.ReportDeathRequest) -> wire.ReportDeathResponse:
        """Settle the tasks that a dead runner held. The call may be repeated or late: settled tasks stay as they are."""
        _check_id("runner_id", request.runner_id)
        executing = {(task_id(lease.task_id), int(lease.lease_number)) for lease in request.executing}
        cause = " ".join(text(request.cause, _MAX_CAUSE_CHARACTERS).split()) or "the cause is not known"
        crashed, returned = await self._leases.report_death(caller.team.id, request.runner_id, executing, cause)
        return wire.ReportDeathResponse(crashed=crashed, returned=returned)

    async def explain_job(self, caller: Caller, request: wire.ExplainJobRequest) -> wire.ExplainJobResponse:
        """Explain why tasks of a job are queued."""
        job = values.required_id(request.job_id, "job_id", is_set=request.HasField("job_id")).bytes
        explanations = await self._explainer.explain_job(caller.team.id, job, limit=request.limit or EXPLAINED_TASKS)
        return wire.ExplainJobResponse(tasks=map(work_shapes.queued_task, explanations))

    async def await_job(self, caller: Caller, request: wire.AwaitJobRequest) -> core_pb2.Job:
        """Return a job once it has ended, once enough of its tasks are computed, or after the requested wait."""
        job = values.required_id(request.job_id, "job_id", is_set=request.HasField("job_id")).bytes
        seconds = max(0.0, request.wait.seconds + request.wait.nanos / 1e9)
        record = await self._jobs.await_end(
            caller.team.id, job, self._leases.job_changes, seconds=seconds, computed_at_least=request.computed_at_least
        )
        return work_shapes.job(record)

    def _claim_request(self, cluster: int, request: wire.ExchangeRequest) -> ClaimRequest:
        _check_id("runner_id", request.runner_id)
        _check_id("claim_id", request.claim_id)
        if not request.identifiers:
            raise InvalidArgumentError("identifiers are required: list the tasks that the runner can execute")
        return ClaimRequest(
            cluster=cluster,
            identifiers=identifiers(request.identifiers),
            runner_id=request.runner_id,
            claim_id=request.claim_id,
            max_tasks=request.max_tasks,
            wait_seconds=microseconds(request.wait) / 1e6,
            is_fenced=True,
        )

    async def _parse_reports(
        self, team: UUID, cluster: int, request: wire.ExchangeRequest
    ) -> tuple[list[Report], list[str]]:
        reports, refusals = [], []
        for message in request.computed:
            report, refusal = await self._reports.computed(team, cluster, message)
            reports.append(report)
            refusals.append(refusal)
        reports += [failed(message) for message in request.failed]
        reports += [returned(message) for message in request.returned]
        return reports, refusals + [""] * (len(reports) - len(refusals))

    async def _add_tasks(self, team: UUID, claimed: ClaimedTasks, response: wire.ExchangeResponse) -> None:
        positions: dict[bytes, int] = {}
        for task, identifier in zip(claimed.tasks, claimed.identifiers, strict=True):
            position = positions.get(task.job)
            if position is None:
                position = positions[task.job] = len(positions)
                job = await self._jobs.brief(team, task.job)
                response.jobs.add(
                    job_id=task.job,
                    name=job.name if job is not None else "",
                    trace_parent=job.trace_parent if job is not None else "",
                )
            response.tasks.add(
                task_id=task.task,
                lease_number=task.lease,
                identifier=identifier,
                input=task.input,
                display=task.display,
                job=position,
                retry_count=task.retries,
                max_retries=task.max_retries,
            )


def _check_id(name: str, value: bytes) -> None:
    if len(value) != _ID_BYTES:
        raise InvalidArgumentError(f"{name} must have {_ID_BYTES} bytes")


def _outcome(verdict: Verdict, refusal: str) -> wire.ReportOutcome:
    if refusal and verdict is Verdict.ACCEPTED:
        return wire.ReportOutcome(verdict=wire.REPORT_VERDICT_REFUSED, message=refusal)
    return wire.ReportOutcome(verdict=int(verdict), message=_MESSAGES[verdict])  # type: ignore[arg-type]


def _duration(microseconds: int) -> Duration:
    return Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
