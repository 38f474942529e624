"""W5: how fast tasks are handed out and reported when few wait, and when very many do, straight at the store.

No network and no runner: what is measured is what the database makes of a long queue.
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
    """Return tasks a second of two databases, by exchanges with each in turn, so that noise meets both.

    The first has few tasks queued. The second has many, right after their insert (`many`, beside `few`), then as many
    blocked besides (`blocked`, beside `few_again`).
    """
    return asyncio.run(_measure(few_url, many_url, many))


async def _measure(few_url: str, many_url: str, many: int) -> dict[str, float]:
    found = {}
    async with _place(few_url) as few, _place(many_url) as deep:
        for place in (few, deep):
            # Connections are made, statements known.
            await place.insert(2 * _BATCH)
            await place.exchange()
        await few.insert(FEW + _ROUNDS * _BATCH)
        started = time.perf_counter()
        await deep.insert(many)
        found["insert"] = many / (time.perf_counter() - started)
        found["few"], found["many"] = await _in_turn(few, deep)
        await few.insert(_ROUNDS * _BATCH)
        await deep.insert(many, is_blocked=True)
        found["few_again"], found["blocked"] = await _in_turn(few, deep)
    return found


async def _in_turn(*places: _Place) -> list[float]:
    """Return how many tasks a second each hands out and takes reports of, by the median of its exchanges."""
    seconds: dict[_Place, list[float]] = {place: [] for place in places}
    for _ in range(_ROUNDS):
        for place in places:
            started = time.perf_counter()
            await place.exchange()
            seconds[place].append(time.perf_counter() - started)
    return [_BATCH / statistics.median(seconds[place]) for place in places]


@asynccontextmanager
async def _place(url: str) -> AsyncIterator[_Place]:
    store = open_store(url)
    try:
        await store.migrate()
        yield await _Place.make(store)
    finally:
        await store.close()


class _Place:
    """A team with one queue, and one that nobody takes tasks from."""

    def __init__(self, store: Store, team: Team, queue: Queue, gate: Queue) -> None:
        self._store = store
        self._team = team
        self._queue = queue
        self._gate = gate
        self._rank = self._end = 0
        self._reports: list[Report] = []

    @classmethod
    async def make(cls, store: Store) -> _Place:
        team = Team(id=uuid4(), slug="benchmark", name="Benchmark", created_us=1)
        await store.add_team(team)
        cluster: Cluster = await store.ensure_default_cluster(
            team.id, slug="benchmark", display_name="Benchmark", now_us=_now_us()
        )
        queue, gate = await store.add_queues(cluster.number, [("Leaf", 0, 0), ("Gate", 0, 0)])
        return cls(store, team, queue, gate)

    async def insert(self, count: int, *, is_blocked: bool = False) -> None:
        """Submit jobs; of blocked ones, all tasks wait for one that is not handed out.

        They stand in line one behind the other: exchanges are about one job, however many there are.
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
        """Report the tasks of the last exchange, and take others."""
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
