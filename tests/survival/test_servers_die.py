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
        stage: Whose server.
        is_meant: Whether a call, with its answer once there is one, is the one to kill it at.
        is_carried_out: Whether the server dies after it carried the call out, but before its answer gets out.
    """

    def __init__(self, stage, is_meant, *, is_carried_out: bool) -> None:
        self._stage = stage
        self._is_meant = is_meant
        self._is_carried_out = is_carried_out
        self._lock = threading.Lock()
        self.has_killed = False

    def __call__(self, call):
        if not self._is_carried_out and self._takes(call, None):
            self._restart()
            return None
        answer = call.forward()
        if self._is_carried_out and self._takes(call, answer):
            self._restart()
            return None
        return answer

    def _takes(self, call, answer) -> bool:
        with self._lock:
            if self.has_killed or not self._is_meant(call, answer):
                return False
            self.has_killed = True
            return True

    def _restart(self) -> None:
        self._stage.server.kill()
        self._stage.start_server()


def submits(call, answer):
    return call.name == "SubmitJob"


def claims(call, answer):
    """Return whether a call requests tasks, and, given a response, whether it has some."""
    return call.name == "Exchange" and (answer is None or bool(answer_body(answer).tasks))


def reports(call, answer):
    return call.name == "Exchange" and bool(call.exchange().computed)


def extends(call, answer):
    return call.name == "ExtendLeases"


@pytest.mark.parametrize("is_carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [submits, claims, reports, extends])
def test_a_server_killed_at_a_step_loses_and_duplicates_nothing(stage, proxy, step, is_carried_out):
    there = stage(lease_seconds=5)
    way = proxy(there)
    killer = way.rule = Killer(there, step, is_carried_out=is_carried_out)
    runner = there.start_runner(way.url)
    if step is submits:
        # A client without a response looks for its job, and never submits a second one.
        if is_carried_out:
            there.submit(Chain(1), url=way.url)
        else:
            with pytest.raises(TransportError, match="the job is not there"):
                there.client(way.url).jobs().submit("lost", Chain(1))
    there.submit(Gated("gate"), Fan(5))
    there.wait_for_file("gate.started")
    if step is extends:
        wait_until(lambda: killer.has_killed, "an extension")
    there.open_gate("gate")
    there.wait_for_jobs()
    assert killer.has_killed
    assert runner.is_alive()
    counted = there.check()
    # No task is executed twice: its runner reports it when the server is back.
    assert counted["start"] == counted["end"] == 2 + 7 + (2 if step is submits and is_carried_out else 0)
    assert there.read().attempts == []


def test_reports_on_tasks_that_ended_during_an_outage_are_delivered(stage):
    there = stage(lease_seconds=5)
    job = there.submit(Gated("gate"))
    runners = [there.start_runner() for _ in range(2)]
    there.wait_for_file("gate.started")
    there.server.kill()
    # As if ten minutes had passed: the lease has expired when the server comes back.
    with closing(sqlite3.connect(there.data_dir / "tilebox.sqlite")) as connection:
        connection.execute("UPDATE tasks SET leased_until_us = leased_until_us - 600000000 WHERE state = 2")
        connection.commit()
    there.open_gate("gate")
    wait_until(lambda: there.lines("end"), "the end of the task")
    there.start_server()
    there.wait_for_jobs(job)
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert (counted["start"], counted["end"]) == (2, 2)
    assert there.read().attempts == []


def test_a_server_killed_repeatedly_under_load(stage):
    there = stage(lease_seconds=2)
    there.submit(Fan(60, milliseconds=20), Fan(60, milliseconds=20), Chain(40))
    runners = [there.start_runner() for _ in range(3)]
    for _ in range(3):
        goal = len(there.lines("end")) + 25
        wait_until(lambda goal=goal: len(there.lines("end")) >= goal, "more tasks")
        there.server.kill()
        there.start_server()
    there.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert counted["start"] == counted["end"] == 62 + 62 + 41


def test_waiting_runners_reconnect_to_a_restarted_server(stage):
    there = stage(lease_seconds=2)
    runners = [there.start_runner() for _ in range(8)]
    wait_until(lambda: there.server.log.read_text().count("GetCluster") >= 8, "all runners")
    there.server.kill()
    there.start_server()
    there.submit(Fan(60, milliseconds=20))
    there.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert counted["start"] == counted["end"] == 62
