"""Task classes: inheritance, decorators, and the errors of a definition."""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import inspect
import pickle
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import pytest

from tilebox._core.tasks.inputs.serialization import deserialize, serialize
from tilebox._core.tasks.retries import Retry
from tilebox._core.tasks.task import ExecutionContext, Task, can_execute, identifier_of, retry_of
from tilebox._core.tasks.versions import TaskIdentifier
from tilebox.errors import TaskDefinitionError, TileboxError


class Plain(Task):
    message: str
    number: int = 3

    def execute(self, context: ExecutionContext) -> None:
        context.ran = self.message * self.number


def test_a_subclass_is_a_dataclass():
    assert dataclasses.is_dataclass(Plain)
    assert Plain("a") == Plain(message="a", number=3)
    assert repr(Plain("a")) == "Plain(message='a', number=3)"
    with pytest.raises(TypeError, match="message"):
        Plain()


def test_tasks_are_mutable_and_can_be_copied_and_pickled():
    task = Plain("a")
    task.number = 4
    assert copy.deepcopy(task) == pickle.loads(pickle.dumps(task)) == Plain("a", 4)


def test_a_task_needs_no_fields():
    class Bare(Task):
        pass

    assert Bare() == Bare()


def test_the_task_itself_has_nothing_of_a_dataclass_and_is_no_input():
    assert dataclasses.fields(Task) == ()
    assert Task() != Task()
    with pytest.raises(TaskDefinitionError, match="below is Task, which cannot be serialised"):

        class Holding(Task):
            below: Task


def test_inputs_are_inherited():
    class Child(Plain):
        extra: bool = True

    assert Child("a", 1, extra=False).extra is False
    assert can_execute(Child)
    assert identifier_of(Child) == TaskIdentifier("Child", 0, 0)


def test_mixins_without_fields_are_allowed():
    class Loud:
        def shout(self):
            return self.message.upper()

    class Shouting(Loud, Plain):
        pass

    assert Shouting("a").shout() == "A"


@pytest.mark.parametrize("options", [{}, {"kw_only": True}, {"slots": True}, {"order": True}])
def test_decorating_again_does_no_harm(options):
    @dataclass(**options)
    class Decorated(Task):
        items: list[int] = field(default_factory=list)
        secret: str = field(default="s", metadata={"skip_serialization": True})
        note: str = field(default="n", repr=False)

        def execute(self, context):
            pass

    first, second = Decorated(), Decorated(items=[1])
    assert first.items == []
    assert (first.secret, first.note) == ("s", "n")
    assert serialize(second) == b'{"items":[1],"note":"n"}'
    assert deserialize(Decorated, serialize(second)) == second


@pytest.mark.parametrize("options", [{}, {"slots": True}])
@pytest.mark.parametrize("above", [Task, Plain])
def test_freezing_is_refused_where_the_class_is_defined(options, above):
    with pytest.raises(TypeError, match="cannot inherit frozen dataclass from a non-frozen one"):

        @dataclass(frozen=True, **options)
        class Frozen(above):
            a: int = 1


def test_decorated_classes_are_inherited_from():
    @dataclass
    class Above(Task):
        items: list[int] = field(default_factory=list)

    class Below(Above):
        items: list[int] = field(default_factory=lambda: [1])
        more: int = 0

    assert (Above().items, Below().items) == ([], [1])


def test_a_default_that_would_be_shared_is_refused():
    with pytest.raises(
        TaskDefinitionError, match=r"Shared cannot become a dataclass: mutable default.*default_factory"
    ):

        class Shared(Task):
            items: list[int] = []  # noqa: RUF012


def test_an_input_without_default_behind_one_with_is_refused():
    with pytest.raises(TaskDefinitionError, match="Wrong cannot become a dataclass: non-default argument 'b'"):

        class Wrong(Task):
            a: int = 1
            b: int


@pytest.mark.parametrize("name", ["execute", "identifier"])
def test_inputs_do_not_hide_methods(name):
    with pytest.raises(TaskDefinitionError, match=f"an input cannot be called {name}"):
        type("Hiding", (Task,), {"__annotations__": {name: str}})


def test_definition_errors_are_tilebox_errors_and_type_errors():
    assert issubclass(TaskDefinitionError, TypeError)
    assert issubclass(TaskDefinitionError, TileboxError)


# Identifiers


def test_the_default_identifier_is_the_name_of_the_class():
    assert identifier_of(Plain) == identifier_of(Plain("a")) == TaskIdentifier("Plain", 0, 0)
    assert Plain.identifier() == ("Plain", "v0.0")


@pytest.mark.parametrize("decorator", [staticmethod, classmethod])
def test_a_custom_identifier(decorator):
    def identifier(*cls):
        return "tilebox.com/example/MyTask", "v1.3"

    made = type("Made", (Task,), {"identifier": decorator(identifier)})
    assert identifier_of(made) == TaskIdentifier("tilebox.com/example/MyTask", 1, 3)


def test_an_identifier_that_uses_the_class_is_each_classes_own():
    class Prefixed(Task):
        @classmethod
        def identifier(cls):
            return f"prefix/{cls.__name__}", "v1.0"

    class Other(Prefixed):
        pass

    assert identifier_of(Other).name == "prefix/Other"


@pytest.mark.parametrize(
    ("returned", "match"),
    [
        (("name", "1.0"), "version of a task must have the form"),
        (("name", "v1"), "version of a task must have the form"),
        (("", "v1.0"), "1 to 256 bytes"),
        (("x" * 257, "v1.0"), "1 to 256 bytes"),
        (("name", 1.0), "must be strings"),
        ("name", "must return a name and a version, not 'name'"),
        (None, "must return a name and a version"),
        (["name", "v1.0"], "must return a name and a version"),
    ],
)
def test_malformed_identifiers_are_refused(returned, match):
    with pytest.raises(TaskDefinitionError, match=rf"Made\.identifier\(\).*{match}.*write @staticmethod"):
        type("Made", (Task,), {"identifier": staticmethod(lambda: returned)})


def test_an_identifier_that_needs_an_instance_is_refused():
    with pytest.raises(TaskDefinitionError, match="must be a static or class method"):
        type("Made", (Task,), {"identifier": lambda self: ("name", "v1.0")})


def test_an_identifier_that_fails_is_refused():
    def identifier():
        raise KeyError("x")

    with pytest.raises(TaskDefinitionError, match=r"Made\.identifier\(\) raised KeyError\('x'\)"):
        type("Made", (Task,), {"identifier": staticmethod(identifier)})


@pytest.mark.parametrize("value", [int, 5, "Plain", Task])
def test_only_tasks_have_identifiers(value):
    with pytest.raises(TypeError, match="is not a task"):
        identifier_of(value)


# execute


def without_annotation(self, context):
    pass


def with_none(self, context: ExecutionContext) -> None:
    pass


def with_another_name(self, ctx):
    pass


async def coroutine(self, context) -> None:
    pass


def awaitable(self, context) -> Awaitable[None]:
    return coroutine(self, context)


def awaitable_or_none(self, context) -> Awaitable[None] | None:
    return None


def coroutine_type(self, context) -> Coroutine[Any, Any, None]:
    return coroutine(self, context)


def never(self, context) -> NoReturn:
    raise ValueError


def unknown(self, context) -> OnlyForTypeCheckers:  # noqa: F821
    pass


def any_arguments(*arguments):
    pass


def positional_only(self, context, /):
    pass


@functools.wraps(with_none)
def wrapped(*args, **kwargs):
    return with_none(*args, **kwargs)


GOOD = [
    without_annotation,
    with_none,
    with_another_name,
    coroutine,
    awaitable,
    awaitable_or_none,
    coroutine_type,
    never,
    unknown,
    any_arguments,
    positional_only,
    wrapped,
]


@pytest.mark.parametrize("execute", GOOD, ids=lambda function: function.__name__)
def test_accepted_forms_of_execute(execute):
    assert can_execute(type("Made", (Task,), {"execute": execute}))


def no_context(self):
    pass


def too_many(self, context, more):
    pass


def too_many_with_default(self, context, more=1):
    pass


def keyword_only(self, *, context):
    pass


def returns_int(self, context) -> int:
    return 1


async def returns_text(self, context) -> str:
    return ""


def returns_awaited_value(self, context) -> Awaitable[int]:
    pass


def generator(self, context):
    yield


async def async_generator(self, context):
    yield


BAD = [
    (no_context, r"execute\(self\) must take self and the context"),
    (too_many, "must take self and the context"),
    (too_many_with_default, "must take self and the context"),
    (keyword_only, "must take self and the context"),
    (returns_int, "execute returns .*int.*which would be lost"),
    (returns_text, "execute returns .*str"),
    (returns_awaited_value, r"execute returns .*Awaitable\[int\]"),
    (generator, "execute is a generator"),
    (async_generator, "execute is a generator"),
    (staticmethod(with_none), "must be a plain method"),
    (classmethod(with_none), "must be a plain method"),
    (5, "must be a plain method"),
]


@pytest.mark.parametrize(("execute", "match"), BAD)
def test_refused_forms_of_execute(execute, match):
    with pytest.raises(TaskDefinitionError, match=rf"Made\..*{match}.*write def execute\(self, context"):
        type("Made", (Task,), {"execute": execute})


def test_evaluated_annotations_are_checked_too():
    def execute(self, context):
        pass

    execute.__annotations__["return"] = int
    with pytest.raises(TaskDefinitionError, match="returns int"):
        type("Made", (Task,), {"execute": execute})


def test_a_task_without_execute_can_be_created_but_not_executed():
    class Elsewhere(Task):
        number: int

    assert not can_execute(Elsewhere)
    with pytest.raises(NotImplementedError, match="Elsewhere has no execute"):
        Elsewhere(1).execute(None)


def test_abstract_tasks_cannot_be_executed():
    class Abstract(Task, abc.ABC):
        @abc.abstractmethod
        def execute(self, context): ...

    class Concrete(Abstract):
        def execute(self, context):
            pass

    assert not can_execute(Abstract)
    assert can_execute(Concrete)
    assert inspect.isabstract(Abstract)


def test_execute_is_a_method_like_any_other():
    class Context:
        pass

    context = Context()
    Plain("ab", 2).execute(context)
    assert context.ran == "abab"


# Retries


def test_without_a_policy_there_is_no_delay():
    assert retry_of(Plain) == Retry()


@pytest.mark.parametrize("annotated", [True, False])
def test_a_class_sets_its_retry_policy(annotated):
    policy = Retry(delay_seconds=5)
    if annotated:

        class Flaky(Task):
            retry: ClassVar[Retry] = policy
    else:

        class Flaky(Task):
            retry = policy

    assert retry_of(Flaky) is retry_of(Flaky()) is policy
    assert serialize(Flaky()) == b""

    class Child(Flaky):
        pass

    assert retry_of(Child) is policy


def test_an_input_may_be_called_retry():
    class Odd(Task):
        retry: int

    assert serialize(Odd(4)) == b"4"
    assert retry_of(Odd(4)) == Retry()
