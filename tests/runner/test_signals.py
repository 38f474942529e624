"""Signals: the first one lets tasks finish, the second one does not; unfinished tasks are returned."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runner.exchange_server import WAIT_SECONDS

PROGRAM = Path(__file__).with_name("programs.py")


class Process:
    """A runner process, read line by line."""

    def __init__(self, server, **options):
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), server.url, json.dumps(options)], stdout=subprocess.PIPE, text=True
        )

    def expect(self, start):
        for line in self.process.stdout:
            if line.startswith(start):
                return line.split()
        raise AssertionError(f"there was no line that starts with {start!r}")

    def send(self, number):
        self.process.send_signal(number)

    def wait(self):
        self.process.wait(WAIT_SECONDS)
        return self.process.returncode


@pytest.fixture
def started(scripted):
    """A function that starts a server and a runner process; all are ended at the end."""
    processes = []

    def start(*tasks, **options):
        server = scripted()
        for name, data in tasks:
            server.submit(name, json.dumps(data).encode() if data is not None else b"")
        processes.append(Process(server, **options))
        return server, processes[-1]

    yield start
    for one in processes:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_first_signal_lets_the_task_finish(started, tmp_path, number, isolation):
    done = tmp_path / "done"
    server, process = started(("Slow", str(done)), ("Slow", str(done)), isolation=isolation)
    process.expect("started")
    process.send(number)
    # If the task ended sooner, the second one could start before the signal is handled.
    process.expect("log stopping: the runner claims no more tasks")
    done.touch()
    assert process.expect("ended") == ["ended", "True"]
    assert process.wait() == 0
    assert len(server.reports("computed")) == 1
    assert server.reports("failed") == []
    assert not any(given.is_leased for given in server.tasks.values())


def test_an_idle_runner_ends_at_once(started):
    server, process = started()
    poll = server.hold("Exchange")
    assert poll.asked.wait(WAIT_SECONDS)
    process.send(signal.SIGTERM)
    process.expect("ended")
    assert process.wait() == 0
    poll.released.set()


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("how", ["sleep", "loop"])
def test_unfinished_tasks_are_returned_after_the_grace_period(started, isolation, how):
    server, process = started(("Endless", how), isolation=isolation, grace_seconds=0.1)
    process.expect("started")
    process.send(signal.SIGTERM)
    process.expect("ended")
    assert process.wait() == 0
    assert len(server.reports("returned")) == 1
    assert server.reports("failed") == []


def test_an_unfinished_coroutine_is_cancelled_and_returned(started):
    server, process = started(("EndlessCoroutine", None), grace_seconds=0.1)
    process.expect("started")
    process.send(signal.SIGTERM)
    process.expect("ended")
    assert process.wait() == 0
    assert len(server.reports("returned")) == 1


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_second_signal_ends_the_runner_at_once(started, isolation):
    server, process = started(("Endless", "sleep"), isolation=isolation, grace_seconds=1000)
    process.expect("started")
    process.send(signal.SIGINT)
    process.expect("log stopping: the runner claims no more tasks")
    process.send(signal.SIGINT)
    process.expect("interrupted")
    process.expect("ended")
    assert process.wait() == 0
    assert len(server.reports("returned")) == 1


def test_a_rolling_restart_fails_no_task(scripted, tmp_path):
    server = scripted()
    done = tmp_path / "done"
    done.touch()
    for _ in range(200):
        server.submit("Slow", json.dumps(str(done)).encode())
    for _ in range(5):
        process = Process(server)
        process.expect("started")
        process.send(signal.SIGTERM)
        process.expect("ended")
        assert process.wait() == 0
        process.process.stdout.close()
    assert server.reports("failed") == []
    assert not any(given.is_leased for given in server.tasks.values())
