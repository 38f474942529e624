"""Networks that lose or delay responses, duplicate requests and cut connections."""

from __future__ import annotations

import random
import threading

import pytest
from survival.harness.proxy import Call
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated

pytestmark = pytest.mark.slow


class Weather:
    """A rule that loses requests or responses of runners, or duplicates requests, at random.

    Args:
        seed: Of the chance.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.happened: list[str] = []

    def __call__(self, call):
        with self._lock:
            what = self._random.choices(["well", "request lost", "answer lost", "doubled"], [7, 1, 1, 1])[0]
            self.happened.append(what)
        if what == "request lost":
            return None
        answer = call.forward()
        if what == "doubled":
            # Like a proxy that retries by itself; the runner gets the second response.
            answer = call.forward()
        return None if what == "answer lost" else answer


def test_lost_and_duplicate_messages_lose_and_duplicate_no_task(stage, proxy):
    there = stage(lease_seconds=1)
    way = proxy(there)
    weather = way.rule = Weather(seed=3)
    there.submit(Fan(60, milliseconds=5), Chain(60))
    runners = [there.start_runner(way.url) for _ in range(2)]
    there.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    assert {"request lost", "answer lost", "doubled"} <= set(weather.happened)
    way.rule = Call.forward
    counted = there.check()
    assert counted["end"] >= 62 + 61


def test_a_partition_in_one_direction_and_its_end(stage, proxy):
    there = stage(lease_seconds=1)
    way = proxy(there)
    is_cut = threading.Event()

    def rule(call):
        # Requests arrive and responses do not: the server sees a live runner, the runner a dead server.
        answer = call.forward()
        return None if is_cut.is_set() else answer

    way.rule = rule
    job = there.submit(Gated("gate"), Chain(20))
    runner = there.start_runner(way.url)
    there.wait_for_file("gate.started")
    is_cut.set()
    there.open_gate("gate")
    # The report has arrived many times.
    wait_until(lambda: there.read().jobs[job.id.bytes]["computed"] >= 1, "the report")
    wait_until(lambda: "trying again" in runner.log.read_text(), "the runner's notice")
    is_cut.clear()
    there.wait_for_jobs(job)
    there.check()


def test_a_half_open_connection_only_costs_the_lease(stage, proxy):
    there = stage(lease_seconds=5)
    way = proxy(there)
    is_dead = threading.Event()

    def rule(call):
        if is_dead.is_set():
            way.hold()
        return call.forward()

    way.rule = rule
    job = there.submit(Gated("gate"))
    cut_off = there.start_runner(way.url)
    there.wait_for_file("gate.started")
    is_dead.set()
    # No data arrives any more over the open connection: to the server, the runner is silent.
    there.open_gate("gate")
    there.start_runner()
    there.wait_for_jobs(job)
    cut_off.kill()
    counted = there.check()
    assert (counted["start"], counted["end"]) == (3, 3)
    assert [attempt["outcome"] for attempt in there.read().attempts] == ["expired"]
