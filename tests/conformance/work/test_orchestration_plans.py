"""Query plans: statements find ready tasks by partial indexes, however many other tasks there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest
from support.work.world import World, group

from tilebox.server.store.sql.statements import Call, Statement, statements

pytestmark = pytest.mark.anyio

# Arguments for each statement.
ARGUMENTS = {
    "ready_tasks": {"queue": 1, "count": 10},
    "lease_tasks": {
        "task": b"t" * 16, "is_fenced": True, "until_us": 1, "runner": b"r" * 16, "claim": b"c" * 16, "now_us": 1,
    },
    "ready_in_queue": {"queue": 1},
    "due_tasks": {"now_us": 1, "count": 10},
    "next_wake": {},
    "expired_tasks": {"now_us": 1, "count": 10},
    "claimed_tasks": {"claim": b"c" * 16, "runner": b"r" * 16, "team": uuid4()},
    "tasks_held_by_runner": {"runner": b"r" * 16, "team": uuid4(), "count": 10},
    "tasks_with_jobs": {"task": b"t" * 16},
    "release_groups": {"group": b"g" * 16, "rank": 1},
    "unqueue_jobs": {"job": b"j" * 16},
    "unblocked_groups": {"job": b"j" * 16},
    "dependents_of_tasks": {"task": b"t" * 16, "max_completed": 1, "max_size": 8},
    "decrement_groups": {"group": b"g" * 16, "tasks": 1, "dependencies": 1},
    "decrement_parents": {"task": b"t" * 16, "count": 1},
    "ancestors": {"task": b"t" * 16},
    "skip_descendants": {"task": b"t" * 16},
    "abandon_descendants": {"task": b"t" * 16},
    "lock_jobs_of_tasks": {"task": b"t" * 16},
}  # fmt: skip
# The index of each statement without which a claim, or a round of the loops, would cost more with every stored task.
INDEXES = {
    "ready_tasks": "tasks_ready",
    "ready_in_queue": "tasks_ready",
    "due_tasks": "tasks_asleep",
    "next_wake": "tasks_asleep",
    "expired_tasks": "tasks_running",
    "claimed_tasks": "tasks_running",
    "tasks_held_by_runner": "tasks_running",
}
# Recursive queries. PostgreSQL uses indexes for them once it has statistics, so from the first autovacuum on.
RECURSIVE = {"skip_descendants", "abandon_descendants"}

# Groups of eight tasks, each group below a parent task of its own.
_FILL = {
    "sqlite": (
        """WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} / 8 - 1)
        INSERT INTO task_groups (id, job_id, parent_id, size, open_tasks, open_dependencies)
        SELECT CAST(printf('%016d', i) AS BLOB), :job, randomblob(16), 8, 8, 0 FROM n""",
        """WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1)
        INSERT INTO tasks (id, job_id, group_id, position, queue, state, rank, display, input, max_retries, is_optional)
        SELECT randomblob(16), :job, CAST(printf('%016d', i / 8) AS BLOB), i % 8, :queue, {state}, {rank}, 'x', x'', 0,
            0 FROM n""",
    ),
    "postgres": (
        """INSERT INTO task_groups (id, job_id, parent_id, size, open_tasks, open_dependencies)
        SELECT convert_to(lpad(i::text, 16, '0'), 'UTF8'), :job, decode(md5(i::text), 'hex'), 8, 8, 0
        FROM generate_series(0, {count} / 8 - 1) AS n (i)""",
        """INSERT INTO tasks (id, job_id, group_id, position, queue, state, rank, display, input, max_retries, is_optional)
        SELECT decode(md5(random()::text), 'hex'), :job, convert_to(lpad((i / 8)::text, 16, '0'), 'UTF8'), i % 8, :queue,
            {state}, {rank}, 'x', ''::bytea, 0, false
        FROM generate_series(0, {count} - 1) AS n (i)""",
    ),
}


async def run(store, sql, **arguments):
    def verb():
        return (yield Call(Statement("run", "", sql), arguments))

    return await store.write(verb)


async def fill(world, dialect, *, count, state, rank):
    """Insert tasks in groups of eight directly, because the orchestrator would take too long."""
    row = (await world.tasks())["first"]
    given = {"job": bytes(row["job_id"]), "queue": row["queue"]}
    groups, tasks = (text.format(count=count, state=state, rank=rank) for text in _FILL[dialect])
    await run(world.store, groups, job=given["job"])
    await run(world.store, tasks, **given)


def plans(database_url):
    """Yield the name and the query plan of each statement, the plan as lines of text."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite://"))) as connection:
            for name, arguments in ARGUMENTS.items():
                given = {key: value.bytes if isinstance(value, UUID) else value for key, value in arguments.items()}
                if text := statements()[name].sql:
                    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", given)
                    yield name, [row[3] for row in rows]
    else:
        with psycopg.connect(database_url, cursor_factory=psycopg.RawCursor) as connection:
            for name, arguments in ARGUMENTS.items():
                text, parameters = statements()[name].numbered.text, statements()[name].numbered.parameters
                is_each = "unnest(" in text or "ANY(" in text
                given = [[arguments[key]] if is_each else arguments[key] for key in parameters]
                lines = connection.execute(f"EXPLAIN {text}", given).fetchall()
                yield name, [line for (line,) in lines]


@pytest.fixture
def dialect(database_url):
    return database_url.partition(":")[0].replace("postgresql", "postgres")


@pytest.mark.parametrize(
    ("filled", "is_analysed"),
    [
        ({}, False),
        # Many tasks are ready, blocked or computed. Without ANALYZE, the statistics are those of an empty table.
        ({"count": 100_000, "state": 1, "rank": "i"}, False),
        ({"count": 100_000, "state": 1, "rank": "NULL"}, False),
        ({"count": 100_000, "state": 3, "rank": "NULL"}, False),
        ({"count": 100_000, "state": 1, "rank": "i"}, True),
        ({"count": 100_000, "state": 3, "rank": "NULL"}, True),
    ],
    ids=["empty", "ready", "blocked", "done", "ready-analysed", "done-analysed"],
)
async def test_no_statement_reads_all_tasks(store, database_url, dialect, filled, is_analysed):
    world = await World.make(store)
    await world.submit(group(world.task("first")))
    if filled:
        await fill(world, dialect, **filled)
    if is_analysed:
        await run(store, "ANALYZE")
    for name, lines in plans(database_url):
        plan = "\n".join(lines)
        # SQLite writes SCAN for a full scan of a table or index; PostgreSQL writes Seq Scan for one of a table.
        scans = [line for line in lines if line.startswith("SCAN tasks") and "USING" not in line]
        assert not scans, f"{name}: {plan}"
        if filled and (is_analysed or name not in RECURSIVE):
            assert "Seq Scan on tasks" not in plan, f"{name}: {plan}"
        if name in INDEXES and (filled or dialect == "sqlite"):
            assert INDEXES[name] in plan, f"{name}: {plan}"


async def test_a_small_job_overtakes_a_hundred_thousand_ready_tasks(store, dialect):
    world = await World.make(store)
    await world.submit(group(world.task("first")))
    await fill(world, dialect, count=100_000, state=1, rank="i + 2")
    await world.claim(3)
    world.now_us += 1000
    await world.submit(group(world.task("small")))
    claimed = [task.input for task in await world.claim(2)]
    assert b"small" in claimed
