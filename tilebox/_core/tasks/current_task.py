"""Objects that an execution context gives to a task: the current task and its job, the job cache, logger and tracer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from contextlib import AbstractContextManager
    from uuid import UUID

MAX_DISPLAY_CHARACTERS = 1024
LOGGER_NAME = "tilebox.workflows.tasks"

_LOGGING_ARGUMENTS = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})


class JobCache(Protocol):
    """A cache that the tasks of a job share: bytes by key, and groups of keys."""

    def __getitem__(self, key: str) -> bytes: ...

    def __setitem__(self, key: str, value: bytes) -> None: ...

    def __delitem__(self, key: str) -> None: ...

    def __contains__(self, key: str) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def group(self, key: str) -> JobCache:
        """Return the part of the cache below a key."""
        ...


class Tracer(Protocol):
    """A source of tracing spans."""

    def span(self, name: str) -> AbstractContextManager[Any]:
        """Return a span that ends with its `with` block."""
        ...


@dataclass(frozen=True, slots=True)
class TaskJob:
    """The job of a task.

    Args:
        id: The id of the job.
        name: The name of the job.
    """

    id: UUID
    name: str


@dataclass(slots=True, eq=False)
class CurrentTask:
    """The task that is being executed.

    Args:
        id: The id of the task.
        display: The label of the task in diagrams. Assign another text, of one or several lines, to change it.
        job: The job of the task.
        retry_count: The number of attempts that failed before this one.
        max_retries: The number of times that the task is retried after a failed attempt.
    """

    id: UUID
    display: str
    job: TaskJob
    retry_count: int = 0
    max_retries: int = 0

    @property
    def reported_display(self) -> str:
        """The label as reported: cut to 1024 characters, with a question mark for each lone surrogate."""
        return str(self.display)[:MAX_DISPLAY_CHARACTERS].encode("utf-8", "replace").decode()


class TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger for one task: `context.logger.info("read", product=name)`.

    Its records have `task_id`, `job_id`, and `fields`, a dict of the further keyword arguments.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move keyword arguments that `logging` does not know into the record's `fields`."""
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in _LOGGING_ARGUMENTS}
        extra = {**(kwargs.get("extra") or {}), **(self.extra or {}), "fields": fields}
        return msg, {**kwargs, "extra": extra}


def logger_of(task: CurrentTask, given: logging.Logger | logging.LoggerAdapter[Any] | None) -> TaskLogger:
    """Return the logger of a task, which writes to the given logger, or else to `tilebox.workflows.tasks`."""
    if isinstance(given, TaskLogger):
        return given
    logger = given.logger if isinstance(given, logging.LoggerAdapter) else given
    return TaskLogger(logger or logging.getLogger(LOGGER_NAME), {"task_id": str(task.id), "job_id": str(task.job.id)})
