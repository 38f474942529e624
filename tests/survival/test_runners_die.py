"""Runners that are killed or suspended, or execute code that holds the GIL."""

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

# The runner learns it from the response to its report, or from its companion process.
LOST = re.compile(r"the lease is not valid any more|its lease was lost")


def test_runners_killed_at_random_lose_nothing(start_stage):
    stage = start_stage(lease_seconds=2)
    chosen = random.Random(7)
    stage.submit(Tree(2, 16, milliseconds=10), Fan(60, milliseconds=10))
    runners = [stage.start_runner() for _ in range(4)]
    for _ in range(6):
        # At a random moment, whatever the runner is doing.
        goal = len(stage.lines("start")) + chosen.randint(10, 30)
        wait_until(lambda goal=goal: len(stage.lines("start")) >= goal, "more tasks")
        number = chosen.randrange(4)
        runners[number].kill()
        runners[number] = stage.start_runner()
    stage.wait_for_jobs()
    counted = stage.check(longest_gap_seconds=60)
    assert counted["end"] >= 1 + 16 + 256 + 1 + 61
    assert counted["start"] - counted["end"] <= 6


def test_the_task_of_a_killed_runner_is_executed_by_another(start_stage):
    # At once: its companion reports the death, so no lease has to expire.
    stage = start_stage(lease_seconds=600)
    job = stage.submit(Gated("gate"))
    first = stage.start_runner()
    assert int(stage.wait_for_file("gate.started")) == first.pid
    first.kill()
    stage.open_gate("gate")
    stage.start_runner()
    stage.wait_for_jobs(job)
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (3, 2)


def test_the_task_of_a_runner_killed_with_its_companion_is_requeued_when_its_lease_expires(start_stage):
    stage = start_stage(lease_seconds=5)
    job = stage.submit(Gated("gate"))
    first = stage.start_runner()
    stage.wait_for_file("gate.started")
    (companion,) = wait_until(lambda: companions(first.pid), "its companion")
    # In this order, since the companion would report the death and the runner would restart its companion.
    first.send(signal.SIGSTOP)
    os.kill(companion, signal.SIGKILL)
    first.kill()
    stage.open_gate("gate")
    stage.start_runner()
    stage.wait_for_jobs(job)
    stage.check()
    assert [attempt["outcome"] for attempt in stage.read().attempts] == ["expired"]


def companions(pid: int) -> list[int]:
    """Return the companion processes of a runner."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if b"heartbeat" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@pytest.mark.parametrize(("moment", "executions"), [("claimed", 1), ("computed", 2), ("acknowledged", 1)])
def test_a_runner_killed_between_its_messages(start_stage, start_proxy, moment, executions):
    stage = start_stage(lease_seconds=5)
    proxy = start_proxy(stage)
    job = stage.submit(Gated("gate"))
    stage.open_gate("gate")

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

    proxy.rule = rule
    victim = stage.start_runner(proxy.url)
    victim.process.wait()
    stage.start_runner()
    stage.wait_for_jobs(job)
    counted = stage.check()
    assert counted["end"] == executions + 1


def test_a_suspended_runner_resumes_too_late(start_stage):
    stage = start_stage(lease_seconds=5)
    job = stage.submit(Gated("gate"))
    first = stage.start_runner()
    stage.wait_for_file("gate.started")
    first.send(signal.SIGSTOP)
    stage.open_gate("gate")
    second = stage.start_runner()
    stage.wait_for_jobs(job)
    second.stop()
    first.send(signal.SIGCONT)
    # It continues with other tasks, and learns by that that its report is late.
    stage.wait_for_jobs(stage.submit(Fan(3)))
    wait_until(lambda: LOST.search(first.log.read_text()), "word of the lost lease")
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (3 + 5, 3 + 5)
    attempts = stage.read().attempts
    assert [attempt["outcome"] for attempt in attempts] == ["expired"]


def test_code_that_holds_the_gil_is_executed_once(start_stage):
    stage = start_stage(lease_seconds=5)
    release = stage.make_lock("lock")
    job = stage.submit(Locking("lock"))
    stage.start_runner()
    wait_until(lambda: stage.lines("start"), "its start")
    stage.start_runner()
    # There are three extensions in a lease, so without them the lease would have expired by now.
    stage.wait_for_extensions(4)
    release()
    stage.wait_for_jobs(job)
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (1, 1)
    assert stage.read().attempts == []


def test_code_that_holds_the_gil_does_not_block_other_tasks_of_its_runner(start_stage):
    stage = start_stage(lease_seconds=5)
    release = stage.make_lock("lock")
    job = stage.submit(Mixed(60, 40, lock="lock"))
    stage.start_runner()
    wait_until(lambda: len(stage.lines("start")) - len(stage.lines("end")) == 1 and len(stage.lines("end")) > 40, "it")
    stage.start_runner()
    # The other tasks of its batch, reported or not, go to the other runner, and none of them counts a crash.
    wait_until(lambda: len({line.task for line in stage.lines("end")}) == 1 + 60, "the end of all others")
    wait_until(lambda: stage.read().jobs[job.id.bytes]["computed"] == 1 + 60, "all other reports")
    release()
    stage.wait_for_jobs(job)
    stage.check()
    assert stage.read().attempts == []
    assert len({line.execution.partition(".")[0] for line in stage.lines("end")}) == 2
