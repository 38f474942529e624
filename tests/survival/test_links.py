"""Slow, lossy, half-open and torn connections, and real partitions between network namespaces."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest
from survival.harness.link import BACK, THERE, Link
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated, Tree

pytestmark = pytest.mark.slow


@pytest.fixture
def open_link():
    """A function that opens a link to a stage's server."""
    links = []

    def start(stage, **options):
        links.append(Link(stage.port, **options))
        return links[-1]

    yield start
    for one in links:
        one.__exit__()


def test_half_a_second_of_latency_only_costs_time(start_stage, open_link):
    stage = start_stage(lease_seconds=10)
    link = open_link(stage)
    link.delay_seconds = 0.25  # each direction
    stage.submit(Gated("gate"), Fan(10), Chain(2))
    runners = [stage.start_runner(link.url, concurrency=2) for _ in range(2)]
    stage.wait_for_file("gate.started")
    stage.wait_for_extensions(3)
    stage.open_gate("gate")
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 2 + 12 + 3
    assert stage.read().attempts == []


def test_twenty_percent_packet_loss_only_costs_time(start_stage, open_link):
    stage = start_stage(lease_seconds=10)
    link = open_link(stage, seed=5)
    link.delay_seconds, link.loss = 0.01, 0.2
    stage.submit(Fan(40), Chain(10))
    runners = [stage.start_runner(link.url) for _ in range(3)]
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 42 + 11
    assert stage.read().attempts == []


def test_connections_reset_in_the_middle_of_a_message_lose_and_duplicate_nothing(start_stage, open_link):
    stage = start_stage(lease_seconds=20)
    link = open_link(stage, seed=11)
    link.tears = 60
    # Long tasks, so that a response holds few: one that is longer than the life of a connection never arrives.
    stage.submit(Fan(60, milliseconds=20), Tree(2, 6, milliseconds=20), Chain(40))
    runners = [stage.start_runner(link.url) for _ in range(3)]
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    assert link.torn >= 20
    counted = stage.check()
    # A partial report has no effect, and a partial response is requested again.
    assert counted["start"] == counted["end"] == 62 + 43 + 41
    assert stage.read().attempts == []


def test_tasks_leased_over_a_dead_connection_are_requeued(start_stage, open_link):
    stage = start_stage(lease_seconds=5)
    link = open_link(stage)
    cut_off = stage.start_runner(link.url)
    wait_until(lambda: link.carried[BACK], "the runner")
    stage.wait_for_jobs(stage.submit(Chain(0)))
    # The runner waits over a connection that still looks open, and the server leases it tasks.
    link.cut(THERE, BACK)
    job = stage.submit(Chain(3))
    wait_until(
        lambda: any(task["lease_number"] for task in stage.read().tasks.values() if task["state"] == 2), "a claim"
    )
    stage.start_runner()
    stage.wait_for_jobs(job)
    # The tasks arrive now, long after their leases expired.
    link.heal()
    stage.wait_for_jobs(stage.submit(Fan(20, milliseconds=5)))
    assert cut_off.is_alive()
    counted = stage.check()
    # The runner cannot know how old the response is, so it may execute tasks that another runner holds by now.
    assert counted["start"] == counted["end"] in (1 + 4 + 22, 1 + 4 + 22 + 1)
    assert [attempt["outcome"] for attempt in stage.read().attempts] == ["expired"]


@pytest.mark.parametrize("direction", [THERE, BACK])
def test_a_link_that_is_cut_in_one_direction_and_heals(start_stage, open_link, direction):
    stage = start_stage(lease_seconds=5)
    link = open_link(stage)
    gated = stage.submit(Gated("gate"))
    cut_off = stage.start_runner(link.url)
    stage.wait_for_file("gate.started")
    link.cut(direction)
    if direction == BACK:
        # Its requests arrive although it gets no responses, so it keeps its lease.
        stage.wait_for_extensions(1)
        stage.open_gate("gate")
        wait_until(lambda: stage.lines("end"), "the end of the task")
        wait_until(lambda: stage.read().jobs[gated.id.bytes]["computed"], "the report")
        outcomes = []
    else:
        stage.start_runner()
        wait_until(lambda: len(stage.lines("start")) == 2, "another runner")
        stage.open_gate("gate")
        outcomes = ["expired"]
    link.heal()
    stage.wait_for_jobs(stage.submit(Fan(20, milliseconds=2)))
    stage.wait_for_jobs()
    assert cut_off.is_alive()
    stage.check()
    assert [attempt["outcome"] for attempt in stage.read().attempts] == outcomes


def test_a_flapping_link_loses_and_duplicates_nothing(start_stage, open_link):
    stage = start_stage(lease_seconds=2)
    link = open_link(stage)
    stage.submit(Tree(2, 14, milliseconds=5), Chain(30))
    runners = [stage.start_runner(link.url) for _ in range(3)]
    for number in range(6):
        goal = len(stage.lines("end")) + 15
        wait_until(lambda goal=goal: len(stage.lines("end")) >= goal, "more tasks")
        link.cut(*[(THERE,), (BACK,), (THERE, BACK)][number % 3])
        wait_for_silence(link)
        link.heal()
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["end"] >= 211 + 31


def wait_for_silence(link):
    """Wait until no data has arrived between three polls."""
    seen = []

    def is_silent():
        seen.append(link.carried.total())
        return seen[-3:] == [seen[-1]] * 3

    wait_until(is_silent, "silence")


class Namespace:
    """A network namespace with a virtual Ethernet pair to this one.

    Args:
        name: Name of the namespace.
        number: Third part of its addresses.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"
        self._ends = f"{name}a", f"{name}b"

    def open(self) -> None:
        here, there = self._ends
        ip("netns", "add", self.name)
        ip("link", "add", here, "type", "veth", "peer", "name", there)
        ip("link", "set", there, "netns", self.name)
        ip("addr", "add", f"{self.here}/30", "dev", here)
        ip("link", "set", here, "up")
        self.inside("addr", "add", f"{self.there}/30", "dev", there)
        self.inside("link", "set", there, "up")

    def close(self) -> None:
        ip("netns", "del", self.name, check=False)
        ip("link", "del", self._ends[0], check=False)

    def inside(self, *arguments: str) -> None:
        ip("-n", self.name, *arguments)

    @contextmanager
    def cut(self, direction: str):
        """Drop all packets to the server (`there`), to the runner (`back`), or both (`both`), for the duration."""
        routes = {
            THERE: [("-n", self.name, self.here)],
            BACK: [(self.there,)],
            "both": [("-n", self.name, self.here), (self.there,)],
        }
        for *where, address in routes[direction]:
            ip(*where, "route", "add", "blackhole", f"{address}/32")
        yield
        for *where, address in routes[direction]:
            ip(*where, "route", "del", "blackhole", f"{address}/32")


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


@pytest.fixture
def namespace():
    """A network namespace; skips the test if none can be created."""
    namespace = Namespace(f"tb{os.getpid() % 100_000}", os.getpid() % 250)
    try:
        namespace.open()
    except (OSError, subprocess.CalledProcessError) as error:
        namespace.close()
        pytest.skip(f"no network namespaces here: {error}")
    yield namespace
    namespace.close()


@pytest.mark.parametrize("direction", [THERE, BACK, "both"])
def test_a_partition_between_network_namespaces(start_stage, namespace, direction):
    stage = start_stage(lease_seconds=5, host="0.0.0.0")
    url = f"http://{namespace.here}:{stage.port}"
    gated = stage.submit(Gated("gate"))
    cut_off = stage.start_runner(url, inside=namespace.name)
    stage.wait_for_file("gate.started")
    with namespace.cut(direction):
        # No packet tells the server about the partition; other runners take over.
        stage.start_runner()
        wait_until(lambda: len(stage.lines("start")) == 2, "another runner")
        stage.open_gate("gate")
        stage.wait_for_jobs(gated)
    # Its late report is stale, and it continues with other tasks.
    stage.wait_for_jobs(stage.submit(Fan(60, milliseconds=20)))
    wait_until(
        lambda: "its lease was lost" in cut_off.log.read_text() or "not valid" in cut_off.log.read_text(),
        "the runner to report the lost lease",
    )
    assert cut_off.is_alive()
    stage.check()
    # The gated task expired. Tasks that were leased during the cut or just after it may have arrived too late as well,
    # since TCP waits longer before each retransmission.
    outcomes = [attempt["outcome"] for attempt in stage.read().attempts]
    assert outcomes
    assert set(outcomes) == {"expired"}
