"""Networks that lose or delay responses, duplicate requests and cut connections."""

from __future__ import annotations

import random
import threading

import pytest
from survival.harness.proxy import Call
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated

pytestmark = pytest.mark.slow


class RandomFaults:
    """A rule that loses requests or responses of runners, or duplicates requests, at random.

    Args:
        seed: Seed of the random faults.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.faults: list[str] = []

    def __call__(self, call):
        with self._lock:
            fault = self._random.choices(["none", "request lost", "response lost", "duplicate request"], [7, 1, 1, 1])[
                0
            ]
            self.faults.append(fault)
        if fault == "request lost":
            return None
        response = call.forward()
        if fault == "duplicate request":
            # Like a proxy that retries by itself; the runner gets the second response.
            response = call.forward()
        return None if fault == "response lost" else response


def test_lost_and_duplicate_messages_lose_and_duplicate_no_task(start_stage, start_proxy):
    stage = start_stage(lease_seconds=1)
    proxy = start_proxy(stage)
    faults = proxy.rule = RandomFaults(seed=3)
    stage.submit(Fan(60, milliseconds=5), Chain(60))
    runners = [stage.start_runner(proxy.url) for _ in range(2)]
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    assert {"request lost", "response lost", "duplicate request"} <= set(faults.faults)
    proxy.rule = Call.forward
    counted = stage.check()
    assert counted["end"] >= 62 + 61


def test_a_partition_in_one_direction_and_its_end(start_stage, start_proxy):
    stage = start_stage(lease_seconds=1)
    proxy = start_proxy(stage)
    is_cut = threading.Event()

    def rule(call):
        # Requests arrive and responses do not: the server sees a live runner, the runner a dead server.
        response = call.forward()
        return None if is_cut.is_set() else response

    proxy.rule = rule
    job = stage.submit(Gated("gate"), Chain(20))
    runner = stage.start_runner(proxy.url)
    stage.wait_for_file("gate.started")
    is_cut.set()
    stage.open_gate("gate")
    # The report has arrived many times.
    wait_until(lambda: stage.read().jobs[job.id.bytes]["computed"] >= 1, "the report")
    wait_until(lambda: "retrying until it succeeds" in runner.log.read_text(), "the runner's notice")
    is_cut.clear()
    stage.wait_for_jobs(job)
    stage.check()


def test_a_half_open_connection_only_costs_the_lease(start_stage, start_proxy):
    stage = start_stage(lease_seconds=5)
    proxy = start_proxy(stage)
    is_dead = threading.Event()

    def rule(call):
        if is_dead.is_set():
            proxy.hold()
        return call.forward()

    proxy.rule = rule
    job = stage.submit(Gated("gate"))
    cut_off = stage.start_runner(proxy.url)
    stage.wait_for_file("gate.started")
    is_dead.set()
    # No data arrives any more over the open connection: to the server, the runner is silent.
    stage.open_gate("gate")
    stage.start_runner()
    stage.wait_for_jobs(job)
    cut_off.kill()
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (3, 3)
    assert [attempt["outcome"] for attempt in stage.read().attempts] == ["expired"]
