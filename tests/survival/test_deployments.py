"""Runners replaced under load, tasks that kill their runner, and many runners on one SQLite file."""

from __future__ import annotations

import re
import signal

import pytest
from survival.invariants import Expectation
from survival.stage import wait_until
from survival.work import Chain, Diamond, Fan, Poison, Tree

pytestmark = pytest.mark.slow


def test_runners_replaced_one_after_the_other_fail_no_task(stage):
    there = stage(lease_seconds=5)
    there.submit(Tree(2, 20, milliseconds=5), Chain(50))
    runners = [there.start_runner(concurrency=1 + number % 2) for number in range(6)]
    wait_until(lambda: len(there.lines("end")) >= 20, "the first tasks")
    for number, runner in enumerate(runners):
        # The new one comes first, as in a rolling deployment.
        runners[number] = there.start_runner()
        # One that was still starting had nothing to finish, and ends as programs do.
        assert runner.stop() in (0, -signal.SIGTERM)
    there.wait_for_jobs()
    counted = there.check(longest_gap_seconds=10)
    assert counted["start"] == counted["end"] == 421 + 51
    assert there.read().attempts == []
    assert "taken back" not in there.server.log.read_text()


@pytest.mark.parametrize(("how", "cause"), [("exit", "exit code 7"), ("SIGSEGV", "killed by signal SIGSEGV")])
def test_a_task_that_kills_its_process_is_given_up_and_its_runner_lives(stage, how, cause):
    there = stage(lease_seconds=5, max_crashes=2)
    runner = there.start_runner(isolation="process")
    poison = there.submit(Poison(how), expect=Expectation("FAILED", failed=1))
    other = there.submit(Fan(5))
    there.wait_for_jobs(poison, other)
    assert runner.is_alive()
    counted = there.check()
    assert (counted["start"], counted["end"]) == (3 + 7, 7)
    attempts = there.read().attempts
    assert [attempt["outcome"] for attempt in attempts] == ["crashed"] * 3
    assert all(cause in attempt["error"] for attempt in attempts)


def test_a_task_that_kills_its_runner_is_given_up_and_others_go_on(stage):
    there = stage(lease_seconds=1, max_crashes=2)
    poison = there.submit(Poison("SIGKILL"), expect=Expectation("FAILED", failed=1))
    other = there.submit(Fan(60, milliseconds=2), Chain(20))
    runners = [there.start_runner() for _ in range(2)]
    deaths = 0

    def is_over():
        nonlocal deaths
        for number, runner in enumerate(runners):
            if not runner.is_alive():
                deaths += 1
                runners[number] = there.start_runner()
        return {poison.id.hex, other.id.hex} <= there.ended()

    wait_until(is_over, "the end of both jobs")
    assert deaths == 3
    there.check()


def test_twenty_runner_processes_on_one_sqlite_file(stage):
    there = stage(lease_seconds=10)
    there.submit(Tree(2, 30), *(Diamond(10) for _ in range(4)), *(Chain(20) for _ in range(4)))
    for _ in range(20):
        there.start_runner()
    there.wait_for_jobs()
    counted = there.check()
    assert counted["start"] == counted["end"] == 931 + 4 * (1 + 3 * 12 + 1) + 4 * 21
    for log in (one.log.read_text() for one in (*there.servers, *there.runners)):
        assert not re.search(r"locked|busy|Traceback", log, re.IGNORECASE)
