"""Many concurrent runners, on one server and on two: no task is lost or computed twice, and there are no deadlocks.

The runners behave at random: they compute, fail, crash, return tasks, fall silent and report twice. Meanwhile leases
expire early, and jobs are canceled and retried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count
from random import Random

import anyio
import psycopg
import pytest
from support.store.records import opened
from support.work.world import LEASE_US, World, done, group

from tilebox.server.rules.task_states import Failure, JobState, TaskState, Verdict
from tilebox.server.store.work.interface import Limits

pytestmark = pytest.mark.anyio

JOBS = 3


def below(world, label):
    """Return the subtasks of a task: two groups, the second of which depends on the first, down to two levels."""
    if label.count(".") >= 2:
        return []
    first = [world.task(f"{label}.{letter}", queue=0, max_retries=1000) for letter in "ab"]
    return [group(*first), group(world.task(f"{label}.z", queue=1, max_retries=1000), after=[0])]


class History:
    """The claims and the accepted reports, numbered in the order in which they were received or sent."""

    def __init__(self):
        self.moments = count()
        self.claimed = defaultdict(list)
        self.accepted = {}
        self.leases = Counter()

    def record_claim(self, task):
        label = task.input.decode()
        self.claimed[label].append(next(self.moments))
        self.leases[task.task, task.lease] += 1

    def check(self):
        assert max(self.leases.values()) == 1, "a lease was given out twice"
        for label, moments in self.claimed.items():
            parent, _, letter = label.rpartition(".")
            before = [parent] if parent else []
            if letter == "z":
                before += [other for other in self.accepted if other.startswith((f"{parent}.a", f"{parent}.b"))]
            for other in before:
                assert self.accepted[other] < min(moments), f"{label} was claimed before {other} was reported"


async def runner(world, history, random, is_over):
    """Claim tasks and report on them at random, until all jobs are completed."""
    tasks = []
    while not is_over.is_set():
        if not tasks:
            tasks = await world.claim(random.randint(1, 4), runner=random.randbytes(16))
            for task in tasks:
                history.record_claim(task)
        more = []
        for task in tasks:
            label = task.input.decode()
            sent = next(history.moments)
            luck = random.random()
            if luck < 0.7:
                report = done(task, groups=below(world, label))
                # Half of the requests also claim tasks, which may be those that the report releases.
                request = (
                    world.claim_request(random.randint(1, 4), runner=random.randbytes(16))
                    if random.random() < 0.5
                    else None
                )
                answer = await world.exchange([report] * (2 if luck < 0.1 else 1), request)
                for verdict in answer.verdicts:
                    if verdict is Verdict.ACCEPTED:
                        assert label not in history.accepted, f"{label} was computed twice"
                        history.accepted[label] = sent
                for next_task in answer.tasks:
                    history.record_claim(next_task)
                more += answer.tasks
            elif luck < 0.8:
                await world.report(task, failure=Failure.TASK, groups=below(world, label))
            elif luck < 0.9:
                await world.report(task, failure=Failure.CRASH)
            elif luck < 0.97:
                await world.report(task, is_returned=True)
        if not tasks:
            await anyio.lowlevel.checkpoint()
        tasks = more


async def disturb(world, jobs, random, is_over):
    """Let leases expire early, and cancel and retry jobs."""
    for _ in range(15):
        world.now_us += LEASE_US + 1
        await world.expire(random.randint(1, 5))
        await world.cancel(random.choice(jobs))
        await world.wake()
        await world.retry(random.choice(jobs))
    while not is_over.is_set():
        # A silent runner keeps its tasks until their leases expire.
        world.now_us += LEASE_US + 1
        await world.expire()
        for job in jobs:
            await world.retry(job)
        states = [await world.state(job) for job in jobs]
        if all(state is JobState.COMPLETED for state in states):
            is_over.set()


async def run_jobs(worlds, runners, random):
    """Run jobs to completion with runners of all worlds."""
    for world in worlds:
        world.limits = Limits(max_crashes=1_000_000)
    history, is_over = History(), anyio.Event()
    jobs = [
        (await worlds[0].submit(*[group(worlds[0].task(f"{job}{letter}", max_retries=1000)) for letter in "xy"]))[0]
        for job in range(JOBS)
    ]
    async with anyio.create_task_group() as tasks:
        for number in range(runners):
            tasks.start_soon(runner, worlds[number % len(worlds)], history, Random(random.random()), is_over)
        tasks.start_soon(disturb, worlds[-1], jobs, Random(random.random()), is_over)
    return jobs, history


async def check(world, jobs, history):
    history.check()
    tasks = await world.tasks()
    assert {row["state"] for row in tasks.values()} == {TaskState.COMPUTED}
    assert history.accepted.keys() == tasks.keys()
    # Each job has two root tasks; each of these submits three tasks, and each of those three more.
    assert len(tasks) == JOBS * 2 * (1 + 3 + 9)
    assert {(row["open_tasks"], row["open_dependencies"], row["open_groups"]) for row in tasks.values()} == {(0, 0, 0)}
    for job in jobs:
        known = await world.store.job(world.team, job)
        assert (known.counts.total, known.counts.computed, known.counts.failed) == (26, 26, 0)


async def test_twenty_runners_of_one_server(store):
    world = await World.make(store)
    await check(world, *await run_jobs([world], 20, Random(7)))


async def test_runners_of_two_servers(postgres_server):
    from support.store.postgres import fresh_database

    with fresh_database(postgres_server) as url:
        async with opened(url) as store, opened(url) as other:
            await store.migrate()
            world = await World.make(store)
            await check(world, *await run_jobs([world, world.beside(other)], 8, Random(8)))
        assert await _deadlocks(url) == 0


async def test_concurrent_claims_of_two_servers_share_the_tasks(postgres_server):
    from support.store.postgres import fresh_database

    with fresh_database(postgres_server) as url:
        async with opened(url) as store, opened(url) as other:
            await store.migrate()
            world = await World.make(store)
            await world.submit(group(*[world.task(f"t{number}", queue=number % 2) for number in range(200)]))
            claimed = []

            async def claim(runner_world):
                while tasks := await runner_world.claim(5):
                    claimed.extend(tasks)

            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(claim, (world, world.beside(other))[number % 2])
            # A claim skips rows that another one has locked, so a few may be left.
            claimed += await world.claim(200)
            assert sorted(task.input for task in claimed) == sorted(f"t{number}".encode() for number in range(200))


async def test_a_lease_that_changes_during_its_expiry_is_kept(postgres_server):
    """The reaper found an expired lease and waits for the job. Meanwhile the lease is extended, or the task ends."""
    from support.store.postgres import fresh_database

    with fresh_database(postgres_server) as url:
        async with opened(url) as store:
            await store.migrate()
            for meanwhile in ("leased_until_us = leased_until_us + 100", "state = 3, leased_until_us = NULL"):
                world = await World.make(store)
                await world.submit(group(world.task("a")))
                await world.claim()
                world.now_us += LEASE_US + 1
                async with await psycopg.AsyncConnection.connect(url) as holder:
                    await holder.execute("SELECT * FROM jobs FOR NO KEY UPDATE")
                    await holder.execute(f"UPDATE tasks SET {meanwhile}")
                    async with anyio.create_task_group() as tasks:
                        expired = []

                        async def expire(world=world, expired=expired):
                            expired.append((await world.expire())[0])

                        tasks.start_soon(expire)
                        await _until_a_lock_is_awaited(url)
                        await holder.commit()
                assert expired == [0]


async def _deadlocks(url):
    """Return the number of deadlocks in a database, once all other sessions have published their statistics."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while await (await watcher.execute(others)).fetchone():
            await anyio.lowlevel.checkpoint()
        found = await watcher.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return (await found.fetchone())[0]


async def _until_a_lock_is_awaited(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        while True:
            rows = await watcher.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if await rows.fetchone():
                return
            await anyio.lowlevel.checkpoint()
