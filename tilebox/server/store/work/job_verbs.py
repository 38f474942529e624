"""The verbs that read jobs, written once for both databases."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.server.rules.task_states import JobCounts, JobState, TaskState
from tilebox.server.store.sql.statements import Steps, call, call_each
from tilebox.server.store.sql.transactions import Transactions, reads
from tilebox.server.store.work.jobs import (
    Blockers,
    BlockingTask,
    GroupOverview,
    Job,
    JobBrief,
    JobFilter,
    JobStore,
    JobTask,
    LabelProgress,
    RunnerStatus,
    TaskCount,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tilebox.server.store.sql.statements import Row

_MAX_COUNT = (1 << 64) - 1
"""The largest progress that the wire can carry, in an unsigned integer of 64 bits."""


class JobVerbs(Transactions, JobStore):
    """The verbs of `JobStore`, for a back end that runs transactions."""

    @reads
    def job(self, team: UUID, job: bytes) -> Steps[Job | None]:
        """Return a job by id."""
        rows = yield call("job", team=team, job=job)
        jobs = yield from _jobs(rows)
        return jobs[0] if jobs else None

    @reads
    def job_brief(self, team: UUID, job: bytes) -> Steps[JobBrief | None]:
        """Return the parts of a job that never change."""
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
    def jobs(self, team: UUID, wanted: JobFilter, *, latest_first: bool, count: int) -> Steps[list[Job]]:
        """Return the first jobs that match a filter, in the order of their ids."""
        queues: list[int] = []
        for slug in wanted.clusters:
            queues += [row["number"] for row in (yield call("queues_of_slug", team=team, slug=slug))]
        if wanted.clusters and not queues:
            # Without queues the statement would apply no filter at all.
            return []
        rows = yield call(
            "jobs_descending" if latest_first else "jobs_ascending",
            **_interval(team, wanted),
            states=sum(1 << state for state in set(wanted.states)),
            name=_contains_pattern(wanted.name) if wanted.name else "",
            task_states=sum(1 << state for state in set(wanted.task_states)),
            automations=",".join(automation.hex() for automation in wanted.automations),
            queues=f",{','.join(map(str, queues))}," if queues else "",
            count=count,
        )
        return (yield from _jobs(rows))

    @reads
    def job_counts(self, team: UUID, wanted: JobFilter) -> Steps[dict[JobState, tuple[int, int]]]:
        """Return the number of jobs in an interval and the number of their queued tasks, by the state of the jobs."""
        rows = yield call("job_counts", **_interval(team, wanted))
        return {JobState(row["state"]): (row["jobs"], row["queued"]) for row in rows}

    @reads
    def task(self, team: UUID, task: bytes) -> Steps[JobTask | None]:
        """Return a task by id."""
        rows = yield call("task", team=team, task=task)
        return _task(rows[0]) if rows else None

    @reads
    def root_tasks(self, job: bytes, *, after: JobTask | None, count: int) -> Steps[list[JobTask]]:
        """Return root tasks of a job in the order of their submission."""
        return [_task(row) for row in (yield call("root_tasks", job=job, **_page_start(after), count=count))]

    @reads
    def child_tasks(
        self, parents: Sequence[bytes], *, after: JobTask | None, count: int
    ) -> Steps[dict[bytes, list[JobTask]]]:
        """Return the subtasks of each parent in the order of their submission."""
        children: dict[bytes, list[JobTask]] = {parent: [] for parent in parents}
        arguments = [{"parent": parent, **_page_start(after), "count": count} for parent in children]
        for row in (yield call_each("child_tasks", arguments)):
            children[bytes(row["parent_id"])].append(_task(row))
        return children

    @reads
    def root_dependencies(self, job: bytes) -> Steps[dict[bytes, list[bytes]]]:
        """Return the dependencies of the groups of a job's root tasks, by group."""
        return _pairs((yield call("root_dependencies", job=job)))

    @reads
    def queued_tasks(self, job: bytes, *, count: int) -> Steps[list[JobTask]]:
        """Return at most `count` queued tasks of a job."""
        return [_task(row) for row in (yield call("queued_tasks", job=job, count=count))]

    @reads
    def tasks_in_state(self, job: bytes, state: TaskState, *, count: int) -> Steps[list[JobTask]]:
        """Return at most `count` tasks of a job that are in a state."""
        return [_task(row) for row in (yield call("tasks_in_state", job=job, state=int(state), count=count))]

    @reads
    def tasks_of_groups(self, groups: Sequence[bytes]) -> Steps[list[JobTask]]:
        """Return all tasks of the given groups."""
        return [_task(row) for row in (yield call_each("tasks_of_group", [{"group": group} for group in groups]))]

    @reads
    def blockers(self, groups: Sequence[bytes], *, count: int) -> Steps[dict[bytes, Blockers]]:
        """Return the tasks that groups wait for, by group. At most `count` tasks are listed for each."""
        first: defaultdict[bytes, list[BlockingTask]] = defaultdict(list)
        for row in (yield call_each("blocking_tasks", [{"group": group, "count": count} for group in groups])):
            task = BlockingTask(bytes(row["id"]), row["display"], TaskState(row["state"]))
            first[bytes(row["dependent_id"])].append(task)
        counts = yield call_each("blocking_counts", [{"group": group} for group in groups])
        return {bytes(row["dependent_id"]): Blockers(row["count"], first[bytes(row["dependent_id"])]) for row in counts}

    @reads
    def runners(self, cluster: int, *, count: int) -> Steps[list[RunnerStatus]]:
        """Return at most `count` runners of a cluster, the most recently seen first."""
        return [
            RunnerStatus(
                [TaskIdentifier(*identifier) for identifier in json.loads(row["identifiers"])],
                row["seen_us"],
                bool(row["is_busy"]),
            )
            for row in (yield call("cluster_runners", cluster=cluster, count=count))
        ]

    @reads
    def job_groups(self, job: bytes, *, count: int) -> Steps[tuple[list[GroupOverview], list[TaskCount]]]:
        """Return the first `count` groups of a job, and the counted tasks of all other groups."""
        rows = yield call("job_groups", job=job, count=count)
        last = bytes(rows[-1]["id"]) if rows else bytes(16)
        dependencies = _pairs((yield call("job_dependencies", job=job, last=last)))
        counts: defaultdict[bytes, list[TaskCount]] = defaultdict(list)
        for row in (yield call("group_task_counts", job=job, last=last)):
            counts[bytes(row["group_id"])].append(_count(row))
        groups = [
            GroupOverview(
                id=bytes(row["id"]),
                parent=_bytes(row["parent_id"]),
                parent_group=_bytes(row["parent_group"]),
                parent_name=row["parent_name"] or "",
                dependencies=dependencies.get(bytes(row["id"]), []),
                counts=counts[bytes(row["id"])],
            )
            for row in rows
        ]
        rest = (yield call("remaining_task_counts", job=job, last=last)) if len(rows) == count else []
        return groups, [_count(row) for row in rest]


def _jobs(rows: Sequence[Row]) -> Steps[list[Job]]:
    """Read the progress of jobs, and return them with it."""
    progress: defaultdict[bytes, list[LabelProgress]] = defaultdict(list)
    for row in (yield call_each("job_progress", [{"job": bytes(row["id"])} for row in rows])):
        progress[bytes(row["job_id"])].append(LabelProgress(row["label"], _sum(row, "total"), _sum(row, "done")))
    return [_job(row, progress[bytes(row["id"])]) for row in rows]


def _sum(row: Row, column: str) -> int:
    # The statement adds the upper and lower bits separately, because the sum may exceed the 64 bits of the database.
    whole: int = (row[f"{column}_high"] << 31) + row[f"{column}_low"]
    return min(whole, _MAX_COUNT)


def _job(row: Row, progress: Sequence[LabelProgress]) -> Job:
    # The row of the job learns the start of a task only when the task stops; `running_since_us` covers those that run.
    starts = row["first_started_us"], row["running_since_us"]
    return Job(
        id=bytes(row["id"]),
        name=row["name"],
        trace_parent=row["trace_parent"],
        automation=_bytes(row["automation_id"]),
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


def _task(row: Row) -> JobTask:
    return JobTask(
        id=bytes(row["id"]),
        job=bytes(row["job_id"]),
        group=bytes(row["group_id"]),
        position=row["position"],
        parent=_bytes(row["parent_id"]),
        state=TaskState(row["state"]),
        display=row["display"],
        input=bytes(row["input"]),
        retries=row["retries"],
        max_retries=row["max_retries"],
        is_optional=bool(row["is_optional"]),
        is_ready=row["rank"] is not None,
        is_blocked=row["open_dependencies"] > 0,
        wake_us=row["wake_us"],
        started_us=row["started_us"],
        stopped_us=row["stopped_us"],
        error=row["error"],
        identifier=TaskIdentifier(row["name"], row["major"], row["minor"]),
        cluster=row["cluster"],
        cluster_slug=row["cluster_slug"],
        has_children=bool(row["has_children"]),
    )


def _contains_pattern(text: str) -> str:
    """Return a LIKE pattern, with `!` as its escape character, for texts that contain this one."""
    return "%" + re.sub(r"([!%_])", r"!\1", text) + "%"


def _count(row: Row) -> TaskCount:
    return TaskCount(row["name"], TaskState(row["state"]), row["count"])


def _pairs(rows: Sequence[Row]) -> dict[bytes, list[bytes]]:
    pairs: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for row in rows:
        pairs[bytes(row["dependent_id"])].append(bytes(row["group_id"]))
    return pairs


def _interval(team: UUID, wanted: JobFilter) -> dict[str, Any]:
    return {
        "team": team,
        "first": wanted.first,
        "last": wanted.last,
        "start_us": wanted.start_us,
        "end_us": wanted.end_us,
    }


def _page_start(after: JobTask | None) -> dict[str, Any]:
    if after is None:
        # An empty id sorts before every other one.
        return {"after_group": b"", "after_position": -1}
    return {"after_group": after.group, "after_position": after.position}


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
