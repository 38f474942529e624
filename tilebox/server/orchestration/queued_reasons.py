"""Why tasks of a job are still queued: one reason for each, the first that holds.

A task waits because its job was stopped, because it failed and its next attempt is not due, or because other tasks
are not completed. Otherwise it could be handed out, and what counts is who could execute it: runners that were heard
of lately, or that hold a task, in its cluster.
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

SEEN_SECONDS = 60
"""How long ago a runner may have been heard of to count as being there."""

MAX_NAMED = 5
MAX_RUNNERS = 1000
MAX_EXPLAINED = 1000


class Reason(IntEnum):
    """Why a task is queued; the numbers are those of the wire (`tilebox.ext.v1.QueueReason`)."""

    NEXT = 1
    NO_RUNNER = 2
    UNKNOWN_TASK = 3
    VERSION_TOO_LOW = 4
    DEPENDENCIES = 5
    RETRY_DELAY = 6
    JOB_STOPPED = 7


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is queued.

    Args:
        task: The task.
        reason: Why.
        sentence: The same for people.
        waits_for: Tasks that it waits for, some of them.
    """

    task: JobTask
    reason: Reason
    sentence: str
    waits_for: Sequence[bytes] = ()


class Explanations:
    """Explains queued tasks.

    Args:
        store: Where jobs and runners are kept.
        clock: The time at which runners are noted, in microseconds since 1970.
    """

    def __init__(self, store: JobStore, *, clock: Callable[[], int] = now_us) -> None:
        self._store = store
        self._now_us = clock

    async def of_job(self, team: UUID, job: bytes, *, limit: int) -> list[Explanation]:
        """Explain why tasks of a job are queued, at most so many.

        Raises:
            NotFoundError: The team has no such job.
        """
        found = await self._store.job(team, job)
        if found is None:
            raise NotFoundError(f"there is no job {UUID(bytes=job)}")
        tasks = await self._store.queued_tasks(job, count=min(limit, MAX_EXPLAINED))
        blocked = sorted({task.group for task in tasks if task.is_blocked})
        waits = await self._store.blockers(blocked, count=MAX_NAMED)
        clusters = {task.cluster for task in tasks if not task.is_blocked}
        runners = {cluster: await self._store.runners(cluster, count=MAX_RUNNERS) for cluster in sorted(clusters)}
        now = self._now_us()
        return [_explain(found, task, waits, runners.get(task.cluster, ()), now) for task in tasks]


def _explain(
    job: Job, task: JobTask, waits: Mapping[bytes, Blockers], runners: Sequence[RunnerStatus], now_us: int
) -> Explanation:
    if job.state in (JobState.FAILED, JobState.CANCELED):
        why = "a task of its job failed" if job.state is JobState.FAILED else "its job was canceled"
        return Explanation(task, Reason.JOB_STOPPED, f"{why}; retry the job to let it go on")
    if task.wake_us is not None and task.wake_us > now_us:
        seconds = (task.wake_us - now_us) / 1e6
        error = f": {task.error.partition(chr(10))[0][:200]}" if task.error else ""
        return Explanation(
            task, Reason.RETRY_DELAY, f"it failed, and will be tried again in {_duration(seconds)}{error}"
        )
    if task.is_blocked:
        return _blocked(task, waits.get(task.group))
    return _runnable(task, runners, now_us)


def _blocked(task: JobTask, waits: Blockers | None) -> Explanation:
    if waits is None or not waits.first:
        return Explanation(task, Reason.DEPENDENCIES, "the tasks that it depends on are being completed right now")
    named = ", ".join(f"{_short(each.display)} ({_WHERE[each.state]})" for each in waits.first)
    more = waits.count - len(waits.first)
    tail = f" and {more:,} more" if more > 0 else ""
    count = f"{waits.count:,} task{'s' if waits.count > 1 else ''}"
    return Explanation(
        task, Reason.DEPENDENCIES, f"it waits for {count}: {named}{tail}", [each.task for each in waits.first]
    )


def _runnable(task: JobTask, runners: Sequence[RunnerStatus], now_us: int) -> Explanation:
    there = [runner for runner in runners if runner.is_busy or now_us - runner.seen_us <= SEEN_SECONDS * 1_000_000]
    slug, wanted = task.cluster_slug, task.identifier
    if not there:
        last = max((runner.seen_us for runner in runners), default=None)
        ago = f"; the last one was heard of {_duration((now_us - last) / 1e6)} ago" if last is not None else ""
        return Explanation(task, Reason.NO_RUNNER, f"no runner is there in cluster {slug}{ago}")
    known = sorted({identifier for runner in there for identifier in runner.identifiers})
    if any(identifier.runs(wanted) for identifier in known):
        return Explanation(task, Reason.NEXT, f"a runner of cluster {slug} executes it when it comes to its turn")
    named = [identifier for identifier in known if identifier.name == wanted.name]
    if named:
        versions = _some([identifier.version for identifier in named])
        return Explanation(
            task,
            Reason.VERSION_TOO_LOW,
            f"it is {wanted}, and the runners of cluster {slug} have {wanted.name} in {versions} only: the major "
            "version must be equal, and the minor version not lower",
        )
    return Explanation(
        task,
        Reason.UNKNOWN_TASK,
        f"no runner of cluster {slug} has {wanted.name}; they have {_some(_names(known)) or 'no tasks at all'}",
    )


_WHERE = {
    TaskState.QUEUED: "queued",
    TaskState.RUNNING: "running",
    TaskState.COMPUTED: "its subtasks are not completed",
    TaskState.FAILED: "failed",
}


def _names(identifiers: Sequence[TaskIdentifier]) -> list[str]:
    return sorted({identifier.name for identifier in identifiers})


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_NAMED
    return ", ".join(texts[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(display: str) -> str:
    line = display.partition("\n")[0]
    return line if len(line) <= 60 else line[:59] + "…"


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
