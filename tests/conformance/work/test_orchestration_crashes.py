"""Processes killed at every step, and lost answers: each transaction happens completely or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from support.work.world import LEASE_US, World, done, group

from tilebox.server.rules.task_states import Failure, JobState, TaskState, Verdict

pytestmark = pytest.mark.anyio

QUEUED, RUNNING, COMPUTED, FAILED, SKIPPED, FAILED_OPTIONAL = TaskState


@pytest.fixture
async def world(store):
    return await World.make(store)


@contextmanager
def crashing_process(url, world):
    """Run `orchestration_process.py`; yields a function that makes a copy of it die in a request."""
    path = Path(__file__).with_name("orchestration_process.py")
    command = [sys.executable, str(path), url, str(world.team), json.dumps(world.queues)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"

        def die_in(request, step, **known):
            """Make a copy die; returns whether it had run every statement but the commit."""
            child.stdin.write(json.dumps({"request": request, "step": step, **known}) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if line == "end\n":
                assert child.stdout.readline() == "killed\n"
                return True
            assert line == "killed\n"
            return False

        try:
            yield die_in
        finally:
            child.kill()


async def prepare(world, request):
    """Submit a job that the request changes: two tasks are claimed, and one depends on both."""
    job, _ = await world.submit(
        group(world.task("a", max_retries=1), world.task("b")), group(world.task("c"), after=[0])
    )
    tasks = await world.claim(2)
    if request == "retry":
        await world.exchange([done(task, failure=Failure.FINAL) for task in tasks])
    return job, tasks


AFTERWARDS = {
    "exchange": {"a": COMPUTED, "b": COMPUTED, "c": QUEUED, "x": RUNNING, "y": RUNNING, "z": QUEUED},
    "submit": {"a": RUNNING, "b": RUNNING, "c": QUEUED, "s": QUEUED, "t": QUEUED},
    "cancel": {"a": RUNNING, "b": RUNNING, "c": QUEUED},
    "retry": {"a": QUEUED, "b": QUEUED, "c": QUEUED},
    "expire": {"a": QUEUED, "b": QUEUED, "c": QUEUED},
}


@pytest.mark.parametrize("request_name", AFTERWARDS)
async def test_a_killed_process_leaves_no_partial_transaction(world, database_url, request_name):
    job, tasks = await prepare(world, request_name)
    known = {"tasks": [(task.task.hex(), task.lease) for task in tasks], "job": job.hex(), "claim": uuid4().hex}
    before, step, is_end = await world.everything(), 0, False
    with crashing_process(database_url, world) as die_in:
        while not is_end:
            is_end = die_in(request_name, step, **known)
            assert await world.everything() == before, f"killed before step {step}"
            step += 1
        assert step > 2
        die_in(request_name, None, **known)
    assert await world.states() == AFTERWARDS[request_name]


async def test_a_repeated_request_gets_the_committed_result(world, database_url):
    """A process dies between the commit and the answer, and the runner repeats the request."""
    job, tasks = await prepare(world, "exchange")
    claim = uuid4()
    known = {"tasks": [(task.task.hex(), task.lease) for task in tasks], "job": job.hex(), "claim": claim.hex}
    with crashing_process(database_url, world) as die_in:
        die_in("exchange", None, **known)
    before = await world.everything()

    below = [group(world.task("x"), world.task("y")), group(world.task("z"), after=[0])]
    reports = [done(tasks[0], groups=below), done(tasks[1])]
    request = world.claim_request(3, claim=claim.bytes, is_repeated=True)
    for _ in range(3):
        answer = await world.exchange(reports, request)
        assert answer.verdicts == [Verdict.REPEATED] * 2
        assert sorted((task.input, task.lease) for task in answer.tasks) == [(b"x", 1), (b"y", 1)]
        assert answer.effects.ready == {}
    assert await world.everything() == before

    while claimed := answer.tasks:
        answer = await world.exchange([done(task) for task in claimed], world.claim_request(9))
    assert await world.state(job) is JobState.COMPLETED


async def test_tasks_of_a_claim_with_a_lost_answer_are_released(world):
    """The runner does not repeat the claim, because it died too; the leases expire."""
    await prepare(world, "exchange")
    world.now_us += LEASE_US + 1
    assert (await world.expire())[0] == 2
    assert sorted((task.input, task.lease) for task in await world.claim(9)) == [(b"a", 2), (b"b", 2)]


async def test_a_failure_reported_twice_uses_up_one_retry(world):
    _, (task, _) = await prepare(world, "exchange")
    report = done(task, failure=Failure.TASK)
    assert (await world.exchange([report])).verdicts == [Verdict.ACCEPTED]
    # The runner does not hold the task any more, so the repeated report is stale.
    assert (await world.exchange([report])).verdicts == [Verdict.STALE]
    (again,) = await world.claim()
    assert (await world.exchange([report])).verdicts == [Verdict.STALE]
    assert (again.retries, again.lease) == (1, 2)
    assert (await world.exchange([replace(report, lease=2, failure=None)])).verdicts == [Verdict.ACCEPTED]


async def test_a_report_and_the_expiry_of_its_lease_at_the_same_time(world):
    """The first of the two counts, and the other one changes nothing."""
    for is_report_first in (True, False):
        fresh = await World.make(world.store)
        _, tasks = await prepare(fresh, "exchange")
        fresh.now_us += LEASE_US + 1
        if is_report_first:
            assert await fresh.report(tasks[0]) is Verdict.ACCEPTED
            assert (await fresh.expire())[0] == 1
        else:
            assert (await fresh.expire())[0] == 2
            assert await fresh.report(tasks[0]) is Verdict.STALE
        assert (await fresh.states())["a"] == (COMPUTED if is_report_first else QUEUED)
