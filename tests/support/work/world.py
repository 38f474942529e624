"""A store with a team, a cluster and queues, and access to all rows of its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from support.store.records import NOW_US, make_team

from tilebox.server.store.sql.statements import Call, Statement
from tilebox.server.store.work.interface import Claim, Limits, NewGroup, NewJob, NewTask, Report, new_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

LEASE_US = 60_000_000

_TASKS = """
SELECT tasks.*, task_groups.open_tasks, task_groups.open_dependencies, task_groups.parent_id, task_groups.size
FROM tasks JOIN task_groups ON task_groups.id = tasks.group_id JOIN jobs ON jobs.id = tasks.job_id
WHERE jobs.team_id = :team
"""
_JOBS = "SELECT * FROM jobs WHERE team_id = :team"
_ATTEMPTS = """
SELECT task_attempts.*, tasks.input FROM task_attempts JOIN tasks ON tasks.id = task_id JOIN jobs ON jobs.id = tasks.job_id
WHERE jobs.team_id = :team ORDER BY task_attempts.task_id, task_attempts.lease_number
"""


def group(*tasks: NewTask, after: Sequence[int] = ()) -> NewGroup:
    return NewGroup(tasks, after)


class World:
    """A new team in a store, with a clock that the test sets.

    Tasks are identified by their input. The highest rank is remembered, as in a server.
    """

    def __init__(self, store: Any, team: Any, cluster: int, queues: list[int]) -> None:
        self.store, self.team, self.cluster, self.queues = store, team, cluster, queues
        self.now_us = NOW_US
        self.last_rank = 0
        self.limits = Limits(max_crashes=2)

    @classmethod
    async def make(cls, store: Any, *, queues: int = 2) -> World:
        team = make_team(uuid4().hex)
        await store.add_team(team)
        cluster = await store.add_cluster(team.id, slug="c", display_name="c", description="", now_us=NOW_US)
        names = [(f"Task{number}", 1, 0) for number in range(queues)]
        made = await store.add_queues(cluster.number, names)
        return cls(store, team.id, cluster.number, [queue.number for queue in made])

    def beside(self, store: Any) -> World:
        """Return the same team through the store of another process."""
        return World(store, self.team, self.cluster, self.queues)

    def task(self, label: str, *, queue: int = 0, **changes: Any) -> NewTask:
        return NewTask(self.queues[queue], label, label.encode(), **changes)

    async def submit(self, *groups: NewGroup) -> tuple[bytes, Any]:
        (identity,) = new_ids(1, self.now_us)
        job = NewJob(id=identity, team=self.team, name="job", trace_parent="t", submitted_us=self.now_us, groups=groups)
        return identity, await self.store.submit_job(job, virtual_rank=self.last_rank)

    def claim_request(self, count: int = 1, **changes: Any) -> Claim:
        values = {"queues": self.queues, "runner": b"r" * 16, "claim": uuid4().bytes, "is_fenced": True}
        return Claim(**{**values, "count": count, "lease_us": LEASE_US, **changes})

    async def exchange(self, reports: Sequence[Report] = (), claim: Claim | None = None) -> Any:
        done = await self.store.exchange(
            self.team, reports, claim, now_us=self.now_us, virtual_rank=self.last_rank, limits=self.limits
        )
        self.last_rank = max(self.last_rank, done.effects.last_rank)
        return done

    async def claim(self, count: int = 1, **changes: Any) -> list[Any]:
        return (await self.exchange((), self.claim_request(count, **changes))).tasks

    async def report(self, task: Any, **changes: Any) -> Any:
        """Report on one task, by default as computed, and return the verdict."""
        return (await self.exchange([done(task, **changes)])).verdicts[0]

    async def expire(self, count: int = 1000) -> tuple[int, Any]:
        return await self.store.expire_leases(
            now_us=self.now_us, virtual_rank=self.last_rank, limits=self.limits, count=count
        )

    async def wake(self, count: int = 1000) -> tuple[int | None, Any]:
        return await self.store.wake_tasks(now_us=self.now_us, virtual_rank=self.last_rank, count=count)

    async def retry(self, job: bytes) -> tuple[int, Any]:
        return await self.store.retry_job(self.team, job, virtual_rank=self.last_rank)

    async def cancel(self, job: bytes) -> Any:
        return await self.store.cancel_job(self.team, job)

    async def state(self, job: bytes) -> Any:
        return (await self.store.job(self.team, job)).state

    async def tasks(self) -> dict[str, Any]:
        """Return all rows of tasks, by label."""
        return {bytes(row["input"]).decode(): row for row in await self.select(_TASKS)}

    async def states(self) -> dict[str, int]:
        return {label: row["state"] for label, row in (await self.tasks()).items()}

    async def jobs(self) -> dict[bytes, Any]:
        return {bytes(row["id"]): row for row in await self.select(_JOBS)}

    async def attempts(self) -> list[Any]:
        return await self.select(_ATTEMPTS)

    async def everything(self) -> list[list[dict[str, Any]]]:
        """Return all rows of this team's jobs and tasks, for comparison."""
        orders = ((_TASKS, "tasks.id"), (_JOBS, "id"))
        found = [await self.select(f"{sql.strip()} ORDER BY {order}") for sql, order in orders]
        return [[dict(row) for row in rows] for rows in (*found, await self.attempts())]

    async def select(self, sql: str, **arguments: Any) -> list[Any]:
        def verb():
            return (yield Call(Statement("select", "", sql.strip()), {"team": self.team, **arguments}))

        return await self.store.read(verb)


def done(task: Any, **changes: Any) -> Report:
    """Return a report on a claimed task, by default as computed."""
    return Report(**{"task": task.task, "lease": task.lease, **changes})


async def clear(store: Any) -> None:
    """Delete all jobs."""

    def verb():
        for table in ("task_attempts", "task_progress", "tasks", "task_group_dependencies", "task_groups", "jobs"):
            yield Call(Statement("clear", "", f"DELETE FROM {table}"), {})

    await store.write(verb)
