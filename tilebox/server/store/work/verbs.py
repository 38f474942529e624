"""The verbs of the orchestrator, written once for both back ends."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import NotFoundError
from tilebox.server.store.sql.statements import Steps, call, call_each, deferred
from tilebox.server.store.sql.transactions import Transactions, reads, writes
from tilebox.server.store.work.claims import ClaimTasks
from tilebox.server.store.work.interface import (
    Claim,
    Effects,
    ExchangeResult,
    HeldTask,
    Limits,
    NewJob,
    Orchestration,
    Queue,
    Report,
)
from tilebox.server.store.work.ranks import JobRank
from tilebox.server.store.work.reports import ApplyReports, is_foreign
from tilebox.server.store.work.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tilebox.server.store.sql.statements import Row

MAX_ANNOUNCEMENT_BYTES = 7_900
"""The most bytes of one announcement. The payload of a PostgreSQL notification must be shorter than 8,000 bytes."""

_MAX_ANNOUNCED_QUEUES = 100


class OrchestrationVerbs(Transactions, Orchestration):
    """The verbs of `Orchestration`, for a back end that runs transactions.

    Attributes:
        process: A random name of this process, by which it recognises its own announcements.
    """

    process = secrets.token_hex(8)

    @reads
    def clock_us(self) -> Steps[int | None]:
        """Return the time of the database's clock, or None if it has no clock of its own."""
        now: int | None = (yield call("clock"))[0]["now_us"]
        return now

    @reads
    def queues(self, cluster: int) -> Steps[list[Queue]]:
        """Return all queues of a cluster."""
        return [_queue(row) for row in (yield call("queues", cluster=cluster))]

    @writes
    def add_queues(self, cluster: int, identifiers: Sequence[tuple[str, int, int]]) -> Steps[list[Queue]]:
        """Return the queues for (name, major, minor), and create those that do not exist."""
        queues = []
        for name, major, minor in identifiers:
            arguments = {"cluster": cluster, "name": name, "major": major, "minor": minor}
            # Insert first: if another process creates the queue at the same time, the insert waits for its commit and
            # the read finds the row.
            yield call("add_queue", **arguments)
            queues += [_queue(row) for row in (yield call("queue", **arguments))]
        return queues

    async def submit_job(self, job: NewJob, *, virtual_rank: int) -> Effects:
        """Store a job and its root tasks."""
        effects, _ = await self.submit_and_claim(job, (), now_us=job.submitted_us, virtual_rank=virtual_rank)
        return effects

    async def submit_and_claim(
        self, job: NewJob, claims: Sequence[Claim], *, now_us: int, virtual_rank: int
    ) -> tuple[Effects, list[ExchangeResult]]:
        """Store a job and its root tasks, and carry out the claims of waiting runners in the same transaction."""
        return await self.write_grouped(lambda: self._submit(job, claims, now_us, virtual_rank))

    def _submit(
        self, job: NewJob, claims: Sequence[Claim], now_us: int, virtual_rank: int
    ) -> Steps[tuple[Effects, list[ExchangeResult]]]:
        unit = UnitOfWork(job.submitted_us, virtual_rank)
        unit.jobs[job.id] = job_rank = JobRank(virtual_rank, is_live=True)
        # Inserted with zero tasks: `finish` adds the counts, as for every other change of a job.
        yield call(
            "add_job",
            id=job.id,
            team=job.team,
            name=job.name,
            trace_parent=job.trace_parent,
            automation=job.automation,
            submitted_us=job.submitted_us,
            total=0,
            open_groups=len(job.groups),
            last_rank=0,
        )
        unit.add_groups(job.id, job_rank, None, job.groups)
        effects = yield from unit.finish()
        results = []
        for claim in claims:
            claim_effects = Effects()
            tasks = yield from ClaimTasks(job.team, claim, now_us, claim_effects).claim_ready()
            effects.remove_claimed(tasks)
            results.append(ExchangeResult([], tasks, claim_effects))
        yield from self._announce(effects)
        return effects, results

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        claim: Claim | None,
        *,
        now_us: int,
        virtual_rank: int,
        limits: Limits,
    ) -> ExchangeResult:
        """Apply reports, then claim tasks, among them those that the reports made ready."""
        # Repeatable: if a loss of power undoes the exchange, the tasks are executed again, as after a crash of
        # their runner. So SQLite may acknowledge it before it is on disk, if the operator chose that.
        return await self.write_grouped(
            lambda: self._exchange(team, reports, claim, UnitOfWork(now_us, virtual_rank), limits),
            [report.task for report in reports],
            is_repeatable=True,
        )

    def _exchange(
        self, team: UUID, reports: Sequence[Report], claim: Claim | None, unit: UnitOfWork, limits: Limits
    ) -> Steps[ExchangeResult]:
        claim_tasks = None if claim is None else ClaimTasks(team, claim, unit.now_us, unit.effects)
        verdicts = (yield from ApplyReports(unit, limits).apply(team, reports, claim_tasks)) if reports else []
        effects = yield from unit.finish(claim_tasks)
        yield from self._announce(effects)
        return ExchangeResult(verdicts, unit.claimed, effects)

    @reads
    def held_by_runner(self, team: UUID, runner: bytes, *, count: int) -> Steps[list[HeldTask]]:
        """Return at most `count` tasks that a runner holds under fenced leases."""
        rows = yield call("tasks_held_by_runner", team=team, runner=runner, count=count)
        return [HeldTask(bytes(row["id"]), row["lease_number"], row["crashes"]) for row in rows]

    @writes
    def extend_leases(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, until_us: int
    ) -> Steps[list[bool]]:
        """Extend leases; false for a lease that does not exist any more."""
        # No job is locked. A report that comes in between ends the lease, and then `extend_leases` does not match it.
        known = yield call_each("tasks_with_jobs", [{"task": task} for task, _ in leases])
        own = {bytes(row["id"]) for row in known if not is_foreign(row, team)}
        rows = yield call_each(
            "extend_leases",
            [{"task": task, "lease": lease, "until_us": until_us} for task, lease in leases if task in own],
        )
        extended = {bytes(row["id"]) for row in rows}
        return [task in extended for task, _ in leases]

    @writes
    def expire_leases(
        self, *, now_us: int, virtual_rank: int, limits: Limits, count: int
    ) -> Steps[tuple[int, Effects]]:
        """Take back at most `count` tasks whose leases have expired; returns how many."""
        rows = yield call("expired_tasks", now_us=now_us, count=count)
        unit = UnitOfWork(now_us, virtual_rank)
        expired = yield from ApplyReports(unit, limits).expire([bytes(row["task"]) for row in rows], now_us)
        effects = yield from unit.finish()
        yield from self._announce(effects)
        return expired, effects

    @writes
    def wake_tasks(self, *, now_us: int, virtual_rank: int, count: int) -> Steps[tuple[int | None, Effects]]:
        """Queue at most `count` tasks whose pause is over; returns the end of the next pause, or None."""
        effects = Effects()
        rows = yield call("due_tasks", now_us=now_us, count=count)
        if rows:
            jobs = sorted({bytes(row["job_id"]) for row in rows})
            # Locked, so that no job is canceled or fails between this check and the ranks that its tasks get.
            live = {
                bytes(row["id"])
                for row in (yield call_each("lock_jobs", [{"job": job} for job in jobs]))
                if not row["failed"] and not row["is_canceled"]
            }
            arguments = [
                {
                    "task": bytes(row["task"]),
                    # The task waited for its turn before its first attempt, so it goes to the front of the queue.
                    "rank": virtual_rank if bytes(row["job_id"]) in live else None,
                    "now_us": now_us,
                }
                for row in rows
            ]
            for row in (yield call_each("wake_tasks", arguments)):
                if row["rank"] is not None:
                    effects.count_ready(row["queue"])
            yield from self._announce(effects)
        next_wake = yield call("next_wake")
        return next_wake[0]["wake_us"], effects

    @writes
    def cancel_job(self, team: UUID, job: bytes) -> Steps[Effects]:
        """Cancel a job, so that none of its tasks can be claimed. A job that has ended stays as it is."""
        row = yield from _lock_job(team, job)
        effects = Effects()
        if row["open_groups"] and not row["failed"] and not row["is_canceled"]:
            yield call("cancel_job", job=job)
            yield call_each("unqueue_jobs", [{"job": job}])
            effects.jobs.add(job)
            effects.ended.add(job)
            yield from self._announce(effects)
        return effects

    @writes
    def retry_job(self, team: UUID, job: bytes, *, virtual_rank: int) -> Steps[tuple[int, Effects]]:
        """Queue the failed tasks of a job again, and make its queued tasks claimable; returns how many had failed."""
        row = yield from _lock_job(team, job)
        effects = Effects()
        if not row["failed"] and not row["is_canceled"]:
            return 0, effects
        failed = yield call("requeue_failed_tasks", job=job)
        yield call("reopen_job", job=job)
        # A retry completes no task and adds none, so the unit of work needs no time.
        unit = UnitOfWork(0, virtual_rank)
        unit.jobs[job] = job_rank = JobRank(row["last_rank"], is_live=True)
        for group in (yield call("unblocked_groups", job=job)):
            unit.completion.release_group(bytes(group["id"]), job_rank, group["size"])
        effects = yield from unit.finish()
        yield from self._announce(effects)
        return len(failed), effects

    @reads
    def is_more_to_come(self, queues: Sequence[int]) -> Steps[bool]:
        """Tell whether tasks of these queues are ready, pause before an attempt, or depend on running tasks."""
        arguments = [{"queue": queue} for queue in queues]
        # The runner has just claimed and got nothing. Tasks may be ready all the same: they became ready since, or
        # another claim had locked them.
        if (yield call_each("ready_in_queue", arguments)) or (yield call_each("paused_in_queue", arguments)):
            return True
        return bool((yield call_each("blocked_in_queue", arguments)))

    @writes
    def record_runner(self, runner: bytes, cluster: int, identifiers: str, now_us: int) -> Steps[None]:
        """Record when a runner was last seen, with the task identifiers that it executes, as JSON."""
        yield call("upsert_runner", runner=runner, cluster=cluster, identifiers=identifiers, now_us=now_us)

    @writes
    def delete_runners(self, before_us: int) -> Steps[None]:
        """Delete runners that were last seen before a time."""
        yield call("delete_runners", before_us=before_us)

    @writes
    def rewind_deadlines(self, *, now_us: int, lease_us: int) -> Steps[None]:
        """Shorten leases and pauses that would last too long, because the clock was ahead when they were recorded."""
        yield call("cap_fenced_leases", until_us=now_us + lease_us)
        # The pauses are computed from the ends of the attempts, so these are corrected after them.
        yield call("rewind_pauses", now_us=now_us)
        yield call("rewind_attempts", now_us=now_us)
        latest = (yield call("latest_runner_seen"))[0]["seen_us"]
        if latest is not None and latest > now_us:
            # Runners without lease numbers choose the length of their extensions, so there is no cap for their leases.
            # A sighting in the future shows by how much the clock was ahead.
            yield call("rewind_unfenced_leases", back_us=latest - now_us)
            # Without this, the next call would shorten the leases again for the same sighting.
            yield call("rewind_runners_seen", now_us=now_us)

    @writes
    def record_ranks(self, ranks: Mapping[int, int]) -> Steps[dict[int, int]]:
        """Record the rank that was claimed last in each cluster; returns the recorded ranks of all clusters."""
        # In the order of cluster numbers, so that two processes never wait for each other.
        for cluster, rank in sorted(ranks.items()):
            yield call("raise_rank", cluster=cluster, rank=rank)
        return {row["number"]: row["last_rank"] for row in (yield call("cluster_ranks"))}

    def _announce(self, effects: Effects) -> Steps[None]:
        """Announce the effects to other processes. Requests of this process learn them from the verb's result."""
        ready = {queue: count for queue, count in effects.ready.items() if count > 0}
        # Changes of a job's progress are not announced: other processes poll for them every second, which is soon
        # enough. The end of a job is announced, because its watchers should see it at once.
        if self.is_shared and (ready or effects.ended):
            jobs = [job.hex() for job in sorted(effects.ended)]
            message = json.dumps({"by": self.process, "ready": ready, "jobs": jobs})
            # Too many jobs or queues for one notification: the requests that it leaves out poll after a while.
            if len(message) >= MAX_ANNOUNCEMENT_BYTES:
                some = dict(list(ready.items())[:_MAX_ANNOUNCED_QUEUES])
                message = json.dumps({"by": self.process, "ready": some, "jobs": []})
            yield deferred(call("announce", message=message))


def read_announcement(message: str, process: str) -> Effects | None:
    """Return the effects that another process announced.

    Args:
        message: The text of the announcement.
        process: The name of this process.

    Returns:
        The effects, or None if this process made the announcement.
    """
    content = json.loads(message)
    if content["by"] == process:
        return None
    ready = {int(queue): count for queue, count in content["ready"].items()}
    ended = {bytes.fromhex(job) for job in content["jobs"]}
    return Effects(ready=ready, jobs=ended, ended=ended)


def _lock_job(team: UUID, job: bytes) -> Steps[Row]:
    rows = yield call("lock_job", job=job, team=team)
    if not rows:
        raise NotFoundError(f"there is no job {UUID(bytes=job)}")
    return rows[0]


def _queue(row: Row) -> Queue:
    return Queue(row["number"], row["cluster"], row["name"], row["major"], row["minor"])
