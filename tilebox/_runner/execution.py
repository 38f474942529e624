"""Execution of one task, from its lease to its report, in the thread of a slot or in a child process."""

from __future__ import annotations

import inspect
import logging
import traceback
from contextlib import suppress
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.tasks.context import Lazy, TaskContext
from tilebox._core.tasks.current_task import CurrentTask, TaskJob
from tilebox._core.tasks.inputs.serialization import inputs_of
from tilebox._core.tasks.task import retry_of
from tilebox.errors import NonRetryableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tilebox._core.runner.exchanges import Report
    from tilebox._core.runner.registry import Registry
    from tilebox._core.tasks.task import Task

_log = logging.getLogger("tilebox.workflows.runner")

MAX_REPR_CHARS = 1024
MAX_ERROR_CHARS = 10_240


class Interruption(BaseException):
    """The task was interrupted because its runner stops, so it has no outcome to report."""


class Execution:
    """Executes tasks and builds their reports.

    Args:
        registry: The task classes.
        cluster: The slug of the cluster for subtasks.
        cache: The cache, which has a group for each job.
        runner_context: The value of `context.runner_context` in tasks.
        run_coroutine: The function that runs a coroutine to its end, for `execute` methods that are coroutines.
        logger: The value of `context.logger` in tasks.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        cluster: str,
        cache: Any,
        runner_context: Any,
        run_coroutine: Callable[[Coroutine[Any, Any, None]], None],
        logger: Any = None,
    ) -> None:
        self._classes = [registry.find(identifier) for identifier in registry.identifiers]
        self._inputs = [inputs_of(task_class) for task_class in self._classes]
        self._cluster = cluster
        self._cache = cache
        self._runner_context = runner_context
        self._run_coroutine = run_coroutine
        self._logger = logger
        self._random = Random()  # noqa: S311 for the jitter of retries

    def can_execute(self, task: runners_pb2.LeasedTask) -> bool:
        """Return whether the class of a task is registered."""
        return task.identifier < len(self._classes)

    def run(
        self,
        task: runners_pb2.LeasedTask,
        job: runners_pb2.LeasedJob,
        on_context: Callable[[TaskContext], object] | None = None,
    ) -> Report:
        """Execute a task and return its report. An exception of the task becomes part of the report.

        Args:
            task: The task.
            job: The job of the task.
            on_context: The function to call with the context of the task before it is executed.

        Raises:
            Interruption: The runner interrupted the task.
        """
        started = perf_counter()
        current = Lazy(lambda: _current_task(task, job))
        context = self._context(current)
        try:
            if on_context is not None:
                on_context(context)
            outcome: Any = self._inputs[task.identifier].deserialize(task.input).execute(context)
            if outcome is not None and inspect.isawaitable(outcome):
                self._run_coroutine(_await_outcome(outcome))
            seconds = perf_counter() - started
            context.close()
            return _computed(task, current, context, seconds)
        except Interruption:
            raise
        except BaseException as error:  # noqa: BLE001 - the runner must survive any task
            return self._failed(task, current, context, error)

    def _context(self, current: Lazy[CurrentTask]) -> TaskContext:
        return TaskContext(
            current_task=current,
            cluster=self._cluster,
            cache=Lazy(lambda: self._cache.group(str(current().job.id))),
            runner_context=self._runner_context,
            logger=self._logger,
        )

    def _failed(
        self,
        task: runners_pb2.LeasedTask,
        current: Lazy[CurrentTask],
        context: TaskContext,
        error: BaseException,
    ) -> Report:
        task_class = self._classes[task.identifier]
        is_final = isinstance(error, NonRetryableError)
        report = runners_pb2.FailedReport(
            task_id=task.task_id,
            lease_number=task.lease_number,
            display=task.display,
            kind=runners_pb2.FAILURE_KIND_FINAL if is_final else runners_pb2.FAILURE_KIND_TASK,
            error=format_error(error),
        )
        # Log it as well as report it, so that the log of the runner explains why the next task starts.
        _log.error("Task %s failed with exception: %s", task_class.__name__, report.error)
        context.close()
        report.progress_updates.extend(context.progress_updates())
        with suppress(Exception):  # the error may come from the display itself
            report.display = _display(task, current)
        set_retry(report, task_class, task.retry_count, self._random)
        return report


def set_retry(report: runners_pb2.FailedReport, task_class: type[Task], retry_count: int, random: Random) -> None:
    """Set the delay before the next attempt of a failed task, if its class defines one."""
    if report.kind == runners_pb2.FAILURE_KIND_TASK:
        seconds = retry_of(task_class).delay(retry_count + 1, random)
        if seconds > 0:
            report.retry_after.FromNanoseconds(int(seconds * 1e9))


def format_error(error: BaseException) -> str:
    """Return an error and its traceback as text of limited size.

    The first line is the error itself. The middle of a text that is too long is left out.
    """
    try:
        line = repr(error)
    except Exception:  # noqa: BLE001 - a repr() of user code may raise anything
        line = f"<{type(error).__name__}; its repr() fails>"
    line = " ".join(_truncate(line, MAX_REPR_CHARS).splitlines())
    # Leave out the first frame, which is in this module.
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, frames))
    return to_storable_text(f"{line}\n{_truncate(text, MAX_ERROR_CHARS)}".rstrip())


def to_storable_text(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, and zeros, which PostgreSQL cannot store."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _current_task(task: runners_pb2.LeasedTask, job: runners_pb2.LeasedJob) -> CurrentTask:
    return CurrentTask(
        id=UUID(bytes=task.task_id),
        display=task.display,
        job=TaskJob(id=UUID(bytes=job.job_id), name=job.name),
        retry_count=task.retry_count,
        max_retries=task.max_retries,
    )


def _computed(task: runners_pb2.LeasedTask, current: Lazy[CurrentTask], context: TaskContext, seconds: float) -> Report:
    report = runners_pb2.ComputedReport(
        task_id=task.task_id,
        lease_number=task.lease_number,
        display=_display(task, current),
        progress_updates=context.progress_updates(),
        execution_us=int(seconds * 1e6),
    )
    if context.subtasks:
        report.sub_tasks.CopyFrom(context.subtasks.to_message())
    return report


def _display(task: runners_pb2.LeasedTask, current: Lazy[CurrentTask]) -> str:
    # If the task was never read from the context, its display is unchanged.
    return to_storable_text(current().reported_display) if current.is_computed else task.display


def _truncate(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    head, tail = size // 5, size - size // 5
    return f"{text[:head]} ... {len(text) - size:,} characters left out ... {text[-tail:]}"


async def _await_outcome(outcome: Any) -> None:
    try:
        await outcome
    except (SystemExit, KeyboardInterrupt) as error:
        # These would end the event loop, which belongs to the runner.
        raise _Exited(repr(error)) from error


class _Exited(Exception):  # noqa: N818 - its name appears in the report of the task
    """A coroutine raised SystemExit or KeyboardInterrupt."""
