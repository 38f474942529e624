"""`tilebox runner`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from runner.exchange_server import WAIT_SECONDS

from tilebox.cli.commands import tilebox

PIPELINE = """
    from tilebox.workflows import Task

    class Leaf(Task):
        def execute(self, context):
            pass

    class Abstract(Task):
        pass

    class Base(Task):
        def execute(self, context):
            context.submit_subtask(Leaf())

    tasks = [Leaf]
"""

# As `tilebox` does once the command is registered.
COMMAND = "import sys; from tilebox.cli.runner import command; command(sys.argv[1:], prog_name='tilebox runner')"


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    return tmp_path


def run(folder, server, *arguments):
    environment = {**os.environ, "TILEBOX_API_URL": server.url, "TILEBOX_API_KEY": "key"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("place", "count"), [("pipeline", 2), ("pipeline:tasks", 1), ("pipeline:Leaf", 1)])
def test_tasks_of_a_module_are_executed(scripted, pipeline, place, count):
    server = scripted()
    server.submit("Base" if count == 2 else "Leaf")
    _, errors = run(pipeline, server, place, "--until-done").communicate(timeout=WAIT_SECONDS)
    assert "Traceback" not in errors
    assert len(server.reports("computed")) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no module 'nowhere' in the current directory or among the installed packages"),
        (["pipeline:nothing"], "has no 'nothing'"),
        (["pipeline", "--time-limit", "3"], "isolation"),
    ],
)
def test_an_error_is_one_line(scripted, pipeline, arguments, message):
    process = run(pipeline, scripted(), *arguments)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 2
    assert message in errors
    assert "Traceback" not in errors


def test_a_signal_stops_the_command(scripted, pipeline):
    server = scripted()
    process = run(pipeline, server, "pipeline")
    server.wait_for(lambda: server.waiting)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0


@pytest.mark.skipif("runner" not in tilebox.commands, reason="the command is not registered")
def test_several_runners_end_with_their_parent(scripted, pipeline):
    server = scripted()
    environment = {**os.environ, "TILEBOX_API_URL": server.url, "TILEBOX_API_KEY": "key"}
    command = [sys.executable, "-m", "tilebox.cli", "runner", "pipeline", "-n", "2"]
    process = subprocess.Popen(command, cwd=pipeline, env=environment)
    server.wait_for(lambda: server.waiting == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0  # as it waits for those that it started
