"""Many runners at once, on one server and on two: no task is lost or done twice, and nobody waits for another for ever.

What the runners do is chance: they compute, fail, crash, give back, go silent and report twice. Meanwhile leases are
taken back long before their time, and jobs are canceled and retried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count
from random import Random

import anyio
import psycopg
import pytest
from orchestrated import LEASE_US, World, done, group
from store_records import opened

from tilebox.server.rules.task_states import Failure, JobState, TaskState, Verdict
from tilebox.server.store.work.interface import Limits

pytestmark = pytest.mark.anyio

JOBS = 3


def below(world, label):
    """What a task submits: two groups, one behind the other, two levels deep."""
    if label.count(".") >= 2:
        return []
    first = [world.task(f"{label}.{letter}", queue=0, max_retries=1000) for letter in "ab"]
    return [group(*first), group(world.task(f"{label}.z", queue=1, max_retries=1000), after=[0])]


class History:
    """What happened, in the order in which it was asked for or answered."""

    def __init__(self):
        self.moments = count()
        self.handed = defaultdict(list)
        self.accepted = {}
        self.leases = Counter()

    def note_handed(self, task):
        label = task.input.decode()
        self.handed[label].append(next(self.moments))
        self.leases[task.task, task.lease] += 1

    def check(self):
        assert max(self.leases.values()) == 1, "a lease was handed out twice"
        for label, moments in self.handed.items():
            parent, _, letter = label.rpartition(".")
            before = [parent] if parent else []
            if letter == "z":
                before += [other for other in self.accepted if other.startswith((f"{parent}.a", f"{parent}.b"))]
            for other in before:
                assert self.accepted[other] < min(moments), f"{label} was handed out before {other} was reported"


async def runner(world, history, random, is_over):
    """Claim, and do anything with what is handed out, until all is done."""
    tasks = []
    while not is_over.is_set():
        if not tasks:
            tasks = await world.claim(random.randint(1, 4), runner=random.randbytes(16))
            for task in tasks:
                history.note_handed(task)
        more = []
        for task in tasks:
            label = task.input.decode()
            sent = next(history.moments)
            luck = random.random()
            if luck < 0.7:
                report = done(task, groups=below(world, label))
                # Half of the requests ask for the next tasks as well, which may be what the report releases.
                wish = world.wish(random.randint(1, 4), runner=random.randbytes(16)) if random.random() < 0.5 else None
                answer = await world.exchange([report] * (2 if luck < 0.1 else 1), wish)
                for verdict in answer.verdicts:
                    if verdict is Verdict.ACCEPTED:
                        assert label not in history.accepted, f"{label} was computed twice"
                        history.accepted[label] = sent
                for one in answer.tasks:
                    history.note_handed(one)
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


async def meddler(world, jobs, random, is_over):
    """Take leases back before their time; cancel and retry jobs."""
    for _ in range(15):
        world.now_us += LEASE_US + 1
        await world.expire(random.randint(1, 5))
        await world.cancel(random.choice(jobs))
        await world.wake()
        await world.retry(random.choice(jobs))
    while not is_over.is_set():
        # Whoever went silent keeps its tasks until their leases are over.
        world.now_us += LEASE_US + 1
        await world.expire()
        for job in jobs:
            await world.retry(job)
        states = [await world.state(job) for job in jobs]
        if all(state is JobState.COMPLETED for state in states):
            is_over.set()


async def run_down(worlds, runners, random):
    """Let runners of all worlds do some jobs."""
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
        tasks.start_soon(meddler, worlds[-1], jobs, Random(random.random()), is_over)
    return jobs, history


async def check(world, jobs, history):
    history.check()
    tasks = await world.tasks()
    assert {row["state"] for row in tasks.values()} == {TaskState.COMPUTED}
    assert history.accepted.keys() == tasks.keys()
    # Each of two roots submits three, each of which submits three.
    assert len(tasks) == JOBS * 2 * (1 + 3 + 9)
    assert {(row["open_tasks"], row["open_dependencies"], row["open_groups"]) for row in tasks.values()} == {(0, 0, 0)}
    for job in jobs:
        known = await world.store.job(world.team, job)
        assert (known.counts.total, known.counts.computed, known.counts.failed) == (26, 26, 0)


async def test_twenty_runners_of_one_server(store):
    world = await World.make(store)
    await check(world, *await run_down([world], 20, Random(7)))


async def test_runners_of_two_servers(postgres_server):
    from postgres import fresh_database

    with fresh_database(postgres_server) as url:
        async with opened(url) as store, opened(url) as other:
            await store.migrate()
            world = await World.make(store)
            await check(world, *await run_down([world, world.beside(other)], 8, Random(8)))
        assert await _deadlocks(url) == 0


async def test_servers_that_claim_at_once_share_the_tasks(postgres_server):
    from postgres import fresh_database

    with fresh_database(postgres_server) as url:
        async with opened(url) as store, opened(url) as other:
            await store.migrate()
            world = await World.make(store)
            await world.submit(group(*[world.task(f"t{number}", queue=number % 2) for number in range(200)]))
            handed = []

            async def claim(one):
                while tasks := await one.claim(5):
                    handed.extend(tasks)

            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(claim, (world, world.beside(other))[number % 2])
            # A row that another was just reading may be passed over; who comes later finds it.
            handed += await world.claim(200)
            assert sorted(task.input for task in handed) == sorted(f"t{number}".encode() for number in range(200))


async def test_a_lease_that_is_extended_while_it_is_taken_back_stays(postgres_server):
    """The reaper of one server found a lease over, and waits for the job; then the other extends it, or takes it."""
    from postgres import fresh_database

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
                        await _until_somebody_waits(url)
                        await holder.commit()
                assert expired == [0]


async def _deadlocks(url):
    """Return how many deadlocks a database broke up, once all who were connected told of them."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while await (await watcher.execute(others)).fetchone():
            await anyio.lowlevel.checkpoint()
        found = await watcher.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return (await found.fetchone())[0]


async def _until_somebody_waits(url):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        while True:
            rows = await watcher.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if await rows.fetchone():
                return
            await anyio.lowlevel.checkpoint()
