"""One task executed by itself: no server, no runner, and everything it did to be looked at."""

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
    """What a task did.

    Args:
        submitted: The subtasks it submitted, in order, each with what it was submitted with.
        display: Its display text at the end.
        progress: Of each label, (done, total).
        cache: The job cache, as it left it.
    """

    submitted: list[SubmittedTask]
    display: str
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)
    cache: JobCache | None = None

    @property
    def subtasks(self) -> list[Task]:
        """The subtasks alone."""
        return [one.task for one in self.submitted]


def run_task(
    task: Task, *, cache: JobCache | None = None, runner_context: Any = None, cluster: str = "test-cluster"
) -> TaskResult:
    """Execute one task, as a runner would: its input goes through JSON on the way.

    Args:
        task: The task.
        cache: Its job cache; by default an empty one in memory.
        runner_context: What `context.runner_context` shall be.
        cluster: The cluster it runs on.

    Returns:
        What it did.

    Raises:
        Exception: Whatever the task raises.
    """
    received = deserialize(type(task), serialize(task))
    used = InMemoryCache() if cache is None else cache
    current = CurrentTask(
        id=_TASK, display=type(task).__name__, job=TaskJob(_JOB, "test"), retry_count=0, max_retries=0
    )
    context = TaskContext(current_task=current, cluster=cluster, cache=used, runner_context=runner_context)
    outcome = received.execute(context)
    if inspect.isawaitable(outcome):
        anyio.run(_finish, outcome)
    progress = {update.label: (update.done, update.total) for update in context.progress_updates()}
    return TaskResult(list(context.subtasks), current.display, progress, used)


async def _finish(outcome: Any) -> None:
    await outcome
