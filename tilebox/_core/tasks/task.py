"""Tasks: classes whose fields are inputs and whose `execute` is the work, checked where they are defined.

`Task` and `ExecutionContext` name each other in their signatures, so both are defined here; `context.py` has the
context that runners give to tasks.
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

_NOT_FIELDS = ("execute", "identifier")
_NO_RETRY = Retry()


class ExecutionContext(ABC):
    """What a task's `execute` gets: it submits subtasks, reports progress, and shares data with the job's other tasks.

    Several threads of a task may use it.
    """

    @property
    @abstractmethod
    def current_task(self) -> CurrentTask:
        """The task that is executed; its `display` may be changed."""

    @property
    @abstractmethod
    def job_cache(self) -> JobCache:
        """The cache that the tasks of this job share."""

    @property
    @abstractmethod
    def runner_context(self) -> Any:
        """The `context` that the runner was given, for instance connections that its tasks share."""

    @property
    @abstractmethod
    def logger(self) -> TaskLogger:
        """A logger whose records carry the ids of this task and its job."""

    @property
    @abstractmethod
    def tracer(self) -> Tracer:
        """Makes spans: `with context.tracer.span("read"):`. It does nothing unless tracing is configured."""

    @abstractmethod
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
            A handle on the subtask, for `depends_on` of others.

        Raises:
            TypeError: An argument, or an input of the task, is of a wrong type.
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
        """Submit several tasks that have these arguments in common: all of them, or none if one is refused.

        Args:
            tasks: The tasks.
            depends_on: Subtasks that must be completed before they start, with all of their subtasks.
            cluster: Where they run, if elsewhere than this task.
            max_retries: How many attempts of each may fail without failing it.
            optional: Whether the job goes on if one fails.

        Returns:
            A handle on each subtask, in their order.
        """

    def submit_batch(
        self, tasks: Iterable[Task], cluster: ClusterLike | None = None, max_retries: int = 0
    ) -> list[FutureTask]:
        """Submit several tasks. Deprecated: `submit_subtasks` does the same, and more."""
        warnings.warn("submit_batch is deprecated; write submit_subtasks", DeprecationWarning, stacklevel=2)
        return self.submit_subtasks(tasks, cluster=cluster, max_retries=max_retries)

    @abstractmethod
    def progress(self, label: str | None = None) -> ProgressTracker:
        """Return the counter of a label, which the job's progress sums up over its tasks.

        Args:
            label: What is counted, at most 100 characters; nothing, or the empty text, for the unnamed counter.

        Raises:
            TypeError: The label is no text.
            ValueError: It is too long, or this task has 1000 labels already.
        """


@dataclass_transform(field_specifiers=(dataclasses.field,))
class Task:
    """A step of a workflow. Inherit from it; fields are inputs, as those of a dataclass, which each subclass becomes.

        class Greet(Task):
            name: str

            def execute(self, context: ExecutionContext) -> None:
                print(f"Hello {self.name}")

    A decorator `@dataclass` is not needed and changes nothing. With `frozen=True` it raises TypeError: leave it out.
    A class without `execute` can be submitted, for runners elsewhere that know one of the same identifier.

    Raises:
        TaskDefinitionError: When the class is defined: an input is of a type that cannot travel, `execute` does not
            take the context and nothing else or returns something, or the identifier is malformed.
    """

    retry: ClassVar[Retry] = _NO_RETRY
    """The pauses between attempts, if the task may be tried again."""

    def execute(self, context: ExecutionContext) -> Awaitable[None] | None:
        """Do the work; a plain function or a coroutine.

        Args:
            context: Submits subtasks, reports progress, shares data with the other tasks of the job.
        """
        raise NotImplementedError(f"{type(self).__name__} has no execute")

    @classmethod
    def identifier(cls) -> tuple[str, str]:
        """Return the task's name and version; the name of the class and `v0.0` unless a subclass says otherwise.

        Override it as a static method or a class method.
        """
        return cls.__name__, "v0.0"

    def _check_submittable(self) -> None:
        """Raise ValueError if a task of this class cannot be submitted as it is."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _check_names(cls)
        # A decorator with slots makes the class again, as a dataclass already.
        if "__dataclass_fields__" not in vars(cls):
            _make_dataclass(cls)
        type.__setattr__(cls, "__tilebox_identifier__", _read_identifier(cls))
        if can_execute(cls):
            _check_execute(cls)
        type.__setattr__(cls, "__tilebox_inputs__", Inputs(cls, Scope.around(cls)))


# Without fields, and with nothing made for it, so that a subclass that is decorated to be frozen is refused where it is
# defined, in Python's own words. It has become a dataclass before, whose __init__ could not set a frozen field.
dataclasses.dataclass(init=False, repr=False, eq=False, match_args=False)(Task)


def identifier_of(task: Task | type[Task]) -> TaskIdentifier:
    """Return the name and version of a task or of a class of tasks.

    Raises:
        TypeError: It is neither.
    """
    task_class = task if isinstance(task, type) else type(task)
    identifier = vars(task_class).get("__tilebox_identifier__")
    if not isinstance(identifier, TaskIdentifier):
        raise TypeError(f"{task_class.__name__} is no task; write class {task_class.__name__}(Task)")
    return identifier


def can_execute(task_class: type[Task]) -> bool:
    """Whether a class of tasks says how to execute them."""
    return task_class.execute is not Task.execute and not inspect.isabstract(task_class)


def retry_of(task: Task | type[Task]) -> Retry:
    """Return the pauses between attempts of a task; those of a class whose field `retry` is an input are none."""
    task_class = task if isinstance(task, type) else type(task)
    retry = getattr(task_class, "retry", None)
    return retry if isinstance(retry, Retry) else _NO_RETRY


def _make_dataclass(cls: type[Task]) -> None:
    declared = {name: copy.copy(value) for name, value in vars(cls).items() if isinstance(value, dataclasses.Field)}
    try:
        dataclasses.dataclass(cls)
    except (TypeError, ValueError) as error:
        raise TaskDefinitionError(f"{cls.__name__} is no dataclass: {error}") from error
    # For those who write @dataclass as well, which does the same once more: the first time has replaced what the
    # second one needs. Fields with a plain default and nothing else lose nothing.
    for name, field in declared.items():
        if field.init and (field.default is dataclasses.MISSING or field.metadata or field.kw_only is True):
            setattr(cls, name, field)


def _check_names(cls: type[Task]) -> None:
    written = vars(cls).get("__annotations__", {})
    for name in _NOT_FIELDS:
        if name in written and not _is_class_variable(written[name]):
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
        raise TaskDefinitionError(f"{cls.__name__}.identifier() fails: {error!r}; {example}") from error
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
        raise TaskDefinitionError(f"{cls.__name__}.execute yields, so that it would never run; {example}")
    signature = inspect.signature(cls.execute)
    if not _takes_the_context(signature):
        raise TaskDefinitionError(f"{cls.__name__}.execute{signature} must take self and the context; {example}")
    if not _returns_nothing(_resolved_return(cls.execute, signature.return_annotation)):
        raise TaskDefinitionError(
            f"{cls.__name__}.execute returns {inspect.formatannotation(signature.return_annotation)}, which nobody "
            f"would get; keep results in context.job_cache and {example}"
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
    except Exception:  # noqa: BLE001 - a name that only type checkers know; they check it
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
