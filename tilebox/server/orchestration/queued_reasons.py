"""The reasons why tasks of a job are queued: for each task, the first reason that applies.

A task is queued because its job is stopped, because its next attempt is not due yet, or because its dependencies are
not completed. Otherwise it is ready, and the reason depends on the active runners of its cluster: those that contacted
the server lately, or that hold a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.rules.task_states import JobState, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tilebox._core.tasks.versions import TaskIdentifier
    from tilebox.server.store.work.jobs import Blockers, Job, JobStore, JobTask, RunnerStatus

ACTIVE_SECONDS = 60
"""How long after its last request a runner counts as active."""

MAX_LISTED = 5
"""Most tasks, versions or names that one explanation lists."""

MAX_RUNNERS = 1000
MAX_EXPLAINED = 1000


class Reason(IntEnum):
    """The reason why a task is queued, with the numbers of the wire (`tilebox.ext.v1.QueueReason`)."""

    NEXT = 1
    NO_RUNNER = 2
    UNKNOWN_TASK = 3
    VERSION_TOO_LOW = 4
    DEPENDENCIES = 5
    RETRY_DELAY = 6
    JOB_STOPPED = 7


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one queued task.

    Args:
        task: The task.
        reason: The reason why it is queued.
        sentence: The reason in words, for users.
        waits_for: Ids of up to `MAX_LISTED` tasks that it depends on and that are not completed.
    """

    task: JobTask
    reason: Reason
    sentence: str
    waits_for: Sequence[bytes] = ()


class QueueExplainer:
    """Explains why tasks are queued.

    Args:
        store: Stores the jobs, and when runners were last seen.
        clock: Reads the clock by which the store notes runners, in microseconds since 1970.
    """

    def __init__(self, store: JobStore, *, clock: Callable[[], int] = now_us) -> None:
        self._store = store
        self._now_us = clock

    async def explain_job(self, team: UUID, job: bytes, *, limit: int) -> list[Explanation]:
        """Explain why tasks of a job are queued.

        Args:
            team: Team that owns the job.
            job: Id of the job.
            limit: Most tasks to explain; `MAX_EXPLAINED` at the most.

        Returns:
            One explanation for each task.

        Raises:
            NotFoundError: The team has no such job.
        """
        record = await self._store.job(team, job)
        if record is None:
            raise NotFoundError(f"there is no job {UUID(bytes=job)}")
        tasks = await self._store.queued_tasks(job, count=min(limit, MAX_EXPLAINED))
        blocked = sorted({task.group for task in tasks if task.is_blocked})
        waits = await self._store.blockers(blocked, count=MAX_LISTED)
        clusters = {task.cluster for task in tasks if not task.is_blocked}
        runners = {cluster: await self._store.runners(cluster, count=MAX_RUNNERS) for cluster in sorted(clusters)}
        now = self._now_us()
        return [_explain(record, task, waits, runners.get(task.cluster, ()), now) for task in tasks]


def _explain(
    job: Job, task: JobTask, waits: Mapping[bytes, Blockers], runners: Sequence[RunnerStatus], now_us: int
) -> Explanation:
    if job.state in (JobState.FAILED, JobState.CANCELED):
        cause = "a task of its job failed" if job.state is JobState.FAILED else "its job was canceled"
        return Explanation(task, Reason.JOB_STOPPED, f"{cause}; retry the job to continue it")
    if task.wake_us is not None and task.wake_us > now_us:
        seconds = (task.wake_us - now_us) / 1e6
        error = f": {task.error.partition(chr(10))[0][:200]}" if task.error else ""
        return Explanation(
            task, Reason.RETRY_DELAY, f"it failed, and its next attempt starts in {_duration(seconds)}{error}"
        )
    if task.is_blocked:
        return _explain_blocked(task, waits.get(task.group))
    return _explain_ready(task, runners, now_us)


def _explain_blocked(task: JobTask, waits: Blockers | None) -> Explanation:
    if waits is None or not waits.first:
        return Explanation(task, Reason.DEPENDENCIES, "the tasks that it depends on are completing right now")
    listed = ", ".join(f"{_first_line(other.display)} ({_STATE_NAMES[other.state]})" for other in waits.first)
    more = waits.count - len(waits.first)
    rest = f" and {more:,} more" if more > 0 else ""
    count = f"{waits.count:,} task{'s' if waits.count > 1 else ''}"
    return Explanation(
        task, Reason.DEPENDENCIES, f"it waits for {count}: {listed}{rest}", [other.task for other in waits.first]
    )


def _explain_ready(task: JobTask, runners: Sequence[RunnerStatus], now_us: int) -> Explanation:
    active = [runner for runner in runners if runner.is_busy or now_us - runner.seen_us <= ACTIVE_SECONDS * 1_000_000]
    slug, wanted = task.cluster_slug, task.identifier
    if not active:
        last_us = max((runner.seen_us for runner in runners), default=None)
        ago = "" if last_us is None else f"; the last one was seen {_duration((now_us - last_us) / 1e6)} ago"
        return Explanation(task, Reason.NO_RUNNER, f"no runner is active in cluster {slug}{ago}")
    registered = sorted({identifier for runner in active for identifier in runner.identifiers})
    if any(identifier.runs(wanted) for identifier in registered):
        return Explanation(task, Reason.NEXT, f"a runner of cluster {slug} executes it when its turn comes")
    same_name = [identifier for identifier in registered if identifier.name == wanted.name]
    if same_name:
        versions = _listing([identifier.version for identifier in same_name])
        return Explanation(
            task,
            Reason.VERSION_TOO_LOW,
            f"it is {wanted}, and the runners of cluster {slug} have {wanted.name} in {versions} only: the major "
            "version must be equal, and the minor version not lower",
        )
    return Explanation(
        task,
        Reason.UNKNOWN_TASK,
        f"no runner of cluster {slug} has {wanted.name}; they have {_listing(_names(registered)) or 'no tasks at all'}",
    )


_STATE_NAMES = {
    TaskState.QUEUED: "queued",
    TaskState.RUNNING: "running",
    TaskState.COMPUTED: "its subtasks are not completed",
    TaskState.FAILED: "failed",
}


def _names(identifiers: Sequence[TaskIdentifier]) -> list[str]:
    return sorted({identifier.name for identifier in identifiers})


def _listing(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_LISTED
    return ", ".join(texts[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def _first_line(display: str) -> str:
    line = display.partition("\n")[0]
    return line if len(line) <= 60 else line[:59] + "…"


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
