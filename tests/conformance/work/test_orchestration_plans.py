"""How the databases find what is asked for: by indexes that hold only what can be handed out, whatever else is kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest
from orchestrated import World, group

from tilebox.server.store.sql.statements import Call, Statement, statements

pytestmark = pytest.mark.anyio

# What each statement may be asked with.
ASKED = {
    "ready_tasks": {"queue": 1, "count": 10},
    "lease_tasks": {
        "task": b"t" * 16, "is_fenced": True, "until_us": 1, "runner": b"r" * 16, "claim": b"c" * 16, "now_us": 1,
    },
    "ready_in_queue": {"queue": 1},
    "due_tasks": {"now_us": 1, "count": 10},
    "next_wake": {},
    "expired_tasks": {"now_us": 1, "count": 10},
    "claimed_tasks": {"claim": b"c" * 16, "runner": b"r" * 16, "team": uuid4()},
    "tasks_of_runner": {"runner": b"r" * 16, "team": uuid4(), "count": 10},
    "held_tasks": {"task": b"t" * 16},
    "release_groups": {"group": b"g" * 16, "rank": 1},
    "stop_jobs": {"job": b"j" * 16},
    "open_groups_of_job": {"job": b"j" * 16},
    "behind_tasks": {"task": b"t" * 16, "count": 1, "few": 8},
    "count_off_groups": {"group": b"g" * 16, "tasks": 1, "dependencies": 1},
    "count_off_submitters": {"task": b"t" * 16, "count": 1},
    "ancestors": {"task": b"t" * 16},
    "skip_below": {"task": b"t" * 16},
    "abandon_below": {"task": b"t" * 16},
    "lock_jobs_of_tasks": {"task": b"t" * 16},
}  # fmt: skip
# The index without which the cost of a claim, or of a round of the loops, would grow with all that is kept.
NEEDED = {
    "ready_tasks": "tasks_ready",
    "ready_in_queue": "tasks_ready",
    "due_tasks": "tasks_asleep",
    "next_wake": "tasks_asleep",
    "expired_tasks": "tasks_running",
    "claimed_tasks": "tasks_running",
    "tasks_of_runner": "tasks_running",
}
# These walk down from a task. PostgreSQL does that by indexes once it knows the tables, so by the first autovacuum.
WALKS = {"skip_below", "abandon_below"}

# Tasks in groups of eight, and those below one task each.
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
    """Add tasks in groups of eight without asking the orchestrator, which would take its time."""
    row = (await world.tasks())["first"]
    given = {"job": bytes(row["job_id"]), "queue": row["queue"]}
    groups, tasks = (text.format(count=count, state=state, rank=rank) for text in _FILL[dialect])
    await run(world.store, groups, job=given["job"])
    await run(world.store, tasks, **given)


def plans(database_url):
    """Return what the database is going to do for each statement: (name, its own words)."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite://"))) as connection:
            for name, arguments in ASKED.items():
                given = {key: value.bytes if isinstance(value, UUID) else value for key, value in arguments.items()}
                if text := statements()[name].sql:
                    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", given)
                    yield name, [row[3] for row in rows]
    else:
        with psycopg.connect(database_url, cursor_factory=psycopg.RawCursor) as connection:
            for name, arguments in ASKED.items():
                text, parameters = statements()[name].numbered.text, statements()[name].numbered.parameters
                is_each = "unnest(" in text or "ANY(" in text
                given = [[arguments[key]] if is_each else arguments[key] for key in parameters]
                lines = connection.execute(f"EXPLAIN {text}", given).fetchall()
                yield name, [line for (line,) in lines]


@pytest.fixture
def dialect(database_url):
    return database_url.partition(":")[0].replace("postgresql", "postgres")


@pytest.mark.parametrize(
    ("kept", "is_analysed"),
    [
        ({}, False),
        # Many wait in front, many are blocked, many are done; and the statistics are those of the empty table.
        ({"count": 100_000, "state": 1, "rank": "i"}, False),
        ({"count": 100_000, "state": 1, "rank": "NULL"}, False),
        ({"count": 100_000, "state": 3, "rank": "NULL"}, False),
        ({"count": 100_000, "state": 1, "rank": "i"}, True),
        ({"count": 100_000, "state": 3, "rank": "NULL"}, True),
    ],
    ids=["empty", "ready", "blocked", "done", "ready-analysed", "done-analysed"],
)
async def test_no_statement_reads_all_tasks(store, database_url, dialect, kept, is_analysed):
    world = await World.make(store)
    await world.submit(group(world.task("first")))
    if kept:
        await fill(world, dialect, **kept)
    if is_analysed:
        await run(store, "ANALYZE")
    for name, lines in plans(database_url):
        told = "\n".join(lines)
        # SQLite says how it goes through a table; PostgreSQL, what it does with a whole one.
        scans = [line for line in lines if line.startswith("SCAN tasks") and "USING" not in line]
        assert not scans, f"{name}: {told}"
        if kept and (is_analysed or name not in WALKS):
            assert "Seq Scan on tasks" not in told, f"{name}: {told}"
        if name in NEEDED and (kept or dialect == "sqlite"):
            assert NEEDED[name] in told, f"{name}: {told}"


async def test_a_job_of_one_task_goes_past_a_hundred_thousand(store, dialect):
    world = await World.make(store)
    await world.submit(group(world.task("first")))
    await fill(world, dialect, count=100_000, state=1, rank="i + 2")
    await world.claim(3)
    world.now_us += 1000
    await world.submit(group(world.task("small")))
    handed = [task.input for task in await world.claim(2)]
    assert b"small" in handed
