"""What a task finds around it while it is executed: itself, its job, the job's cache, a logger, a tracer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from contextlib import AbstractContextManager
    from uuid import UUID

MAX_DISPLAY = 1024
LOGGER_NAME = "tilebox.workflows.tasks"

_OF_LOGGING = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})


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


class TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs for one task: `context.logger.info("read", product=name)`.

    Records carry `task_id` and `job_id`, and in `fields` a dict of what was given by keyword.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move what logging does not know into the record's fields."""
        fields = {name: kwargs.pop(name) for name in list(kwargs) if name not in _OF_LOGGING}
        extra = {**(kwargs.get("extra") or {}), **(self.extra or {}), "fields": fields}
        return msg, {**kwargs, "extra": extra}


def logger_of(task: CurrentTask, given: logging.Logger | logging.LoggerAdapter[Any] | None) -> TaskLogger:
    """Return the logger of a task, which writes where the given one does, or else to `tilebox.workflows.tasks`."""
    if isinstance(given, TaskLogger):
        return given
    logger = given.logger if isinstance(given, logging.LoggerAdapter) else given
    return TaskLogger(logger or logging.getLogger(LOGGER_NAME), {"task_id": str(task.id), "job_id": str(task.job.id)})
