"""What a task gets when it is executed: its surroundings, and a place for what it submits and reports.

Nothing here does any IO or waits: what a task says is collected, and travels with the report of its end. All of it
may be used by several threads. Steps that must not be torn apart are single steps of the interpreter, such as
appending to a deque, so that there are no locks.
"""

from __future__ import annotations

import logging
import warnings
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tilebox._core.graph import Subtasks
from tilebox._core.protocol.workflows.v1 import core_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping
    from contextlib import AbstractContextManager
    from uuid import UUID

    from tilebox._core.graph import ClusterLike, FutureTask
    from tilebox._core.tasks import Task

__all__ = [
    "CurrentTask",
    "ExecutionContext",
    "JobCache",
    "OnDemand",
    "ProgressTracker",
    "TaskJob",
    "TaskLogger",
    "Tracer",
]

MAX_DISPLAY = 1024
MAX_LABEL = 100
MAX_LABELS = 1000
MAX_COUNT = 2**64 - 1

LOGGER_NAME = "tilebox.workflows.tasks"

_ENDED = (
    "the task has ended, and what it submits now would be lost; wait in execute for threads and coroutines that submit"
)


class JobCache(Protocol):
    """What tasks of one job share: bytes by key, and groups of keys."""

    def __getitem__(self, key: str) -> bytes: ...

    def __setitem__(self, key: str, value: bytes) -> None: ...

    def __delitem__(self, key: str) -> None: ...

    def __contains__(self, key: str) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def group(self, key: str) -> JobCache:
        """Return the part of the cache below a key."""
        ...


class Tracer(Protocol):
    """What makes spans."""

    def span(self, name: str) -> AbstractContextManager[Any]:
        """Return a span that lasts as long as the block."""
        ...


@dataclass(frozen=True, slots=True)
class TaskJob:
    """The job of a task.

    Args:
        id: Its id.
        name: Its name.
    """

    id: UUID
    name: str


@dataclass(slots=True, eq=False)
class CurrentTask:
    """The task that is executed.

    Args:
        id: Its id.
        display: What it is called in diagrams; assign another text, of one or several lines, to change it.
        job: The job that it is part of.
        retry_count: How many attempts failed before this one.
        max_retries: How many may.
    """

    id: UUID
    display: str
    job: TaskJob
    retry_count: int = 0
    max_retries: int = 0

    @property
    def reported_display(self) -> str:
        """What is reported: text, cut to 1024 characters, in which what no text can hold is a question mark."""
        return str(self.display)[:MAX_DISPLAY].encode("utf-8", "replace").decode()


Value = TypeVar("Value")


class OnDemand(Generic[Value]):
    """What is made when it is first asked for: of what a context knows, a small task asks for little.

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


class ProgressTracker:
    """Counts what is to be done and what is done, under one label.

    Args:
        label: The label, empty for the unnamed one.
    """

    def __init__(self, label: str = "") -> None:
        self.label = label
        self._total = _Sum()
        self._done = _Sum()

    def add(self, n: int) -> None:
        """Say that there is more to do.

        Args:
            n: How much.
        """
        self._total.add(_count(n))

    def done(self, n: int) -> None:
        """Say that some of it is done.

        Args:
            n: How much.
        """
        self._done.add(_count(n))

    def to_message(self) -> core_pb2.Progress:
        """Return what is reported."""
        return core_pb2.Progress(
            label=self.label, total=min(self._total.value(), MAX_COUNT), done=min(self._done.value(), MAX_COUNT)
        )

    def __repr__(self) -> str:
        return f"<{self.label or 'progress'}: {self._done.value()} of {self._total.value()}>"


class TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one task: `context.logger.info("read", product=name)`.

    Records carry `task_id` and `job_id`, and in `fields` a dict of what was given by keyword.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move what logging does not know into the record's fields."""
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in _OF_LOGGING}
        extra = {**(kwargs.get("extra") or {}), **(self.extra or {}), "fields": fields}
        return msg, {**kwargs, "extra": extra}


class ExecutionContext:
    """What a task's `execute` gets.

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
        self._logger = OnDemand(lambda: _logger(self.current_task, logger))
        self._tracer = tracer if tracer is not None else _NO_TRACER
        self._progress: dict[str, ProgressTracker] = {}

    @property
    def current_task(self) -> CurrentTask:
        """The task that is executed; its `display` may be changed."""
        task = self._current_task
        return task() if isinstance(task, OnDemand) else task

    @property
    def job_cache(self) -> JobCache:
        """What the tasks of this job share."""
        cache: JobCache = self._cache() if isinstance(self._cache, OnDemand) else self._cache
        return cache

    @property
    def runner_context(self) -> Any:
        """What the runner was given as `context`, for instance connections that its tasks share."""
        return self._runner_context

    @property
    def logger(self) -> TaskLogger:
        """Logs with the ids of this task and its job."""
        return self._logger()

    @property
    def tracer(self) -> Tracer:
        """Makes spans: `with context.tracer.span("read"):`. It does nothing unless tracing is configured."""
        return self._tracer

    def submit_subtask(
        self,
        task: Task,
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> FutureTask:
        """Submit a task that is executed after this one, as part of the same job.

        Args:
            task: The task.
            depends_on: Subtasks that must be completed before it starts, with all of their subtasks.
            cluster: Where it runs, if elsewhere than this task.
            max_retries: How many of its attempts may fail without failing it.
            optional: Whether the job goes on if it fails.

        Returns:
            What stands for it in `depends_on` of others.

        Raises:
            TypeError: An argument, or an input of the task, is of a wrong type.
            ValueError: A dependency was submitted in another context, or a value makes no sense.
            RuntimeError: This task has ended.
        """
        return self._subtasks.submit(task, depends_on, cluster, max_retries, optional)

    def submit_subtasks(
        self,
        tasks: Iterable[Task],
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> list[FutureTask]:
        """Submit several tasks that have these arguments in common: all of them, or none if one is refused.

        Args:
            tasks: The tasks.
            depends_on: Subtasks that must be completed before they start, with all of their subtasks.
            cluster: Where they run, if elsewhere than this task.
            max_retries: How many attempts of each may fail without failing it.
            optional: Whether the job goes on if one fails.

        Returns:
            What stands for them in `depends_on` of others, in their order.
        """
        return self._subtasks.submit_many(tasks, depends_on, cluster, max_retries, optional)

    def submit_batch(
        self, tasks: Iterable[Task], cluster: ClusterLike | None = None, max_retries: int = 0
    ) -> list[FutureTask]:
        """Submit several tasks. Deprecated: `submit_subtasks` does the same, and more."""
        warnings.warn("submit_batch is deprecated; write submit_subtasks", DeprecationWarning, stacklevel=2)
        return self.submit_subtasks(tasks, cluster=cluster, max_retries=max_retries)

    def progress(self, label: str | None = None) -> ProgressTracker:
        """Return the counter of a label, which the job's progress sums up over its tasks.

        Args:
            label: What is counted, at most 100 characters; nothing, or the empty text, for the unnamed counter.

        Raises:
            TypeError: The label is no text.
            ValueError: It is too long, or this task has 1000 labels already.
        """
        name = _checked_label(label)
        known = self._progress.get(name)
        if known is not None:
            return known
        tracker = self._progress.setdefault(name, ProgressTracker(name))
        # Afterwards, so that threads that come together are all counted.
        if len(self._progress) > MAX_LABELS:
            self._progress.pop(name, None)
            raise ValueError(
                f"a task can report progress under at most {MAX_LABELS} labels; count {name!r} with another"
            )
        return tracker

    @property
    def subtasks(self) -> Subtasks:
        """What was submitted so far, for the runner."""
        return self._subtasks

    def progress_updates(self) -> list[core_pb2.Progress]:
        """Return what was counted, for the runner."""
        return [tracker.to_message() for tracker in list(self._progress.values())]

    def close(self) -> None:
        """Refuse subtasks from now on; the runner says so when `execute` has ended."""
        self._subtasks.close(_ENDED)


class _Sum:
    """A sum that several threads add to. It is exact as soon as none of them is in the middle of adding."""

    def __init__(self) -> None:
        self._parts: deque[int] = deque()

    def add(self, number: int) -> None:
        self._parts.append(number)
        if len(self._parts) > 256:
            self._fold()

    def value(self) -> int:
        return sum(self._parts.copy())

    def _fold(self) -> None:
        # Whatever another thread takes out at the same time, it puts back as well.
        folded = 0
        try:
            for _ in range(256):
                folded += self._parts.popleft()
        except IndexError:
            pass
        self._parts.append(folded)


class _NoTracer:
    def span(self, name: str) -> AbstractContextManager[Any]:  # noqa: ARG002 - it has none
        return nullcontext()


_NO_TRACER = _NoTracer()

_OF_LOGGING = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})


def _logger(task: CurrentTask, given: logging.Logger | logging.LoggerAdapter[Any] | None) -> TaskLogger:
    if isinstance(given, TaskLogger):
        return given
    logger = given.logger if isinstance(given, logging.LoggerAdapter) else given
    return TaskLogger(logger or logging.getLogger(LOGGER_NAME), {"task_id": str(task.id), "job_id": str(task.job.id)})


def _checked_label(label: Any) -> str:
    if label is None:
        return ""
    if not isinstance(label, str):
        raise TypeError(f"a label must be text, not {label!r}")
    if len(label) > MAX_LABEL:
        raise ValueError(f"a label has at most {MAX_LABEL} characters, but {label[:20]!r}… has {len(label)}")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a label must be text that UTF-8 can hold, which {label!r} is not") from None
    return label


def _count(n: Any) -> int:
    if isinstance(n, bool) or not hasattr(type(n), "__index__"):
        raise TypeError(f"progress is counted in whole numbers, not in {n!r}")
    number = n.__index__()
    if number < 0:
        raise ValueError(f"progress does not go back: {n}")
    return int(number)
