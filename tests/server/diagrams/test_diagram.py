"""Diagrams of jobs as D2 text: nodes, bundles, edges and labels."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilebox.server.diagrams.d2 import label, quoted
from tilebox.server.diagrams.graph import GraphCount, GraphGroup, GraphTask, JobGraph, Theme
from tilebox.server.diagrams.job_diagram import groups_to_load, to_d2
from tilebox.server.rules.task_states import JobState, TaskState

QUEUED, RUNNING, COMPUTED, FAILED = TaskState.QUEUED, TaskState.RUNNING, TaskState.COMPUTED, TaskState.FAILED


class Build:
    """A job that is built group by group."""

    def __init__(self):
        self.groups, self.tasks = [], []

    def group(self, parent=None, depends_on=(), counts=(), parent_id=None, parent_group=None, parent_identifier=""):
        parent_id = parent.id if parent else parent_id
        index = len(self.groups)
        self.groups.append(GraphGroup(index, parent_id, tuple(depends_on), counts, parent_group, parent_identifier))
        return index

    def task(self, group, display, state=COMPUTED, *, identifier="Leaf", is_optional=False):
        identity = UUID(int=len(self.tasks) + 1)
        parent = self.groups[group].parent_id
        self.tasks.append(GraphTask(identity, parent, group, display, state, identifier, is_optional))
        return self.tasks[-1]

    def graph(self, **parts):
        return JobGraph("a job", JobState.RUNNING, self.groups, self.tasks, **parts)


def nodes(text):
    """Return the labels of a diagram's tasks and bundles by name."""
    return dict(re.findall(r'^ *(n\d+): "((?:[^"\\]|\\.)*)"', text, re.MULTILINE))


def edges(text):
    """Return the edges of a diagram: source, target and class."""
    return set(re.findall(r"^(\S+) -[->] (\S+): \{class: (\w+)\}", text, re.MULTILINE))


def news():
    job = Build()
    root = job.task(job.group(), "NewsWorkflow")
    fetch = job.group(root)
    job.task(fetch, "FetchNews")
    after = job.group(root, [fetch])
    job.task(after, "PrintHeadlines", RUNNING)
    job.task(after, "MostFrequentAuthors", QUEUED)
    return job.graph()


def fan_out(count, *, failed=0, running=0):
    """Return a root with many tasks below it, as counts; failed and running ones are given one by one."""
    job = Build()
    root = job.task(job.group(), "Root", identifier="Root")
    counts = [GraphCount("x.com/Leaf", QUEUED, count - failed - running)]
    counts += [GraphCount("x.com/Leaf", FAILED, failed), GraphCount("x.com/Leaf", RUNNING, running)]
    group = job.group(root, counts=tuple(counts))
    for number in range(failed):
        job.task(group, f"Failed {number}", FAILED, identifier="x.com/Leaf")
    for number in range(running):
        job.task(group, f"Runs {number}", RUNNING, identifier="x.com/Leaf")
    return job.graph()


def test_a_small_job_is_drawn_task_by_task():
    text = to_d2(news())
    assert list(nodes(text).values()) == ["NewsWorkflow", "FetchNews", "PrintHeadlines", "MostFrequentAuthors"]
    assert edges(text) == {
        ("n0", "n1", "submits"),
        ("n0", "n2", "submits"),
        ("n0", "n3", "submits"),
        ("n1", "n2", "precedes"),
        ("n1", "n3", "precedes"),
    }
    assert [re.search(rf"^{node}: .*class: \[(s\d)", text, re.MULTILINE)[1] for node in nodes(text)] == [
        "s3",
        "s3",
        "s2",
        "s1",
    ]


def test_the_job_name_is_shown_on_request():
    assert "title:" not in to_d2(news())
    assert 'title: "a job\\nrunning"' in to_d2(news(), include_job_name=True)


def test_theme_and_direction():
    assert to_d2(news(), direction="right").startswith("direction: right\n")
    light, dark = to_d2(news(), theme=Theme.LIGHT), to_d2(news(), theme=Theme.DARK)
    assert light != dark
    assert "style.fill: transparent" not in dark.splitlines()
    assert "style.fill: transparent" in to_d2(news(), theme=Theme.CONSOLE_DARK).splitlines()
    assert to_d2(news(), theme=Theme.UNSPECIFIED) == light


def test_the_legend_lists_the_states_that_occur():
    text = to_d2(news())
    assert re.findall(r'^  s\d: "(\w+)"', text, re.MULTILINE) == ["queued", "running", "computed"]
    job = Build()
    job.task(job.group(), "Alone")
    assert "legend" not in to_d2(job.graph())


def test_dependencies_between_large_groups_share_a_joint():
    job = Build()
    root = job.task(job.group(), "Root")
    first = job.group(root)
    second = job.group(root, [first])
    for number in range(4):
        job.task(first, f"a{number}")
        job.task(second, f"b{number}")
    dashed = [edge for edge in edges(to_d2(job.graph())) if edge[2] == "precedes"]
    assert len(dashed) == 8
    assert {before for before, _, _ in dashed} == {"n1", "n2", "n3", "n4", "j0"}


def test_many_tasks_without_subtasks_share_a_box_and_an_edge():
    job = Build()
    root = job.task(job.group(), "Root")
    first = job.group(root)
    for number in range(30):
        job.task(first, f"a{number}")
    last = job.group(root, [first])
    job.task(last, "Reduce", QUEUED)
    text = to_d2(job.graph())
    assert len(nodes(text)) == 32
    assert edges(text) == {("n0", "g1", "submits"), ("g1", "n31", "precedes")}


def test_indirect_dependencies_get_no_edge():
    job = Build()
    root = job.task(job.group(), "Root")
    groups = []
    for number in range(6):
        groups.append(job.group(root, list(groups)))
        job.task(groups[-1], f"Step {number}")
    text = to_d2(job.graph())
    assert {edge for edge in edges(text) if edge[2] == "precedes"} == {
        (f"n{number}", f"n{number + 1}", "precedes") for number in range(1, 6)
    }
    # A task far below its parent is connected only to its dependencies.
    assert {after for before, after, kind in edges(text) if kind == "submits"} == {"n1", "n2", "n3", "n4"}


def test_chains_of_dependencies_need_few_edges():
    job = Build()
    root = job.task(job.group(), "Root")
    first = [job.group(root) for _ in range(90)]
    second = [job.group(root, first) for _ in range(90)]
    for group in first + second:
        job.task(group, "Task")
    assert len([edge for edge in edges(to_d2(job.graph())) if edge[2] == "precedes"]) == 180


def test_too_many_dependencies_are_omitted_with_a_note():
    job = Build()
    root = job.task(job.group(), "Root")
    first = [job.group(root) for _ in range(60)]
    second = [job.group(root, [one for at, one in enumerate(first) if at != skipped]) for skipped in range(60)]
    for group in first + second:
        job.task(group, "Task")
    text = to_d2(job.graph())
    assert "Not all dependencies are drawn" in text
    assert len([edge for edge in edges(text) if edge[2] == "precedes"]) <= 400
    assert "Not all" not in to_d2(news())


def test_a_wide_job_has_two_nodes_beside_failed_and_running_tasks():
    text = to_d2(fan_out(9_998))
    assert list(nodes(text).values()) == ["Root", "Leaf × 9,998"]
    text = to_d2(fan_out(9_998, failed=2, running=3))
    assert list(nodes(text).values()) == [
        "Root", "Failed 0", "Failed 1", "Runs 0", "Runs 1", "Runs 2", "Leaf × 9,993",
    ]  # fmt: skip


def test_tasks_and_counts_are_drawn_once():
    whole = fan_out(300, failed=300)
    labels = list(nodes(to_d2(whole, max_tasks=50)).values())
    shown = [name for name in labels if name.startswith("Failed")]
    rest = next(name for name in labels if name.startswith("Leaf"))
    assert len(labels) <= 50
    assert len(shown) >= 25
    assert f"× {300 - len(shown)}" in rest


def test_a_bundle_shows_its_states_as_text_and_stripes():
    job = Build()
    root = job.task(job.group(), "Root")
    counts = (GraphCount("Leaf", QUEUED, 600), GraphCount("Leaf", COMPUTED, 399), GraphCount("Leaf", FAILED, 1))
    job.group(root, counts=counts)
    text = to_d2(job.graph())
    assert nodes(text)["n1"] == r"Leaf × 1,000\n1 failed\n399 computed\n600 queued"
    stripes = re.search(r"linear-gradient\(to right, (.*?)\)", text)[1]
    assert re.findall(r" (\d+)%", stripes) == ["0", "5", "5", "43", "43", "100"]


def wide_tree(levels, width):
    """Groups with counts of a tree in which every task submits `width` others; only the root is given."""
    job = Build()
    job.task(job.group(counts=(GraphCount("Split", COMPUTED, 1),)), "Root", identifier="Split")
    above, number = [(job.tasks[0].id, 0)], 10**6
    for level in range(levels):
        below = []
        for parent, group_above in above:
            identifier = "Leaf" if level == levels - 1 else "Split"
            counts = (GraphCount(identifier, COMPUTED, width),)
            group = job.group(parent_id=parent, counts=counts, parent_group=group_above, parent_identifier="Split")
            below += [(UUID(int=number + at), group) for at in range(width)]
            number += width
        above = below
    return job


def test_a_tree_has_one_node_per_level():
    assert list(nodes(to_d2(wide_tree(3, 30).graph())).values()) == [
        "Root", "Split × 30", "Split × 900", "Leaf × 27,000",
    ]  # fmt: skip


def test_small_groups_near_the_root_show_their_tasks_if_loaded():
    job = wide_tree(4, 5)
    wanted = groups_to_load(job.graph())
    # One root, five below it, and five times five; 125 more would be too wide.
    assert wanted == [0, 1, 2, 3, 4, 5, 6]
    ids = {group.parent_group: [] for group in job.groups}
    for group in job.groups[1:]:
        ids[group.parent_group].append(group.parent_id)
    for group in wanted[1:]:
        for number, identity in enumerate(ids[group]):
            parent = job.groups[group].parent_id
            job.tasks.append(GraphTask(identity, parent, group, f"Split {group}.{number}", COMPUTED, "Split"))
    labels = list(nodes(to_d2(job.graph())).values())
    assert labels[1:6] == [f"Split 1.{number}" for number in range(5)]
    assert len([name for name in labels if re.fullmatch(r"Split \d\.\d", name)]) == 30
    assert labels.count("Split × 5") == 25
    assert labels.count("Leaf × 25") == 25


def test_the_deepest_nodes_are_folded_into_their_parents():
    job = Build()
    parent = None
    for number in range(5000):
        parent = job.task(job.group(parent), f"Step {number}", FAILED if number == 4999 else COMPUTED)
    labels = list(nodes(to_d2(job.graph(), max_tasks=10)).values())
    assert labels == [*(f"Step {number}" for number in range(8)), r"Step 8\n+ 4,990 below", "Step 4999"]
    assert len(labels) == 10


def test_groups_of_one_class_are_combined_when_there_are_too_many():
    job = Build()
    root, before = job.task(job.group(), "Root"), []
    for _ in range(1000):
        before = [job.group(root, before)]
        job.task(before[0], "Step")
    assert list(nodes(to_d2(job.graph())).values()) == ["Root", "Leaf × 1,000"]


def test_groups_that_were_not_read_are_counted():
    labels = list(
        nodes(to_d2(fan_out(5000).__class__("a", JobState.RUNNING, [], [], [GraphCount("a/B", QUEUED, 7)]))).values()
    )
    assert labels == ["B × 7"]


def test_a_group_with_an_unknown_parent_is_at_the_root():
    lost = JobGraph(
        "a", JobState.RUNNING, [GraphGroup(5, UUID(int=9), (77,), (GraphCount("A", QUEUED, 3),), 5, "A")], []
    )
    assert list(nodes(to_d2(lost)).values()) == ["A × 3"]


@pytest.mark.parametrize(
    ("text", "string"),
    [
        ('say "hi"', r'"say \"hi\""'),
        ("a\\b", r'"a\\b"'),
        ("${secret}", r'"\${secret}"'),
        ("two\nlines", r'"two\nlines"'),
        ("a\x00\x1b\ud800b", '"a\ufffd\ufffd\ufffdb"'),
    ],
)
def test_strings_are_quoted(text, string):
    assert quoted(text) == string


def test_long_labels_are_wrapped_and_keep_their_text():
    words = " ".join(f"word{number}" for number in range(150))
    lines = label(words).strip('"').split(r"\n")
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == words
    assert label("x" * 100).replace(r"\n", "") == '"' + "x" * 100 + '"'
    assert label("a\r\nb\tc") == r'"a\nb c"'


def test_a_task_without_a_name_shows_its_class():
    job = Build()
    job.task(job.group(), " \n", identifier="tilebox.com/flows/Merge")
    assert list(nodes(to_d2(job.graph())).values()) == ["Merge"]


@st.composite
def graphs(draw, max_tasks=60):
    job = Build()
    roots = job.group()
    for _ in range(draw(st.integers(1, 3))):
        job.task(roots, draw(st.text('ab \n"$', max_size=5)), draw(st.sampled_from(TaskState)))
    siblings = {}
    for _ in range(draw(st.integers(0, 15))):
        parent = draw(st.sampled_from(job.tasks))
        before = siblings.setdefault(parent.id, [])
        awaited = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        group = job.group(parent, awaited)
        before.append(group)
        for _ in range(draw(st.integers(1, max_tasks // 15))):
            identifier = draw(st.sampled_from(["A", "B/C", "D"]))
            state = draw(st.sampled_from(TaskState))
            name = f"failed-{len(job.tasks)}" if state is FAILED else draw(st.text('ab \n"$', max_size=5))
            job.task(group, name, state, identifier=identifier, is_optional=draw(st.booleans()))
    return job


def counted(job):
    """Return a job as a store gives a large one: groups with counts, and only root and failed tasks."""
    by_id = {task.id: task for task in job.tasks}
    groups = []
    for group in job.groups:
        rows = {}
        for task in job.tasks:
            if task.group == group.index:
                rows[task.identifier, task.state] = rows.get((task.identifier, task.state), 0) + 1
        parent = by_id.get(group.parent_id)
        counts = tuple(GraphCount(name, state, count) for (name, state), count in rows.items())
        groups.append(
            GraphGroup(
                group.index,
                group.parent_id,
                group.depends_on,
                counts,
                parent.group if parent else None,
                parent.identifier if parent else "",
            )
        )
    kept = [task for task in job.tasks if task.parent_id is None or task.state is FAILED]
    return JobGraph("a job", JobState.RUNNING, groups, kept)


def total(labels):
    """Return the number of tasks that labels stand for."""
    count = 0
    for name in labels:
        bundle = re.search(r" × ([\d,]+)", name)
        count += int(bundle[1].replace(",", "")) if bundle else 1
        below = re.search(r"\\n\+ ([\d,]+) below", name)
        count += int(below[1].replace(",", "")) if below else 0
    return count


@settings(max_examples=300)
@given(graphs(), st.integers(4, 80))
def test_every_task_is_drawn_or_counted_once_within_the_limit(job, limit):
    for graph in (job.graph(), counted(job)):
        text = to_d2(graph, max_tasks=limit)
        assert text == to_d2(graph, max_tasks=limit)
        shown = nodes(text)
        assert len(shown) <= limit
        assert total(shown.values()) == len(job.tasks)
        failed = [task for task in job.tasks if task.state is FAILED]
        if len(failed) <= limit // 2:
            names = {name.split(r"\n")[0] for name in shown.values()}
            assert {task.display for task in failed if task.display.startswith("failed-")} <= names
        # Edges lead only to nodes, boxes and joints that exist.
        known = {*shown, *re.findall(r"^([gj]\d+): ", text, re.MULTILINE)}
        assert {end for before, after, _ in edges(text) for end in (before, after)} <= known


@settings(max_examples=100)
@given(graphs())
def test_tasks_are_drawn_the_same_with_and_without_counts(job):
    graph = counted(job)
    whole = JobGraph(graph.job_name, graph.state, graph.groups, job.tasks)
    assert to_d2(whole) == to_d2(job.graph())
