"""The verbs that read jobs, written once for both back ends."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tilebox._core.scheduling import JobCounts, TaskState
from tilebox.server.store.jobs import Job, JobBrief, JobStore, LabelProgress
from tilebox.server.store.statements import Steps, call, call_each
from tilebox.server.store.transactions import Transactions, reads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox.server.store.statements import Row

_MAX_COUNT = (1 << 64) - 1


class JobVerbs(Transactions, JobStore):
    """The verbs of `JobStore` over the one that a back end has: read."""

    @reads
    def job(self, team: UUID, job: bytes) -> Steps[Job | None]:
        """Return a job by id."""
        rows = yield call("job", team=team, job=job)
        found = yield from _jobs(rows)
        return found[0] if found else None

    @reads
    def job_brief(self, team: UUID, job: bytes) -> Steps[JobBrief | None]:
        """Return what of a job never changes."""
        rows = yield call("job_brief", team=team, job=job)
        return JobBrief(rows[0]["name"], rows[0]["trace_parent"]) if rows else None

    @reads
    def job_clusters(self, team: UUID, job: bytes) -> Steps[list[int]]:
        """Return the clusters of a job's root tasks."""
        return [row["cluster"] for row in (yield call("job_clusters", team=team, job=job))]

    @reads
    def task_state(self, team: UUID, task: bytes) -> Steps[TaskState | None]:
        """Return the state of a task."""
        rows = yield call("task_state", team=team, task=task)
        return TaskState(rows[0]["state"]) if rows else None

    @reads
    def task_cluster(self, team: UUID, task: bytes) -> Steps[int | None]:
        """Return the cluster that a task is meant for."""
        rows = yield call("task_state", team=team, task=task)
        cluster: int | None = rows[0]["cluster"] if rows else None
        return cluster


def _jobs(rows: Sequence[Row]) -> Steps[list[Job]]:
    """Return the jobs of rows, with their progress."""
    progress: defaultdict[bytes, list[LabelProgress]] = defaultdict(list)
    for row in (yield call_each("job_progress", [{"job": bytes(row["id"])} for row in rows])):
        progress[bytes(row["job_id"])].append(LabelProgress(row["label"], _sum(row, "total"), _sum(row, "done")))
    return [_job(row, progress[bytes(row["id"])]) for row in rows]


def _sum(row: Row, column: str) -> int:
    # Added up in halves, because the sum of a column may have more bits than the database's numbers.
    whole: int = (row[f"{column}_high"] << 31) + row[f"{column}_low"]
    return min(whole, _MAX_COUNT)


def _job(row: Row, progress: Sequence[LabelProgress]) -> Job:
    # Of running tasks, the job's own row knows once they stopped.
    starts = row["first_started_us"], row["running_since_us"]
    return Job(
        id=bytes(row["id"]),
        name=row["name"],
        trace_parent=row["trace_parent"],
        automation=None if row["automation_id"] is None else bytes(row["automation_id"]),
        submitted_us=row["submitted_us"],
        is_canceled=bool(row["is_canceled"]),
        is_completed=not row["open_groups"],
        counts=JobCounts(
            total=row["total"],
            running=row["running"],
            computed=row["computed"],
            failed=row["failed"],
            failed_optional=row["failed_optional"],
            skipped=row["skipped"],
        ),
        first_started_us=min((start for start in starts if start is not None), default=None),
        last_stopped_us=row["last_stopped_us"],
        compute_us=row["compute_us"],
        progress=progress,
    )
