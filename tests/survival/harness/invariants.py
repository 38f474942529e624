"""Invariants that hold after every failure, checked on the database and on the side effects of tasks.

I1  No task is lost: every job has ended as expected, and no task is left running.
I2  Every computed task has exactly one accepted report, and its subtasks exist exactly once.
I3  No task starts before its dependencies, with all of their subtasks, are done.
I4  No subtask of a failed attempt exists or is executed.
I5  No task is attempted more often than allowed.
I6  A report under a lost lease has no effect: there are as many failed attempts as leases that did not succeed.
I7  A stopped job starts no task.
I8  Work progresses all the time, so that no scenario passes because nothing happened.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from tilebox.server.rules.task_states import TaskState

TABLES = ("jobs", "task_groups", "task_group_dependencies", "tasks", "task_attempts")


@dataclass(frozen=True)
class Expectation:
    """The expected end of a job.

    Args:
        state: `COMPLETED`, `FAILED` or `CANCELED`.
        failed: Number of failed tasks.
        is_canceled: Whether it was canceled and not retried since; by default whether the state is `CANCELED`.
        was_retried: Whether the job was retried, so that its failed tasks got all of their retries again.
    """

    state: str = "COMPLETED"
    failed: int = 0
    is_canceled: bool | None = None
    was_retried: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line in the log of executions: event, task, execution, time, and number of submitted subtasks."""

    kind: str
    task: str
    execution: str
    time_ns: int
    submitted: int


@dataclass
class Database:
    """All rows of jobs, groups, tasks, attempts and dependencies."""

    jobs: dict[bytes, dict] = field(default_factory=dict)
    groups: dict[bytes, dict] = field(default_factory=dict)
    tasks: dict[bytes, dict] = field(default_factory=dict)
    attempts: list[dict] = field(default_factory=list)
    dependencies: list[dict] = field(default_factory=list)

    @classmethod
    def of(cls, tables: dict[str, list[dict]]) -> Database:
        def by_id(name):
            return {row["id"]: row for row in tables[name]}

        return cls(
            by_id("jobs"),
            by_id("task_groups"),
            by_id("tasks"),
            tables["task_attempts"],
            tables["task_group_dependencies"],
        )


def read_sqlite(path: Path) -> Database:
    """Read a consistent snapshot of the database, also of a running server."""
    with _sqlite(path) as connection:
        connection.execute("BEGIN")
        return Database.of({table: _rows(connection.execute(f"SELECT * FROM {table}")) for table in TABLES})


def read_postgres(url: str) -> Database:
    """Read a consistent snapshot of the database, also of a running server."""
    with _postgres(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return Database.of({table: _rows(connection.execute(f"SELECT * FROM {table}")) for table in TABLES})


def ended_jobs(database: Path | str) -> set[str]:
    """Return the ids of all jobs that have ended, in hexadecimal.

    Args:
        database: Path of a SQLite file, or URL of a PostgreSQL database.
    """
    with _sqlite(database) if isinstance(database, Path) else _postgres(database) as connection:
        rows = _rows(connection.execute("SELECT id FROM jobs WHERE open_groups = 0 OR failed > 0"))
    return {row["id"].hex() for row in rows}


@contextmanager
def _sqlite(path: Path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=300)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@contextmanager
def _postgres(url: str):
    with psycopg.connect(url, row_factory=dict_row) as connection:
        yield connection


def read_effects(path: Path) -> list[Line]:
    """Read the log of executions."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [Line(kind, task, execution, int(time), int(n)) for kind, task, execution, time, n in map(str.split, lines)]


def check(
    database: Database,
    effects: list[Line],
    jobs: dict[str, Expectation],
    *,
    max_crashes: int,
    longest_gap_seconds: float | None = None,
) -> Counter[str]:
    """Check all invariants.

    Args:
        database: The database at the end of the scenario.
        effects: The whole log of executions.
        jobs: The expected end of each job, by id in hexadecimal.
        max_crashes: The server's limit on crashes of a task.
        longest_gap_seconds: Longest time without an event; not checked if None.

    Returns:
        The number of lines of each kind, for further checks.
    """
    assert jobs, "there is nothing to check"
    assert {job.hex() for job in database.jobs} == set(jobs)
    for job in database.jobs.values():
        _check_job(
            job, [task for task in database.tasks.values() if task["job_id"] == job["id"]], jobs[job["id"].hex()]
        )
    _check_groups(database, jobs)
    _check_attempts(database, jobs, max_crashes)
    _check_executions(database, effects)
    _check_order(database, effects)
    if longest_gap_seconds is not None:
        _check_progress(effects, longest_gap_seconds)
    return Counter(line.kind for line in effects)


def _check_job(job: dict, tasks: list[dict], expected: Expectation) -> None:
    states = Counter(TaskState(task["state"]) for task in tasks)
    assert states[TaskState.RUNNING] == 0, f"I1: {states} in job {job['name']}"
    assert job["total"] == len(tasks)
    assert job["computed"] == states[TaskState.COMPUTED]
    assert job["failed"] == states[TaskState.FAILED] == expected.failed
    assert job["failed_optional"] == states[TaskState.FAILED_OPTIONAL]
    assert job["skipped"] == states[TaskState.SKIPPED]
    is_completed = not job["open_groups"]
    assert is_completed == (expected.state == "COMPLETED"), f"I1: {job}, {states}"
    is_canceled = expected.state == "CANCELED" if expected.is_canceled is None else expected.is_canceled
    assert bool(job["is_canceled"]) == is_canceled
    if is_completed:
        assert states[TaskState.QUEUED] == 0, f"I1: {states} in job {job['name']}"
    else:
        ready = [task for task in tasks if task["rank"] is not None]
        assert not ready, f"I7: {len(ready)} tasks of job {job['name']} can still be handed out"


def _check_groups(database: Database, jobs: dict[str, Expectation]) -> None:
    sizes = Counter(task["group_id"] for task in database.tasks.values())
    assert set(sizes) == set(database.groups)
    for group in database.groups.values():
        assert group["size"] == sizes[group["id"]], "I2: subtasks are missing or doubled"
        assert group["parent_id"] is None or group["parent_id"] in database.tasks
        if jobs[group["job_id"].hex()].state == "COMPLETED":
            assert group["open_tasks"] == 0
            assert group["open_dependencies"] == 0
    for task in database.tasks.values():
        if task["state"] == TaskState.COMPUTED and jobs[task["job_id"].hex()].state == "COMPLETED":
            assert task["open_groups"] == 0


def _check_attempts(database: Database, jobs: dict[str, Expectation], max_crashes: int) -> None:
    attempts = defaultdict(list)
    for attempt in database.attempts:
        attempts[attempt["task_id"]].append(attempt)
    assert set(attempts) <= set(database.tasks)
    for task in database.tasks.values():
        own = attempts[task["id"]]
        has_failed = task["state"] in (TaskState.FAILED, TaskState.FAILED_OPTIONAL)
        assert task["retries"] <= task["max_retries"] + has_failed, "I5"
        # A task that ran beside others when its runners died may have up to twice as many crashes.
        is_doubtful = any(attempt["error"].startswith("the runner died") for attempt in own)
        assert task["crashes"] <= max_crashes * (1 + is_doubtful) + has_failed, "I5"
        failures = Counter(attempt["outcome"] for attempt in own)
        counted = failures["failed"], failures["crashed"] + failures["expired"]
        if jobs[task["job_id"].hex()].was_retried:
            assert counted[0] >= task["retries"], "I6"
            assert counted[1] >= task["crashes"], "I6"
        else:
            assert counted == (task["retries"], task["crashes"]), "I6"
        leases = {attempt["lease_number"] for attempt in own}
        assert max(leases, default=0) <= task["lease_number"]
        if task["state"] == TaskState.COMPUTED:
            assert task["lease_number"] not in leases, "I6: the lease that counted is one that did not end well"


def _check_executions(database: Database, effects: list[Line]) -> None:
    started = Counter(line.task for line in effects if line.kind == "start")
    ended = {line.task: line for line in effects if line.kind == "end"}
    children = Counter(group["parent_id"] for group in database.groups.values() for _ in range(group["size"]))
    for task in started:
        assert bytes.fromhex(task) in database.tasks, "I4: a task was executed that is not there"
    for identity, task in database.tasks.items():
        name = identity.hex()
        assert started[name] <= task["lease_number"], "I2: executed more often than handed out"
        if task["state"] == TaskState.COMPUTED:
            assert name in ended, "I2: a task counts as computed that never ended"
            assert children[identity] == ended[name].submitted, "I2: subtasks are missing or doubled"
        else:
            assert children[identity] == 0, "I4: what a failed attempt submitted is there"


def _check_order(database: Database, effects: list[Line]) -> None:
    first_start: dict[bytes, int] = {}
    first_end: dict[bytes, int] = {}
    for position, line in enumerate(effects):
        if line.kind in ("start", "end"):
            (first_start if line.kind == "start" else first_end).setdefault(bytes.fromhex(line.task), position)
    members, below = defaultdict(list), defaultdict(list)
    for task in database.tasks.values():
        members[task["group_id"]].append(task["id"])
    for group in database.groups.values():
        if group["parent_id"] is not None:
            below[group["parent_id"]] += members[group["id"]]
    for task, start in first_start.items():
        parent = database.groups[database.tasks[task]["group_id"]]["parent_id"]
        assert parent is None or first_end[parent] < start, "I3: a subtask started before its task ended"
    for identity, task in database.tasks.items():
        if task["state"] in (TaskState.SKIPPED, TaskState.FAILED_OPTIONAL):
            # Dependents do not wait for these, although a runner that lost its lease may still execute one later.
            first_end[identity] = -1
    done = _ends_of_groups(members, below, first_end)
    for dependency in database.dependencies:
        for task in members[dependency["dependent_id"]]:
            if task in first_start:
                assert done[dependency["group_id"]] < first_start[task], "I3: a task did not wait"


def _ends_of_groups(members: dict, below: dict, first_end: dict[bytes, int]) -> dict[bytes, float]:
    """Return for each group the line at which all of its tasks and their descendants had ended."""
    subtree: dict[bytes, float] = {}
    # Descending ids: children were created after their parents.
    for tasks in members.values():
        for task in tasks:
            subtree[task] = first_end.get(task, float("inf"))
    for task in sorted(below, reverse=True):
        subtree[task] = max(subtree[task], *(subtree[child] for child in below[task]))
    return {group: max(subtree[task] for task in tasks) for group, tasks in members.items()}


def _check_progress(effects: list[Line], longest_gap_seconds: float) -> None:
    times = [line.time_ns for line in effects]
    gaps = [(later - earlier) / 1e9 for earlier, later in pairwise(times)]
    assert max(gaps, default=0) <= longest_gap_seconds, f"I8: nothing happened for {max(gaps):.1f} s"


def _rows(cursor) -> list[dict]:
    return [{name: _plain(row[name]) for name in row.keys()} for row in cursor]  # noqa: SIM118 - sqlite3.Row


def _plain(value):
    return bytes(value) if isinstance(value, memoryview) else value
