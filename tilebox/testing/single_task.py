"""Execution of a single task, without a server and a runner."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from tilebox._core.tasks.context import TaskContext
from tilebox._core.tasks.current_task import CurrentTask, TaskJob
from tilebox._core.tasks.inputs.serialization import deserialize, serialize
from tilebox.workflows.cache import InMemoryCache

if TYPE_CHECKING:
    from tilebox._core.tasks.subtasks import SubmittedTask
    from tilebox._core.tasks.task import Task
    from tilebox.workflows.cache import JobCache

_TASK = UUID("018dd029-58ca-74e5-8b58-b4f99d610f9a")
_JOB = UUID("018dd029-58ca-74e5-8b58-b4f99d610f9b")


@dataclass(frozen=True)
class TaskResult:
    """The result of a task.

    Args:
        submitted: The submitted subtasks in order, each with the arguments of its submission.
        display: The display of the task at the end.
        progress: The progress `(done, total)` by label.
        cache: The job cache after the task.
    """

    submitted: list[SubmittedTask]
    display: str
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)
    cache: JobCache | None = None

    @property
    def subtasks(self) -> list[Task]:
        """The submitted subtasks, without the arguments of their submission."""
        return [submission.task for submission in self.submitted]


def run_task(
    task: Task, *, cache: JobCache | None = None, runner_context: Any = None, cluster: str = "test-cluster"
) -> TaskResult:
    """Execute one task as a runner would, with inputs that are serialised and read again.

    Args:
        task: The task.
        cache: The job cache; by default an empty one in memory.
        runner_context: The value of `context.runner_context`.
        cluster: The slug of the cluster.

    Returns:
        The subtasks, display, progress and cache of the task.

    Raises:
        Exception: The exception that the task raises.
    """
    received = deserialize(type(task), serialize(task))
    job_cache = InMemoryCache() if cache is None else cache
    current = CurrentTask(
        id=_TASK, display=type(task).__name__, job=TaskJob(_JOB, "test"), retry_count=0, max_retries=0
    )
    context = TaskContext(current_task=current, cluster=cluster, cache=job_cache, runner_context=runner_context)
    outcome = received.execute(context)
    if inspect.isawaitable(outcome):
        anyio.run(_finish, outcome)
    progress = {update.label: (update.done, update.total) for update in context.progress_updates()}
    return TaskResult(list(context.subtasks), current.display, progress, job_cache)


async def _finish(outcome: Any) -> None:
    await outcome
