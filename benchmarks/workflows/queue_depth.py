"""W5: the rate of claims and reports with few and with very many queued tasks, measured on the store alone.

There is no network and no runner, so the figures show how the database handles a long queue.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from tilebox.server.store import open_store
from tilebox.server.store.interface import Store, Team
from tilebox.server.store.work.clusters import Cluster
from tilebox.server.store.work.interface import Claim, Limits, NewGroup, NewJob, NewTask, Queue, Report, new_ids

FEW = 1_000
_JOB_TASKS = 10_000
_BATCH = 64
_ROUNDS = 64


def measure(few_url: str, many_url: str, many: int) -> dict[str, float]:
    """Return the tasks per second of two databases. Exchanges alternate between them, so noise affects both equally.

    The first database has few queued tasks. The second has many, right after their insert (`many`, compared with
    `few`), and then as many blocked tasks in addition (`blocked`, compared with `few_again`).
    """
    return asyncio.run(_measure(few_url, many_url, many))


async def _measure(few_url: str, many_url: str, many: int) -> dict[str, float]:
    found = {}
    async with _open_queue(few_url) as few, _open_queue(many_url) as long_queue:
        for queue in (few, long_queue):
            # Warm up connections and prepared statements.
            await queue.insert(2 * _BATCH)
            await queue.exchange()
        await few.insert(FEW + _ROUNDS * _BATCH)
        started = time.perf_counter()
        await long_queue.insert(many)
        found["insert"] = many / (time.perf_counter() - started)
        found["few"], found["many"] = await _alternate(few, long_queue)
        await few.insert(_ROUNDS * _BATCH)
        await long_queue.insert(many, is_blocked=True)
        found["few_again"], found["blocked"] = await _alternate(few, long_queue)
    return found


async def _alternate(*queues: _BenchmarkQueue) -> list[float]:
    """Return the tasks per second of each queue, from the median time of its exchanges."""
    seconds: dict[_BenchmarkQueue, list[float]] = {queue: [] for queue in queues}
    for _ in range(_ROUNDS):
        for queue in queues:
            started = time.perf_counter()
            await queue.exchange()
            seconds[queue].append(time.perf_counter() - started)
    return [_BATCH / statistics.median(seconds[queue]) for queue in queues]


@asynccontextmanager
async def _open_queue(url: str) -> AsyncIterator[_BenchmarkQueue]:
    store = open_store(url)
    try:
        await store.migrate()
        yield await _BenchmarkQueue.make(store)
    finally:
        await store.close()


class _BenchmarkQueue:
    """A team with one queue, and a second queue that no runner claims from."""

    def __init__(self, store: Store, team: Team, queue: Queue, gate: Queue) -> None:
        self._store = store
        self._team = team
        self._queue = queue
        self._gate = gate
        self._rank = self._end = 0
        self._reports: list[Report] = []

    @classmethod
    async def make(cls, store: Store) -> _BenchmarkQueue:
        team = Team(id=uuid4(), slug="benchmark", name="Benchmark", created_us=1)
        await store.add_team(team)
        cluster: Cluster = await store.ensure_default_cluster(
            team.id, slug="benchmark", display_name="Benchmark", now_us=_now_us()
        )
        queue, gate = await store.add_queues(cluster.number, [("Leaf", 0, 0), ("Gate", 0, 0)])
        return cls(store, team, queue, gate)

    async def insert(self, count: int, *, is_blocked: bool = False) -> None:
        """Submit jobs. In blocked jobs, all tasks wait for a task that is never claimed.

        Their ranks follow one another, so each exchange concerns one job, however many there are.
        """
        while count > 0:
            size = min(count, _JOB_TASKS)
            tasks = [NewTask(self._queue.number, "Leaf", b"")] * size
            groups = [NewGroup(tasks)]
            if is_blocked:
                groups = [NewGroup([NewTask(self._gate.number, "Gate", b"")]), NewGroup(tasks, (0,))]
            now = _now_us()
            job = NewJob(
                id=new_ids(1, now)[0],
                team=self._team.id,
                name="many",
                trace_parent="",
                submitted_us=now,
                groups=groups,
            )
            await self._store.submit_job(job, virtual_rank=self._end)
            self._end += size
            count -= size

    async def exchange(self) -> None:
        """Report the tasks of the last exchange and claim new ones."""
        claim = Claim(
            queues=[self._queue.number],
            count=_BATCH,
            runner=bytes(16),
            claim=os.urandom(16),
            is_fenced=True,
            lease_us=60_000_000,
        )
        exchanged = await self._store.exchange(
            self._team.id, self._reports, claim, now_us=_now_us(), virtual_rank=self._rank, limits=Limits()
        )
        if len(exchanged.tasks) < _BATCH:
            raise RuntimeError(f"only {len(exchanged.tasks)} tasks were left")
        self._rank = max(self._rank, exchanged.effects.last_rank)
        self._reports = [Report(task=task.task, lease=task.lease) for task in exchanged.tasks]


def _now_us() -> int:
    return time.time_ns() // 1000
