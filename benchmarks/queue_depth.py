"""W5: how fast tasks are handed out and reported when few wait, and when very many do, straight at the store.

No network and no runner: what is measured is what the database makes of a long queue.
"""

from __future__ import annotations

import asyncio
import os
import time
from uuid import uuid4

from tilebox.server.store import open_store
from tilebox.server.store.clusters import Cluster
from tilebox.server.store.interface import Store, Team
from tilebox.server.store.orchestration import Claim, Limits, NewGroup, NewJob, NewTask, Queue, Report, new_ids

FEW = 1_000
_JOB_TASKS = 10_000
_BATCH = 64
_CLAIMED = 4_096


def measure(url: str, many: int) -> dict[str, float]:
    """Return tasks a second with few queued, right after the insert of many, and with as many blocked."""
    return asyncio.run(_measure(url, many))


async def _measure(url: str, many: int) -> dict[str, float]:
    store = open_store(url)
    try:
        await store.migrate()
        place = await _Place.make(store)
        found = {}
        await place.insert(FEW + _CLAIMED)
        found["few"] = await place.drain()
        await place.drain(everything=True)
        started = time.perf_counter()
        await place.insert(many)
        found["insert"] = many / (time.perf_counter() - started)
        found["many"] = await place.drain()
        await place.insert(many, is_blocked=True)
        found["blocked"] = await place.drain()
    finally:
        await store.close()
    return found


class _Place:
    """A team with one queue."""

    def __init__(self, store: Store, team: Team, queue: Queue) -> None:
        self._store = store
        self._team = team
        self._queue = queue
        self._rank = 0

    @classmethod
    async def make(cls, store: Store) -> _Place:
        team = Team(id=uuid4(), slug="benchmark", name="Benchmark", created_us=1)
        await store.add_team(team)
        cluster: Cluster = await store.ensure_default_cluster(
            team.id, slug="benchmark", display_name="Benchmark", now_us=_now_us()
        )
        (queue,) = await store.add_queues(cluster.number, [("Leaf", 0, 0)])
        return cls(store, team, queue)

    async def insert(self, count: int, *, is_blocked: bool = False) -> None:
        """Submit jobs; of blocked ones, all tasks but one wait for that one."""
        while count > 0:
            size = min(count, _JOB_TASKS)
            tasks = [NewTask(self._queue.number, "Leaf", b"")] * size
            groups = [NewGroup(tasks[:1]), NewGroup(tasks, (0,))] if is_blocked else [NewGroup(tasks)]
            now = _now_us()
            job = NewJob(
                id=new_ids(1, now)[0],
                team=self._team.id,
                name="many",
                trace_parent="",
                submitted_us=now,
                groups=groups,
            )
            await self._store.submit_job(job, virtual_rank=self._rank)
            count -= size

    async def drain(self, *, everything: bool = False) -> float:
        """Take and report some tasks, or all of them, and return how many a second."""
        started, done = time.perf_counter(), 0
        reports: list[Report] = []
        while everything or done < _CLAIMED:
            claim = Claim(
                queues=[self._queue.number],
                count=_BATCH,
                runner=bytes(16),
                claim=os.urandom(16),
                is_fenced=True,
                lease_us=60_000_000,
            )
            exchanged = await self._store.exchange(
                self._team.id, reports, claim, now_us=_now_us(), virtual_rank=self._rank, limits=Limits()
            )
            self._rank = max(self._rank, exchanged.effects.last_rank)
            reports = [Report(task=task.task, lease=task.lease) for task in exchanged.tasks]
            done += len(reports)
            if not reports:
                break
        if reports:
            await self._store.exchange(
                self._team.id, reports, None, now_us=_now_us(), virtual_rank=self._rank, limits=Limits()
            )
        return done / (time.perf_counter() - started)


def _now_us() -> int:
    return time.time_ns() // 1000
