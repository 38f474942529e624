"""Rounds of the reaper: what it takes back, when it takes nothing, and what a clock that is set means to it."""

from __future__ import annotations

import logging
import time

import pytest
from orchestrated import LEASE_US, World, group
from postgres import fresh_database, postgres_server
from store_records import NOW_US, opened

from tilebox.errors import ServerError
from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.lease_clock import Clock
from tilebox.server.orchestration.leases import Leases
from tilebox.server.orchestration.submissions import Submissions
from tilebox.server.rules.task_states import Failure, TaskState
from tilebox.server.settings import Settings
from tilebox.server.store.work.interface import Limits

__all__ = ["postgres_server"]

pytestmark = pytest.mark.anyio

LEASE_SECONDS = LEASE_US / 1e6
QUEUED, RUNNING = TaskState.QUEUED, TaskState.RUNNING


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Server:
    """A server whose time passes when it is told to.

    Attributes:
        error_us: How far the machine's clock is off.
    """

    def __init__(self, world, clock=None):
        self.world, self.seconds, self.error_us = world, 1000.0, 0
        clock = clock or Clock(lambda: NOW_US + self.passed_us + self.error_us, lambda: round(self.seconds * 1e9))
        submissions = Submissions(world.store, Settings())
        self.leases = Leases(
            world.store,
            submissions,
            clock,
            lease_seconds=LEASE_SECONDS,
            limits=Limits(),
            monotonic=lambda: self.seconds,
        )
        self.reaper = LeaseReaper(world.store, self.leases, monotonic=lambda: self.seconds)

    @property
    def passed_us(self):
        return round((self.seconds - 1000.0) * 1e6)

    async def go_round(self, leases=0.0):
        """Let so many leases pass, with a round every half of one."""
        for _ in range(round(2 * leases)):
            self.seconds += LEASE_SECONDS / 2
            await self.reaper.run_once()
        if not leases:
            await self.reaper.run_once()

    async def claim(self):
        self.world.now_us = self.leases.clock.now_us()
        return await self.world.claim()


@pytest.fixture
async def server(tmp_path):
    async with opened(f"sqlite://{tmp_path}/control.sqlite") as store:
        await store.migrate()
        world = await World.make(store)
        await world.submit(group(world.task("a", max_retries=1)))
        yield Server(world)


async def state(server):
    return (await server.world.states())["a"]


async def test_a_lease_that_is_over_is_taken_back(server):
    await server.go_round(1)
    await server.claim()
    await server.go_round(1)
    assert await state(server) == RUNNING
    await server.go_round(0.5)
    assert await state(server) == QUEUED


async def test_nothing_is_taken_before_one_lease_after_the_start(server):
    await server.claim()
    server.seconds += 10 * LEASE_SECONDS
    server.reaper.be_quiet()
    await server.go_round()
    await server.go_round(0.5)
    assert await state(server) == RUNNING
    await server.go_round(0.5)
    assert await state(server) == QUEUED


async def test_nothing_is_taken_by_a_server_that_stood_still(server):
    await server.go_round(1)
    await server.claim()
    server.seconds += 10 * LEASE_SECONDS
    await server.go_round()
    assert await state(server) == RUNNING
    await server.go_round(1)
    assert await state(server) == QUEUED


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000])
async def test_a_clock_that_is_set_ends_a_lease_neither_at_once_nor_much_later(server, step_us, caplog):
    await server.go_round(1)
    await server.claim()
    await server.go_round(0.5)
    server.error_us = step_us
    with caplog.at_level(logging.WARNING, "tilebox.server"):
        await server.go_round()
    assert "the clock was set" in caplog.text
    await server.go_round(0.5)
    assert await state(server) == RUNNING
    await server.go_round(1)
    assert await state(server) == QUEUED


async def test_a_lease_of_before_the_start_does_not_outlast_a_clock_that_was_set_back(server):
    ahead = Server(server.world)
    ahead.error_us = 3_600_000_000
    ahead.leases.clock.follow(None)
    await ahead.claim()
    await server.go_round(2)
    assert await state(server) == QUEUED


async def test_a_pause_does_not_outlast_a_clock_that_is_set_back(server):
    await server.go_round()
    (task,) = await server.claim()
    await server.world.report(task, failure=Failure.TASK, retry_after_us=LEASE_US)
    server.error_us = -3_600_000_000
    await server.go_round(0.5)
    assert await server.claim() == []
    await server.go_round(1)
    assert len(await server.claim()) == 1


async def test_a_pause_of_before_the_start_does_not_outlast_a_clock_that_was_set_back(server):
    ahead = Server(server.world)
    ahead.error_us = 3_600_000_000
    ahead.leases.clock.follow(None)
    (task,) = await ahead.claim()
    await server.world.report(task, failure=Failure.TASK, retry_after_us=LEASE_US)
    await server.go_round()
    assert await server.claim() == []
    await server.go_round(1.5)
    assert len(await server.claim()) == 1


async def test_servers_on_one_database_agree_on_leases_though_their_clocks_are_hours_apart(postgres_server):
    with fresh_database(postgres_server) as url:
        async with opened(url) as store:
            await store.migrate()
            world = await World.make(store)
            ahead, behind = (Server(world, skewed(hours)) for hours in (1, -1))
            for server in (ahead, behind):
                await server.go_round(2)
            assert abs(ahead.leases.clock.now_us() - behind.leases.clock.now_us()) < 60_000_000
            await world.submit(group(*[world.task(label) for label in "ab"]))
            world.now_us = ahead.leases.clock.now_us()
            await world.claim(lease_us=LEASE_US)
            await world.claim(lease_us=1)
            # One lease is over, the other is not, for both.
            await behind.go_round(0.5)
            assert await world.states() == {"a": RUNNING, "b": QUEUED}
            await ahead.go_round(0.5)
            assert await world.states() == {"a": RUNNING, "b": QUEUED}


def skewed(hours):
    """Return the clock of a machine that is set wrongly."""
    return Clock(lambda: time.time_ns() // 1000 + hours * 3_600_000_000)


async def test_what_could_not_be_set_back_is_set_back_in_the_next_round(server, monkeypatch):
    await server.go_round(1)
    await server.claim()
    server.error_us = -3_600_000_000

    async def fails(**_):
        raise ServerError("the database went away", code="unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(server.world.store, "rewind_deadlines", fails)
        with pytest.raises(ServerError):
            await server.go_round()
    await server.go_round(2)
    assert await state(server) == QUEUED
