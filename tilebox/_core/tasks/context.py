"""The context of a task while it is executed: collects what the task submits and reports.

Nothing here does IO or waits. What a task says travels with the report of its end. Several threads may use it:
steps that must not be torn apart are single steps of the interpreter, so that there are no locks.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tilebox._core.tasks.current_task import logger_of
from tilebox._core.tasks.progress import ProgressTracker, checked_label
from tilebox._core.tasks.subtasks import Subtasks
from tilebox._core.tasks.task import ExecutionContext

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from tilebox._core.protocol.workflows.v1 import core_pb2
    from tilebox._core.tasks.current_task import CurrentTask, JobCache, TaskLogger, Tracer
    from tilebox._core.tasks.future_task import ClusterLike, FutureTask
    from tilebox._core.tasks.task import Task

__all__ = ["OnDemand", "TaskContext"]

MAX_LABELS = 1000

_ENDED = (
    "the task has ended, and what it submits now would be lost; wait in execute for threads and coroutines that submit"
)

Value = TypeVar("Value")


class OnDemand(Generic[Value]):
    """A value that is made on first use, since a small task asks for little of what a context knows.

    Args:
        make: Makes it. Threads that ask at the same time may all call it, and then get the same one.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._made: list[Value] = []

    @property
    def is_made(self) -> bool:
        """Whether somebody asked for it."""
        return bool(self._made)

    def __call__(self) -> Value:
        if not self._made:
            self._made.append(self._make())
        return self._made[0]


class TaskContext(ExecutionContext):
    """The context that a runner gives to a task.

    Args:
        current_task: The task.
        cluster: Where it runs, and its subtasks unless they say otherwise.
        cache: The cache of its job.
        runner_context: What the runner was given for its tasks.
        logger: Where its log goes, if not to `tilebox.workflows.tasks`.
        tracer: What makes its spans, if anything does.
    """

    def __init__(
        self,
        *,
        current_task: CurrentTask | OnDemand[CurrentTask],
        cluster: str,
        cache: JobCache | OnDemand[JobCache] | Any,
        runner_context: Any = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._current_task = current_task
        self._subtasks = Subtasks(cluster)
        self._cache = cache
        self._runner_context = runner_context
        self._logger = OnDemand(lambda: logger_of(self.current_task, logger))
        self._tracer = tracer if tracer is not None else _NO_TRACER
        self._progress: dict[str, ProgressTracker] = {}

    @property
    def current_task(self) -> CurrentTask:
        task = self._current_task
        return task() if isinstance(task, OnDemand) else task

    @property
    def job_cache(self) -> JobCache:
        cache: JobCache = self._cache() if isinstance(self._cache, OnDemand) else self._cache
        return cache

    @property
    def runner_context(self) -> Any:
        return self._runner_context

    @property
    def logger(self) -> TaskLogger:
        return self._logger()

    @property
    def tracer(self) -> Tracer:
        return self._tracer

    def submit_subtask(
        self,
        task: Task,
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> FutureTask:
        return self._subtasks.submit(task, depends_on, cluster, max_retries, optional)

    def submit_subtasks(
        self,
        tasks: Iterable[Task],
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> list[FutureTask]:
        return self._subtasks.submit_many(tasks, depends_on, cluster, max_retries, optional)

    def progress(self, label: str | None = None) -> ProgressTracker:
        name = checked_label(label)
        known = self._progress.get(name)
        if known is not None:
            return known
        tracker = self._progress.setdefault(name, ProgressTracker(name))
        # Checked afterwards, so that threads that come together are all counted.
        if len(self._progress) > MAX_LABELS:
            self._progress.pop(name, None)
            raise ValueError(
                f"a task can report progress under at most {MAX_LABELS} labels; count {name!r} with another"
            )
        return tracker

    @property
    def subtasks(self) -> Subtasks:
        """The subtasks that were submitted so far, for the runner."""
        return self._subtasks

    def progress_updates(self) -> list[core_pb2.Progress]:
        """Return the progress that was counted, for the runner."""
        return [tracker.to_message() for tracker in list(self._progress.values())]

    def close(self) -> None:
        """Refuse subtasks from now on; the runner calls it when `execute` has ended."""
        self._subtasks.close(_ENDED)


class _NoTracer:
    def span(self, name: str) -> AbstractContextManager[Any]:  # noqa: ARG002 - it has none
        return nullcontext()


_NO_TRACER = _NoTracer()
