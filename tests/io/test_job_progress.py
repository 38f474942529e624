"""Progress of a job that is waited for: in a terminal, in a notebook without widgets, in a file, as a function."""

from __future__ import annotations

import io
import logging
import sys
from uuid import UUID

import pytest
from support.servers.terminal import screen_of

from tilebox._core.jobs.job import Job
from tilebox._core.jobs.states import JobState, TaskState
from tilebox._core.jobs.stats import ExecutionStats, Progress
from tilebox._io.progress import bars
from tilebox._io.progress.jobs import JobProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def job(state, computed, total, *measures):
    stats = ExecutionStats(
        total_tasks=total, tasks_by_state={TaskState.COMPUTED: computed, TaskState.QUEUED: total - computed}
    )
    return Job(UUID(int=1), "x", JobState(state), progress=measures, execution_stats=stats)


STEPS = [job("SUBMITTED", 0, 1), job("RUNNING", 1, 11, Progress("tiles", 20, 5)), job("COMPLETED", 11, 11)]


def run(show, steps=STEPS, warning=None):
    with JobProgress(show, title="Job x") as bar:
        for step in steps:
            bar.update(step)
            if warning is not None:
                bar.warn(warning)


def test_a_terminal_shows_tasks_state_and_measures(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(show=True)
    shown = sys.stderr.getvalue()
    assert "Job x:   0%|" in shown
    assert "1/11 tasks" in shown
    assert "running, tiles 5/20" in shown
    assert "11/11 tasks" in shown.rsplit("\r", 1)[-1]
    assert "completed" in shown.rsplit("\r", 1)[-1]


def test_a_job_that_has_ended_shows_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(show=True, steps=STEPS[-1:])
    assert sys.stderr.getvalue() == ""


def test_output_to_a_file_shows_nothing(capsys):
    run(show=True)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_gets_text(monkeypatch, capsys):
    monkeypatch.setattr(bars, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    run(show=True)
    output, errors = capsys.readouterr()
    assert "11/11 tasks" in output
    assert errors == ""


def test_a_function_is_told_the_fraction():
    heard = []
    run(heard.append)
    assert heard == [0.0, 1 / 11, 1.0]
    heard.clear()
    run(heard.append, steps=[job("SUBMITTED", 0, 0), job("FAILED", 1, 4)])
    assert heard == [0.0, 0.25]


@pytest.mark.parametrize("show", [True, False])
def test_warnings_are_logged_with_and_without_a_bar(monkeypatch, caplog, show):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with caplog.at_level(logging.WARNING, "tilebox.workflows"):
        run(show, steps=STEPS[:1], warning="no runner is there")
    assert [record.getMessage() for record in caplog.records] == ["no runner is there"]


IN_A_TERMINAL = """
from uuid import UUID
from tilebox._core.jobs.job import ExecutionStats, Job, JobState, TaskState
from tilebox._io.progress.jobs import JobProgress

def job(state, computed):
    stats = ExecutionStats(total_tasks=4, tasks_by_state={{TaskState.COMPUTED: computed}})
    return Job(UUID(int=1), "x", JobState(state), execution_stats=stats)

with JobProgress(True, title="Job x") as bar:
    bar.update(job("SUBMITTED", 0))
    bar.warn("no runner is there")
    bar.update(job("RUNNING", 2))
    bar.update(job({end!r}, {computed}))
print("done")
"""


@pytest.mark.parametrize(("end", "computed", "shown"), [("COMPLETED", 4, "100%"), ("FAILED", 3, " 75%")])
def test_a_terminal_keeps_the_warning_above_the_last_state(end, computed, shown):
    lines = screen_of(IN_A_TERMINAL.format(end=end, computed=computed))
    assert lines[0] == "no runner is there"
    assert lines[1].startswith(f"Job x: {shown}|")
    assert f"{computed}/4 tasks" in lines[1]
    assert end.lower() in lines[1]
    assert lines[2:] == ["done"]
