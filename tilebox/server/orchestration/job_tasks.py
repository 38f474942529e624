"""Reading the tasks of jobs, page by page, and the root tasks that a job was submitted with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.orchestration.submission_parsing import MAX_ROOT_TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilebox.server.store.interface import Store
    from tilebox.server.store.work.jobs import JobBrief, JobTask

_MAX_CACHED_BRIEFS = 10_000


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of sibling tasks.

    Args:
        parent: Id of the task that submitted them, or None for root tasks.
        tasks: The tasks, in the order in which they were submitted.
        has_more: Whether more tasks follow.
    """

    parent: bytes | None
    tasks: Sequence[JobTask]
    has_more: bool


class JobBriefs:
    """A cache of what never changes about a job.

    Args:
        store: Stores the jobs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._briefs: dict[tuple[UUID, bytes], JobBrief] = {}

    async def get(self, team: UUID, job: bytes) -> JobBrief | None:
        """Return the brief of a job, or None if the team has no such job."""
        brief = self._briefs.get((team, job))
        if brief is None:
            brief = await self._store.job_brief(team, job)
            if brief is not None:
                self.add(team, job, brief)
        return brief

    def add(self, team: UUID, job: bytes, brief: JobBrief) -> None:
        """Cache the brief of a job."""
        if len(self._briefs) >= _MAX_CACHED_BRIEFS:
            del self._briefs[next(iter(self._briefs))]
        self._briefs[team, job] = brief


class JobTasks:
    """Reads the tasks of jobs.

    Args:
        store: Stores the tasks.
        briefs: Tells which jobs a team has.
    """

    def __init__(self, store: Store, briefs: JobBriefs) -> None:
        self._store = store
        self._briefs = briefs

    async def page(self, team: UUID, job: bytes, *, parent: bytes | None, after: bytes | None, count: int) -> TaskPage:
        """Return a page of the root tasks of a job, or of the subtasks of one of its tasks.

        Args:
            team: Team that owns the job.
            job: Id of the job.
            parent: Id of the task that submitted the tasks; None for root tasks.
            after: Id of the last task of the page before, or None for the first page.
            count: Most tasks to return.

        Returns:
            The page.

        Raises:
            NotFoundError: The team has no such job, or the job no such parent task.
            InvalidArgumentError: The task in `after` has another parent.
        """
        await self._brief(team, job)
        if parent is not None:
            parent_task = await self._store.task(team, parent)
            if parent_task is None or parent_task.job != job:
                raise NotFoundError(f"there is no task {UUID(bytes=parent)} in job {UUID(bytes=job)}")
        start = None
        if after is not None:
            start = await self._store.task(team, after)
            if start is None or (start.job, start.parent) != (job, parent):
                raise invalid_cursor("task", after)
        # One task more than asked for tells whether there is another page.
        if parent is None:
            tasks = await self._store.root_tasks(job, after=start, count=count + 1)
        else:
            tasks = (await self._store.child_tasks([parent], after=start, count=count + 1))[parent]
        return TaskPage(parent, tasks[:count], has_more=len(tasks) > count)

    async def first_children(self, page: TaskPage, count: int) -> list[TaskPage]:
        """Return the first page of the subtasks of each task of a page that has any.

        Args:
            page: The parent tasks.
            count: Most subtasks of each task.
        """
        parents = [task.id for task in page.tasks if task.has_children]
        children = await self._store.child_tasks(parents, after=None, count=count + 1)
        return [
            TaskPage(parent, children[parent][:count], has_more=len(children[parent]) > count) for parent in parents
        ]

    async def prototype(self, team: UUID, job: bytes) -> tuple[str, list[core_pb2.SingleTaskSubmission]]:
        """Return the name of a job, and its root tasks as they were submitted.

        Raises:
            NotFoundError: The team has no such job.
        """
        brief = await self._brief(team, job)
        tasks = await self._store.root_tasks(job, after=None, count=MAX_ROOT_TASKS)
        dependencies = await self._store.root_dependencies(job)
        positions: dict[bytes, list[int]] = {}
        for position, task in enumerate(tasks):
            positions.setdefault(task.group, []).append(position)
        return brief.name, [
            core_pb2.SingleTaskSubmission(
                cluster_slug=task.cluster_slug,
                identifier=core_pb2.TaskIdentifier(name=task.identifier.name, version=task.identifier.version),
                # Runners append an error to the display, after its first line.
                display=task.display.partition("\n")[0] or task.identifier.name,
                dependencies=[position for group in dependencies.get(task.group, ()) for position in positions[group]],
                max_retries=task.max_retries,
                input=task.input,
            )
            for task in tasks
        ]

    async def _brief(self, team: UUID, job: bytes) -> JobBrief:
        brief = await self._briefs.get(team, job)
        if brief is None:
            raise job_not_found(job)
        return brief


def job_not_found(job: bytes) -> NotFoundError:
    """Return the error for a job that the team does not have."""
    return NotFoundError(f"there is no job {UUID(bytes=job)}")


def invalid_cursor(noun: str, identity: bytes) -> InvalidArgumentError:
    """Return the error for a page cursor that names a job or task outside the listing."""
    return InvalidArgumentError(
        f"page.starting_after names the {noun} {UUID(bytes=identity)}, which is not part of this listing: use the "
        "next_page of a response to the same request"
    )
