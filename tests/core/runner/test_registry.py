"""What a runner offers: classes by name and version."""

from __future__ import annotations

import abc

import pytest

from tilebox._core.runner.registry import Registry
from tilebox._core.tasks.task import Task
from tilebox._core.tasks.versions import TaskIdentifier


def define(name, identifier=None, *, can_execute=True):
    body = {"__module__": "flows"}
    if can_execute:
        body["execute"] = lambda self, context: None
    if identifier:
        body["identifier"] = staticmethod(lambda: identifier)
    return type(name, (Task,), body)


A = define("A")
B = define("B", ("b", "v1.2"))


def test_classes_are_found_by_exactly_their_identifier():
    registry = Registry([B, A])
    assert registry.identifiers == [TaskIdentifier("b", 1, 2), TaskIdentifier("A", 0, 0)]
    assert registry.find(TaskIdentifier("b", 1, 2)) is B
    assert len(registry) == 2
    with pytest.raises(KeyError):
        registry.find(TaskIdentifier("b", 1, 1))


def test_several_versions_of_one_name_stand_side_by_side():
    newer = define("B", ("b", "v1.3"))
    assert Registry([B, newer]).find(TaskIdentifier("b", 1, 3)) is newer


def test_two_classes_of_one_identifier_are_refused():
    with pytest.raises(ValueError, match=r"flows\.B and flows\.Other are both b v1\.2"):
        Registry([B, define("Other", ("b", "v1.2"))])


def test_the_same_class_twice_is_one():
    assert len(Registry([A, A])) == 1


def test_classes_without_execute_are_refused():
    with pytest.raises(ValueError, match="Elsewhere has no execute"):
        Registry([define("Elsewhere", can_execute=False)])


def test_abstract_classes_are_refused():
    class Abstract(Task, abc.ABC):
        @abc.abstractmethod
        def execute(self, context): ...

    with pytest.raises(ValueError, match="Abstract is abstract"):
        Registry([Abstract])


@pytest.mark.parametrize(
    ("given", "match"),
    [(A(), "write A without arguments"), (Task, "not <class"), (int, "not <class 'int'>"), ("A", "not 'A'")],
)
def test_what_is_no_class_of_tasks_is_refused(given, match):
    with pytest.raises(TypeError, match=match):
        Registry([given])
