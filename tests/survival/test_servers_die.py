"""A server that is killed at every step of the protocol, or is away for long; its runners stay."""

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
    """A rule that kills the server at one step, and starts it again.

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
    """Tell whether tasks are asked for, and with an answer whether there are some in it."""
    return call.name == "Exchange" and (answer is None or bool(answer_body(answer).tasks))


def reports(call, answer):
    return call.name == "Exchange" and bool(call.exchange().computed)


def extends(call, answer):
    return call.name == "ExtendLeases"


@pytest.mark.parametrize("is_carried_out", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [submits, claims, reports, extends])
def test_a_server_killed_at_a_step_loses_and_doubles_nothing(stage, proxy, step, is_carried_out):
    there = stage(lease_seconds=5)
    way = proxy(there)
    killer = way.rule = Killer(there, step, is_carried_out=is_carried_out)
    runner = there.start_runner(way.url)
    if step is submits:
        # A client that got no answer looks whether its job is there, and never makes a second one.
        if is_carried_out:
            there.submit(Chain(1), url=way.url)
        else:
            with pytest.raises(TransportError, match="the job was not found"):
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
    # Nothing is executed twice: who executes it reports it when the server is back.
    assert counted["start"] == counted["end"] == 2 + 7 + (2 if step is submits and is_carried_out else 0)
    assert there.read().attempts == []


def test_what_was_finished_while_the_server_was_away_is_delivered(stage):
    there = stage(lease_seconds=5)
    job = there.submit(Gated("gate"))
    runners = [there.start_runner() for _ in range(2)]
    there.wait_for_file("gate.started")
    there.server.kill()
    # As if ten minutes had passed: the lease is long over when the server comes back.
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


def test_a_server_killed_again_and_again_under_load(stage):
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


def test_runners_that_wait_find_a_server_again_that_was_restarted(stage):
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
