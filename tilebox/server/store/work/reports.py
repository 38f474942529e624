"""What a transaction of the orchestrator changes: what reports mean, and all that it writes, each kind of row at once.

Jobs are locked first (in the order of ids, so that two transactions never wait for each other), then their tasks are
looked at, and `_core.scheduling` is applied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from tilebox.server.rules.task_states import (
    Attempts,
    Failure,
    TaskEvent,
    TaskState,
    Verdict,
    after_failure,
    judge,
    next_state,
)
from tilebox.server.store.sql.statements import Call, Steps, call, call_each, deferred
from tilebox.server.store.work.completion import Completion, Release
from tilebox.server.store.work.interface import Claimed, Effects, Limits, NewGroup, Report, new_ids
from tilebox.server.store.work.ranks import Line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox.server.store.sql.statements import Row
    from tilebox.server.store.work.claims import HandingOut

MAX_ERROR_CHARACTERS = 16_384
"""How much is kept of what went wrong."""

DOUBT = 2
"""How many times as many crashes a task may have where another one may well have been to blame."""

FEW = 8
"""For so few reports it is looked ahead, and at the tasks of groups of so few."""

_WRITES = (
    "compute_tasks",
    "end_tasks",
    "requeue_tasks",
    "add_attempts",
    "clear_progress",
    "put_progress",
    "add_groups",
    "add_dependencies",
    "add_tasks",
)
"""What is collected, in the order in which it is written."""


@dataclass(slots=True)
class Change:
    """The rows that a transaction is going to write, collected so that each kind is written at once."""

    now_us: int
    virtual_rank: int
    limits: Limits = field(default_factory=Limits)
    jobs: dict[bytes, Line] = field(default_factory=dict)
    completion: Completion = field(init=False)
    effects: Effects = field(default_factory=Effects)
    handed: list[Claimed] = field(default_factory=list)
    _ready: list[Row] | None = None
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _stopped: list[dict[str, Any]] = field(default_factory=list)
    _abandoned: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.completion = Completion(self.jobs, self.virtual_rank)

    def report(
        self, team: UUID, reports: Sequence[Report], handing_out: HandingOut | None = None
    ) -> Steps[list[Verdict]]:
        """Judge reports, and collect what those that count change.

        Args:
            team: Whose runner reports.
            reports: At least one.
            handing_out: What `finish` will be asked to do.
        """
        tasks = [report.task for report in reports]
        yield _lock(tasks)
        behind: list[Row] = []
        if len(reports) <= FEW and all(map(_is_plain, reports)):
            behind = yield from self._look_ahead(tasks, handing_out)
        held = yield from self._hold(tasks)
        self.completion.note_behind(behind, len(tasks))
        verdicts: list[Verdict] = []
        settled: dict[bytes, Report] = {}
        for report in reports:
            row = held.get(report.task)
            if row is None or is_foreign(row, team):
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
        yield _lock(tasks)
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

    def finish(self, handing_out: HandingOut | None = None) -> Steps[Effects]:
        """Write everything, with what is completed by it up to the jobs, and hand out tasks, if that is asked."""
        yield from self._flush()
        yield from self.completion.follow()
        yield from self.completion.write()
        if self._stopped:
            yield call_each("stop_jobs", self._stopped)
        yield deferred(call_each("change_jobs", [line.change(job) for job, line in sorted(self.jobs.items())]))
        if handing_out is None:
            yield from self._release(self.completion.releases)
        elif self._ready is not None and all(release.tasks is not None for release in self.completion.releases):
            yield from self._hand_out_ahead(handing_out, self._ready, self.completion.releases)
        else:
            released = yield _call_release(self.completion.releases)
            self.handed = yield from handing_out.hand_out()
            for row in released:
                self.effects.count_ready(row["queue"])
            self._count_handed(self._ready or ())
        self.effects.jobs |= self.jobs.keys()
        self.effects.ended |= {job for job, line in self.jobs.items() if line.closed_groups or line.failed}
        return self.effects

    def _count_handed(self, seen: Sequence[Row]) -> None:
        """Count what was handed out off what became ready, but for what was ready before, as was seen then.

        What was seen and not handed out was kept from others meanwhile, who may have looked for tasks and found none.
        """
        left = {bytes(row["id"]): row["queue"] for row in seen}
        self.effects.count_handed([claimed for claimed in self.handed if left.pop(claimed.task, None) is None])
        for queue in left.values():
            self.effects.count_ready(queue)

    def _hand_out_ahead(
        self, handing_out: HandingOut, ready: Sequence[Row], releases: Sequence[Release]
    ) -> Steps[None]:
        """Hand out tasks that were all read before. Of those that are released, only the rest gets a turn in a queue."""
        self.handed = yield from handing_out.hand_out_of(ready, releases)
        handed = {claimed.task for claimed in self.handed}
        yield from self._release([release for release in releases if not (release.tasks or {}).keys() <= handed])

    def _release(self, releases: Sequence[Release]) -> Steps[None]:
        if releases:
            for row in (yield _call_release(releases)):
                self.effects.count_ready(row["queue"])

    def _look_ahead(self, tasks: Sequence[bytes], handing_out: HandingOut | None) -> Steps[list[Row]]:
        """Read what follows if the tasks are computed, together with what the reports are judged by.

        A released task that is handed out at once then takes fewer statements: a runner that executes one short task
        after the other waits for every one of them.
        """
        if handing_out is not None and not handing_out.claim.is_repeated:
            self.completion.few = min(handing_out.claim.count, FEW)
            self._ready = yield handing_out.look()
        return (yield self.completion.look_behind(tasks, len(tasks)))

    def _hold(self, tasks: Sequence[bytes]) -> Steps[dict[bytes, Row]]:
        held = {bytes(row["id"]): row for row in (yield call_each("held_tasks", [{"task": task} for task in tasks]))}
        for row in held.values():
            job = bytes(row["job_id"])
            if job not in self.jobs:
                self.jobs[job] = Line(row["last_rank"], is_live=not row["failed"] and not row["is_canceled"])
            parent = None if row["group_parent_id"] is None else bytes(row["group_parent_id"])
            self.completion.know(bytes(row["group_id"]), job, parent, row["group_open_tasks"])
        return held

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
        self._write(
            "compute_tasks",
            {
                "task": report.task,
                "display": report.display or row["display"],
                "open_groups": open_groups,
                "started_us": started_us,
                "stopped_us": self.now_us,
            },
        )
        if not open_groups:
            self.completion.count_off(bytes(row["id"]), bytes(row["group_id"]))

    def _fail(self, row: Row, report: Report) -> Steps[None]:
        failure = report.failure or Failure.TASK
        attempts = Attempts(row["retries"], row["crashes"]).after(failure)
        excuse = yield from self._optional_above(row)
        event = after_failure(
            failure,
            attempts,
            max_retries=row["max_retries"],
            max_crashes=self.limits.max_crashes * (DOUBT if report.is_doubtful else 1),
            is_optional=excuse is not None,
        )
        line = self.jobs[bytes(row["job_id"])]
        started_us = self._started(row, report)
        line.ran(started_us, self.now_us)
        self._write("add_attempts", self._attempt(row, report, failure, started_us))
        if event is TaskEvent.REQUEUE:
            self._requeue(row, report, attempts, error=report.error[:MAX_ERROR_CHARACTERS])
            return
        self._write("end_tasks", self._end(row, report, next_state(TaskState.RUNNING, event), attempts))
        if excuse is None:
            line.failed += 1
            line.is_live = False
            self._stopped.append({"job": bytes(row["job_id"])})
        else:
            line.failed_optional += 1
            self.completion.count_off(bytes(row["id"]), bytes(row["group_id"]))
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

    def _skip_below(self, task: bytes, line: Line) -> Steps[None]:
        # What this transaction collected must be seen: a computed task's new subtasks may lie below.
        yield from self._flush()
        for skipped in (yield call("skip_below", task=task)):
            line.skipped += 1
            self.completion.count_off(bytes(skipped["id"]), bytes(skipped["group_id"]))
        self._abandoned |= {bytes(row["id"]) for row in (yield call("abandon_below", task=task))}

    def _write(self, statement: str, *rows: dict[str, Any]) -> None:
        self._rows.setdefault(statement, []).extend(rows)

    def _flush(self) -> Steps[None]:
        for statement in _WRITES:
            if rows := self._rows.pop(statement, None):
                write = call_each(statement, rows)
                # What was just computed is changed by nothing else that is written before the next read.
                yield deferred(write) if statement == "compute_tasks" else write

    def _requeue(self, row: Row, report: Report, attempts: Attempts, *, error: str | None) -> None:
        line = self.jobs[bytes(row["job_id"])]
        if self._is_abandoned(row):
            # It would wait below an optional task that failed, and what waits there is skipped.
            self._write("end_tasks", self._end(row, report, TaskState.SKIPPED, attempts))
            line.skipped += 1
            self.completion.count_off(bytes(row["id"]), bytes(row["group_id"]))
            return
        wakes = report.retry_after_us > 0
        is_ready = line.is_live and not wakes
        self._write(
            "requeue_tasks",
            {
                "task": report.task,
                "display": report.display or row["display"],
                "error": error,
                "retries": attempts.retries,
                "crashes": attempts.crashes,
                # It had its turn, so it goes first.
                "rank": self.virtual_rank if is_ready else None,
                "wake_us": self.now_us + report.retry_after_us if wakes else None,
            },
        )
        if is_ready:
            self.effects.count_ready(row["queue"])
        self.effects.has_pauses |= wakes

    def add_groups(
        self, job: bytes, line: Line, parent: bytes | None, groups: Sequence[NewGroup], *, is_abandoned: bool = False
    ) -> int:
        """Collect groups and their tasks, ready if they wait for nothing; returns how many are not completed yet."""
        if not groups:
            return 0
        ids = new_ids(len(groups), self.now_us)
        # Tasks that follow each other are near each other in the database.
        task_ids = iter(new_ids(sum(len(group.tasks) for group in groups), self.now_us))
        for group, identity in zip(groups, ids, strict=True):
            size = len(group.tasks)
            is_ready = line.is_live and not group.dependencies and not is_abandoned
            rank = line.take_ranks(size, self.virtual_rank) if is_ready else None
            self._write(
                "add_groups",
                {
                    "id": identity,
                    "job": job,
                    "parent": parent,
                    "size": size,
                    "open_tasks": 0 if is_abandoned else size,
                    "open_dependencies": 0 if is_abandoned else len(set(group.dependencies)),
                },
            )
            self._write(
                "add_dependencies", *[{"group": ids[other], "dependent": identity} for other in set(group.dependencies)]
            )
            state = int(TaskState.SKIPPED if is_abandoned else TaskState.QUEUED)
            self._write(
                "add_tasks",
                *[
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
                    for position, (task_id, task) in enumerate(zip(islice(task_ids, size), group.tasks, strict=True))
                ],
            )
            line.total += size
            if is_abandoned:
                line.skipped += size
            if is_ready:
                for task in group.tasks:
                    self.effects.count_ready(task.queue)
        return 0 if is_abandoned else len(groups)

    def _note_progress(self, row: Row, report: Report) -> None:
        job = bytes(row["job_id"])
        if row["lease_number"] > 1:
            self._write("clear_progress", {"job": job, "task": report.task})
        updates = {update.label: update for update in report.progress}
        self._write(
            "put_progress",
            *[
                {"job": job, "label": update.label, "task": report.task, "total": update.total, "done": update.done}
                for update in updates.values()
            ],
        )

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


def _lock(tasks: Sequence[bytes]) -> Call:
    return call_each("lock_jobs_of_tasks", [{"task": task} for task in tasks])


def _call_release(releases: Sequence[Release]) -> Call:
    return call_each("release_groups", [{"group": release.group, "rank": release.rank} for release in releases])


def _is_plain(report: Report) -> bool:
    """Tell whether a report says that a task was computed and submitted nothing."""
    return report.failure is None and not report.is_returned and not report.groups


def is_foreign(row: Row, team: UUID) -> bool:
    """Tell whether a task belongs to another team."""
    owner = row["team_id"]
    return bool((owner if isinstance(owner, bytes) else owner.bytes) != team.bytes)
