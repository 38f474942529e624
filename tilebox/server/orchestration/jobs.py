"""The service that submits, finds, cancels and retries jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import anyio

from tilebox.errors import InvalidArgumentError
from tilebox.server.clock import now_us
from tilebox.server.diagrams.job_graphs import read_graph
from tilebox.server.orchestration.job_tasks import JobBriefs, JobTasks, invalid_cursor, job_not_found
from tilebox.server.orchestration.submission_parsing import MAX_ROOT_TASKS, group_legacy_tasks
from tilebox.server.rules.task_states import JobCounts, JobState
from tilebox.server.store.work.interface import NewJob, new_ids
from tilebox.server.store.work.jobs import Job, JobBrief

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from uuid import UUID

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox.server.diagrams.graph import JobGraph
    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.orchestration.wakeups import JobChanges
    from tilebox.server.rules.task_states import TaskState
    from tilebox.server.store.interface import Store
    from tilebox.server.store.work.interface import Effects, NewGroup
    from tilebox.server.store.work.jobs import JobFilter

MAX_NAME_CHARACTERS = 1024
MAX_TRACE_PARENT_CHARACTERS = 256

MAX_WAIT_SECONDS = 30.0
"""Longest time that a request waits for a job; shorter than the time-outs of common proxies."""

POLL_SECONDS = 1.0
"""How often a waiting request reads the job without a notification: progress in other processes sends none."""

_SUBMITTED = frozenset({JobState.SUBMITTED})
_STARTED = frozenset({JobState.RUNNING, JobState.STARTED})


class SubmitJob(Protocol):
    """Stores a job, and tells waiting runners about its tasks."""

    def __call__(self, job: NewJob, *, virtual_rank: int) -> Awaitable[object]:
        """Store the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The amount of unfinished work.

    Args:
        waiting_jobs: Number of jobs none of whose tasks was started.
        running_jobs: Number of jobs that were started and have not ended.
        queued_tasks: Number of queued tasks of all these jobs.
        oldest_waiting_job: The waiting job that was submitted first, or None.
    """

    waiting_jobs: int
    running_jobs: int
    queued_tasks: int
    oldest_waiting_job: Job | None


async def _ignore(_: Effects) -> None:
    """Notify no request."""


class Jobs:
    """Submits, finds, cancels and retries jobs.

    Args:
        store: Stores the jobs.
        submissions: Resolves submissions to queues.
        virtual_rank: Returns the rank at which new jobs join the queue order of a cluster.
        on_effects: Notifies the requests that wait for what changed.
        submit: Stores a job; by default the store itself, which wakes no runners.
        clock: Reads the current time, in microseconds since 1970.

    Attributes:
        tasks: Reads the tasks of jobs.
    """

    def __init__(
        self,
        store: Store,
        submissions: Submissions,
        *,
        virtual_rank: Callable[[int], int] = lambda _: 0,
        on_effects: Callable[[Effects], Awaitable[None]] = _ignore,
        submit: SubmitJob | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._briefs = JobBriefs(store)
        self.tasks = JobTasks(store, self._briefs)
        self._store = store
        self._submissions = submissions
        self._virtual_rank = virtual_rank
        self._on_effects = on_effects
        self._submit_job: SubmitJob = submit or store.submit_job
        self._now_us = clock

    async def submit(
        self,
        team: UUID,
        tasks: core_pb2.TaskSubmissions,
        *,
        name: str,
        trace_parent: str,
        automation: bytes | None = None,
    ) -> Job:
        """Submit a job, in one transaction.

        Args:
            team: Team that will own the job.
            tasks: Its root tasks.
            name: Its name, 1 to 1,024 characters.
            trace_parent: The W3C trace parent of the submitter, 1 to 256 characters.
            automation: Id of the automation that submits it, or None.

        Returns:
            The job as it was accepted, before any task was started.

        Raises:
            InvalidArgumentError: A text is too long or missing, or the tasks are malformed or exceed a limit.
            NotFoundError: A task names a cluster that does not exist.
        """
        _check_name(name)
        _check_trace_parent(trace_parent)
        default = await self._submissions.cluster_number(team, "")
        groups = await self._submissions.resolve(team, tasks, default_cluster=default, is_root=True)
        return await self._store_job(team, groups, name, trace_parent, automation)

    async def get(self, team: UUID, job: bytes) -> Job:
        """Return a job by id.

        Raises:
            NotFoundError: The team has no such job.
        """
        record = await self._store.job(team, job)
        if record is None:
            raise job_not_found(job)
        return record

    async def query(
        self, team: UUID, job_filter: JobFilter, *, latest_first: bool, after: bytes | None, count: int
    ) -> tuple[list[Job], bytes | None]:
        """Return a page of jobs in the order in which they were submitted.

        Args:
            team: Team that owns the jobs.
            job_filter: The jobs to return.
            latest_first: Whether to reverse the order.
            after: Id of the last job of the page before, or None for the first page.
            count: Most jobs to return.

        Returns:
            The jobs, and the cursor of the next page, or None if this is the last page.

        Raises:
            InvalidArgumentError: The job in `after` is not one of the team's.
        """
        if after is not None:
            if await self._store.job_brief(team, after) is None:
                raise invalid_cursor("job", after)
            job_filter = _start_after(job_filter, after, latest_first=latest_first)
        # The interval is empty, or the cursor was its last id.
        if job_filter.first > job_filter.last:
            return [], None
        # One job more than asked for tells whether there is another page.
        jobs = await self._store.jobs(team, job_filter, latest_first=latest_first, count=count + 1)
        return jobs[:count], jobs[count - 1].id if len(jobs) > count else None

    async def counts(self, team: UUID, job_filter: JobFilter) -> dict[JobState, int]:
        """Return the number of jobs in each state."""
        return {state: jobs for state, (jobs, _) in (await self._store.job_counts(team, job_filter)).items()}

    async def backlog(self, team: UUID, job_filter: JobFilter) -> Backlog:
        """Return how much work of the jobs is unfinished."""
        counts = await self._store.job_counts(team, job_filter)
        waiting = replace(job_filter, states=[JobState.SUBMITTED])
        oldest = await self._store.jobs(team, waiting, latest_first=False, count=1)
        return Backlog(
            waiting_jobs=sum(counts.get(state, (0, 0))[0] for state in _SUBMITTED),
            running_jobs=sum(counts.get(state, (0, 0))[0] for state in _STARTED),
            queued_tasks=sum(counts.get(state, (0, 0))[1] for state in _SUBMITTED | _STARTED),
            oldest_waiting_job=oldest[0] if oldest else None,
        )

    async def clone(
        self, team: UUID, job: bytes, *, name: str, overrides: Sequence[core_pb2.SingleTaskSubmission]
    ) -> Job:
        """Submit a job again.

        Args:
            team: Team that owns the job.
            job: Id of the job.
            name: Name of the new job; the old name if empty.
            overrides: Root tasks of the new job; the old root tasks if empty.

        Returns:
            The new job.

        Raises:
            NotFoundError: The team has no such job, or one of its clusters was deleted.
            InvalidArgumentError: The root tasks are malformed or exceed a limit.
        """
        old_name, tasks = await self.tasks.prototype(team, job)
        old = await self.get(team, job)
        return await self.submit(
            team,
            group_legacy_tasks(overrides or tasks, max_tasks=MAX_ROOT_TASKS),
            name=name or old_name,
            trace_parent=old.trace_parent,
        )

    async def graph(self, team: UUID, job: bytes, max_tasks: int) -> JobGraph:
        """Return the graph of a job for its diagram. Groups of a large job are counted, and few of its tasks are read.

        Raises:
            NotFoundError: The team has no such job.
        """
        return await read_graph(self._store, await self.get(team, job), max_tasks)

    async def await_end(
        self, team: UUID, job: bytes, changes: JobChanges, *, seconds: float, computed_at_least: int = 0
    ) -> Job:
        """Return a job once it has ended, once enough of its tasks are computed, or after some time.

        Args:
            team: Team that owns the job.
            job: Id of the job.
            changes: Notifies about changes of jobs.
            seconds: Longest wait; `MAX_WAIT_SECONDS` at the most.
            computed_at_least: Number of computed tasks that ends the wait; 0 to wait for the end.

        Returns:
            The job, whatever its state then.

        Raises:
            NotFoundError: The team has no such job.
        """
        deadline = time.monotonic() + min(seconds, MAX_WAIT_SECONDS)
        while True:
            # Taken before the job is read, so that no change in between is missed.
            changed = changes.next_change(job)
            record = await self.get(team, job)
            left = deadline - time.monotonic()
            if record.has_ended or 0 < computed_at_least <= record.counts.computed or left <= 0:
                return record
            with anyio.move_on_after(min(left, POLL_SECONDS)):
                await changed.wait()

    async def cancel(self, team: UUID, job: bytes) -> None:
        """Cancel a job. Running tasks finish. A job that has ended stays as it is.

        Raises:
            NotFoundError: The team has no such job.
        """
        await self._on_effects(await self._store.cancel_job(team, job))

    async def retry(self, team: UUID, job: bytes) -> int:
        """Continue a job that failed or was canceled.

        Returns:
            The number of failed tasks that are queued again.

        Raises:
            NotFoundError: The team has no such job.
        """
        rank = self._rank(await self._store.job_clusters(team, job))
        count, effects = await self._store.retry_job(team, job, virtual_rank=rank)
        await self._on_effects(effects)
        return count

    async def brief(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return what never changes about a job, or None if the team has no such job."""
        return await self._briefs.get(team, job)

    async def task_state(self, team: UUID, task: bytes) -> TaskState | None:
        """Return the state of a task, or None if the team has no such task."""
        return await self._store.task_state(team, task)

    async def _store_job(
        self, team: UUID, groups: Sequence[NewGroup], name: str, trace_parent: str, automation: bytes | None
    ) -> Job:
        submitted_us = self._now_us()
        (job_id,) = new_ids(1, submitted_us)
        job = NewJob(
            id=job_id,
            team=team,
            name=name,
            trace_parent=trace_parent,
            submitted_us=submitted_us,
            groups=groups,
            automation=automation,
        )
        rank = self._rank(await self._clusters_of({task.queue for group in groups for task in group.tasks}))
        # Cached before the job is stored: a runner may be leased a task in the same transaction, and needs the name.
        self._briefs.add(team, job_id, JobBrief(name, trace_parent))
        await self._submit_job(job, virtual_rank=rank)
        return _as_accepted(job)

    async def _clusters_of(self, queue_numbers: set[int]) -> set[int]:
        queues = [await self._submissions.queue(number) for number in queue_numbers]
        return {queue.cluster for queue in queues if queue is not None}

    def _rank(self, clusters: Iterable[int]) -> int:
        # A job has one rank in all of its clusters: the highest, so that it overtakes no job in any of them.
        return max((self._virtual_rank(cluster) for cluster in clusters), default=0)


def _as_accepted(job: NewJob) -> Job:
    """Return a job as it is before any of its tasks was started."""
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


def _start_after(job_filter: JobFilter, job: bytes, *, latest_first: bool) -> JobFilter:
    # Ids ascend in the order of submission, so the next page starts at the neighbouring id.
    number = int.from_bytes(job, "big")
    if latest_first:
        return replace(job_filter, last=min(job_filter.last, max(number - 1, 0).to_bytes(16, "big")))
    return replace(job_filter, first=max(job_filter.first, min(number + 1, (1 << 128) - 1).to_bytes(16, "big")))


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"job_name must have 1 to {MAX_NAME_CHARACTERS:,} characters")


def _check_trace_parent(trace_parent: str) -> None:
    if not 1 <= len(trace_parent) <= MAX_TRACE_PARENT_CHARACTERS:
        raise InvalidArgumentError(f"trace_parent must have 1 to {MAX_TRACE_PARENT_CHARACTERS} characters")
