"""Leases: extended while code holds the interpreter lock, but not for a suspended or dead runner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from runner.exchange_server import WAIT_SECONDS

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2
from tilebox._runner.channel import ChannelError, Response
from tilebox._runner.heartbeat.process import Heartbeat
from tilebox._runner.heartbeat.table import CLAIMS_PER_ROW, LeaseTable
from tilebox._runner.leases import LeaseKeeper
from tilebox.workflows import Client, ExecutionContext, Task

SHORT_LEASE = (1.0, 0.1)


class Short(Task):
    def execute(self, context: ExecutionContext) -> None:
        pass


class Waiting(Task):
    def execute(self, context: ExecutionContext) -> None:
        context.runner_context.put(context)
        assert context.runner_context.released.wait(WAIT_SECONDS)


class Holding:
    def __init__(self):
        self.contexts = []
        self.started = threading.Event()
        self.released = threading.Event()

    def put(self, context):
        self.contexts.append(context)
        self.started.set()


HOLDS_THE_LOCK = """
import ctypes, sys
from tilebox.workflows import Client, Task

class Step(Task):
    holds: bool

    def execute(self, context):
        if self.holds:
            # Waits in C, without releasing the interpreter lock.
            ctypes.PyDLL(None).read({pipe}, ctypes.create_string_buffer(1), 1)

Client({url!r}, "key").runner(tasks=[Step]).run_all()
"""


@pytest.fixture
def lock_holder():
    """A function that starts a runner, whose task `{"holds": true}` holds its interpreter lock until it is released."""
    started = []

    def start(server):
        ours, theirs = socket.socketpair()
        program = HOLDS_THE_LOCK.format(url=server.url, pipe=theirs.fileno())
        process = subprocess.Popen([sys.executable, "-c", program], pass_fds=[theirs.fileno()])
        theirs.close()
        started.append((process, ours))
        return process, ours

    yield start
    for process, ours in started:
        ours.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize("extensions", ["runners/1", None])
def test_code_that_holds_the_interpreter_lock_keeps_its_lease(scripted, lock_holder, extensions):
    server = scripted(lease=SHORT_LEASE if extensions else (2, 1), extensions=extensions)
    task = server.submit("Step", b"true")
    process, pipe = lock_holder(server)
    server.wait_for(lambda: server.extended[task.task_id] >= (10 if extensions else 3))
    pipe.close()
    assert process.wait(WAIT_SECONDS) == 0
    # On a busy machine the task may have been returned, as if another task held the lock after it.
    assert [what for what, _ in task.outcomes if what != "returned"] == ["computed"]


def test_waiting_tasks_are_returned_while_code_holds_the_interpreter_lock(scripted, lock_holder):
    # With a shorter interval, a busy machine looks like a held interpreter lock.
    server = scripted(lease=(60, 3), at_least=5)
    # The first report is not delivered before the lock is taken, and the others could start only afterwards.
    first, held, *others = [server.submit("Step", holds) for holds in (b"false", b"true", b"false", b"false", b"false")]
    process, pipe = lock_holder(server)
    server.wait_for(lambda: all(one.outcomes for one in (first, *others)))
    assert held.outcomes == []
    pipe.close()
    assert process.wait(WAIT_SECONDS) == 0
    outcomes = [[what for what, _ in task.outcomes] for task in (held, *others)]
    assert outcomes == [["computed"], *[["returned", "computed"]] * 3]
    # On a busy machine its report may have been delivered in time.
    delivered = [what for what, _ in first.outcomes]
    assert delivered in (["returned", "computed"], ["computed"])
    # The runner executed no returned task under its old lease, except the one that it had executed before.
    reports = [report for name, request in server.seen if name == "Exchange" for report in request.computed]
    expected = [*[first] * len(delivered), held, *others]
    assert sorted(report.task_id for report in reports) == sorted(task.task_id for task in expected)


def test_a_single_task_is_among_the_recent_claims(scripted, running):
    server = scripted()
    task = server.submit("Waiting")
    hold = Holding()
    runner = running(server, [Waiting], context=hold)
    assert hold.started.wait(WAIT_SECONDS)
    assert [claim[:2] for claim in runner._engine._run._tasks._keeper.table.recent_claims()] == [(task.task_id, 1)]
    hold.released.set()
    server.wait_for(lambda: len(server.reports("computed")) == 1)


def test_a_dead_heartbeat_process_is_replaced(scripted, running):
    server = scripted(lease=SHORT_LEASE)
    server.submit("Waiting")
    hold = Holding()
    runner = running(server, [Waiting], context=hold)
    server.wait_for(lambda: server.extended.total() >= 2)
    keeper = runner._engine._run._tasks._keeper
    first = keeper.pid
    os.kill(first, signal.SIGKILL)
    seen = server.extended.total()
    server.wait_for(lambda: server.extended.total() >= seen + 4)
    assert keeper.pid != first
    hold.released.set()
    server.wait_for(lambda: len(server.reports("computed")) == 1)


def test_a_lost_lease_drops_the_result_and_tells_the_task(scripted, running, caplog):
    server = scripted(lease=(60, 0.05))
    task = server.submit("Waiting")
    hold = Holding()
    running(server, [Waiting], context=hold)
    assert hold.started.wait(WAIT_SECONDS)
    with server.changed:
        task.leased_until = None
    # The executor marks the lease as lost from another thread, without an event to wait for.
    deadline = time.monotonic() + WAIT_SECONDS
    while hold.contexts[0].subtasks._closed_reason is None:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    with pytest.raises(RuntimeError, match="lease"):
        hold.contexts[0].submit_subtask(Short())
    hold.released.set()
    server.wait_for(lambda: server.waiting)
    assert task.outcomes == []
    assert "its result is not accepted" in caplog.text


def test_a_failing_heartbeat_kills_no_task(scripted, running):
    server = scripted(lease=SHORT_LEASE)
    server.faults["ExtendLeases"] = ["internal", "hang up", "unauthenticated", "hang up after"]
    server.submit("Waiting")
    hold = Holding()
    running(server, [Waiting], context=hold)
    server.wait_for(lambda: server.extended.total() >= 3)
    hold.released.set()
    server.wait_for(lambda: len(server.reports("computed")) == 1)


def test_no_heartbeat_process_outlives_the_run(scripted):
    server = scripted()
    for _ in range(20):
        server.submit("Short")
    before = children()
    Client(server.url, "key").runner(tasks=[Short]).run_all()
    assert children() == before


def children():
    """Return the ids of the live child processes of this process."""
    found = set()
    for thread in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(OSError):  # the thread has just ended
            found.update((thread / "children").read_text().split())
    return found


# The heartbeat process by itself


@pytest.fixture
def heartbeat(scripted):
    """A server, and a lease keeper with two slots."""
    server = scripted(lease=SHORT_LEASE)
    keeper = LeaseKeeper(
        server.url, {"authorization": "Bearer secret"}, runner_id=b"r" * 16, has_extension=True, slots=2
    )
    keeper.table.set_times(0.05, 1.0)
    yield server, keeper
    keeper.close()


def leased(server, keeper):
    task = server.submit("Waiting")
    with server.changed:
        server._lease(task)
    keeper.table.set(0, task.task_id, task.lease_number, time.monotonic())
    return task


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_heartbeat_process_is_small_and_hides_the_api_key(heartbeat):
    server, keeper = heartbeat
    leased(server, keeper)
    keeper.ensure_heartbeat()
    server.wait_for(lambda: server.extended.total() > 0)
    lines = Path(f"/proc/{keeper.pid}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    assert resident < 26 * 1024
    for place in ("cmdline", "environ"):
        assert b"secret" not in Path(f"/proc/{keeper.pid}/{place}").read_bytes()
    assert server.headers[-1]["authorization"] == "Bearer secret"


def test_the_lease_of_a_suspended_runner_expires(scripted):
    server = scripted(lease=SHORT_LEASE, expires=True)
    program = (
        "import sys, time\n"
        "from tilebox.workflows import Client, Task\n"
        "class Waiting(Task):\n"
        "    def execute(self, context):\n"
        "        time.sleep(60)\n"
        f"Client({server.url!r}, 'key').runner(tasks=[Waiting]).run_forever()\n"
    )
    task = server.submit("Waiting")
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        server.wait_for(lambda: server.extended.total() >= 1)
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + WAIT_SECONDS
        while not task.outcomes:
            assert time.monotonic() < deadline
            with server.changed:
                server._expire()
                server.changed.wait(0.05)
        assert task.outcomes[0][0] == "expired"
        # A suspended runner is not dead.
        assert server.count("ReportDeath") == 0
    finally:
        process.kill()
        process.wait()


def test_the_heartbeat_process_ends_with_its_runner(scripted, tmp_path):
    program = (
        "import sys\n"
        "from tilebox._runner.leases import LeaseKeeper\n"
        "keeper = LeaseKeeper('http://127.0.0.1:1', {}, runner_id=b'r', has_extension=True, slots=1)\n"
        "keeper.ensure_heartbeat()\n"
        "print(keeper.pid, keeper.table.path, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid, path = process.stdout.readline().split()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + WAIT_SECONDS
    while Path(path).exists() or is_running(int(pid)):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# Messages and rows, without a process


class Recorded:
    """A channel that records requests and gives scripted answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def post(self, path, body, *, seconds, cancel_token=None):
        self.requests.append((path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


@pytest.fixture
def table():
    made = LeaseTable.create(3)
    made.set_times(0.0, 60.0)
    yield made
    made.close()


def test_due_leases_are_extended_and_lost_ones_are_marked(table):
    lost = runners_pb2.TaskLeaseNumber(task_id=b"b" * 16, lease_number=1 << 40)
    answer = runners_pb2.ExtendLeasesResponse(lost=[lost])
    answer.lease.seconds = 60
    answer.extend_after.FromMilliseconds(12_345)
    channel = Recorded(Response(200, {}, answer.SerializeToString()))
    heartbeat = Heartbeat(channel, table, runner_id=b"r" * 16, has_extension=True, runner_pid=0)
    table.set(0, b"a" * 16, 1, 1.0)
    table.set(2, b"b" * 16, 1 << 40, 1.0)
    heartbeat.run_once()
    [(path, body)] = channel.requests
    request = runners_pb2.ExtendLeasesRequest.FromString(body)
    assert path == "tilebox.ext.v1.RunnerService/ExtendLeases"
    assert [one.lease_number for one in request.leases] == [1, 1 << 40]
    assert request.runner_id == b"r" * 16
    assert not table.is_lost(0, 1)
    assert table.is_lost(2, 1 << 40)
    assert heartbeat._extend_after == pytest.approx(12.345)
    heartbeat.run_once()
    assert len(channel.requests) == 1


def test_a_failed_extension_is_repeated(table):
    good = Response(200, {}, runners_pb2.ExtendLeasesResponse().SerializeToString())
    channel = Recorded(ChannelError("away"), Response(500, {}, b""), Response(200, {}, b"\xff"), good)
    heartbeat = Heartbeat(channel, table, runner_id=b"r", has_extension=True, runner_pid=0)
    table.set(1, b"a" * 16, 7, 1.0)
    for _ in range(4):
        assert heartbeat.run_once() > 0
    assert len(channel.requests) == 4
    assert not table.is_lost(1, 7)


def test_a_response_without_a_lease_marks_it_as_lost_on_the_public_wire(table):
    lease = core_pb2.TaskLease()
    lease.lease.seconds = 120
    lease.recommended_wait_until_next_extension.seconds = 40
    channel = Recorded(Response(200, {}, lease.SerializeToString()), Response(200, {}, b""))
    heartbeat = Heartbeat(channel, table, runner_id=b"r", has_extension=False, runner_pid=0)
    table.set(0, b"a" * 16, 0, 1.0)
    heartbeat.run_once()
    assert not table.is_lost(0, 0)
    table.set(1, b"b" * 16, 0, 1.0)
    heartbeat.run_once()
    heartbeat._due = dict.fromkeys(heartbeat._due, 0.0)
    channel.answers = [Response(200, {}, b"")] * 2
    heartbeat.run_once()
    assert table.is_lost(1, 0)


def test_claims_are_returned_while_the_interpreter_lock_is_held(table):
    good = Response(200, {}, b"")
    channel = Recorded()
    heartbeat = Heartbeat(channel, table, runner_id=b"r" * 16, has_extension=True, runner_pid=0)
    later = time.monotonic() + 3600
    table.set_times(1.0, 60.0)
    table.set(0, b"a" * 16, 1, 1.0)
    heartbeat._due = {(b"a" * 16, 1, 1.0): later}
    table.record_claims([(b"a" * 16, 1), (b"b" * 16, 2), (b"c" * 16, 3)], 1.0)
    table.record_claims([(b"d" * 16, 4)], later)

    def returned_by_run(*answers):
        channel.answers, channel.requests = list(answers), []
        heartbeat.run_once()
        assert channel.answers == []
        paths, bodies = zip(*channel.requests, strict=True) if channel.requests else ((), ())
        assert set(paths) <= {"tilebox.ext.v1.RunnerService/Exchange"}
        requests = [runners_pb2.ExchangeRequest.FromString(body) for body in bodies]
        assert all(request.runner_id == b"r" * 16 and not request.max_tasks for request in requests)
        return [(one.task_id[:1], one.lease_number) for request in requests for one in request.returned]

    # The loop has run.
    table.record_loop_time(later)
    assert returned_by_run() == []
    assert table.returned_at() == 0.0
    table.record_loop_time(1.0)
    assert returned_by_run(ChannelError("away")) == [(b"b", 2), (b"c", 3)]
    assert 1.0 < table.returned_at() < later
    assert returned_by_run(good) == [(b"b", 2), (b"c", 3)]
    # Each task is returned once, and a recent claim is not returned.
    assert returned_by_run() == []
    # The executing task may have ended, and its report may be blocked too.
    table.set(0, b"e" * 16, 5, 1.0)
    heartbeat._due = {(b"e" * 16, 5, 1.0): later}
    assert returned_by_run(good) == [(b"a", 1)]
    table.clear(0)
    table.record_claims([(b"f" * 16, 6)], 1.0)
    assert returned_by_run() == []


def test_no_claims_are_returned_on_the_public_wire(table):
    channel = Recorded()
    heartbeat = Heartbeat(channel, table, runner_id=b"r", has_extension=False, runner_pid=0)
    table.set(0, b"a" * 16, 0, time.monotonic())
    table.set_times(3600.0, 7200.0)
    table.record_claims([(b"b" * 16, 0)], 1.0)
    heartbeat.run_once()
    assert channel.requests == []


def test_the_ring_buffer_keeps_the_latest_claims(table):
    size = 3 * CLAIMS_PER_ROW
    leases = [(number.to_bytes(16, "big"), number) for number in range(2 * size)]
    assert table.recent_claims() == []
    table.record_claims(leases[:10], 1.0)
    assert table.recent_claims() == [(*lease, 1.0) for lease in leases[:10]]
    table.record_claims(leases[10 : size + 5], 2.0)
    assert sorted(table.recent_claims()) == [(*lease, 1.0 if lease[1] < 10 else 2.0) for lease in leases[5 : size + 5]]
    table.record_claims(leases, 3.0)
    assert sorted(table.recent_claims()) == [(*lease, 3.0) for lease in leases[size:]]
    assert table.read() == {}
    assert table.times() == (0.0, 60.0)
    table.record_loop_time(4.0)
    table.record_return(5.0)
    assert (table.loop_time(), table.returned_at(), table.times()) == (4.0, 5.0, (0.0, 60.0))


def test_rows_that_are_being_written_are_skipped(table):
    table.set(0, b"a" * 16, 1, 5.0)
    offset = table._offset(0)
    table._memory[offset] |= 1
    assert table.read() == {}
    table.set(0, b"b" * 16, 2, 6.0)
    assert table.read() == {0: (b"b" * 16, 2, 6.0)}
    table.clear(0)
    assert table.read() == {}
