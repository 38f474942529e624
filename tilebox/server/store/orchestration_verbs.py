"""The verbs of the orchestrator, written once for both back ends.

A transaction that changes tasks first locks their jobs (in the order of ids, so that two transactions never wait
for each other), then looks at the tasks, and applies `_core.scheduling`. Handing out tasks locks no job: whoever
reads ready tasks keeps others from them until its transaction ends.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.scheduling import Attempts, Failure, TaskEvent, TaskState, Verdict, after_failure, judge, next_state
from tilebox.errors import NotFoundError
from tilebox.server.store.orchestration import (
    Claim,
    Claimed,
    Effects,
    Exchanged,
    Held,
    Limits,
    NewGroup,
    NewJob,
    Orchestration,
    Queue,
    Report,
    new_ids,
)
from tilebox.server.store.statements import Steps, call, call_each, later
from tilebox.server.store.transactions import Transactions, reads, writes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tilebox.server.store.statements import Row

MAX_ERROR_CHARACTERS = 16_384
"""How much is kept of what went wrong."""

DOUBT = 2
"""How many times as many crashes a task may have where another one may well have been to blame."""

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
        return await self.write_in_company(lambda: self._submit(job, claims, now_us, virtual_rank))

    def _submit(
        self, job: NewJob, claims: Sequence[Claim], now_us: int, virtual_rank: int
    ) -> Steps[tuple[Effects, list[Exchanged]]]:
        change = _Change(job.submitted_us, virtual_rank)
        change.jobs[job.id] = line = _Line(virtual_rank, is_live=True)
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
            tasks = yield from _hand_out(job.team, claim, now_us, own)
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
        return await self.write_together(
            lambda: self._exchange(team, reports, claim, _Change(now_us, virtual_rank, limits)),
            [report.task for report in reports],
        )

    def _exchange(
        self, team: UUID, reports: Sequence[Report], claim: Claim | None, change: _Change
    ) -> Steps[Exchanged]:
        verdicts = (yield from change.report(team, reports)) if reports else []
        hand_out = None if claim is None else _hand_out(team, claim, change.now_us, change.effects)
        effects = yield from change.finish(hand_out)
        effects.count_handed(change.handed)
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
        own = {bytes(row["id"]) for row in held if not _is_foreign(row, team)}
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
        change = _Change(now_us, virtual_rank, limits)
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
                    effects.ready[row["queue"]] = effects.ready.get(row["queue"], 0) + 1
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
        change = _Change(0, virtual_rank)
        change.jobs[job] = line = _Line(row["last_rank"], is_live=True)
        change.effects.jobs.add(job)
        for group in (yield call("open_groups_of_job", job=job)):
            change.release(bytes(group["id"]), line, group["size"])
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
            yield call("announce", message=message)


@dataclass(slots=True)
class _Line:
    """What a transaction knows of a job, and what it adds to the job's counts."""

    last_rank: int
    is_live: bool
    total: int = 0
    computed: int = 0
    failed: int = 0
    failed_optional: int = 0
    skipped: int = 0
    closed_groups: int = 0
    started_us: int | None = None
    stopped_us: int | None = None
    compute_us: int = 0

    def take_ranks(self, count: int, virtual_rank: int) -> int:
        """Return the first of so many ranks.

        A job's tasks go one behind the other, but never further ahead than where new jobs join the line. So a
        small job is done while a large one goes on (start-time fair queueing).
        """
        first = max(virtual_rank, self.last_rank + 1)
        self.last_rank = first + count - 1
        return first

    def ran(self, started_us: int | None, stopped_us: int) -> None:
        """Note the time of an attempt."""
        if started_us is not None:
            self.started_us = started_us if self.started_us is None else min(self.started_us, started_us)
            self.compute_us += max(0, stopped_us - started_us)
        self.stopped_us = stopped_us if self.stopped_us is None else max(self.stopped_us, stopped_us)


@dataclass(slots=True)
class _Group:
    """What a transaction knows of a group. Nobody else changes it meanwhile, since its job is kept from others."""

    job: bytes
    parent: bytes | None
    open_tasks: int


@dataclass(slots=True)
class _Change:
    """The rows that a transaction is going to write, collected so that each kind is written at once."""

    now_us: int
    virtual_rank: int
    limits: Limits = field(default_factory=Limits)
    jobs: dict[bytes, _Line] = field(default_factory=dict)
    effects: Effects = field(default_factory=Effects)
    handed: list[Claimed] = field(default_factory=list)
    _computed: list[dict[str, Any]] = field(default_factory=list)
    _ended: list[dict[str, Any]] = field(default_factory=list)
    _requeued: list[dict[str, Any]] = field(default_factory=list)
    _attempts: list[dict[str, Any]] = field(default_factory=list)
    _progress: list[dict[str, Any]] = field(default_factory=list)
    _outdated_progress: list[dict[str, Any]] = field(default_factory=list)
    _groups: list[dict[str, Any]] = field(default_factory=list)
    _dependencies: list[dict[str, Any]] = field(default_factory=list)
    _tasks: list[dict[str, Any]] = field(default_factory=list)
    _closed: Counter[bytes] = field(default_factory=Counter)
    _known: dict[bytes, _Group] = field(default_factory=dict)
    _releases: list[dict[str, Any]] = field(default_factory=list)
    _stopped: list[dict[str, Any]] = field(default_factory=list)
    _abandoned: set[bytes] = field(default_factory=set)

    def report(self, team: UUID, reports: Sequence[Report]) -> Steps[list[Verdict]]:
        """Judge reports, and collect what those that count change."""
        held = yield from self._hold([report.task for report in reports])
        verdicts: list[Verdict] = []
        settled: dict[bytes, Report] = {}
        for report in reports:
            row = held.get(report.task)
            if row is None or _is_foreign(row, team):
                verdicts.append(Verdict.STALE)
                continue
            if report.task in settled:
                # The same request says it twice; only the first counts.
                verdicts.append(Verdict.REPEATED)
                continue
            verdict = judge(
                TaskState(row["state"]),
                lease_number=row["lease_number"],
                is_fenced=bool(row["is_fenced"]),
                reported_lease=report.lease,
                was_computed=report.failure is None and not report.is_returned,
            )
            verdicts.append(verdict)
            if verdict is Verdict.ACCEPTED:
                settled[report.task] = report
                yield from self._apply(row, report)
        return verdicts

    def expire(self, tasks: Sequence[bytes], now_us: int) -> Steps[int]:
        """Collect what it means that the leases of tasks are over."""
        held = yield from self._hold(tasks)
        expired = 0
        for task, row in held.items():
            # Between finding and locking them, some were reported, handed out again, or had their leases extended.
            if row["state"] == TaskState.RUNNING and row["leased_until_us"] < now_us:
                expired += 1
                seconds = (now_us - (row["started_us"] or now_us)) / 1e6
                error = f"its runner was not heard of any more, {seconds:.0f} s after it was handed the task"
                yield from self._fail(row, Report(task=task, lease=None, failure=Failure.EXPIRED, error=error))
        return expired

    def release(self, group: bytes, line: _Line, size: int) -> None:
        """Collect that the tasks of a group may be handed out."""
        if line.is_live:
            self._releases.append({"group": group, "rank": line.take_ranks(size, self.virtual_rank)})

    def finish(self, hand_out: Steps[list[Claimed]] | None = None) -> Steps[Effects]:
        """Write everything, follow what is completed by it up to the jobs, and then hand out tasks, if that is asked.

        Args:
            hand_out: The steps that do so. They end with rows that are waited for.
        """
        yield from self._flush()
        while self._closed:
            yield from self._close()
        if self._stopped:
            yield call_each("stop_jobs", self._stopped)
        release = call_each("release_groups", self._releases)
        released = yield (release if hand_out is None else later(release))
        yield call_each("change_jobs", [self._job_change(job, line) for job, line in sorted(self.jobs.items())])
        if hand_out is not None:
            self.handed = yield from hand_out
        for row in released:
            self._count_ready(row["queue"])
        self.effects.jobs |= self.jobs.keys()
        self.effects.ended |= {job for job, line in self.jobs.items() if line.closed_groups or line.failed}
        return self.effects

    def _hold(self, tasks: Sequence[bytes]) -> Steps[dict[bytes, Row]]:
        given = [{"task": task} for task in tasks]
        yield later(call_each("lock_jobs_of_tasks", given))
        held = {bytes(row["id"]): row for row in (yield call_each("held_tasks", given))}
        for row in held.values():
            job = bytes(row["job_id"])
            if job not in self.jobs:
                self.jobs[job] = _Line(row["last_rank"], is_live=not row["failed"] and not row["is_canceled"])
            self._know(row["group_id"], job, row["group_parent_id"], row["group_open_tasks"])
        return held

    def _know(self, group: bytes, job: bytes, parent: bytes | None, open_tasks: int) -> None:
        self._known[bytes(group)] = _Group(bytes(job), None if parent is None else bytes(parent), open_tasks)

    def _apply(self, row: Row, report: Report) -> Steps[None]:
        if report.progress:
            self._note_progress(row, report)
        if report.is_returned:
            self._requeue(row, report, Attempts(row["retries"], row["crashes"]), error=None)
        elif report.failure is not None:
            yield from self._fail(row, report)
        else:
            self._compute(row, report)

    def _compute(self, row: Row, report: Report) -> None:
        job = bytes(row["job_id"])
        line = self.jobs[job]
        started_us = self._started(row, report)
        line.computed += 1
        line.ran(started_us, self.now_us)
        open_groups = self.add_groups(
            job,
            line,
            report.task,
            report.groups,
            is_abandoned=self._is_abandoned(row),
        )
        self._computed.append(
            {
                "task": report.task,
                "display": report.display or row["display"],
                "open_groups": open_groups,
                "started_us": started_us,
                "stopped_us": self.now_us,
            }
        )
        if not open_groups:
            self._closed[bytes(row["group_id"])] += 1

    def _fail(self, row: Row, report: Report) -> Steps[None]:
        failure = report.failure or Failure.TASK
        attempts = Attempts(row["retries"], row["crashes"]).after(failure)
        excuse = yield from self._optional_above(row)
        event = after_failure(
            failure,
            attempts,
            max_retries=row["max_retries"],
            max_crashes=self.limits.max_crashes * (DOUBT if report.is_doubtful else 1),
            is_excused=excuse is not None,
        )
        line = self.jobs[bytes(row["job_id"])]
        started_us = self._started(row, report)
        line.ran(started_us, self.now_us)
        self._attempts.append(self._attempt(row, report, failure, started_us))
        if event is TaskEvent.REQUEUE:
            self._requeue(row, report, attempts, error=report.error[:MAX_ERROR_CHARACTERS])
            return
        self._ended.append(self._end(row, report, next_state(TaskState.RUNNING, event), attempts))
        if excuse is None:
            line.failed += 1
            line.is_live = False
            self._stopped.append({"job": bytes(row["job_id"])})
        else:
            line.failed_optional += 1
            self._closed[bytes(row["group_id"])] += 1
            # Below a task that was not computed there is nothing.
            if excuse != report.task:
                yield from self._skip_below(excuse, line)

    def _end(self, row: Row, report: Report, state: TaskState, attempts: Attempts) -> dict[str, Any]:
        return {
            "task": report.task,
            "state": int(state),
            "display": report.display or row["display"],
            "error": report.error[:MAX_ERROR_CHARACTERS],
            "retries": attempts.retries,
            "crashes": attempts.crashes,
            "started_us": self._started(row, report),
            "stopped_us": self.now_us,
        }

    def _is_abandoned(self, row: Row) -> bool:
        return bool(row["is_abandoned"]) or bytes(row["id"]) in self._abandoned

    def _optional_above(self, row: Row) -> Steps[bytes | None]:
        """Return the nearest optional task at or above a task."""
        for above in (yield call("ancestors", task=bytes(row["id"]))):
            if above["is_optional"]:
                return bytes(above["id"])
        return None

    def _skip_below(self, task: bytes, line: _Line) -> Steps[None]:
        # What this transaction collected must be seen: a computed task's new subtasks may lie below.
        yield from self._flush()
        for skipped in (yield call("skip_below", task=task)):
            line.skipped += 1
            self._closed[bytes(skipped["group_id"])] += 1
        self._abandoned |= {bytes(row["id"]) for row in (yield call("abandon_below", task=task))}

    def _flush(self) -> Steps[None]:
        for name, rows in (
            ("compute_tasks", self._computed),
            ("end_tasks", self._ended),
            ("requeue_tasks", self._requeued),
            ("add_attempts", self._attempts),
            ("clear_progress", self._outdated_progress),
            ("put_progress", self._progress),
            ("add_groups", self._groups),
            ("add_dependencies", self._dependencies),
            ("add_tasks", self._tasks),
        ):
            if rows:
                yield call_each(name, list(rows))
                rows.clear()

    def _requeue(self, row: Row, report: Report, attempts: Attempts, *, error: str | None) -> None:
        line = self.jobs[bytes(row["job_id"])]
        if self._is_abandoned(row):
            # It would wait below an optional task that failed, and what waits there is skipped.
            self._ended.append(self._end(row, report, TaskState.SKIPPED, attempts))
            line.skipped += 1
            self._closed[bytes(row["group_id"])] += 1
            return
        wakes = report.retry_after_us > 0
        is_ready = line.is_live and not wakes
        self._requeued.append(
            {
                "task": report.task,
                "display": report.display or row["display"],
                "error": error,
                "retries": attempts.retries,
                "crashes": attempts.crashes,
                # It had its turn, so it goes first.
                "rank": self.virtual_rank if is_ready else None,
                "wake_us": self.now_us + report.retry_after_us if wakes else None,
            }
        )
        if is_ready:
            self._count_ready(row["queue"])
        self.effects.has_pauses |= wakes

    def add_groups(
        self, job: bytes, line: _Line, parent: bytes | None, groups: Sequence[NewGroup], *, is_abandoned: bool = False
    ) -> int:
        """Collect groups and their tasks, ready if they wait for nothing; returns how many are not completed yet."""
        if not groups:
            return 0
        ids = new_ids(len(groups), self.now_us)
        for group, identity in zip(groups, ids, strict=True):
            size = len(group.tasks)
            is_ready = line.is_live and not group.dependencies and not is_abandoned
            rank = line.take_ranks(size, self.virtual_rank) if is_ready else None
            self._groups.append(
                {
                    "id": identity,
                    "job": job,
                    "parent": parent,
                    "size": size,
                    "open_tasks": 0 if is_abandoned else size,
                    "open_dependencies": 0 if is_abandoned else len(set(group.dependencies)),
                }
            )
            self._dependencies += [{"group": ids[other], "dependent": identity} for other in set(group.dependencies)]
            state = int(TaskState.SKIPPED if is_abandoned else TaskState.QUEUED)
            self._tasks += [
                {
                    "id": task_id,
                    "job": job,
                    "group": identity,
                    "position": position,
                    "queue": task.queue,
                    "state": state,
                    "rank": None if rank is None else rank + position,
                    "display": task.display,
                    "input": task.input,
                    "max_retries": task.max_retries,
                    "is_optional": task.is_optional,
                }
                for position, (task_id, task) in enumerate(zip(new_ids(size, self.now_us), group.tasks, strict=True))
            ]
            line.total += size
            if is_abandoned:
                line.skipped += size
            if is_ready:
                for task in group.tasks:
                    self._count_ready(task.queue)
        return 0 if is_abandoned else len(groups)

    def _close(self) -> Steps[None]:
        """Count completed tasks off their groups, completed groups off those that wait and off their submitters."""
        closed, self._closed = self._closed, Counter()
        count_off = call_each("close_tasks", [{"group": group, "count": n} for group, n in sorted(closed.items())])
        if closed.keys() <= self._known.keys():
            # What it leaves of each is known beforehand, so nobody waits for being told.
            yield later(count_off)
            for group, count in closed.items():
                self._known[group].open_tasks -= count
        else:
            for row in (yield count_off):
                self._know(row["id"], row["job_id"], row["parent_id"], row["open_tasks"])
        done = [group for group in sorted(closed) if not self._known[group].open_tasks]
        if not done:
            return
        parents: Counter[bytes] = Counter()
        for known in [self._known[group] for group in done]:
            if known.parent is None:
                self.jobs[known.job].closed_groups += 1
            else:
                parents[known.parent] += 1
        waiting = yield later(call_each("close_dependencies", [{"group": group} for group in done]))
        submitters = yield call_each(
            "close_child_groups", [{"task": task, "count": n} for task, n in sorted(parents.items())]
        )
        # A group that waited for two of them comes twice, and counts as it came last.
        for row in {bytes(row["id"]): row for row in waiting}.values():
            if not row["open_dependencies"]:
                self.release(bytes(row["id"]), self.jobs[bytes(row["job_id"])], row["size"])
        for row in submitters:
            if not row["open_groups"]:
                self._closed[bytes(row["group_id"])] += 1

    def _note_progress(self, row: Row, report: Report) -> None:
        job = bytes(row["job_id"])
        if row["lease_number"] > 1:
            self._outdated_progress.append({"job": job, "task": report.task})
        updates = {update.label: update for update in report.progress}
        self._progress += [
            {"job": job, "label": update.label, "task": report.task, "total": update.total, "done": update.done}
            for update in updates.values()
        ]

    def _attempt(self, row: Row, report: Report, failure: Failure, started_us: int | None) -> dict[str, Any]:
        outcome = {Failure.CRASH: "crashed", Failure.EXPIRED: "expired"}.get(failure, "failed")
        return {
            "task": report.task,
            "lease": row["lease_number"],
            "job": bytes(row["job_id"]),
            "runner": row["runner_id"],
            "started_us": started_us,
            "stopped_us": self.now_us,
            "outcome": outcome,
            "error": report.error[:MAX_ERROR_CHARACTERS],
        }

    def _started(self, row: Row, report: Report) -> int | None:
        if report.execution_us is not None:
            return self.now_us - report.execution_us
        started: int | None = row["started_us"]
        return started

    def _count_ready(self, queue: int) -> None:
        self.effects.ready[queue] = self.effects.ready.get(queue, 0) + 1

    @staticmethod
    def _job_change(job: bytes, line: _Line) -> dict[str, Any]:
        return {
            "job": job,
            "total": line.total,
            "computed": line.computed,
            "failed": line.failed,
            "failed_optional": line.failed_optional,
            "skipped": line.skipped,
            "closed_groups": line.closed_groups,
            "last_rank": line.last_rank,
            "started_us": line.started_us,
            "stopped_us": line.stopped_us,
            "compute_us": line.compute_us,
        }


def _hand_out(team: UUID, claim: Claim, now_us: int, effects: Effects) -> Steps[list[Claimed]]:
    if claim.is_repeated and claim.claim:
        known = yield call("claimed_tasks", claim=claim.claim, runner=claim.runner, team=team)
        if known:
            return [_claimed(row) for row in known]
    lease = {
        "is_fenced": claim.is_fenced,
        "until_us": now_us + claim.lease_us,
        "runner": claim.runner,
        "claim": claim.claim,
        "now_us": now_us,
    }
    rows = yield call_each("take_tasks", [{"queue": queue, "count": claim.count, **lease} for queue in claim.queues])
    rows = sorted(rows, key=lambda row: (row["rank"], bytes(row["id"])))[: claim.count]
    if rows:
        effects.last_rank = rows[-1]["rank"]
    yield call_each("lease_tasks", [{"task": bytes(row["id"]), **lease} for row in rows])
    return [_claimed(row) for row in rows]


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


def _claimed(row: Row) -> Claimed:
    return Claimed(
        bytes(row["id"]),
        bytes(row["job_id"]),
        row["queue"],
        row["lease_number"],
        bytes(row["input"]),
        row["display"],
        row["retries"],
        row["max_retries"],
    )


def _is_foreign(row: Row, team: UUID) -> bool:
    owner = row["team_id"]
    return bool((owner if isinstance(owner, bytes) else owner.bytes) != team.bytes)
