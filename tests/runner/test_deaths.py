"""Runners that a task kills: the heartbeat process reports the death and the tasks that were executing."""

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
    """A function that starts a server and a runner, with one task for each way to die; "" is a task that succeeds."""
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
        # Kill the group, which includes the processes that its tasks have forked.
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["kill", "segv", "exit", "hold"])
def test_a_crash_counts_for_the_executing_task_only(dying, how):
    server, tasks, process = dying("", "", how, "", "", "")
    process.wait(WAIT_SECONDS)
    # The report comes at once, although leases last a minute, and so does the forked process that holds the pipe open.
    server.wait_for(lambda: server.count("ReportDeath") >= 1)
    report, *_ = (request for name, request in server.seen if name == "ReportDeath")
    assert [one.task_id for one in report.executing] == [tasks[2].task_id]
    assert f"process {process.pid} on " in report.cause
    outcomes = [[what for what, _ in task.outcomes] for task in tasks]
    assert outcomes[2:] == [["crashed"], ["returned"], ["returned"], ["returned"]]
    assert all(one in (["returned"], ["computed"]) for one in outcomes[:2])
    assert not any(task.is_leased for task in tasks)


def test_a_crash_counts_for_the_tasks_of_all_slots(dying):
    server, tasks, process = dying("kill", "kill", options={"concurrency": 2})
    process.wait(WAIT_SECONDS)
    server.wait_for(lambda: server.count("ReportDeath") >= 1)
    # The second task may not have started yet.
    outcomes = {what for task in tasks for what, _ in task.outcomes}
    assert "crashed" in outcomes
    assert outcomes <= {"crashed", "returned"}
    assert not any(task.is_leased for task in tasks)


def test_tasks_assigned_to_a_dead_runner_are_returned_too(dying):
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


def test_the_death_is_reported_after_an_outage_of_the_server(dying):
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


def test_a_server_without_report_death_gets_no_repetition(dying):
    server, _, process = dying("", "kill")
    server.faults["ReportDeath"] = told = ["unavailable", "hang up", "unimplemented", "unavailable"]
    process.wait(WAIT_SECONDS)
    server.wait_for(lambda: len(told) == 1)
    assert server.count("ReportDeath") == 0


def test_a_batch_of_short_tasks_starts_the_heartbeat_process(scripted, running):
    server = scripted(at_least=3)
    server.submit("Short")
    runner = running(server, [Short])
    server.wait_for(lambda: len(server.reports("computed")) == 1 and server.waiting)
    keeper = runner._engine._run._tasks._keeper
    first = keeper.pid
    os.kill(first, signal.SIGKILL)
    keeper._process.wait()
    server.submit("Short")
    server.wait_for(lambda: len(server.reports("computed")) == 2 and server.waiting)
    assert keeper.pid == first
    with server.changed:
        for _ in range(3):
            server.submit("Short")
    server.wait_for(lambda: len(server.reports("computed")) == 5)
    assert keeper.pid != first


# Reports of deaths, without a process


class Recorded:
    """A channel that records requests and gives scripted answers, or raises an error when it has none left."""

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
    """A clock that advances only by `sleep`."""

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


def heartbeat_of(channel, table, **options):
    return Heartbeat(channel, table, **{"runner_id": b"r" * 16, "has_extension": True, "runner_pid": 7, **options})


GOOD = Response(200, {}, b"")


@pytest.mark.usefixtures("clock")
def test_the_executing_tasks_are_reported_twice(table):
    table.set(0, OTHER, 3, 1.0)
    table.clear(0)
    # A row that is being written.
    table.set(2, OTHER, 4, 1.0)
    table._memory[table._offset(2)] |= 1
    channel = Recorded(GOOD, GOOD)
    heartbeat_of(channel, table).report_death()
    assert channel.requests[0] == channel.requests[1]
    assert len(channel.requests) == 2
    path, body = channel.requests[0]
    request = runners_pb2.ReportDeathRequest.FromString(body)
    assert path == "tilebox.ext.v1.RunnerService/ReportDeath"
    assert request.runner_id == b"r" * 16
    assert [(one.task_id, one.lease_number) for one in request.executing] == [(EXECUTING, 1 << 40)]
    assert request.cause.startswith("process 7 on ")


def test_reporting_ends_when_the_leases_have_expired(table, clock):
    channel = Recorded()
    begun = clock.monotonic()
    heartbeat_of(channel, table).report_death()
    assert 0.2 < clock.monotonic() - begun <= 0.4
    assert len(channel.requests) == 4


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_a_rejected_report_of_a_death_is_not_repeated(table, status):
    channel = Recorded(ChannelError("away"), Response(503, {}, b""), Response(status, {}, b""))
    heartbeat_of(channel, table).report_death()
    assert len(channel.requests) == 3


def test_a_runner_without_claims_or_extension_has_no_death_to_report(table):
    channel = Recorded()
    table.set_times(0.0, 0.0)
    heartbeat_of(channel, table).report_death()
    table.set_times(10.0, 0.4)
    # The public API has no such call, and no batches.
    heartbeat_of(channel, table, has_extension=False).report_death()
    assert channel.requests == []


@pytest.mark.usefixtures("clock")
def test_a_cancelled_heartbeat_can_report_a_death(table):
    channel = Recorded(GOOD, GOOD)
    made = heartbeat_of(channel, table)
    made.cancel()
    made.report_death()
    assert len(channel.requests) == 2


@pytest.fixture
def process():
    """A process that waits for input."""
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield made
    made.kill()
    made.communicate()


def test_a_live_or_suspended_runner_is_not_gone(process):
    assert not heartbeat._is_gone(0)
    assert not heartbeat._is_gone(os.getppid(), timeout_seconds=0.05)
    # A runner that is not the parent, because a launcher stands between them.
    assert not heartbeat._is_gone(process.pid)
    process.send_signal(signal.SIGSTOP)
    assert not heartbeat._is_gone(process.pid)


@pytest.mark.parametrize("has_files", [True, False])
def test_a_dead_runner_is_gone_also_as_a_zombie(process, monkeypatch, has_files):
    if not has_files:
        monkeypatch.setattr(heartbeat, "_process_state", lambda _: b"")
    process.kill()
    if has_files:
        # It is a zombie until its parent waits for it.
        assert heartbeat._is_gone(process.pid, timeout_seconds=30)
    assert not heartbeat._is_gone(1)
    process.wait()
    assert heartbeat._is_gone(process.pid)


def test_the_heartbeat_ends_when_the_runner_is_gone(table, process):
    process.kill()
    process.wait()
    heartbeat_of(Recorded(), table, runner_pid=process.pid).run(threading.Event())
