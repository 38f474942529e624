"""Tasks in child processes: their abilities, their causes of death, and the survival of the runner."""

from __future__ import annotations

import os

import pytest
from runner import programs
from runner.programs import Dying, Endless, Saying, SayingCoroutine

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox.workflows import Client, ExecutionContext, Task
from tilebox.workflows.cache import InMemoryCache, LocalFileSystemCache

CRASH = runners_pb2.FAILURE_KIND_CRASH


def run_all(server, **options):
    Client(server.url, "key").runner(tasks=programs.TASKS, isolation="process", **options).run_all()


def displays(server):
    return [report.display.split() for report in server.reports("computed")]


def test_tasks_run_in_a_child_and_their_reports_come_back(scripted, tmp_path):
    server = scripted()
    server.submit("Saying", b"2")
    server.submit("SayingCoroutine")
    run_all(server, cache=LocalFileSystemCache(tmp_path), context="given")
    assert len(server.reports("computed")) == 4
    said = [display for display in displays(server) if display[0] != "coroutine"]
    assert {one[1] for one in said} == {"given"}
    assert len({one[0] for one in said}) == 1  # the child is used again
    assert str(os.getpid()) not in {one[0] for one in said}
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"0", "1", "2"}
    [report, *_] = server.reports("computed")
    assert report.progress_updates[0].label == "said"


def test_children_are_recycled(scripted, tmp_path):
    server = scripted()
    server.submit("Saying", b"4")
    run_all(server, recycle_after=2, cache=LocalFileSystemCache(tmp_path))
    assert len({display[0] for display in displays(server)}) == 3


@pytest.mark.parametrize(
    ("how", "cause", "kind"),
    [
        ("segv", "killed by signal SIGSEGV", CRASH),
        ("kill", "killed by signal SIGKILL", CRASH),
        ("exit", "exit code 3", CRASH),
        ("fork", "exit code 5", CRASH),
        ("memory", "out of memory: limit 200 MiB, peak ", CRASH),
        ("one block", "out of memory: limit 200 MiB, peak ", CRASH),
        ("sys.exit", "SystemExit(4)", runners_pb2.FAILURE_KIND_TASK),
    ],
)
def test_the_cause_of_death_is_reported_and_the_next_task_runs(scripted, tmp_path, how, cause, kind):
    server = scripted()
    server.submit("Dying", f'"{how}"'.encode())
    server.submit("Saying", b"0")
    run_all(server, memory_limit=200 << 20, cache=LocalFileSystemCache(tmp_path))
    [failure] = server.reports("failed")
    assert failure.error.startswith(cause)
    assert failure.kind == kind
    assert len(server.reports("computed")) == 1


@pytest.mark.parametrize("how", ["sleep", "loop", "deaf", "call"])
def test_a_time_limit_ends_any_task(scripted, how):
    server = scripted()
    server.submit("Endless", f'"{how}"'.encode())
    run_all(server, time_limit=0.3)
    [failure] = server.reports("failed")
    assert failure.error == "time limit of 0.3 s exceeded"
    assert failure.kind == runners_pb2.FAILURE_KIND_TASK


def test_slots_have_children_of_their_own(scripted, running, tmp_path):
    server = scripted()
    done = tmp_path / "done"
    for _ in range(2):
        server.submit("Slow", f'"{done}"'.encode())
    running(server, programs.TASKS, isolation="process", concurrency=2)
    server.wait_for(lambda: sum(one.is_leased for one in server.tasks.values()) == 2)
    done.touch()
    server.wait_for(lambda: len(server.reports("computed")) == 2)


def test_arguments_that_cannot_be_pickled_are_an_error_before_any_request(scripted):
    server = scripted()
    client = Client(server.url, "key")

    class Local(Task):
        def execute(self, context: ExecutionContext) -> None:
            pass

    with pytest.raises(ValueError, match="task class"):
        client.runner(tasks=[Local], isolation="process")
    with pytest.raises(ValueError, match="cache"):
        client.runner(tasks=[Saying], isolation="process", cache=InMemoryCache())
    with pytest.raises(ValueError, match="context"):
        client.runner(tasks=[Saying], isolation="process", context=lambda: None)
    assert server.seen == []


def test_tasks_are_found_by_reference():
    assert [one.__module__ for one in (Dying, Endless, Saying, SayingCoroutine)] == ["runner.programs"] * 4
