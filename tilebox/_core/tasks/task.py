"""Task classes, whose fields are inputs and whose `execute` does the work; they are checked when they are defined.

`Task` and `ExecutionContext` refer to each other in their signatures, so both are defined here. `context.py` has the
implementation of the context.
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import inspect
import types
import typing
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from tilebox._core.tasks.annotations import Scope
from tilebox._core.tasks.inputs.serialization import Inputs
from tilebox._core.tasks.retries import Retry
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import TaskDefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from tilebox._core.tasks.current_task import CurrentTask, JobCache, TaskLogger, Tracer
    from tilebox._core.tasks.future_task import ClusterLike, FutureTask
    from tilebox._core.tasks.progress import ProgressTracker

__all__ = ["ExecutionContext", "Task", "can_execute", "identifier_of", "retry_of"]

_RESERVED_NAMES = ("execute", "identifier")
_NO_RETRY = Retry()


class ExecutionContext(ABC):
    """The argument of a task's `execute`, which submits subtasks, reports progress, and shares data within the job.

    Several threads of a task may use it.
    """

    @property
    @abstractmethod
    def current_task(self) -> CurrentTask:
        """The task that is being executed. Assign to its `display` to change its label in diagrams."""

    @property
    @abstractmethod
    def job_cache(self) -> JobCache:
        """The cache that the tasks of this job share."""

    @property
    @abstractmethod
    def runner_context(self) -> Any:
        """The `context` argument of the runner, for example connections that its tasks share."""

    @property
    @abstractmethod
    def logger(self) -> TaskLogger:
        """A logger whose records have the ids of this task and its job."""

    @property
    @abstractmethod
    def tracer(self) -> Tracer:
        """The tracer, used as `with context.tracer.span("read"):`. It does nothing unless tracing is configured."""

    @abstractmethod
    def submit_subtask(
        self,
        task: Task,
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> FutureTask:
        """Submit a task to be executed after this one, as part of the same job.

        Args:
            task: The task.
            depends_on: Subtasks that must be completed, with all of their subtasks, before this one starts.
            cluster: The cluster that executes the subtask; the cluster of this task by default.
            max_retries: The number of times that the subtask is retried after a failed attempt.
            optional: Whether the job continues if the subtask fails.

        Returns:
            A handle on the subtask, for `depends_on` of other subtasks.

        Raises:
            TypeError: An argument, or an input of the task, has the wrong type.
            ValueError: A dependency was submitted in another context, or a value is out of range.
            RuntimeError: This task has ended.
        """

    @abstractmethod
    def submit_subtasks(
        self,
        tasks: Iterable[Task],
        depends_on: FutureTask | Iterable[FutureTask] | None = None,
        cluster: ClusterLike | None = None,
        max_retries: int = 0,
        optional: bool = False,
    ) -> list[FutureTask]:
        """Submit several tasks with the same arguments: all of them, or none if one is refused.

        Args:
            tasks: The tasks.
            depends_on: Subtasks that must be completed, with all of their subtasks, before these start.
            cluster: The cluster that executes the subtasks; the cluster of this task by default.
            max_retries: The number of times that each subtask is retried after a failed attempt.
            optional: Whether the job continues if one of them fails.

        Returns:
            A handle on each subtask, in the order of `tasks`.

        Raises:
            TypeError: An argument, or an input of a task, has the wrong type.
            ValueError: A dependency was submitted in another context, or a value is out of range.
            RuntimeError: This task has ended.
        """

    def submit_batch(
        self, tasks: Iterable[Task], cluster: ClusterLike | None = None, max_retries: int = 0
    ) -> list[FutureTask]:
        """Submit several tasks. Deprecated: use `submit_subtasks`, which also takes `depends_on` and `optional`."""
        warnings.warn("submit_batch is deprecated; write submit_subtasks", DeprecationWarning, stacklevel=2)
        return self.submit_subtasks(tasks, cluster=cluster, max_retries=max_retries)

    @abstractmethod
    def progress(self, label: str | None = None) -> ProgressTracker:
        """Return the progress counter of a label. The job's progress is the sum over its tasks.

        Args:
            label: The name of what is counted, at most 100 characters; None or the empty string for the unnamed
                counter.

        Raises:
            TypeError: The label is not a string.
            ValueError: The label is too long, or this task has 1000 labels already.
        """


@dataclass_transform(field_specifiers=(dataclasses.field,))
class Task:
    """A step of a workflow. Each subclass becomes a dataclass, whose fields are the inputs of the task.

        class Greet(Task):
            name: str

            def execute(self, context: ExecutionContext) -> None:
                print(f"Hello {self.name}")

    The decorator `@dataclass` is not needed and has no effect; with `frozen=True`, it raises TypeError, so leave it out.
    A class without `execute` can be submitted, for a runner that registers a task with the same identifier.

    Raises:
        TaskDefinitionError: At the definition of a subclass: an input has a type that cannot be serialised, `execute`
            takes other arguments than the context or returns a value, or the identifier is malformed.
    """

    retry: ClassVar[Retry] = _NO_RETRY
    """The delays between attempts, if the task is submitted with `max_retries`."""

    def execute(self, context: ExecutionContext) -> Awaitable[None] | None:
        """Do the work of the task. Subclasses override this with a plain function or a coroutine function.

        Args:
            context: Submits subtasks, reports progress, and shares data with the other tasks of the job.
        """
        raise NotImplementedError(f"{type(self).__name__} has no execute")

    @classmethod
    def identifier(cls) -> tuple[str, str]:
        """Return the name and version of the task; by default the name of the class and `v0.0`.

        Override it as a static method or a class method, for example so that the class can be renamed. A runner
        executes tasks whose name and major version it registers, with at least the minor version of the submission.
        """
        return cls.__name__, "v0.0"

    def _check_submittable(self) -> None:
        """Raise ValueError if this task cannot be submitted."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _check_names(cls)
        # `@dataclass(slots=True)` creates the class a second time, already as a dataclass.
        if "__dataclass_fields__" not in vars(cls):
            _make_dataclass(cls)
        type.__setattr__(cls, "__tilebox_identifier__", _read_identifier(cls))
        if can_execute(cls):
            _check_execute(cls)
        type.__setattr__(cls, "__tilebox_inputs__", Inputs(cls, Scope.enclosing(cls)))


# `Task` is a dataclass without fields or generated methods. Python itself therefore refuses a frozen subclass where it is
# defined. Otherwise its __init__, generated before the decorator made it frozen, would fail to set the fields.
dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)(Task)


def identifier_of(task: Task | type[Task]) -> TaskIdentifier:
    """Return the name and version of a task or task class.

    Raises:
        TypeError: The argument is neither.
    """
    task_class = task if isinstance(task, type) else type(task)
    identifier = vars(task_class).get("__tilebox_identifier__")
    if not isinstance(identifier, TaskIdentifier):
        raise TypeError(f"{task_class.__name__} is not a task; write class {task_class.__name__}(Task)")
    return identifier


def can_execute(task_class: type[Task]) -> bool:
    """Return whether a task class implements `execute`."""
    return task_class.execute is not Task.execute and not inspect.isabstract(task_class)


def retry_of(task: Task | type[Task]) -> Retry:
    """Return the delays between attempts of a task; none for a class that has an input called `retry`."""
    task_class = task if isinstance(task, type) else type(task)
    retry = getattr(task_class, "retry", None)
    return retry if isinstance(retry, Retry) else _NO_RETRY


def _make_dataclass(cls: type[Task]) -> None:
    declared = {name: copy.copy(value) for name, value in vars(cls).items() if isinstance(value, dataclasses.Field)}
    try:
        dataclasses.dataclass(cls)
    except (TypeError, ValueError) as error:
        raise TaskDefinitionError(f"{cls.__name__} cannot become a dataclass: {error}") from error
    # Restored for a decorator `@dataclass`, which processes the class again: the first pass replaced each `field()` by
    # its default. A field with nothing but a plain default loses nothing by that.
    for name, field in declared.items():
        if field.init and (field.default is dataclasses.MISSING or field.metadata or field.kw_only is True):
            setattr(cls, name, field)


def _check_names(cls: type[Task]) -> None:
    annotations = vars(cls).get("__annotations__", {})
    for name in _RESERVED_NAMES:
        if name in annotations and not _is_class_variable(annotations[name]):
            raise TaskDefinitionError(f"{cls.__name__}: an input cannot be called {name}; give it another name")


def _is_class_variable(annotation: Any) -> bool:
    return "ClassVar" in str(annotation)


def _read_identifier(cls: type[Task]) -> TaskIdentifier:
    example = 'write @staticmethod def identifier() -> tuple[str, str]: return "name", "v1.0"'
    method = inspect.getattr_static(cls, "identifier")
    if not isinstance(method, (staticmethod, classmethod)):
        raise TaskDefinitionError(f"{cls.__name__}.identifier must be a static or class method; {example}")
    try:
        identifier = cls.identifier()
    except Exception as error:
        raise TaskDefinitionError(f"{cls.__name__}.identifier() raised {error!r}; {example}") from error
    if not isinstance(identifier, tuple) or len(identifier) != 2:
        raise TaskDefinitionError(
            f"{cls.__name__}.identifier() must return a name and a version, not {identifier!r}; {example}"
        )
    try:
        return TaskIdentifier.parse(*identifier)
    except (TypeError, ValueError) as error:
        raise TaskDefinitionError(f"{cls.__name__}.identifier(): {error}; {example}") from None


def _check_execute(cls: type[Task]) -> None:
    example = "write def execute(self, context: ExecutionContext) -> None"
    method = inspect.getattr_static(cls, "execute")
    if isinstance(method, (staticmethod, classmethod)) or not callable(cls.execute):
        raise TaskDefinitionError(f"{cls.__name__}.execute must be a plain method; {example}")
    if inspect.isgeneratorfunction(cls.execute) or inspect.isasyncgenfunction(cls.execute):
        raise TaskDefinitionError(f"{cls.__name__}.execute is a generator, so it would never run; {example}")
    signature = inspect.signature(cls.execute)
    if not _takes_the_context(signature):
        raise TaskDefinitionError(f"{cls.__name__}.execute{signature} must take self and the context; {example}")
    if not _returns_nothing(_resolved_return(cls.execute, signature.return_annotation)):
        raise TaskDefinitionError(
            f"{cls.__name__}.execute returns {inspect.formatannotation(signature.return_annotation)}, which would be "
            f"lost; store results in context.job_cache and {example}"
        )


def _takes_the_context(signature: inspect.Signature) -> bool:
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        return False
    positional = sum(kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return positional == 2 or (positional < 2 and inspect.Parameter.VAR_POSITIONAL in kinds)


def _resolved_return(function: Any, annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))  # noqa: S307 - as typing does
    except Exception:  # noqa: BLE001 - a name that only type checkers know, and which they check
        return Any


def _returns_nothing(annotation: Any) -> bool:
    if annotation in (inspect.Signature.empty, None, type(None), Any, typing.Never, typing.NoReturn):
        return True
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return all(_returns_nothing(part) for part in typing.get_args(annotation))
    awaitables = (collections.abc.Awaitable, collections.abc.Coroutine)
    if annotation in awaitables:
        return True
    return origin in awaitables and _returns_nothing(typing.get_args(annotation)[-1])
