"""A walk through all tasks of a job finds each of them once, however the server cuts its pages."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.jobs import job
from tilebox._core.jobs.task_pages import TaskWalk
from tilebox._core.protocol.tilebox.v1 import query_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2
from tilebox._core.values import ids
from tilebox.errors import PageError

JOB = UUID(int=2**100)


class Server:
    """Answers as the wire describes: children by parent, in pages, with the first children of each.

    Args:
        parents: Of task n + 1, its parent, or 0 for none.
        page: Tasks in one page.
        prefetch: Children at most that come with their parent; 0 for a server without that.
    """

    def __init__(self, parents, page, prefetch):
        self.page, self.prefetch = page, prefetch
        self.children = {0: []}
        for number, parent in enumerate(parents, start=1):
            self.children.setdefault(parent, []).append(number)

    def answer(self, request):
        assert request.job_id == ids.to_wire(JOB)
        parent = int.from_bytes(request.parent_task_id.uuid, "big")
        after = int.from_bytes(request.page.starting_after.uuid, "big")
        shown = self._page(parent, after, self.page)
        answer = job_pb2.ListJobTasksResponse(page=shown)
        limit = min(self.prefetch, request.prefetch_children.limit)
        for task in shown.tasks if limit else ():
            if task.has_children:
                answer.prefetched_child_pages.append(self._page(int.from_bytes(task.id.uuid, "big"), 0, limit))
        return answer

    def _page(self, parent, after, size):
        children = self.children.get(parent, [])
        start = children.index(after) + 1 if after else 0
        found = children[start : start + size]
        page = job_pb2.JobTaskPage(tasks=[self._task(number, parent) for number in found])
        if parent:
            page.parent_task_id.CopyFrom(ids.to_wire(UUID(int=parent)))
        if start + size < len(children):
            page.next_page.starting_after.CopyFrom(ids.to_wire(UUID(int=found[-1])))
        return page

    def _task(self, number, parent):
        task = job_pb2.TaskSummary(id=ids.to_wire(UUID(int=number)), has_children=number in self.children)
        if parent:
            task.parent_id.CopyFrom(ids.to_wire(UUID(int=parent)))
        return task


@st.composite
def trees(draw):
    count = draw(st.integers(0, 40))
    return [draw(st.integers(0, number)) for number in range(count)]


def walked(server, limit=None):
    walk, rounds, requests = TaskWalk(JOB, limit), 0, 0
    while batch := walk.next_requests():
        for request in batch:
            walk.feed(request, server.answer(request))
        rounds += 1
        requests += len(batch)
        assert requests < 500
    return walk.tasks, requests


@given(trees(), st.integers(1, 5), st.integers(0, 5))
def test_every_task_once_and_parents_first(parents, page, prefetch):
    tasks, _ = walked(Server(parents, page, prefetch))
    numbers = [task.id.int for task in tasks]
    assert sorted(numbers) == list(range(1, len(parents) + 1))
    place = {number: index for index, number in enumerate(numbers)}
    assert all(place[parents[number - 1]] < place[number] for number in numbers if parents[number - 1])
    ordered = job.in_tree_order(tasks)
    assert sorted(task.id.int for task in ordered) == sorted(numbers)


@given(trees(), st.integers(1, 5), st.integers(0, 5), st.integers(1, 50))
def test_a_limit_keeps_the_tree_whole(parents, page, prefetch, limit):
    tasks, _ = walked(Server(parents, page, prefetch), limit)
    assert len(tasks) == min(limit, len(parents))
    known = {task.id for task in tasks}
    assert all(task.parent_id is None or task.parent_id in known for task in tasks)


def test_children_that_came_along_are_not_asked_for():
    fan = [0] + [1] * 50
    assert walked(Server(fan, 1000, 100))[1] == 1
    assert walked(Server(fan, 1000, 0))[1] == 2
    assert walked(Server(fan, 1000, 49))[1] == 2


def test_a_page_that_repeats_is_refused():
    walk = TaskWalk(JOB)
    page = Server([0] * 9, 3, 0).answer(walk.next_requests()[0])
    (request,) = [job_pb2.ListJobTasksRequest(job_id=ids.to_wire(JOB))]
    walk.feed(request, page)
    (request,) = walk.next_requests()
    assert request.page == query_pb2.Pagination(starting_after=ids.to_wire(UUID(int=3)))
    with pytest.raises(PageError, match="repeats the cursor"):
        walk.feed(request, page)
