"""Pagination over all tasks of a job, without IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.jobs.job import TaskSummary
from tilebox._core.protocol.workflows.v1 import job_pb2
from tilebox._core.values import ids
from tilebox._core.wire.pages import Pages

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox._core.protocol.tilebox.v1 import query_pb2

# The number of children that come with the page of a task; further ones are requested separately.
_PREFETCHED_CHILDREN = 100


class TaskWalk:
    """A breadth-first walk through the tasks of a job.

    Args:
        job: The id of the job.
        limit: The largest number of tasks to find; None for all.
    """

    def __init__(self, job: UUID, limit: int | None = None) -> None:
        self._job = ids.to_wire(job)
        self._limit = limit
        self._pages: dict[bytes, Pages] = {b"": Pages(order=None)}
        self._tasks: dict[UUID, TaskSummary] = {}
        self._pending_parents: list[bytes] = [b""]

    @property
    def tasks(self) -> list[TaskSummary]:
        """The tasks found so far, parents before children."""
        return list(self._tasks.values())[: self._limit]

    def next_requests(self) -> list[job_pb2.ListJobTasksRequest]:
        """Return the next requests, which may be sent concurrently; an empty list at the end of the walk."""
        if self._limit is not None and len(self._tasks) >= self._limit:
            return []
        parents, self._pending_parents = self._pending_parents, []
        requests = []
        for parent in parents:
            page = self._pages[parent].next_request()
            if page is not None:
                requests.append(self._request(parent, page))
        return requests

    def feed(self, request: job_pb2.ListJobTasksRequest, answer: job_pb2.ListJobTasksResponse) -> None:
        """Record a response.

        Raises:
            PageError: The page repeats an earlier one.
        """
        self._feed(request.parent_task_id.uuid, answer.page)
        for page in answer.prefetched_child_pages:
            parent = page.parent_task_id.uuid
            if parent not in self._pages:
                self._pages[parent] = Pages(order=None)
                self._feed(parent, page)
        for page in (answer.page, *answer.prefetched_child_pages):
            for task in page.tasks:
                self._expect_children(task)

    def _request(self, parent: bytes, page: query_pb2.Pagination) -> job_pb2.ListJobTasksRequest:
        request = job_pb2.ListJobTasksRequest(
            job_id=self._job,
            page=page,
            prefetch_children=job_pb2.JobTaskChildrenPrefetch(limit=_PREFETCHED_CHILDREN),
        )
        if parent:
            request.parent_task_id.uuid = parent
        return request

    def _feed(self, parent: bytes, page: job_pb2.JobTaskPage) -> None:
        for message in page.tasks:
            task = TaskSummary.from_wire(message)
            self._tasks.setdefault(task.id, task)
        self._pages[parent].feed(len(page.tasks), page.next_page)
        self._pending_parents.append(parent)

    def _expect_children(self, task: job_pb2.TaskSummary) -> None:
        if task.has_children and task.id.uuid not in self._pages:
            self._pages[task.id.uuid] = Pages(order=None)
            self._pending_parents.append(task.id.uuid)
