"""The task classes of a runner, by name and version."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tilebox._core.tasks.task import Task, can_execute, identifier_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.tasks.versions import TaskIdentifier


class Registry:
    """The task classes that a runner can execute.

    Args:
        tasks: Task classes. The same class may occur twice.

    Raises:
        TypeError: An item is not a task class.
        ValueError: A class has no `execute`, or two classes have the same name and version.
    """

    def __init__(self, tasks: Iterable[type[Task]]) -> None:
        self._classes: dict[TaskIdentifier, type[Task]] = {}
        for task_class in tasks:
            self._add(task_class)

    @property
    def identifiers(self) -> list[TaskIdentifier]:
        """The names and versions of the classes, in the given order."""
        return list(self._classes)

    def find(self, identifier: TaskIdentifier) -> type[Task]:
        """Return the class with exactly this name and version.

        Raises:
            KeyError: No class has them.
        """
        return self._classes[identifier]

    def __len__(self) -> int:
        return len(self._classes)

    def _add(self, task_class: Any) -> None:
        _check(task_class)
        identifier = identifier_of(task_class)
        other = self._classes.setdefault(identifier, task_class)
        if other is not task_class:
            raise ValueError(
                f"{_qualified_name(other)} and {_qualified_name(task_class)} are both {identifier}; give one of them "
                "another identifier() or version"
            )


def _check(task_class: Any) -> None:
    if isinstance(task_class, Task):
        raise TypeError(f"a runner takes task classes; write {type(task_class).__name__} without arguments")
    if not (isinstance(task_class, type) and issubclass(task_class, Task) and task_class is not Task):
        raise TypeError(f"a runner takes task classes, not {task_class!r}")
    if inspect.isabstract(task_class):
        raise ValueError(f"{task_class.__name__} is abstract and cannot be executed; register a subclass")
    if not can_execute(task_class):
        raise ValueError(
            f"{task_class.__name__} has no execute, so it can be submitted but not registered; write "
            "def execute(self, context: ExecutionContext) -> None"
        )


def _qualified_name(task_class: type) -> str:
    return f"{task_class.__module__}.{task_class.__qualname__}"
