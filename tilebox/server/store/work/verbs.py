"""The verbs of the orchestrator, written once for both back ends."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import NotFoundError
from tilebox.server.store.sql.statements import Steps, call, call_each, deferred
from tilebox.server.store.sql.transactions import Transactions, reads, writes
from tilebox.server.store.work.claims import HandingOut
from tilebox.server.store.work.interface import (
    Claim,
    Effects,
    Exchanged,
    Held,
    Limits,
    NewJob,
    Orchestration,
    Queue,
    Report,
)
from tilebox.server.store.work.ranks import Line
from tilebox.server.store.work.reports import Change, is_foreign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tilebox.server.store.sql.statements import Row

MAX_ANNOUNCEMENT_BYTES = 7_900
"""How much one announcement carries, by PostgreSQL's rule."""


class OrchestrationVerbs(Transactions, Orchestration):
    """The verbs of `Orchestration` over the two that a back end has: read and write.

    Attributes:
        process: A name of this process, by which it knows its own announcements.
    """

    process = secrets.token_hex(8)

    @reads
    def clock_us(self) -> Steps[int | None]:
        """Return what the database's clock says; None if it has none of its own."""
        now: int | None = (yield call("clock"))[0]["now_us"]
        return now

    @reads
    def queues(self, cluster: int) -> Steps[list[Queue]]:
        """Return all queues of a cluster."""
        return [_queue(row) for row in (yield call("queues", cluster=cluster))]

    @writes
    def add_queues(self, cluster: int, identifiers: Sequence[tuple[str, int, int]]) -> Steps[list[Queue]]:
        """Return the queues of some (name, major, minor), creating what is missing."""
        found = []
        for name, major, minor in identifiers:
            place = {"cluster": cluster, "name": name, "major": major, "minor": minor}
            yield call("add_queue", **place)
            found += [_queue(row) for row in (yield call("queue", **place))]
        return found

    async def submit_job(self, job: NewJob, *, virtual_rank: int) -> Effects:
        """Keep a job and its root tasks."""
        effects, _ = await self.submit_job_to(job, (), now_us=job.submitted_us, virtual_rank=virtual_rank)
        return effects

    async def submit_job_to(
        self, job: NewJob, claims: Sequence[Claim], *, now_us: int, virtual_rank: int
    ) -> tuple[Effects, list[Exchanged]]:
        """Keep a job and its root tasks, and hand out tasks to those who wait for some; returns what each was handed."""
        return await self.write_grouped(lambda: self._submit(job, claims, now_us, virtual_rank))

    def _submit(
        self, job: NewJob, claims: Sequence[Claim], now_us: int, virtual_rank: int
    ) -> Steps[tuple[Effects, list[Exchanged]]]:
        change = Change(job.submitted_us, virtual_rank)
        change.jobs[job.id] = line = Line(virtual_rank, is_live=True)
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
        change.add_groups(job.id, line, None, job.groups)
        effects = yield from change.finish()
        handed = []
        for claim in claims:
            own = Effects()
            tasks = yield from HandingOut(job.team, claim, now_us, own).hand_out()
            effects.count_handed(tasks)
            handed.append(Exchanged([], tasks, own))
        yield from self._announce(effects)
        return effects, handed

    async def exchange(
        self,
        team: UUID,
        reports: Sequence[Report],
        claim: Claim | None,
        *,
        now_us: int,
        virtual_rank: int,
        limits: Limits,
    ) -> Exchanged:
        """Carry out reports, then hand out tasks, which may be ones that the reports made ready."""
        return await self.write_grouped(
            lambda: self._exchange(team, reports, claim, Change(now_us, virtual_rank, limits)),
            [report.task for report in reports],
            is_repeatable=True,
        )

    def _exchange(self, team: UUID, reports: Sequence[Report], claim: Claim | None, change: Change) -> Steps[Exchanged]:
        handing_out = None if claim is None else HandingOut(team, claim, change.now_us, change.effects)
        verdicts = (yield from change.report(team, reports, handing_out)) if reports else []
        effects = yield from change.finish(handing_out)
        yield from self._announce(effects)
        return Exchanged(verdicts, change.handed, effects)

    @reads
    def held_by_runner(self, team: UUID, runner: bytes, *, count: int) -> Steps[list[Held]]:
        """Return what a runner holds, at most so many tasks."""
        rows = yield call("tasks_of_runner", team=team, runner=runner, count=count)
        return [Held(bytes(row["id"]), row["lease_number"], row["crashes"]) for row in rows]

    @writes
    def extend_leases(
        self, team: UUID, leases: Sequence[tuple[bytes, int | None]], *, until_us: int
    ) -> Steps[list[bool]]:
        """Extend leases; false where there is none to extend."""
        held = yield call_each("held_tasks", [{"task": task} for task, _ in leases])
        own = {bytes(row["id"]) for row in held if not is_foreign(row, team)}
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
        """Take back tasks whose lease is over, at most so many; returns how many."""
        rows = yield call("expired_tasks", now_us=now_us, count=count)
        change = Change(now_us, virtual_rank, limits)
        expired = yield from change.expire([bytes(row["task"]) for row in rows], now_us)
        effects = yield from change.finish()
        yield from self._announce(effects)
        return expired, effects

    @writes
    def wake_tasks(self, *, now_us: int, virtual_rank: int, count: int) -> Steps[tuple[int | None, Effects]]:
        """Put tasks into their queues whose pause is over; returns when the next one's will be, if any waits."""
        effects = Effects()
        rows = yield call("due_tasks", now_us=now_us, count=count)
        if rows:
            jobs = sorted({bytes(row["job_id"]) for row in rows})
            live = {
                bytes(row["id"])
                for row in (yield call_each("live_jobs", [{"job": job} for job in jobs]))
                if not row["failed"] and not row["is_canceled"]
            }
            given = [
                {
                    "task": bytes(row["task"]),
                    "rank": virtual_rank if bytes(row["job_id"]) in live else None,
                    "now_us": now_us,
                }
                for row in rows
            ]
            for row in (yield call_each("wake_tasks", given)):
                if row["rank"] is not None:
                    effects.count_ready(row["queue"])
            yield from self._announce(effects)
        following = yield call("next_wake")
        return following[0]["wake_us"], effects

    @writes
    def cancel_job(self, team: UUID, job: bytes) -> Steps[Effects]:
        """Stop a job from handing out tasks. Nothing changes if it has ended."""
        row = yield from _lock_job(team, job)
        effects = Effects()
        if row["open_groups"] and not row["failed"] and not row["is_canceled"]:
            yield call("cancel_job", job=job)
            yield call_each("stop_jobs", [{"job": job}])
            effects.jobs.add(job)
            effects.ended.add(job)
            yield from self._announce(effects)
        return effects

    @writes
    def retry_job(self, team: UUID, job: bytes, *, virtual_rank: int) -> Steps[tuple[int, Effects]]:
        """Queue a job's failed tasks again, and let its queued tasks be handed out; returns how many had failed."""
        row = yield from _lock_job(team, job)
        effects = Effects()
        if not row["failed"] and not row["is_canceled"]:
            return 0, effects
        failed = yield call("requeue_failed", job=job)
        yield call("revive_job", job=job)
        change = Change(0, virtual_rank)
        change.jobs[job] = line = Line(row["last_rank"], is_live=True)
        change.effects.jobs.add(job)
        for group in (yield call("open_groups_of_job", job=job)):
            change.completion.release(bytes(group["id"]), line, group["size"])
        effects = yield from change.finish()
        yield from self._announce(effects)
        return len(failed), effects

    @reads
    def is_more_to_come(self, queues: Sequence[int]) -> Steps[bool]:
        """Tell whether tasks of these queues are ready, or wait for a pause to end or for tasks being executed."""
        given = [{"queue": queue} for queue in queues]
        # Some may have become ready since the runner looked, or were kept from it while others looked.
        if (yield call_each("ready_in_queue", given)) or (yield call_each("asleep_in_queue", given)):
            return True
        return bool((yield call_each("blocked_behind_running", given)))

    @writes
    def note_runner(self, runner: bytes, cluster: int, identifiers: str, now_us: int) -> Steps[None]:
        """Note that a runner was heard of, with the identifiers that it executes, as JSON."""
        yield call("note_runner", runner=runner, cluster=cluster, identifiers=identifiers, now_us=now_us)

    @writes
    def forget_runners(self, before_us: int) -> Steps[None]:
        """Forget runners that were not heard of since then."""
        yield call("forget_runners", before_us=before_us)

    @writes
    def set_back(self, *, now_us: int, lease_us: int) -> Steps[None]:
        """Shorten what would last too long because the clock was ahead of what it says now."""
        yield call("shorten_leases", until_us=now_us + lease_us)
        yield call("set_back_pauses", now_us=now_us)
        yield call("set_back_attempts", now_us=now_us)
        latest = (yield call("latest_note"))[0]["seen_us"]
        if latest is not None and latest > now_us:
            yield call("set_back_leases", back_us=latest - now_us)
            # What is noted now sets nothing back for the same reason again.
            yield call("set_back_notes", now_us=now_us)

    @writes
    def note_ranks(self, ranks: Mapping[int, int]) -> Steps[dict[int, int]]:
        """Note the ranks that were handed out last, by cluster, and return the highest that anybody noted."""
        for cluster, rank in sorted(ranks.items()):
            yield call("raise_rank", cluster=cluster, rank=rank)
        return {row["number"]: row["last_rank"] for row in (yield call("cluster_ranks"))}

    def _announce(self, effects: Effects) -> Steps[None]:
        """Tell other processes what changed; those of this one learn it from the verb's answer."""
        ready = {queue: count for queue, count in effects.ready.items() if count > 0}
        # Who looks at a job's progress from another process looks again every second; its end is not waited for so long.
        if self.is_shared and (ready or effects.ended):
            jobs = [job.hex() for job in sorted(effects.ended)]
            message = json.dumps({"by": self.process, "ready": ready, "jobs": jobs})
            # PostgreSQL carries 8,000 bytes. Who waits for one of very many jobs looks by itself after a while.
            if len(message) >= MAX_ANNOUNCEMENT_BYTES:
                message = json.dumps({"by": self.process, "ready": dict(list(ready.items())[:100]), "jobs": []})
            yield deferred(call("announce", message=message))


def read_announcement(message: str, process: str) -> Effects | None:
    """Return what an announcement of another process says; None for one's own."""
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
