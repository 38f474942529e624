"""The execution context of a task, which collects its subtasks and progress.

Nothing here does IO or waits; the runner sends what is collected with the task's report. Several threads may use a
context. It needs no locks, because each step that must be atomic is a single step of the interpreter.
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

__all__ = ["Lazy", "TaskContext"]

MAX_LABELS = 1000

_ENDED = "the task has ended, so a subtask submitted now would be lost; in execute, wait for threads and coroutines that submit"

Value = TypeVar("Value")


class Lazy(Generic[Value]):
    """A value that is computed on first use, because a small task uses little of its context.

    Args:
        make: Computes the value. Threads that call at the same time may all compute it; they all get the first one.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: list[Value] = []

    @property
    def is_computed(self) -> bool:
        """Whether the value has been used."""
        return bool(self._values)

    def __call__(self) -> Value:
        if not self._values:
            self._values.append(self._make())
        return self._values[0]


class TaskContext(ExecutionContext):
    """The context that a runner gives to a task.

    Args:
        current_task: The task.
        cluster: The cluster of the task, and of its subtasks unless they name another.
        cache: The cache of the job.
        runner_context: The `context` that the runner was given.
        logger: The logger of the task; `tilebox.workflows.tasks` by default.
        tracer: The tracer; None if tracing is not configured.
    """

    def __init__(
        self,
        *,
        current_task: CurrentTask | Lazy[CurrentTask],
        cluster: str,
        cache: JobCache | Lazy[JobCache] | Any,
        runner_context: Any = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._current_task = current_task
        self._subtasks = Subtasks(cluster)
        self._cache = cache
        self._runner_context = runner_context
        self._logger = Lazy(lambda: logger_of(self.current_task, logger))
        self._tracer = tracer if tracer is not None else _NO_TRACER
        self._progress: dict[str, ProgressTracker] = {}

    @property
    def current_task(self) -> CurrentTask:
        task = self._current_task
        return task() if isinstance(task, Lazy) else task

    @property
    def job_cache(self) -> JobCache:
        cache: JobCache = self._cache() if isinstance(self._cache, Lazy) else self._cache
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
        # Checked after the insertion, so that labels of concurrent threads are all counted.
        if len(self._progress) > MAX_LABELS:
            self._progress.pop(name, None)
            raise ValueError(
                f"a task can report progress under at most {MAX_LABELS} labels; count {name!r} under another label"
            )
        return tracker

    @property
    def subtasks(self) -> Subtasks:
        """The subtasks submitted so far, for the runner."""
        return self._subtasks

    def progress_updates(self) -> list[core_pb2.Progress]:
        """Return the progress counted so far, for the runner."""
        return [tracker.to_message() for tracker in list(self._progress.values())]

    def close(self) -> None:
        """Refuse further subtasks; the runner calls this when `execute` has ended."""
        self._subtasks.close(_ENDED)


class _NoTracer:
    def span(self, name: str) -> AbstractContextManager[Any]:  # noqa: ARG002 - it has none
        return nullcontext()


_NO_TRACER = _NoTracer()
