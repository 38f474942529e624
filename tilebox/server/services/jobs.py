"""Jobs: submitting, finding, cancelling and retrying them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.services.catalogue import now_us
from tilebox.server.store.orchestration import NewJob, new_ids

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox._core.scheduling import TaskState
    from tilebox.server.services.submissions import Submissions
    from tilebox.server.store.interface import Store
    from tilebox.server.store.jobs import Job, JobBrief
    from tilebox.server.store.orchestration import Effects, NewGroup

MAX_NAME_CHARACTERS = 1024
MAX_TRACE_PARENT_CHARACTERS = 256

_MAX_BRIEFS = 10_000


async def _tell_nobody(_: Effects) -> None:
    """Wake nobody."""


class Jobs:
    """The verbs of jobs.

    Args:
        store: Where they are kept.
        submissions: Reads tasks, and knows clusters.
        virtual_rank: Tells where new jobs join the line of a cluster.
        on_effects: Told what changed, to wake those who wait for it.
        clock: Microseconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        submissions: Submissions,
        *,
        virtual_rank: Callable[[int], int] = lambda _: 0,
        on_effects: Callable[[Effects], Awaitable[None]] = _tell_nobody,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._store = store
        self._submissions = submissions
        self._virtual_rank = virtual_rank
        self._on_effects = on_effects
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
        await self._on_effects(await self._store.submit_job(job, virtual_rank=rank))
        return await self.get(team, identity)

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


def _unknown(job: bytes) -> NotFoundError:
    return NotFoundError(f"there is no job {UUID(bytes=job)}")


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"job_name must have 1 to {MAX_NAME_CHARACTERS:,} characters")


def _check_trace_parent(trace_parent: str) -> None:
    if not 1 <= len(trace_parent) <= MAX_TRACE_PARENT_CHARACTERS:
        raise InvalidArgumentError(f"trace_parent must have 1 to {MAX_TRACE_PARENT_CHARACTERS} characters")
