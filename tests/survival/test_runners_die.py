"""Runners that die without a word, are suspended, or execute what holds their interpreter up."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest
from survival.harness.proxy import answer_body
from survival.harness.stage import wait_until
from survival.harness.work import Fan, Gated, Locking, Mixed, Tree

pytestmark = pytest.mark.slow

# As the runner learns it first: from the answer to its report, or from its companion process.
LOST = re.compile(r"the lease is not valid any more|its lease was lost")


def test_runners_killed_at_random_lose_nothing(stage):
    there = stage(lease_seconds=2)
    chosen = random.Random(7)
    there.submit(Tree(2, 16, milliseconds=10), Fan(60, milliseconds=10))
    runners = [there.start_runner() for _ in range(4)]
    for _ in range(6):
        # Somewhere in the course of things, whatever it is doing then.
        goal = len(there.lines("start")) + chosen.randint(10, 30)
        wait_until(lambda goal=goal: len(there.lines("start")) >= goal, "more tasks")
        number = chosen.randrange(4)
        runners[number].kill()
        runners[number] = there.start_runner()
    there.wait_for_jobs()
    counted = there.check(longest_gap_seconds=60)
    assert counted["end"] >= 1 + 16 + 256 + 1 + 61
    assert counted["start"] - counted["end"] <= 6


def test_a_runner_killed_in_a_task_has_it_executed_by_another(stage):
    # At once: its companion says so, and nobody waits for the lease.
    there = stage(lease_seconds=600)
    job = there.submit(Gated("gate"))
    first = there.start_runner()
    assert int(there.wait_for_file("gate.started")) == first.pid
    first.kill()
    there.open_gate("gate")
    there.start_runner()
    there.wait_for_jobs(job)
    counted = there.check()
    assert (counted["start"], counted["end"]) == (3, 2)


def test_a_runner_killed_with_its_companion_is_missed_when_its_lease_is_over(stage):
    there = stage(lease_seconds=5)
    job = there.submit(Gated("gate"))
    first = there.start_runner()
    there.wait_for_file("gate.started")
    (companion,) = wait_until(lambda: companions(first.pid), "its companion")
    # In this order, or it would say so; and the runner would start another one.
    first.send(signal.SIGSTOP)
    os.kill(companion, signal.SIGKILL)
    first.kill()
    there.open_gate("gate")
    there.start_runner()
    there.wait_for_jobs(job)
    there.check()
    assert [attempt["outcome"] for attempt in there.read().attempts] == ["expired"]


def companions(pid: int) -> list[int]:
    """Return the companion processes of a runner."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if b"heartbeat" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@pytest.mark.parametrize(("moment", "executions"), [("claimed", 1), ("computed", 2), ("acknowledged", 1)])
def test_a_runner_killed_between_its_messages(stage, proxy, moment, executions):
    there = stage(lease_seconds=5)
    way = proxy(there)
    job = there.submit(Gated("gate"))
    there.open_gate("gate")

    def rule(call):
        is_report = call.name == "Exchange" and call.exchange().computed
        if moment == "computed" and is_report:
            victim.kill()
            return None
        answer = call.forward()
        has_tasks = call.name == "Exchange" and answer_body(answer).tasks
        if (moment == "claimed" and has_tasks) or (moment == "acknowledged" and is_report):
            victim.kill()
            return None
        return answer

    way.rule = rule
    victim = there.start_runner(way.url)
    victim.process.wait()
    there.start_runner()
    there.wait_for_jobs(job)
    counted = there.check()
    assert counted["end"] == executions + 1


def test_a_suspended_runner_comes_back_too_late(stage):
    there = stage(lease_seconds=5)
    job = there.submit(Gated("gate"))
    first = there.start_runner()
    there.wait_for_file("gate.started")
    first.send(signal.SIGSTOP)
    there.open_gate("gate")
    second = there.start_runner()
    there.wait_for_jobs(job)
    second.stop()
    first.send(signal.SIGCONT)
    # It goes on with other work, and with that learns that it came too late.
    there.wait_for_jobs(there.submit(Fan(3)))
    wait_until(lambda: LOST.search(first.log.read_text()), "word of the lost lease")
    counted = there.check()
    assert (counted["start"], counted["end"]) == (3 + 5, 3 + 5)
    attempts = there.read().attempts
    assert [attempt["outcome"] for attempt in attempts] == ["expired"]


def test_code_that_holds_the_interpreter_lock_is_executed_once(stage):
    there = stage(lease_seconds=5)
    release = there.make_lock("lock")
    job = there.submit(Locking("lock"))
    there.start_runner()
    wait_until(lambda: there.lines("start"), "its start")
    there.start_runner()
    # There are three in a lease, so without them it would be over by then.
    there.wait_for_extensions(4)
    release()
    there.wait_for_jobs(job)
    counted = there.check()
    assert (counted["start"], counted["end"]) == (1, 1)
    assert there.read().attempts == []


def test_code_that_holds_the_interpreter_lock_keeps_no_neighbour_from_others(stage):
    there = stage(lease_seconds=5)
    release = there.make_lock("lock")
    job = there.submit(Mixed(60, 40, lock="lock"))
    there.start_runner()
    wait_until(lambda: len(there.lines("start")) - len(there.lines("end")) == 1 and len(there.lines("end")) > 40, "it")
    there.start_runner()
    # What had come with it, reported or not, is given to the other runner meanwhile, and nobody is blamed for it.
    wait_until(lambda: len({line.task for line in there.lines("end")}) == 1 + 60, "the end of all others")
    wait_until(lambda: there.read().jobs[job.id.bytes]["computed"] == 1 + 60, "all other reports")
    release()
    there.wait_for_jobs(job)
    there.check()
    assert there.read().attempts == []
    assert len({line.execution.partition(".")[0] for line in there.lines("end")}) == 2
