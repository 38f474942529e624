"""The graph of subtasks: the message has exactly what was submitted."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.tasks.future_task import FutureTask
from tilebox._core.tasks.subtasks import Subtasks, root_tasks
from tilebox._core.tasks.task import Task


class Numbered(Task):
    number: int


class Pair(Task):
    a: int
    b: str


class Named(Task):
    number: int

    @staticmethod
    def identifier():
        return "tests/Named", "v1.4"


class Guarded(Task):
    def _check_submittable(self):
        raise ValueError("Guarded cannot be submitted without being triggered")


@dataclass(frozen=True)
class Seen:
    """A task as the wire has it."""

    name: str
    version: str
    display: str
    cluster: str
    max_retries: int
    is_optional: bool
    depends_on: frozenset[bytes]


def read(message) -> dict[bytes, Seen]:
    """A reader of its own: tasks by their inputs, which are unique in these tests."""
    groups = message.task_groups
    seen = {}
    for group in groups:
        before = [groups[index] for index in group.dependencies_on_other_groups]
        rows = zip(
            group.inputs,
            group.identifier_pointers,
            group.display_pointers,
            group.cluster_slug_pointers,
            group.max_retries_values,
            group.optional_values,
            strict=True,
        )
        for data, identifier, display, cluster, retries, optional in rows:
            assert data not in seen
            seen[data] = Seen(
                message.identifier_lookup[identifier].name,
                message.identifier_lookup[identifier].version,
                message.display_lookup[display],
                message.cluster_slug_lookup[cluster],
                retries,
                optional,
                frozenset(itertools.chain.from_iterable(each.inputs for each in before)),
            )
    return seen


@st.composite
def graphs(draw):
    """For each task: its class, where it runs, its retries, whether it is optional, and on which it depends."""
    count = draw(st.integers(1, 12))
    return [
        (
            draw(st.sampled_from([Numbered, Named])),
            draw(st.sampled_from([None, "other", "third"])),
            draw(st.integers(0, 3)),
            draw(st.booleans()),
            draw(st.sets(st.integers(0, number - 1))) if number else set(),
        )
        for number in range(count)
    ]


@given(graphs())
def test_the_message_has_what_was_submitted(graph):
    subtasks, futures, expected = Subtasks("home"), [], {}
    for number, (task_class, cluster, retries, optional, before) in enumerate(graph):
        futures.append(
            subtasks.submit(task_class(number), [futures[index] for index in before], cluster, retries, optional)
        )
        name, version = task_class.identifier()
        expected[b"%d" % number] = Seen(
            name,
            version,
            task_class.__name__,
            cluster or "home",
            retries,
            optional,
            frozenset(b"%d" % index for index in before),
        )
    message = subtasks.to_message()
    assert read(message) == expected
    for lookup in (message.cluster_slug_lookup, message.display_lookup):
        assert len(set(lookup)) == len(lookup)
    # A group depends on earlier ones only, so that there can be no cycle.
    for number, group in enumerate(message.task_groups):
        assert all(before < number for before in group.dependencies_on_other_groups)


@given(graphs())
def test_there_are_no_more_groups_than_there_must_be(graph):
    subtasks, futures = Subtasks("home"), []
    for number, (*_, before) in enumerate(graph):
        futures.append(subtasks.submit(Numbered(number), [futures[index] for index in before]))
    after = [{later for later, (*_, before) in enumerate(graph) if number in before} for number in range(len(graph))]
    kinds = {(frozenset(before), frozenset(after[number])) for number, (*_, before) in enumerate(graph)}
    assert len(subtasks.to_message().task_groups) == len(kinds)


def test_a_diamond_is_three_groups():
    subtasks = Subtasks("home")
    first = subtasks.submit(Numbered(0))
    middle = subtasks.submit_many([Numbered(1), Numbered(2)], depends_on=first)
    subtasks.submit(Numbered(3), depends_on=middle)
    groups = subtasks.to_message().task_groups
    assert [list(group.inputs) for group in groups] == [[b"0"], [b"1", b"2"], [b"3"]]
    assert [list(group.dependencies_on_other_groups) for group in groups] == [[], [0], [1]]


def test_tasks_of_different_classes_share_a_group():
    subtasks = Subtasks("home")
    subtasks.submit_many([Pair(1, "x"), Pair(2, "y"), Numbered(5)])
    [group] = subtasks.to_message().task_groups
    assert list(group.inputs) == [b'{"a":1,"b":"x"}', b'{"a":2,"b":"y"}', b"5"]
    assert list(group.identifier_pointers) == [0, 0, 1]


def test_nothing_submitted_is_an_empty_message():
    subtasks = Subtasks("home")
    assert len(subtasks) == 0
    assert subtasks.to_message().SerializeToString() == b""


def test_a_thousand_after_a_thousand_are_two_groups():
    subtasks = Subtasks("home")
    first = subtasks.submit_many(Numbered(number) for number in range(1000))
    for number in range(1000):
        subtasks.submit(Numbered(1000 + number), depends_on=first)
    groups = subtasks.to_message().task_groups
    assert [len(group.inputs) for group in groups] == [1000, 1000]


def test_inputs_are_those_of_the_time_of_submission():
    subtasks, task = Subtasks("home"), Numbered(1)
    subtasks.submit(task)
    task.number = 2
    subtasks.submit(task)
    assert list(subtasks.to_message().task_groups[0].inputs) == [b"1", b"2"]


def test_several_are_submitted_all_or_not_at_all():
    subtasks = Subtasks("home")
    with pytest.raises(TypeError, match=r"Numbered\.number must be a valid integer"):
        subtasks.submit_many([Numbered(1), Numbered("2")])
    assert len(subtasks) == 0


def test_a_cluster_may_be_what_the_client_returned():
    subtasks = Subtasks("home")
    subtasks.submit(Numbered(1), cluster=SimpleNamespace(slug="gpu"))
    assert subtasks.to_message().cluster_slug_lookup == ["gpu"]


def test_dependencies_of_another_context_are_refused():
    one, other = Subtasks("home"), Subtasks("home")
    future = one.submit(Numbered(1))
    with pytest.raises(ValueError, match=r"FutureTask\(0, Numbered\) was submitted in another context"):
        other.submit(Numbered(2), depends_on=[future])
    with pytest.raises(ValueError, match="another context"):
        other.submit(Numbered(2), depends_on=FutureTask(0))


@pytest.mark.parametrize("depends_on", [Numbered(1), [Numbered(1)], 3, "0", [0], [None], "FutureTask"])
def test_dependencies_must_be_return_values_of_submit_subtask(depends_on):
    with pytest.raises(TypeError, match=r"depends_on must .* return values? of submit_subtask"):
        Subtasks("home").submit(Numbered(2), depends_on=depends_on)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": 2**31}, ValueError),
        ({"max_retries": True}, TypeError),
        ({"max_retries": 1.0}, TypeError),
        ({"max_retries": None}, TypeError),
        ({"optional": None}, TypeError),
        ({"cluster": 3}, TypeError),
    ],
)
def test_malformed_arguments_are_refused(arguments, error):
    with pytest.raises(error):
        Subtasks("home").submit(Numbered(1), **arguments)


@pytest.mark.parametrize("task", [Numbered, None, "Numbered", {"number": 1}, object()])
def test_only_tasks_are_submitted(task):
    with pytest.raises(TypeError, match="only tasks can be submitted"):
        Subtasks("home").submit(task)


def test_a_task_class_in_place_of_a_task_is_refused_with_a_hint():
    with pytest.raises(TypeError, match=r"write Numbered\(\.\.\.\)"):
        Subtasks("home").submit(Numbered)


def test_a_class_may_refuse_to_be_submitted():
    with pytest.raises(ValueError, match="without being triggered"):
        Subtasks("home").submit(Guarded())
    with pytest.raises(ValueError, match="without being triggered"):
        root_tasks(Guarded())


def test_after_the_end_nothing_is_submitted():
    subtasks = Subtasks("home")
    subtasks.close("the task has ended")
    with pytest.raises(RuntimeError, match="the task has ended"):
        subtasks.submit(Numbered(1))
    with pytest.raises(RuntimeError, match="the task has ended"):
        subtasks.submit_many([])


def test_threads_submit_together():
    subtasks = Subtasks("home")

    def submit(thread):
        future = subtasks.submit(Numbered(thread * 1000))
        for number in range(1, 200):
            future = subtasks.submit(Numbered(thread * 1000 + number), depends_on=future)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, range(8)))
    seen = read(subtasks.to_message())
    assert len(seen) == 1600
    for data, task in seen.items():
        number = int(data)
        assert task.depends_on == (frozenset({b"%d" % (number - 1)}) if number % 1000 else frozenset())


def test_a_submission_that_never_arrived_moves_no_dependency():
    subtasks = Subtasks("home")
    next(subtasks._numbers)  # a thread that was overtaken by the end of its task
    first = subtasks.submit(Numbered(1))
    subtasks.submit(Numbered(2), depends_on=first)
    assert read(subtasks.to_message())[b"2"].depends_on == {b"1"}


def test_submitted_tasks_can_be_inspected():
    subtasks = Subtasks("home")
    first = subtasks.submit(Pair(1, "x"))
    subtasks.submit(Numbered(2), first, "other", max_retries=3, optional=True)
    one, two = subtasks
    assert (one.task, two.task) == (Pair(1, "x"), Numbered(2))
    assert (one.depends_on, one.cluster, one.max_retries, one.optional) == (frozenset(), "home", 0, False)
    assert (two.depends_on, two.cluster, two.max_retries, two.optional) == ({0}, "other", 3, True)


def test_the_repr_of_a_future_task():
    assert repr(Subtasks("home").submit(Named(1))) == "FutureTask(0, Named)"
    assert repr(FutureTask(7)) == "FutureTask(7)"


def test_root_tasks_run_in_the_default_cluster():
    message = root_tasks(Numbered(1), max_retries=2)
    assert read(message) == {b"1": Seen("Numbered", "v0.0", "Numbered", "", 2, False, frozenset())}


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        ("a", ["a", "a"]),
        (["a"], ["a", "a"]),
        (("a", SimpleNamespace(slug="b")), ["a", "b"]),
        (SimpleNamespace(slug="b"), ["b", "b"]),
        (None, ["", ""]),
    ],
)
def test_root_tasks_have_one_cluster_or_one_each(clusters, expected):
    seen = read(root_tasks([Numbered(1), Named(2)], clusters))
    assert [seen[b"1"].cluster, seen[b"2"].cluster] == expected


def test_root_tasks_may_come_from_a_generator():
    assert len(read(root_tasks(Numbered(number) for number in range(3)))) == 3


@pytest.mark.parametrize(
    ("tasks", "clusters", "error", "match"),
    [
        ([], "a", ValueError, "at least one task"),
        ([Numbered(1)], ["a", "b"], ValueError, "1 tasks but 2 clusters"),
        ([Numbered(1), Numbered(2)], [], ValueError, "2 tasks but 0 clusters"),
        (Numbered, "a", TypeError, "write Numbered"),
        ("Numbered", "a", TypeError, "list of tasks"),
        (None, "a", TypeError, "list of tasks"),
        (Numbered(1), 3, TypeError, "a cluster must be a slug"),
    ],
)
def test_malformed_root_tasks_are_refused(tasks, clusters, error, match):
    with pytest.raises(error, match=match):
        root_tasks(tasks, clusters)
