"""Runners against a scripted server: execution, delivery, outages and the end of a run."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import anyio
import pytest
from runner.exchange_server import WAIT_SECONDS, ExchangeServer

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._runner.leases import LeaseKeeper
from tilebox.errors import AuthenticationError, NonRetryableError, NotFoundError, PermissionDeniedError
from tilebox.workflows import Client, ExecutionContext, Retry, Task
from tilebox.workflows.aio import Client as AsyncClient

LOGGER = "tilebox.workflows.runner"


class Leaf(Task):
    number: int

    def execute(self, context: ExecutionContext) -> None:
        context.current_task.display = f"Leaf {self.number}"
        context.progress("leaves").done(1)


class Branch(Task):
    width: int

    def execute(self, context: ExecutionContext) -> None:
        context.submit_subtasks([Leaf(number) for number in range(self.width)])


class Coroutine(Task):
    async def execute(self, context: ExecutionContext) -> None:
        await asyncio.sleep(0)
        context.runner_context.append(threading.current_thread())


class Where(Task):
    def execute(self, context: ExecutionContext) -> None:
        context.runner_context.append(threading.current_thread())


class Failing(Task):
    how: str
    retry = Retry(delay_seconds=4, jitter=0)

    def execute(self, context: ExecutionContext) -> None:
        raise {
            "value": ValueError("wrong"),
            "exit": SystemExit(3),
            "final": NonRetryableError("never"),
            "nul": ValueError("a\0b\ud800c"),
            "huge": ValueError("x" * 10_000_000),
            "rude": Rude(),
        }[self.how]


class Rude(Exception):  # noqa: N818
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __repr__


class Waiting(Task):
    """Waits for the test, which holds the other end."""

    def execute(self, context: ExecutionContext) -> None:
        context.runner_context.started.set()
        assert context.runner_context.released.wait(WAIT_SECONDS)


class Hold:
    def __init__(self):
        self.started = threading.Event()
        self.released = threading.Event()


def computed(server):
    return len(server.reports("computed"))


@pytest.mark.parametrize("extensions", ["runners/1", None])
def test_all_tasks_and_subtasks_are_executed(scripted, extensions):
    server = scripted(extensions=extensions)
    server.submit("Branch", b"300")
    runner = Client(server.url, "key").runner(tasks=[Branch, Leaf])
    runner.run_all()
    assert computed(server) == 301
    root = server.tasks[(1).to_bytes(16, "big")].outcomes[0][1]
    assert root.display == "Branch"  # it left that alone
    report = server.tasks[(2).to_bytes(16, "big")].outcomes[0][1]
    assert report.display == "Leaf 0"
    assert report.progress_updates[0].label == "leaves"
    assert {one["authorization"] for one in server.headers} == {"Bearer key"}


def test_short_tasks_come_in_batches(scripted):
    server = scripted()
    for number in range(500):
        server.submit("Leaf", b"%d" % number)
    Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    assert computed(server) == 500
    # The size of the batches depends on the speed of the machine.
    assert max(request.max_tasks for name, request in server.seen if name == "Exchange") > 1
    assert server.count("Exchange") < 500


def test_a_runner_may_run_again(scripted):
    server = scripted()
    runner = Client(server.url, "key").runner(tasks=[Leaf])
    for round_ in range(1, 4):
        server.submit("Leaf", b"1")
        runner.run_all()
        assert computed(server) == round_


def test_a_runner_runs_once_at_a_time(scripted, running):
    server = scripted()
    runner = running(server, [Leaf])
    server.wait_for(lambda: server.waiting)
    with pytest.raises(RuntimeError, match="already running"):
        runner.run_all()


def test_stop_ends_an_idle_runner(scripted, running):
    server = scripted()
    poll = server.hold("Exchange")
    runner = running(server, [Leaf])
    assert poll.asked.wait(WAIT_SECONDS)
    runner.stop()
    runner.thread.join(WAIT_SECONDS)
    assert not runner.thread.is_alive()
    assert runner.error is None
    poll.released.set()


@pytest.mark.parametrize("slots", [1, 4])
def test_concurrency_limits_the_executing_tasks(scripted, running, slots):
    server = scripted()
    for _ in range(slots + 2):
        server.submit("Waiting")
    hold = Hold()
    running(server, [Waiting], context=hold, concurrency=slots)
    server.wait_for(lambda: sum(one.is_leased for one in server.tasks.values()) == slots)
    assert len(server.queue) == 2
    hold.released.set()
    server.wait_for(lambda: computed(server) == slots + 2)


def test_idle_slots_share_one_poll(scripted, running):
    server = scripted()
    server.submit("Waiting")
    hold = Hold()
    running(server, [Waiting, Leaf], context=hold, concurrency=8)
    assert hold.started.wait(WAIT_SECONDS)
    server.wait_for(lambda: server.waiting == 1)
    for number in range(20):
        server.submit("Leaf", b"%d" % number)
    server.wait_for(lambda: computed(server) == 20)
    assert server.connections <= 4
    hold.released.set()


def test_reports_do_not_wait_for_a_long_task_of_the_same_batch(scripted, running):
    server = scripted(at_least=5)
    before = [server.submit("Leaf", b"%d" % number) for number in range(2)]
    waiting = server.submit("Waiting")
    behind = [server.submit("Leaf", b"%d" % number) for number in range(2)]
    hold = Hold()
    running(server, [Waiting, Leaf], context=hold)
    assert hold.started.wait(WAIT_SECONDS)
    server.wait_for(lambda: [one for one in server.tasks.values() if one.is_leased] == [waiting])
    assert all(one.outcomes for one in before)
    assert [[what for what, _ in one.outcomes] for one in behind] == [["returned"]] * 2
    hold.released.set()
    server.wait_for(lambda: computed(server) == 5)


def test_coroutines_run_on_the_loop_and_functions_do_not(scripted):
    server = scripted()
    server.submit("Coroutine")
    server.submit("Where")
    seen = []
    Client(server.url, "key").runner(tasks=[Coroutine, Where], context=seen).run_all()
    assert (seen[0] is threading.current_thread(), seen[1] is threading.current_thread()) == (True, False)


@pytest.mark.parametrize("extensions", ["runners/1", None])
@pytest.mark.parametrize("how", ["value", "exit", "final", "nul", "huge", "rude"])
def test_any_exception_of_a_task_is_reported(scripted, how, extensions):
    server = scripted(extensions=extensions)
    server.submit("Failing", f'"{how}"'.encode())
    server.submit("Leaf", b"1")
    Client(server.url, "key").runner(tasks=[Failing, Leaf]).run_all()
    [failure] = server.reports("failed")
    assert computed(server) == 1
    first = {
        "value": "ValueError('wrong')",
        "exit": "SystemExit(3)",
        "final": "NonRetryableError('never')",
        "nul": r"ValueError('a\x00b\ud800c')",
        "huge": "ValueError('xxx",
        "rude": "<Rude; its repr() fails>",
    }[how]
    if extensions is None:
        assert failure.display.startswith(f"Failing\n{first}")
        assert len(failure.display) <= 1024
        assert failure.was_workflow_error
        return
    assert failure.error.startswith(first)
    assert "in execute" in failure.error
    assert len(failure.error) < 12_000
    assert failure.kind == (runners_pb2.FAILURE_KIND_FINAL if how == "final" else runners_pb2.FAILURE_KIND_TASK)
    assert failure.retry_after.seconds == (0 if how == "final" else 4)


def test_invalid_input_fails_the_task(scripted):
    server = scripted()
    server.submit("Leaf", b'{"number": []}')
    Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    [failure] = server.reports("failed")
    assert failure.kind == runners_pb2.FAILURE_KIND_TASK


def test_the_pause_before_a_retry_grows_with_the_attempts(scripted):
    server = scripted()
    server.submit("Failing", b'"value"', max_retries=2)
    Client(server.url, "key").runner(tasks=[Failing]).run_all()
    assert [one.retry_after.seconds for one in server.reports("failed")] == [4, 8, 16]


def test_run_all_waits_for_tasks_that_will_be_queued(scripted, running):
    server = scripted()
    server.is_more_to_come = True
    runner = running(server, [Leaf], run="run_all")
    server.wait_for(lambda: server.waiting and server.count("Exchange") > 1)
    server.submit("Leaf", b"1")
    server.is_more_to_come = False
    runner.thread.join(WAIT_SECONDS)
    assert not runner.thread.is_alive()
    assert computed(server) == 1


def test_a_bug_in_the_executor_ends_the_run_with_its_error(scripted, monkeypatch):
    server = scripted()
    server.submit("Leaf", b"1")
    runner = Client(server.url, "key").runner(tasks=[Leaf])
    monkeypatch.setattr(runner._engine._executor, "run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.run_all()


# Errors at the start


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("unauthenticated", AuthenticationError),
        ("permission_denied", PermissionDeniedError),
        ("not_found", NotFoundError),
    ],
)
def test_permanent_errors_are_raised_at_the_start(scripted, code, error):
    server = scripted()
    server.faults["GetCluster"] = [code]
    with pytest.raises(error):
        Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    assert server.count("Exchange") == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"tasks": []}, ValueError),
        ({"tasks": None}, ValueError),
        ({"tasks": [int]}, TypeError),
        ({"tasks": [Leaf], "concurrency": 0}, ValueError),
        ({"tasks": [Leaf], "isolation": "wish"}, ValueError),
        ({"tasks": [Leaf], "time_limit": 3}, ValueError),
        ({"tasks": [Leaf], "isolation": "process", "memory_limit": -1}, ValueError),
    ],
)
def test_invalid_arguments_are_an_error_before_any_request(arguments, error):
    with pytest.raises(error):
        Client("http://127.0.0.1:1", "key").runner(**arguments)


def test_a_runner_waits_for_its_server(scripted, running):
    server = scripted()
    server.submit("Leaf", b"1")
    server.stop()
    runner = running(server, [Leaf], run="run_all")
    server.start()
    runner.thread.join(WAIT_SECONDS)
    assert computed(server) == 1


def test_a_runner_can_be_stopped_while_it_waits_for_its_server(running, caplog):
    server = ExchangeServer()
    server.stop()
    caplog.set_level(logging.WARNING, LOGGER)
    said = threading.Event()
    logging.getLogger(LOGGER).addFilter(lambda _: said.set() or True)
    try:
        runner = running(server, [Leaf])
        assert said.wait(WAIT_SECONDS)
        runner.stop()
        runner.thread.join(WAIT_SECONDS)
        assert not runner.thread.is_alive()
        assert runner.error is None
    finally:
        logging.getLogger(LOGGER).filters.clear()


# Outages


@pytest.mark.parametrize(
    "fault", ["hang up", "hang up after", "unavailable", "internal", "resource_exhausted", "unauthenticated"]
)
def test_no_fault_of_an_exchange_loses_or_repeats_a_report(scripted, fault):
    server = scripted()
    for number in range(40):
        server.submit("Leaf", b"%d" % number)
    server.faults["Exchange"] = [None, fault, None, None, fault, fault, None, None, fault]
    Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    assert all([what for what, _ in given.outcomes] == ["computed"] for given in server.tasks.values())


@pytest.mark.parametrize("fault", ["hang up", "unavailable"])
def test_the_public_wire_survives_faults(scripted, fault):
    server = scripted(extensions=None)
    for number in range(5):
        server.submit("Leaf", b"%d" % number)
    server.faults["NextTask"] = [None, fault, None, fault]
    Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    assert computed(server) == 5


def test_a_report_survives_an_outage_of_the_server(scripted, running):
    server = scripted()
    server.submit("Waiting")
    hold = Hold()
    running(server, [Waiting], context=hold)
    assert hold.started.wait(WAIT_SECONDS)
    server.stop()
    hold.released.set()
    server.start()
    server.wait_for(lambda: computed(server) == 1)
    assert [what for what, _ in server.tasks[(1).to_bytes(16, "big")].outcomes] == ["computed"]


def test_a_rejected_report_fails_only_its_task(scripted):
    server = scripted()
    for number in range(3):
        server.submit("Leaf", b"%d" % number)
    server.faults["Exchange"] = [None, "invalid_argument"]
    Client(server.url, "key").runner(tasks=[Leaf]).run_all()
    [failure] = server.reports("failed")
    assert failure.kind == runners_pb2.FAILURE_KIND_FINAL
    assert computed(server) == 2


# Loops and threads


def test_a_sync_runner_works_inside_a_running_loop(scripted, caplog):
    server = scripted()
    server.submit("Leaf", b"1")
    caplog.set_level(logging.INFO, LOGGER)

    async def cell():
        Client(server.url, "key").runner(tasks=[Leaf]).run_all()

    asyncio.run(cell())
    assert computed(server) == 1
    assert "tilebox.workflows.aio" in caplog.text


def test_an_async_runner_does_not_block_its_loop_and_stops_when_cancelled(scripted):
    server = scripted()
    server.submit("Leaf", b"1")

    async def service():
        runner = AsyncClient(server.url, "key").runner(tasks=[Leaf])
        task = asyncio.create_task(runner.run_forever())
        await asyncio.to_thread(server.wait_for, lambda: computed(server) == 1 and server.waiting)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(service())


def test_the_asyncio_tasks_of_a_run_have_names_and_end_with_it(scripted):
    server = scripted()

    def named():
        return {one.get_name() for one in asyncio.all_tasks() if one.get_name().startswith("tilebox ")}

    async def service():
        runner = AsyncClient(server.url, "key").runner(tasks=[Leaf], concurrency=2)
        task = asyncio.create_task(runner.run_forever())
        await asyncio.to_thread(server.wait_for, lambda: server.waiting)
        parts = ("runner", "slot 0", "slot 1", "delivery", "heartbeats", "clock")
        assert named() == {f"tilebox {part}" for part in parts}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert named() == set()

    asyncio.run(service())


def test_an_async_runner_that_waits_for_its_server_stops_when_cancelled(scripted):
    server = scripted()
    asked = server.hold("GetCluster")

    async def service():
        task = asyncio.create_task(AsyncClient(server.url, "key").runner(tasks=[Leaf]).run_forever())
        await asyncio.to_thread(asked.asked.wait, WAIT_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked.released.set()

    asyncio.run(service())
    assert server.count("Exchange") == 0


def test_a_bug_in_the_engine_ends_the_run_with_its_error(scripted, monkeypatch):
    server = scripted()
    server.submit("Leaf", b"1")
    monkeypatch.setattr(LeaseKeeper, "wait_for_check", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Client(server.url, "key").runner(tasks=[Leaf]).run_forever()


def test_cancelling_lets_tasks_finish(scripted):
    server = scripted()
    server.submit("Waiting")
    hold = Hold()

    async def service():
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                runner = AsyncClient(server.url, "key").runner(tasks=[Waiting], context=hold)
                group.start_soon(runner.run_forever)
                await asyncio.to_thread(hold.started.wait)
                scope.cancel()
                asyncio.get_running_loop().call_soon(hold.released.set)

    asyncio.run(service())
    assert computed(server) == 1


def test_two_runners_share_one_loop(scripted):
    server = scripted()
    for number in range(50):
        server.submit("Leaf", b"%d" % number)

    async def service():
        client = AsyncClient(server.url, "key")
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(client.runner(tasks=[Leaf]).run_all)

    asyncio.run(service())
    assert computed(server) == 50


def test_a_run_leaves_no_threads_or_warnings(scripted, recwarn):
    server = scripted()
    server.submit("Leaf", b"1")
    Client(server.url, "key").runner(tasks=[Leaf], concurrency=4).run_all()
    gc.collect()
    assert not recwarn
    slots = [one for one in threading.enumerate() if one.name.startswith(("tilebox-slot", "tilebox-delivery"))]
    for one in slots:
        one.join(WAIT_SECONDS)
        assert not one.is_alive()
