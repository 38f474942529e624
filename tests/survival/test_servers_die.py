"""A server that is killed at every step of the protocol, or is down for long, while its runners keep running."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
from survival.harness.proxy import answer_body
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated

from tilebox.workflows import TransportError

pytestmark = pytest.mark.slow


class Killer:
    """A rule that kills the server at one step of the protocol, and restarts it.

    Args:
        stage: The stage of the server.
        matches: Whether to kill the server at a call, given the call and its response, if there is one.
        is_carried_out: Whether the server dies after it carried out the call, but before its response arrives.
    """

    def __init__(self, stage, matches, *, is_carried_out: bool) -> None:
        self._stage = stage
        self._matches = matches
        self._is_carried_out = is_carried_out
        self._lock = threading.Lock()
        self.has_killed = False

    def __call__(self, call):
        if not self._is_carried_out and self._is_due(call, None):
            self._restart()
            return None
        response = call.forward()
        if self._is_carried_out and self._is_due(call, response):
            self._restart()
            return None
        return response

    def _is_due(self, call, response) -> bool:
        with self._lock:
            if self.has_killed or not self._matches(call, response):
                return False
            self.has_killed = True
            return True

    def _restart(self) -> None:
        self._stage.server.kill()
        self._stage.start_server()


def submits(call, response):
    return call.name == "SubmitJob"


def claims(call, response):
    """Return whether a call requests tasks, and, given a response, whether it has some."""
    return call.name == "Exchange" and (response is None or bool(answer_body(response).tasks))


def reports(call, response):
    return call.name == "Exchange" and bool(call.exchange().computed)


def extends(call, response):
    return call.name == "ExtendLeases"


@pytest.mark.parametrize("is_carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [submits, claims, reports, extends])
def test_a_server_killed_at_a_step_loses_and_duplicates_nothing(start_stage, start_proxy, step, is_carried_out):
    stage = start_stage(lease_seconds=5)
    proxy = start_proxy(stage)
    killer = proxy.rule = Killer(stage, step, is_carried_out=is_carried_out)
    runner = stage.start_runner(proxy.url)
    if step is submits:
        # A client without a response looks for its job, and never submits a second one.
        if is_carried_out:
            stage.submit(Chain(1), url=proxy.url)
        else:
            with pytest.raises(TransportError, match="the job was not found"):
                stage.client(proxy.url).jobs().submit("lost", Chain(1))
    stage.submit(Gated("gate"), Fan(5))
    stage.wait_for_file("gate.started")
    if step is extends:
        wait_until(lambda: killer.has_killed, "an extension")
    stage.open_gate("gate")
    stage.wait_for_jobs()
    assert killer.has_killed
    assert runner.is_alive()
    counted = stage.check()
    # No task is executed twice: its runner reports it when the server is back.
    assert counted["start"] == counted["end"] == 2 + 7 + (2 if step is submits and is_carried_out else 0)
    assert stage.read().attempts == []


def test_reports_on_tasks_that_ended_during_an_outage_are_delivered(start_stage):
    stage = start_stage(lease_seconds=5)
    job = stage.submit(Gated("gate"))
    runners = [stage.start_runner() for _ in range(2)]
    stage.wait_for_file("gate.started")
    stage.server.kill()
    # As if ten minutes had passed: the lease has expired when the server comes back.
    with closing(sqlite3.connect(stage.data_dir / "tilebox.sqlite")) as connection:
        connection.execute("UPDATE tasks SET leased_until_us = leased_until_us - 600000000 WHERE state = 2")
        connection.commit()
    stage.open_gate("gate")
    wait_until(lambda: stage.lines("end"), "the end of the task")
    stage.start_server()
    stage.wait_for_jobs(job)
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (2, 2)
    assert stage.read().attempts == []


def test_a_server_killed_repeatedly_under_load(start_stage):
    stage = start_stage(lease_seconds=2)
    stage.submit(Fan(60, milliseconds=20), Fan(60, milliseconds=20), Chain(40))
    runners = [stage.start_runner() for _ in range(3)]
    for _ in range(3):
        goal = len(stage.lines("end")) + 25
        wait_until(lambda goal=goal: len(stage.lines("end")) >= goal, "more tasks")
        stage.server.kill()
        stage.start_server()
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 62 + 62 + 41


def test_waiting_runners_reconnect_to_a_restarted_server(start_stage):
    stage = start_stage(lease_seconds=2)
    runners = [stage.start_runner() for _ in range(8)]
    wait_until(lambda: stage.server.log.read_text().count("GetCluster") >= 8, "all runners")
    stage.server.kill()
    stage.start_server()
    stage.submit(Fan(60, milliseconds=20))
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 62
