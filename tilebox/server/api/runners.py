"""`tilebox.ext.v1.RunnerService`: exchanges of our own runners, and calls that wait for jobs or explain them."""

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
from tilebox.server.orchestration.leases import Wish
from tilebox.server.rules.task_states import Verdict

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.orchestration.jobs import Jobs
    from tilebox.server.orchestration.leases import Handed, Leases
    from tilebox.server.orchestration.queued_reasons import Explanations
    from tilebox.server.orchestration.records import Report
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.orchestration.wakeups import Gone

EXPLAINED = 100
"""Queued tasks that are explained where a request names no limit."""

_NAME_BYTES = 16
_MAX_CAUSE_CHARACTERS = 1000

_MESSAGES = {
    Verdict.ACCEPTED: "",
    Verdict.REPEATED: "it was accepted before",
    Verdict.STALE: "the lease is not valid any more: the task was taken back, or was ended otherwise",
}


class RunnerService:
    """Answers the calls of the service.

    Args:
        leases: The verbs of runners.
        submissions: Reads subtasks, and knows clusters.
        jobs: The verbs of jobs.
        explanations: Explains queued tasks.
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

    def __init__(self, leases: Leases, submissions: Submissions, jobs: Jobs, explanations: Explanations) -> None:
        self._leases = leases
        self._submissions = submissions
        self._jobs = jobs
        self._explanations = explanations
        self._reports = Reports(submissions)
        self._lease, self._extend_after = _duration(leases.lease_us), _duration(round(leases.lease_us * EXTEND_AFTER))

    async def exchange(
        self, caller: Caller, request: wire.ExchangeRequest, gone: Gone | None = None
    ) -> wire.ExchangeResponse:
        """Carry out reports, and hand out tasks, unless the runner is gone.

        A runner that goes away while it waits for a task gets none. One that goes away with tasks on their way to it
        gets them when it repeats its request; if it never does, its lease ends.
        """
        cluster = await self._submissions.cluster_number(caller.team.id, request.cluster_slug)
        wish = self._wish(cluster, request) if request.max_tasks else None
        reports, refusals = await self._read(caller.team.id, cluster, request)
        if wish is not None and any(refusals):
            wish = replace(wish, wait_seconds=0.0)  # that a task failed for what it submitted is told at once
        handed = await self._leases.exchange(caller.team.id, reports, wish, is_repeated=request.is_repeated, gone=gone)
        response = wire.ExchangeResponse(
            outcomes=[_outcome(*one) for one in zip(handed.verdicts, refusals, strict=True)],
            is_more_to_come=handed.is_more_to_come,
            lease=self._lease,
            extend_after=self._extend_after,
        )
        await self._add_tasks(caller.team.id, handed, response)
        return response

    async def extend_leases(self, caller: Caller, request: wire.ExtendLeasesRequest) -> wire.ExtendLeasesResponse:
        """Extend leases."""
        wanted = [(task_id(one.task_id), int(one.lease_number)) for one in request.leases]
        extended = await self._leases.extend(caller.team.id, wanted)
        return wire.ExtendLeasesResponse(
            lost=[one for one, is_extended in zip(request.leases, extended, strict=True) if not is_extended],
            lease=self._lease,
            extend_after=self._extend_after,
        )

    async def report_death(self, caller: Caller, request: wire.ReportDeathRequest) -> wire.ReportDeathResponse:
        """Settle what a dead runner held. May be repeated, and come late: what was settled before is left alone."""
        _check_name("runner_id", request.runner_id)
        executing = {(task_id(one.task_id), int(one.lease_number)) for one in request.executing}
        cause = " ".join(text(request.cause, _MAX_CAUSE_CHARACTERS).split()) or "nobody knows of what"
        crashed, returned = await self._leases.report_death(caller.team.id, request.runner_id, executing, cause)
        return wire.ReportDeathResponse(crashed=crashed, returned=returned)

    async def explain_job(self, caller: Caller, request: wire.ExplainJobRequest) -> wire.ExplainJobResponse:
        """Say why tasks of a job are queued."""
        job = values.required_id(request.job_id, "job_id", given=request.HasField("job_id")).bytes
        explained = await self._explanations.of_job(caller.team.id, job, limit=request.limit or EXPLAINED)
        return wire.ExplainJobResponse(tasks=map(work_shapes.queued_task, explained))

    async def await_job(self, caller: Caller, request: wire.AwaitJobRequest) -> core_pb2.Job:
        """Return a job once it has ended, or so many of its tasks are computed, or the wait is over."""
        job = values.required_id(request.job_id, "job_id", given=request.HasField("job_id")).bytes
        seconds = max(0.0, request.wait.seconds + request.wait.nanos / 1e9)
        found = await self._jobs.await_end(
            caller.team.id, job, self._leases.watch, seconds=seconds, computed_at_least=request.computed_at_least
        )
        return work_shapes.job(found)

    def _wish(self, cluster: int, request: wire.ExchangeRequest) -> Wish:
        _check_name("runner_id", request.runner_id)
        _check_name("claim_id", request.claim_id)
        if not request.identifiers:
            raise InvalidArgumentError("identifiers are required: say which tasks the runner can execute")
        return Wish(
            cluster=cluster,
            identifiers=identifiers(request.identifiers),
            runner=request.runner_id,
            claim=request.claim_id,
            count=request.max_tasks,
            wait_seconds=microseconds(request.wait) / 1e6,
            is_fenced=True,
        )

    async def _read(self, team: UUID, cluster: int, request: wire.ExchangeRequest) -> tuple[list[Report], list[str]]:
        reports, refusals = [], []
        for message in request.computed:
            report, refusal = await self._reports.computed(team, cluster, message)
            reports.append(report)
            refusals.append(refusal)
        reports += [failed(message) for message in request.failed]
        reports += [returned(message) for message in request.returned]
        return reports, refusals + [""] * (len(reports) - len(refusals))

    async def _add_tasks(self, team: UUID, handed: Handed, response: wire.ExchangeResponse) -> None:
        positions: dict[bytes, int] = {}
        for task, identifier in zip(handed.tasks, handed.identifiers, strict=True):
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


def _check_name(what: str, name: bytes) -> None:
    if len(name) != _NAME_BYTES:
        raise InvalidArgumentError(f"{what} must have {_NAME_BYTES} bytes")


def _outcome(verdict: Verdict, refusal: str) -> wire.ReportOutcome:
    if refusal and verdict is Verdict.ACCEPTED:
        return wire.ReportOutcome(verdict=wire.REPORT_VERDICT_REFUSED, message=refusal)
    return wire.ReportOutcome(verdict=int(verdict), message=_MESSAGES[verdict])  # type: ignore[arg-type]


def _duration(microseconds: int) -> Duration:
    return Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
