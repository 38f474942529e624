"""Jobs: submitting, finding, cancelling and retrying them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import anyio

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.diagrams.job_graphs import read_graph
from tilebox.server.orchestration.submissions import MAX_ROOT_TASKS, from_legacy
from tilebox.server.rules.task_states import JobCounts, JobState
from tilebox.server.store.work.interface import NewJob, new_ids
from tilebox.server.store.work.jobs import Job, JobBrief

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from tilebox.server.diagrams.graph import JobGraph
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.rules.task_states import TaskState
    from tilebox.server.store.interface import Store
    from tilebox.server.store.work.interface import Effects, NewGroup
    from tilebox.server.store.work.jobs import JobFilter, JobTask

MAX_NAME_CHARACTERS = 1024
MAX_TRACE_PARENT_CHARACTERS = 256

MAX_WAIT_SECONDS = 30.0
"""How long a request waits for a job at most: shorter than what proxies allow."""

LOOK_SECONDS = 1.0
"""After how long a job that is waited for is looked at though nobody said that it changed."""

_MAX_BRIEFS = 10_000
_WAITING = frozenset({JobState.SUBMITTED})
_GOING_ON = frozenset({JobState.RUNNING, JobState.STARTED})


class Submit(Protocol):
    """Keeps a job, and sees to it that runners learn of it."""

    def __call__(self, job: NewJob, *, virtual_rank: int) -> Awaitable[object]:
        """Keep it."""


class JobWatch(Protocol):
    """Tells when jobs change."""

    def next_change(self, job: bytes) -> asyncio.Event:
        """Return what is set when a job changes from now on."""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some of the tasks that were submitted together.

    Args:
        parent: The task that submitted them, or None for root tasks.
        tasks: In the order in which they were submitted.
        has_more: Whether others come behind them.
    """

    parent: bytes | None
    tasks: Sequence[JobTask]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much work waits.

    Args:
        waiting_jobs: Jobs of which no task was started.
        running_jobs: Jobs that were started and have not ended.
        queued_tasks: Tasks of all these that wait.
        oldest_waiting_job: The one that has waited longest for its first task to start.
    """

    waiting_jobs: int
    running_jobs: int
    queued_tasks: int
    oldest_waiting_job: Job | None


async def _tell_nobody(_: Effects) -> None:
    """Wake nobody."""


class Jobs:
    """The verbs of jobs.

    Args:
        store: Where they are kept.
        submissions: Reads tasks, and knows clusters.
        virtual_rank: Tells where new jobs join the line of a cluster.
        on_effects: Told what changed, to wake those who wait for it.
        submit: Keeps a job; the store, if nobody waits for tasks.
        clock: Microseconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        submissions: Submissions,
        *,
        virtual_rank: Callable[[int], int] = lambda _: 0,
        on_effects: Callable[[Effects], Awaitable[None]] = _tell_nobody,
        submit: Submit | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._virtual_rank = virtual_rank
        self._on_effects = on_effects
        self._keep: Submit = submit or store.submit_job
        self._now_us = clock
        self._briefs: dict[tuple[UUID, bytes], JobBrief] = {}

    async def submit(
        self,
        team: UUID,
        tasks: core_pb2.TaskSubmissions,
        *,
        name: str,
        trace_parent: str,
        automation: bytes | None = None,
    ) -> Job:
        """Submit a job, all of it or nothing.

        Args:
            team: Whose job it will be.
            tasks: Its root tasks.
            name: What it is called.
            trace_parent: The trace that it belongs to.
            automation: What submits it, or None.

        Raises:
            InvalidArgumentError: It breaks a rule.
            NotFoundError: There is no such cluster.
        """
        _check_name(name)
        _check_trace_parent(trace_parent)
        default = await self._submissions.cluster_number(team, "")
        groups = await self._submissions.groups(team, tasks, default_cluster=default, is_root=True)
        return await self._submit(team, groups, name, trace_parent, automation)

    async def get(self, team: UUID, job: bytes) -> Job:
        """Return a job by id.

        Raises:
            NotFoundError: The team has none of that id.
        """
        found = await self._store.job(team, job)
        if found is None:
            raise _unknown(job)
        return found

    async def query(
        self, team: UUID, wanted: JobFilter, *, latest_first: bool, after: bytes | None, count: int
    ) -> tuple[list[Job], bytes | None]:
        """Return a page of jobs in the order in which they were submitted.

        Args:
            team: Whose jobs.
            wanted: Which ones.
            latest_first: Whether the latest comes first.
            after: The job behind which the page starts, or None.
            count: How many at most.

        Returns:
            The jobs, and the one behind which the next page starts, or None if this is the last.

        Raises:
            InvalidArgumentError: The page is to start behind a job that is none of the team's.
        """
        if after is not None:
            if await self._store.job_brief(team, after) is None:
                raise _foreign_cursor("job", after)
            wanted = _behind(wanted, after, latest_first=latest_first)
        if wanted.first > wanted.last:
            return [], None
        found = await self._store.jobs(team, wanted, latest_first=latest_first, count=count + 1)
        return found[:count], found[count - 1].id if len(found) > count else None

    async def counts(self, team: UUID, wanted: JobFilter) -> dict[JobState, int]:
        """Count the jobs of an interval, by state."""
        return {state: jobs for state, (jobs, _) in (await self._store.job_counts(team, wanted)).items()}

    async def backlog(self, team: UUID, wanted: JobFilter) -> Backlog:
        """Say how much of the jobs of an interval waits."""
        counts = await self._store.job_counts(team, wanted)
        waiting = replace(wanted, states=[JobState.SUBMITTED])
        oldest = await self._store.jobs(team, waiting, latest_first=False, count=1)
        return Backlog(
            waiting_jobs=sum(counts.get(state, (0, 0))[0] for state in _WAITING),
            running_jobs=sum(counts.get(state, (0, 0))[0] for state in _GOING_ON),
            queued_tasks=sum(counts.get(state, (0, 0))[1] for state in _WAITING | _GOING_ON),
            oldest_waiting_job=oldest[0] if oldest else None,
        )

    async def tasks(self, team: UUID, job: bytes, *, parent: bytes | None, after: bytes | None, count: int) -> TaskPage:
        """Return a page of root tasks of a job, or of those that one of its tasks submitted.

        Args:
            team: Whose job it is.
            job: The job.
            parent: The task that submitted them; None for root tasks.
            after: The task behind which the page starts, or None.
            count: How many at most.

        Raises:
            NotFoundError: The team has no such job, or the job no such task.
            InvalidArgumentError: The page is to start behind a task that is none of these.
        """
        if await self.brief(team, job) is None:
            raise _unknown(job)
        if parent is not None:
            submitter = await self._store.task(team, parent)
            if submitter is None or submitter.job != job:
                raise NotFoundError(f"there is no task {UUID(bytes=parent)} in job {UUID(bytes=job)}")
        start = None
        if after is not None:
            start = await self._store.task(team, after)
            if start is None or (start.job, start.parent) != (job, parent):
                raise _foreign_cursor("task", after)
        if parent is None:
            found = await self._store.root_tasks(job, after=start, count=count + 1)
        else:
            found = (await self._store.child_tasks([parent], after=start, count=count + 1))[parent]
        return TaskPage(parent, found[:count], has_more=len(found) > count)

    async def first_children(self, page: TaskPage, count: int) -> list[TaskPage]:
        """Return a page of what each task of a page submitted, where it submitted any."""
        parents = [task.id for task in page.tasks if task.has_children]
        found = await self._store.child_tasks(parents, after=None, count=count + 1)
        return [TaskPage(parent, found[parent][:count], has_more=len(found[parent]) > count) for parent in parents]

    async def prototype(self, team: UUID, job: bytes) -> tuple[str, list[core_pb2.SingleTaskSubmission]]:
        """Return a job's name, and its root tasks as they were submitted.

        Raises:
            NotFoundError: The team has no such job.
        """
        brief = await self.brief(team, job)
        if brief is None:
            raise _unknown(job)
        tasks = await self._store.root_tasks(job, after=None, count=MAX_ROOT_TASKS)
        dependencies = await self._store.root_dependencies(job)
        positions: dict[bytes, list[int]] = {}
        for position, task in enumerate(tasks):
            positions.setdefault(task.group, []).append(position)
        return brief.name, [
            core_pb2.SingleTaskSubmission(
                cluster_slug=task.cluster_slug,
                identifier=core_pb2.TaskIdentifier(name=task.identifier.name, version=task.identifier.version),
                # Behind the first line, runners tell of errors.
                display=task.display.partition("\n")[0] or task.identifier.name,
                dependencies=[at for group in dependencies.get(task.group, ()) for at in positions[group]],
                max_retries=task.max_retries,
                input=task.input,
            )
            for task in tasks
        ]

    async def clone(
        self, team: UUID, job: bytes, *, name: str, overrides: Sequence[core_pb2.SingleTaskSubmission]
    ) -> Job:
        """Submit a job again.

        Args:
            team: Whose job it is.
            job: The job.
            name: What the new one is called; the same if empty.
            overrides: Its root tasks, where they are to be others.

        Raises:
            NotFoundError: The team has no such job, or no such cluster any more.
            InvalidArgumentError: The root tasks break a rule.
        """
        old_name, tasks = await self.prototype(team, job)
        old = await self.get(team, job)
        return await self.submit(
            team,
            from_legacy(overrides or tasks, max_tasks=MAX_ROOT_TASKS),
            name=name or old_name,
            trace_parent=old.trace_parent,
        )

    async def graph(self, team: UUID, job: bytes, max_tasks: int) -> JobGraph:
        """Return a job as its diagram needs it; of a large one, groups are counted and few tasks are read.

        Raises:
            NotFoundError: The team has no such job.
        """
        return await read_graph(self._store, await self.get(team, job), max_tasks)

    async def await_end(
        self, team: UUID, job: bytes, watch: JobWatch, *, seconds: float, computed_at_least: int = 0
    ) -> Job:
        """Return a job once it has ended, or so many of its tasks are computed, or so much time is over.

        Args:
            team: Whose job it is.
            job: The job.
            watch: Tells when jobs change.
            seconds: How long to wait at most; no longer than 30 in any case.
            computed_at_least: How many computed tasks are enough; 0 waits for the end.

        Raises:
            NotFoundError: The team has no such job.
        """
        deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        while True:
            # Before it is read, so that no change is missed in between.
            changed = watch.next_change(job)
            found = await self.get(team, job)
            left = deadline - time.monotonic()
            if found.has_ended or 0 < computed_at_least <= found.counts.computed or left <= 0:
                return found
            # Of progress in other processes nobody is told, so that is looked for.
            with anyio.move_on_after(min(left, LOOK_SECONDS)):
                await changed.wait()

    async def cancel(self, team: UUID, job: bytes) -> None:
        """Stop a job; tasks that run finish. Nothing changes if it has ended.

        Raises:
            NotFoundError: The team has none of that id.
        """
        await self._on_effects(await self._store.cancel_job(team, job))

    async def retry(self, team: UUID, job: bytes) -> int:
        """Let a job that failed or was canceled go on; returns how many failed tasks are queued again.

        Raises:
            NotFoundError: The team has none of that id.
        """
        rank = self._rank(await self._store.job_clusters(team, job))
        count, effects = await self._store.retry_job(team, job, virtual_rank=rank)
        await self._on_effects(effects)
        return count

    async def brief(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return what of a job never changes, or None if the team has no such job."""
        known = self._briefs.get((team, job))
        if known is None:
            known = await self._store.job_brief(team, job)
            if known is not None:
                self._remember(team, job, known)
        return known

    async def task_state(self, team: UUID, task: bytes) -> TaskState | None:
        """Return the state of a task, or None if the team has no such task."""
        return await self._store.task_state(team, task)

    async def _submit(
        self, team: UUID, groups: Sequence[NewGroup], name: str, trace_parent: str, automation: bytes | None
    ) -> Job:
        submitted_us = self._now_us()
        (identity,) = new_ids(1, submitted_us)
        job = NewJob(
            id=identity,
            team=team,
            name=name,
            trace_parent=trace_parent,
            submitted_us=submitted_us,
            groups=groups,
            automation=automation,
        )
        rank = self._rank(await self._clusters_of({task.queue for group in groups for task in group.tasks}))
        # Before it is kept, since runners that are handed its tasks at once are to be told of it.
        self._remember(team, identity, JobBrief(name, trace_parent))
        await self._keep(job, virtual_rank=rank)
        return _as_accepted(job)

    async def _clusters_of(self, queues: set[int]) -> set[int]:
        found = [await self._submissions.queue(number) for number in queues]
        return {queue.cluster for queue in found if queue is not None}

    def _rank(self, clusters: Sequence[int] | set[int]) -> int:
        # A job of several clusters has one rank: the highest, so that in none of them it goes before its turn.
        return max((self._virtual_rank(cluster) for cluster in clusters), default=0)

    def _remember(self, team: UUID, job: bytes, brief: JobBrief) -> None:
        if len(self._briefs) >= _MAX_BRIEFS:
            del self._briefs[next(iter(self._briefs))]
        self._briefs[team, job] = brief


def _as_accepted(job: NewJob) -> Job:
    """Return a job as it is when nothing of it was started."""
    return Job(
        id=job.id,
        name=job.name,
        trace_parent=job.trace_parent,
        automation=job.automation,
        submitted_us=job.submitted_us,
        is_canceled=False,
        is_completed=False,
        counts=JobCounts(total=sum(len(group.tasks) for group in job.groups)),
        first_started_us=None,
        last_stopped_us=None,
        compute_us=0,
    )


def _unknown(job: bytes) -> NotFoundError:
    return NotFoundError(f"there is no job {UUID(bytes=job)}")


def _foreign_cursor(what: str, identity: bytes) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"page.starting_after names the {what} {UUID(bytes=identity)}, which does not belong here: use the next_page of "
        "an answer to the same question"
    )


def _behind(wanted: JobFilter, job: bytes, *, latest_first: bool) -> JobFilter:
    number = int.from_bytes(job, "big")
    if latest_first:
        return replace(wanted, last=min(wanted.last, max(number - 1, 0).to_bytes(16, "big")))
    return replace(wanted, first=max(wanted.first, min(number + 1, (1 << 128) - 1).to_bytes(16, "big")))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"job_name must have 1 to {MAX_NAME_CHARACTERS:,} characters")


def _check_trace_parent(trace_parent: str) -> None:
    if not 1 <= len(trace_parent) <= MAX_TRACE_PARENT_CHARACTERS:
        raise InvalidArgumentError(f"trace_parent must have 1 to {MAX_TRACE_PARENT_CHARACTERS} characters")
