"""Runners that are taken down by a task: their companion says so, and what is to blame."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from runner.exchange_server import WAIT_SECONDS

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._runner.channel import CallCancelledError, ChannelError, Response
from tilebox._runner.heartbeat import process as heartbeat
from tilebox._runner.heartbeat.process import Heartbeat
from tilebox._runner.heartbeat.table import LeaseTable
from tilebox.workflows import ExecutionContext, Task

PROGRAM = Path(__file__).with_name("programs.py")
EXECUTING, OTHER = b"a" * 16, b"b" * 16


class Short(Task):
    def execute(self, context: ExecutionContext) -> None:
        pass


@pytest.fixture
def dying(scripted):
    """A function that starts a server with tasks that die as told, and a runner; nothing dies of an empty word."""
    processes = []

    def start(*how, options=None, **of_server):
        server = scripted(at_least=len(how), **of_server)
        tasks = [server.submit("Dying", json.dumps(one).encode()) for one in how]
        command = [sys.executable, str(PROGRAM), server.url, json.dumps(options or {})]
        nothing = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, stdout=nothing, stderr=nothing, start_new_session=True))
        return server, tasks, processes[-1]

    yield start
    for one in processes:
        # With what its tasks have forked.
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["kill", "segv", "exit", "hold"])
def test_a_death_is_put_down_to_the_task_that_was_executed(dying, how):
    server, tasks, process = dying("", "", how, "", "", "")
    process.wait(WAIT_SECONDS)
    # It waits for nothing: leases last a minute, and so does the process that the task forked, which holds the pipe.
    server.wait_for(lambda: server.count("ReportDeath") >= 1)
    report, *_ = (request for name, request in server.seen if name == "ReportDeath")
    assert [one.task_id for one in report.executing] == [tasks[2].task_id]
    assert f"process {process.pid} on " in report.cause
    outcomes = [[what for what, _ in task.outcomes] for task in tasks]
    assert outcomes[2:] == [["crashed"], ["returned"], ["returned"], ["returned"]]
    assert all(one in (["returned"], ["computed"]) for one in outcomes[:2])
    assert not any(task.is_leased for task in tasks)


def test_every_slot_is_a_suspect(dying):
    server, tasks, process = dying("kill", "kill", options={"concurrency": 2})
    process.wait(WAIT_SECONDS)
    server.wait_for(lambda: server.count("ReportDeath") >= 1)
    # The second one may have been about to start.
    outcomes = {what for task in tasks for what, _ in task.outcomes}
    assert "crashed" in outcomes
    assert outcomes <= {"crashed", "returned"}
    assert not any(task.is_leased for task in tasks)


def test_tasks_that_come_to_a_dead_runner_are_given_back_as_well(dying):
    server, _, process = dying("", "kill")
    late = []

    def lease():
        late.append(server.submit("Dying", b'""'))
        with server.changed:
            server._lease(late[0])
            (late[0].holder,) = {request.runner_id for name, request in server.seen if name == "ReportDeath"}

    server.faults["ReportDeath"] = [None, lease]
    process.wait(WAIT_SECONDS)
    server.wait_for(lambda: server.count("ReportDeath") == 2)
    server.wait_for(lambda: [what for what, _ in late[0].outcomes] == ["returned"])


def test_a_server_that_is_away_hears_of_it_when_it_is_back(dying):
    server, tasks, process = dying("", "", lease=(60.0, 20.0))
    server.wait_for(lambda: len(server.reports("computed")) == 2)
    server.wait_for(lambda: server.waiting)
    server.stop()
    process.kill()
    process.wait()
    held = tasks[0]
    with server.changed:
        held.leased_until, held.holder = time.monotonic() + 20, server.seen[-1][1].runner_id
    server.start()
    server.wait_for(lambda: server.count("ReportDeath") >= 1)
    assert held.outcomes[-1][0] == "returned"


def test_a_server_that_does_not_know_the_call_is_told_once(dying):
    server, _, process = dying("", "kill")
    server.faults["ReportDeath"] = told = ["unavailable", "hang up", "unimplemented", "unavailable"]
    process.wait(WAIT_SECONDS)
    server.wait_for(lambda: len(told) == 1)
    assert server.count("ReportDeath") == 0


def test_a_batch_has_a_companion_also_if_its_tasks_are_short(scripted, running):
    server = scripted(at_least=3)
    server.submit("Short")
    runner = running(server, [Short])
    server.wait_for(lambda: len(server.reports("computed")) == 1 and server.waiting)
    heart = runner._engine._run._tasks._keeper
    first = heart.pid
    os.kill(first, signal.SIGKILL)
    heart._process.wait()
    server.submit("Short")
    server.wait_for(lambda: len(server.reports("computed")) == 2 and server.waiting)
    assert heart.pid == first
    with server.changed:
        for _ in range(3):
            server.submit("Short")
    server.wait_for(lambda: len(server.reports("computed")) == 5)
    assert heart.pid != first


# Its words, without a process


class Recorded:
    """A channel that remembers requests and answers with what it was given, or not at all."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def post(self, path, body, *, seconds, cancel_token=None):
        if cancel_token is not None and cancel_token.is_cancelled:
            raise CallCancelledError
        self.requests.append((path, body))
        answer = self.answers.pop(0) if self.answers else ChannelError("away")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def table():
    made = LeaseTable.create(3)
    made.set_times(10.0, 0.4)
    made.set(1, EXECUTING, 1 << 40, 1.0)
    yield made
    made.close()


class Clock:
    """Time that passes when somebody sleeps, and only then."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(heartbeat, "time", made)
    return made


def companion(channel, table, **options):
    return Heartbeat(channel, table, **{"runner_id": b"r" * 16, "has_extension": True, "runner_pid": 7, **options})


GOOD = Response(200, {}, b"")


@pytest.mark.usefixtures("clock")
def test_it_reports_what_was_executing_twice(table):
    table.set(0, OTHER, 3, 1.0)
    table.clear(0)
    # One that is about to start, or to be cleared.
    table.set(2, OTHER, 4, 1.0)
    table._memory[table._offset(2)] |= 1
    channel = Recorded(GOOD, GOOD)
    companion(channel, table).report_death()
    assert channel.requests[0] == channel.requests[1]
    assert len(channel.requests) == 2
    path, body = channel.requests[0]
    request = runners_pb2.ReportDeathRequest.FromString(body)
    assert path == "tilebox.ext.v1.RunnerService/ReportDeath"
    assert request.runner_id == b"r" * 16
    assert [(one.task_id, one.lease_number) for one in request.executing] == [(EXECUTING, 1 << 40)]
    assert request.cause.startswith("process 7 on ")


def test_it_gives_up_when_a_lease_is_over(table, clock):
    channel = Recorded()
    begun = clock.monotonic()
    companion(channel, table).report_death()
    assert 0.2 < clock.monotonic() - begun <= 0.4
    assert len(channel.requests) == 4


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_it_does_not_insist(table, status):
    channel = Recorded(ChannelError("away"), Response(503, {}, b""), Response(status, {}, b""))
    companion(channel, table).report_death()
    assert len(channel.requests) == 3


def test_it_has_nothing_to_say_of_a_runner_that_never_had_a_task(table):
    channel = Recorded()
    table.set_times(0.0, 0.0)
    companion(channel, table).report_death()
    table.set_times(10.0, 0.4)
    # The public wire has no word for it, and hands out no batches.
    companion(channel, table, has_extension=False).report_death()
    assert channel.requests == []


@pytest.mark.usefixtures("clock")
def test_what_was_interrupted_does_not_keep_it_from_speaking(table):
    channel = Recorded(GOOD, GOOD)
    made = companion(channel, table)
    made.cancel()
    made.report_death()
    assert len(channel.requests) == 2


@pytest.fixture
def process():
    """A process that waits."""
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield made
    made.kill()
    made.communicate()


def test_a_runner_that_lives_is_not_said_to_be_dead(process):
    assert not heartbeat._is_gone(0)
    assert not heartbeat._is_gone(os.getppid(), timeout_seconds=0.05)
    # One that is not its parent, since something else stands between them.
    assert not heartbeat._is_gone(process.pid)
    process.send_signal(signal.SIGSTOP)
    assert not heartbeat._is_gone(process.pid)


@pytest.mark.parametrize("has_files", [True, False])
def test_a_runner_that_is_dead_is_gone_whether_or_not_anybody_took_note(process, monkeypatch, has_files):
    if not has_files:
        monkeypatch.setattr(heartbeat, "_process_state", lambda _: b"")
    process.kill()
    if has_files:
        # Dead, but still known to the system until its own parent asks.
        assert heartbeat._is_gone(process.pid, timeout_seconds=30)
    assert not heartbeat._is_gone(1)
    process.wait()
    assert heartbeat._is_gone(process.pid)


def test_it_ends_its_rounds_when_the_runner_is_gone(table, process):
    process.kill()
    process.wait()
    companion(Recorded(), table, runner_pid=process.pid).run(threading.Event())
