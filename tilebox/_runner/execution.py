"""One task, from its lease to its report: what happens in a slot's thread, and in a process of its own."""

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

MAX_REPR = 1024
MAX_ERROR = 10_240


class Interruption(BaseException):
    """The task was ended because its runner ends; its outcome is not reported."""


class Execution:
    """Executes tasks.

    Args:
        registry: The task classes.
        cluster: Where subtasks go.
        cache: Of all jobs.
        runner_context: What tasks find as `context.runner_context`.
        call: Runs a coroutine to its end, for `execute` methods that are coroutines.
        logger: What tasks find as `context.logger`.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        cluster: str,
        cache: Any,
        runner_context: Any,
        call: Callable[[Coroutine[Any, Any, None]], None],
        logger: Any = None,
    ) -> None:
        self._classes = [registry.find(identifier) for identifier in registry.identifiers]
        self._inputs = [inputs_of(task_class) for task_class in self._classes]
        self._cluster = cluster
        self._cache = cache
        self._runner_context = runner_context
        self._call = call
        self._logger = logger
        self._random = Random()  # noqa: S311 it spreads retries

    def knows(self, task: runners_pb2.LeasedTask) -> bool:
        """Return whether the class of a task is registered."""
        return task.identifier < len(self._classes)

    def run(
        self,
        task: runners_pb2.LeasedTask,
        job: runners_pb2.LeasedJob,
        tell: Callable[[TaskContext], object] | None = None,
    ) -> Report:
        """Execute a task, and return what to report; whatever it raises is part of that.

        Args:
            task: The task.
            job: Its job.
            tell: Told the task's context before it is executed.

        Raises:
            Interruption: The task was ended from outside.
        """
        started = perf_counter()
        current = Lazy(lambda: _current_task(task, job))
        context = self._context(current)
        try:
            if tell is not None:
                tell(context)
            outcome: Any = self._inputs[task.identifier].deserialize(task.input).execute(context)
            if outcome is not None and inspect.isawaitable(outcome):
                self._call(_awaited(outcome))
            seconds = perf_counter() - started
            context.close()
            return _computed(task, current, context, seconds)
        except Interruption:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task does, its runner goes on
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
            error=describe(error),
        )
        # Logged here too, not only reported, so that the runner's own log explains why it starts another task.
        _log.error("Task %s failed with exception: %s", task_class.__name__, report.error)
        context.close()
        report.progress_updates.extend(context.progress_updates())
        with suppress(Exception):  # the failure may come from the display itself
            report.display = _display(task, current)
        set_retry(report, task_class, task.retry_count, self._random)
        return report


def set_retry(report: runners_pb2.FailedReport, task_class: type[Task], retry_count: int, random: Random) -> None:
    """Say when a failed task is to be tried again, if its class says so."""
    if report.kind == runners_pb2.FAILURE_KIND_TASK:
        seconds = retry_of(task_class).delay(retry_count + 1, random)
        if seconds > 0:
            report.retry_after.FromNanoseconds(int(seconds * 1e9))


def describe(error: BaseException) -> str:
    """Return an error and where it came from, as text of a size that can be kept.

    The first line is the error itself. Of a text that is too long the middle is left out.
    """
    try:
        line = repr(error)
    except Exception:  # noqa: BLE001 - it is the user's class
        line = f"<{type(error).__name__}, of which repr() fails>"
    line = " ".join(_bounded(line, MAX_REPR).splitlines())
    # The first frame is ours.
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, frames))
    return clean(f"{line}\n{_bounded(text, MAX_ERROR)}".rstrip())


def clean(text: str) -> str:
    """Return a text without what cannot travel or be stored: halves of surrogate pairs and zeros."""
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
    # A task that was never used has an unchanged display.
    return clean(current().reported_display) if current.is_computed else task.display


def _bounded(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    head, tail = size // 5, size - size // 5
    return f"{text[:head]} ... {len(text) - size:,} characters left out ... {text[-tail:]}"


async def _awaited(outcome: Any) -> None:
    try:
        await outcome
    except (SystemExit, KeyboardInterrupt) as error:
        # These would end the loop, which is not the task's.
        raise _Exited(repr(error)) from error


class _Exited(Exception):  # noqa: N818 - it is a message
    """A coroutine tried to end the program."""
