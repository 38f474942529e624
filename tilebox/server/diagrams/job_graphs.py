"""Reading the graph of a job from the store: all of a small job, groups with counts and few tasks of a large one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from tilebox.server.diagrams.graph import GraphCount, GraphGroup, GraphTask, JobGraph
from tilebox.server.diagrams.job_diagram import groups_to_load
from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox.server.store.work.jobs import GroupOverview, Job, JobStore, JobTask, TaskCount

MAX_GROUPS = 5_000
"""The most groups that are read one by one; the tasks of all others are counted together."""


async def read_graph(store: JobStore, job: Job, max_tasks: int) -> JobGraph:
    """Read the graph of a job.

    Args:
        store: Stores jobs.
        job: The job.
        max_tasks: The most tasks of a job that is read completely.
    """
    overviews, rest = await store.job_groups(job.id, count=MAX_GROUPS)
    indices = {overview.id: index for index, overview in enumerate(overviews)}
    graph = JobGraph(
        job_name=job.name,
        state=job.state,
        groups=[_group(overview, indices) for overview in overviews],
        tasks=[],
        rest=[_count(count) for count in rest],
    )
    if job.counts.total <= max_tasks:
        tasks = await store.tasks_of_groups([overview.id for overview in overviews])
    else:
        tasks = await _single_tasks(store, job, max_tasks)
        tasks += await store.tasks_of_groups([overviews[index].id for index in groups_to_load(graph, max_tasks)])
    return replace(graph, tasks=_tasks(tasks, indices))


async def _single_tasks(store: JobStore, job: Job, max_tasks: int) -> list[JobTask]:
    """Read the tasks of a large job that are shown one by one: root tasks, failed and running ones."""
    tasks = await store.root_tasks(job.id, after=None, count=max_tasks)
    if job.counts.failed:
        tasks += await store.tasks_in_state(job.id, TaskState.FAILED, count=max_tasks)
    if job.counts.running:
        tasks += await store.tasks_in_state(job.id, TaskState.RUNNING, count=max_tasks)
    return tasks


def _tasks(tasks: Iterable[JobTask], indices: Mapping[bytes, int]) -> list[GraphTask]:
    unique = {task.id: task for task in tasks if task.group in indices}
    return [
        GraphTask(
            id=UUID(bytes=task.id),
            parent_id=_uuid(task.parent),
            group=indices[task.group],
            display=_display(task),
            state=task.state,
            identifier=task.identifier.name,
            is_optional=task.is_optional,
        )
        for task in sorted(unique.values(), key=lambda task: (task.group, task.position))
    ]


def _display(task: JobTask) -> str:
    # The display name of a failed task has the error in its further lines.
    has_failed = task.state in (TaskState.FAILED, TaskState.FAILED_OPTIONAL)
    return task.display.partition("\n")[0] if has_failed else task.display


def _group(overview: GroupOverview, indices: Mapping[bytes, int]) -> GraphGroup:
    return GraphGroup(
        index=indices[overview.id],
        parent_id=_uuid(overview.parent),
        depends_on=tuple(indices[group] for group in overview.dependencies if group in indices),
        counts=tuple(_count(count) for count in overview.counts),
        parent_group=None if overview.parent_group is None else indices.get(overview.parent_group),
        parent_identifier=overview.parent_name,
    )


def _count(count: TaskCount) -> GraphCount:
    return GraphCount(count.name, count.state, count.count)


def _uuid(identity: bytes | None) -> UUID | None:
    return None if identity is None else UUID(bytes=identity)
