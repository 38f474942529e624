"""The part of `tilebox.ext.v1.RunnerService` that reads: why tasks are queued, and jobs once they have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2 as wire
from tilebox.server.api.messages import selections as parse
from tilebox.server.api.messages import workflows as work_shapes

if TYPE_CHECKING:
    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.services.explanations import Explanations
    from tilebox.server.services.jobs import Jobs, JobWatch

EXPLAINED = 100


class RunnerReading:
    """Answers the calls that hand out nothing.

    Args:
        jobs: The verbs of jobs.
        explanations: Explains queued tasks.
        watch: Tells when jobs change.
    """

    def __init__(self, jobs: Jobs, explanations: Explanations, watch: JobWatch) -> None:
        self._jobs = jobs
        self._explanations = explanations
        self._watch = watch

    async def explain_job(self, caller: Caller, request: wire.ExplainJobRequest) -> wire.ExplainJobResponse:
        """Say why tasks of a job are queued."""
        job = parse.required_id(request.job_id, "job_id", given=request.HasField("job_id")).bytes
        explained = await self._explanations.of_job(caller.team.id, job, limit=request.limit or EXPLAINED)
        return wire.ExplainJobResponse(tasks=map(work_shapes.queued_task, explained))

    async def await_job(self, caller: Caller, request: wire.AwaitJobRequest) -> core_pb2.Job:
        """Return a job once it has ended, or so many of its tasks are computed, or the wait is over."""
        job = parse.required_id(request.job_id, "job_id", given=request.HasField("job_id")).bytes
        seconds = max(0.0, request.wait.seconds + request.wait.nanos / 1e9)
        found = await self._jobs.await_end(
            caller.team.id, job, self._watch, seconds=seconds, computed_at_least=request.computed_at_least
        )
        return work_shapes.job(found)
