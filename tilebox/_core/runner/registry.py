"""The tasks that a runner can execute, by name and version."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tilebox._core.tasks.task import Task, can_execute, identifier_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tilebox._core.tasks.versions import TaskIdentifier


class Registry:
    """What a runner offers to execute.

    Args:
        tasks: Classes of tasks. The same class may come twice.

    Raises:
        TypeError: One is no class of tasks.
        ValueError: One has no `execute`, or two have the same name and version.
    """

    def __init__(self, tasks: Iterable[type[Task]]) -> None:
        self._classes: dict[TaskIdentifier, type[Task]] = {}
        for task_class in tasks:
            self._add(task_class)

    @property
    def identifiers(self) -> list[TaskIdentifier]:
        """Names and versions, in the order in which the classes were given."""
        return list(self._classes)

    def find(self, identifier: TaskIdentifier) -> type[Task]:
        """Return the class with exactly this name and version.

        Raises:
            KeyError: There is none.
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
                f"{_place(other)} and {_place(task_class)} are both {identifier}; give one of them another "
                "identifier(), or its next version"
            )


def _check(task_class: Any) -> None:
    if isinstance(task_class, Task):
        raise TypeError(f"a runner takes classes of tasks; write {type(task_class).__name__} without arguments")
    if not (isinstance(task_class, type) and issubclass(task_class, Task) and task_class is not Task):
        raise TypeError(f"a runner takes classes of tasks, not {task_class!r}")
    if inspect.isabstract(task_class):
        raise ValueError(f"{task_class.__name__} is abstract and cannot be executed; register a subclass")
    if not can_execute(task_class):
        raise ValueError(
            f"{task_class.__name__} has no execute, so it can be submitted but not registered; write "
            "def execute(self, context: ExecutionContext) -> None"
        )


def _place(task_class: type) -> str:
    return f"{task_class.__module__}.{task_class.__qualname__}"
