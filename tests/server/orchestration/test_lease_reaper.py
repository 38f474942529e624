"""Rounds of the lease reaper: expired leases, periods without expiry, and steps of the clock."""

from __future__ import annotations

import logging
import time

import pytest
from support.store.postgres import fresh_database, postgres_server
from support.store.records import NOW_US, opened
from support.work.world import LEASE_US, World, group

from tilebox.errors import ServerError
from tilebox.server.loops.lease_reaper import LeaseReaper
from tilebox.server.orchestration.lease_clock import LeaseClock
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
    """A server with a monotonic clock that the test advances.

    Attributes:
        error_us: Error of the system clock, in microseconds.
    """

    def __init__(self, world, clock=None):
        self.world, self.seconds, self.error_us = world, 1000.0, 0
        clock = clock or LeaseClock(lambda: NOW_US + self.elapsed_us + self.error_us, lambda: round(self.seconds * 1e9))
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
    def elapsed_us(self):
        return round((self.seconds - 1000.0) * 1e6)

    async def run_rounds(self, leases=0.0):
        """Advance by a number of lease lengths, with a round every half of one; run one round if it is zero."""
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


async def test_a_task_with_an_expired_lease_is_taken_back(server):
    await server.run_rounds(1)
    await server.claim()
    await server.run_rounds(1)
    assert await state(server) == RUNNING
    await server.run_rounds(0.5)
    assert await state(server) == QUEUED


async def test_no_lease_expires_within_one_lease_of_the_start(server):
    await server.claim()
    server.seconds += 10 * LEASE_SECONDS
    server.reaper.postpone_expiry()
    await server.run_rounds()
    await server.run_rounds(0.5)
    assert await state(server) == RUNNING
    await server.run_rounds(0.5)
    assert await state(server) == QUEUED


async def test_no_lease_expires_after_the_server_was_suspended(server):
    await server.run_rounds(1)
    await server.claim()
    server.seconds += 10 * LEASE_SECONDS
    await server.run_rounds()
    assert await state(server) == RUNNING
    await server.run_rounds(1)
    assert await state(server) == QUEUED


@pytest.mark.parametrize("step_us", [3_600_000_000, -3_600_000_000])
async def test_a_step_of_the_clock_ends_a_lease_neither_at_once_nor_much_later(server, step_us, caplog):
    await server.run_rounds(1)
    await server.claim()
    await server.run_rounds(0.5)
    server.error_us = step_us
    with caplog.at_level(logging.WARNING, "tilebox.server"):
        await server.run_rounds()
    assert "the clock was set" in caplog.text
    await server.run_rounds(0.5)
    assert await state(server) == RUNNING
    await server.run_rounds(1)
    assert await state(server) == QUEUED


async def test_a_lease_from_before_the_start_expires_in_time_after_the_clock_was_set_back(server):
    ahead = Server(server.world)
    ahead.error_us = 3_600_000_000
    ahead.leases.clock.synchronize(None)
    await ahead.claim()
    await server.run_rounds(2)
    assert await state(server) == QUEUED


async def test_a_pause_ends_in_time_after_the_clock_was_set_back(server):
    await server.run_rounds()
    (task,) = await server.claim()
    await server.world.report(task, failure=Failure.TASK, retry_after_us=LEASE_US)
    server.error_us = -3_600_000_000
    await server.run_rounds(0.5)
    assert await server.claim() == []
    await server.run_rounds(1)
    assert len(await server.claim()) == 1


async def test_a_pause_from_before_the_start_ends_in_time_after_the_clock_was_set_back(server):
    ahead = Server(server.world)
    ahead.error_us = 3_600_000_000
    ahead.leases.clock.synchronize(None)
    (task,) = await ahead.claim()
    await server.world.report(task, failure=Failure.TASK, retry_after_us=LEASE_US)
    await server.run_rounds()
    assert await server.claim() == []
    await server.run_rounds(1.5)
    assert len(await server.claim()) == 1


async def test_servers_on_one_database_agree_on_leases_though_their_clocks_are_hours_apart(postgres_server):
    with fresh_database(postgres_server) as url:
        async with opened(url) as store:
            await store.migrate()
            world = await World.make(store)
            ahead, behind = (Server(world, skewed(hours)) for hours in (1, -1))
            for server in (ahead, behind):
                await server.run_rounds(2)
            assert abs(ahead.leases.clock.now_us() - behind.leases.clock.now_us()) < 60_000_000
            await world.submit(group(*[world.task(label) for label in "ab"]))
            world.now_us = ahead.leases.clock.now_us()
            await world.claim(lease_us=LEASE_US)
            await world.claim(lease_us=1)
            # For both servers, the one lease has expired and the other has not.
            await behind.run_rounds(0.5)
            assert await world.states() == {"a": RUNNING, "b": QUEUED}
            await ahead.run_rounds(0.5)
            assert await world.states() == {"a": RUNNING, "b": QUEUED}


def skewed(hours):
    """Return a lease clock on a system clock that is wrong by some hours."""
    return LeaseClock(lambda: time.time_ns() // 1000 + hours * 3_600_000_000)


async def test_a_failed_correction_after_a_step_is_repeated_in_the_next_round(server, monkeypatch):
    await server.run_rounds(1)
    await server.claim()
    server.error_us = -3_600_000_000

    async def fails(**_):
        raise ServerError("the database went away", code="unavailable")

    with monkeypatch.context() as broken:
        broken.setattr(server.world.store, "rewind_deadlines", fails)
        with pytest.raises(ServerError):
            await server.run_rounds()
    await server.run_rounds(2)
    assert await state(server) == QUEUED
