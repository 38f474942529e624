"""Rolling replacement of runners, servers and tables, harmful tasks, and many runners on one SQLite file."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack
from uuid import UUID

import anyio
import pytest
from support.http.wire import Wire, submissions, task_group
from support.store.postgres import fresh_database
from support.store.records import opened
from survival.harness.invariants import Expectation
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Diamond, Fan, Mixed, Poison, Tree, Verbose

from tilebox._core.protocol.workflows.v1 import job_pb2
from tilebox.server.rules.task_states import TaskState
from tilebox.server.store.postgres import store as postgres
from tilebox.server.store.sql.migrate import Migration, migrations
from tilebox.server.store.sql.statements import script
from tilebox.server.store.sqlite import store as sqlite

pytestmark = pytest.mark.slow

RUNNING, FAILED = TaskState.RUNNING, TaskState.FAILED


def test_a_rolling_replacement_of_runners_fails_no_task(start_stage):
    stage = start_stage(lease_seconds=5)
    stage.submit(Tree(2, 20, milliseconds=5), Chain(50))
    runners = [stage.start_runner(concurrency=1 + number % 2) for number in range(6)]
    wait_until(lambda: len(stage.lines("end")) >= 20, "the first tasks")
    for number, runner in enumerate(runners):
        # The new runner starts first, as in a rolling deployment.
        runners[number] = stage.start_runner()
        # A runner that was still starting has no task to finish, and SIGTERM kills it.
        assert runner.stop() in (0, -signal.SIGTERM)
    stage.wait_for_jobs()
    counted = stage.check(longest_gap_seconds=10)
    assert counted["start"] == counted["end"] == 421 + 51
    assert stage.read().attempts == []
    assert "took back" not in stage.server.log.read_text()


@pytest.mark.parametrize(("how", "cause"), [("exit", "exit code 7"), ("SIGSEGV", "killed by signal SIGSEGV")])
def test_a_task_that_kills_its_process_fails_and_its_runner_survives(start_stage, how, cause):
    stage = start_stage(lease_seconds=5, max_crashes=2)
    runner = stage.start_runner(isolation="process")
    poison = stage.submit(Poison(how), expect=Expectation("FAILED", failed=1))
    other = stage.submit(Fan(5))
    stage.wait_for_jobs(poison, other)
    assert runner.is_alive()
    counted = stage.check()
    assert (counted["start"], counted["end"]) == (3 + 7, 7)
    attempts = stage.read().attempts
    assert [attempt["outcome"] for attempt in attempts] == ["crashed"] * 3
    assert all(cause in attempt["error"] for attempt in attempts)


def test_a_task_that_kills_its_runner_fails_and_others_continue(start_stage):
    stage = start_stage(lease_seconds=1, max_crashes=2)
    poison = stage.submit(Poison("SIGKILL"), expect=Expectation("FAILED", failed=1))
    other = stage.submit(Fan(60, milliseconds=2), Chain(20))
    runners = [stage.start_runner() for _ in range(2)]
    deaths = 0

    def is_over():
        nonlocal deaths
        for number, runner in enumerate(runners):
            if not runner.is_alive():
                deaths += 1
                runners[number] = stage.start_runner()
        return {poison.id.hex, other.id.hex} <= stage.ended()

    wait_until(is_over, "the end of both jobs")
    assert deaths == 3
    stage.check()


@pytest.mark.parametrize("count", [1, 2])
def test_a_task_that_kills_its_runners_fails_no_other_task(start_stage, count):
    # No lease expires in this test.
    stage = start_stage(lease_seconds=600, max_crashes=3)
    stage.submit(Mixed(60, 40))
    runners = [stage.start_runner() for _ in range(count)]
    deaths = 0

    def is_over():
        nonlocal deaths
        for number, runner in enumerate(runners):
            if not runner.is_alive():
                deaths += 1
                runners[number] = stage.start_runner()
        return set(stage.jobs) == stage.ended()

    wait_until(is_over, "the end of the job")
    assert deaths == 4
    counted = stage.check()
    database = stage.read()
    (poison,) = (task for task in database.tasks.values() if task["state"] == TaskState.FAILED_OPTIONAL)
    assert poison["crashes"] == 4
    assert re.match(
        r"the runner died while it executed this task: process \d+ on .* ended unexpectedly", poison["error"]
    )
    assert [(one["task_id"], one["outcome"]) for one in database.attempts] == [(poison["id"], "crashed")] * 4
    # Except for the poison, exactly the tasks without a report are executed again.
    assert counted["start"] - counted["end"] == 4
    assert counted["end"] >= 1 + 60
    requeued = [int(number) for number in re.findall(r"requeued (\d+) tasks", stage.server.log.read_text())]
    assert sum(requeued) >= 1
    assert "took back" not in stage.server.log.read_text()


def test_a_task_that_kills_a_runner_of_many_slots_is_identified(start_stage):
    stage = start_stage(lease_seconds=2, max_crashes=3)
    poison = stage.submit(Poison("SIGKILL"), expect=Expectation("FAILED", failed=1))
    # Some other tasks are executed beside it each time.
    stage.submit(Fan(12, milliseconds=100))
    runner = stage.start_runner(concurrency=4)

    def is_over():
        nonlocal runner
        if not runner.is_alive():
            runner = stage.start_runner(concurrency=4)
        return set(stage.jobs) == stage.ended()

    wait_until(is_over, "the end of both jobs")
    stage.check()
    (failed_task,) = (task for task in stage.read().tasks.values() if task["state"] == TaskState.FAILED)
    assert failed_task["job_id"] == poison.id.bytes
    assert failed_task["crashes"] >= 4


def test_twenty_runner_processes_on_one_sqlite_file(start_stage):
    stage = start_stage(lease_seconds=10)
    stage.submit(Tree(2, 30), *(Diamond(10) for _ in range(4)), *(Chain(20) for _ in range(4)))
    for _ in range(20):
        stage.start_runner()
    stage.wait_for_jobs()
    counted = stage.check()
    assert counted["start"] == counted["end"] == 931 + 4 * (1 + 3 * 12 + 1) + 4 * 21
    for log in (one.log.read_text() for one in (*stage.servers, *stage.runners)):
        assert not re.search(r"locked|busy|Traceback", log, re.IGNORECASE)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_tables_migrated_and_servers_replaced_under_load_fail_no_task(start_stage, kind, request, monkeypatch):
    with ExitStack() as over:
        database = None
        if kind == "postgres":
            database = over.enter_context(fresh_database(request.getfixturevalue("postgres_server")))
        stage = start_stage(database=database, lease_seconds=10)
        over.callback(stage.close)
        stage.submit(Tree(2, 20, milliseconds=5), Chain(60), Fan(60, milliseconds=10))
        runners = [stage.start_runner() for _ in range(3)]
        wait_for_more(stage)
        # The next version migrates the tables while this version still runs.
        migrate(monkeypatch, database or f"sqlite://{stage.data_dir}/tilebox.sqlite")
        wait_for_more(stage)
        # This version starts on migrated tables, as after a roll-back.
        assert stage.server.terminate() == 0
        stage.start_server()
        wait_for_more(stage)
        stage.wait_for_jobs()
        assert all(runner.is_alive() for runner in runners)
        counted = stage.check()
        assert counted["start"] == counted["end"] == 421 + 61 + 62
        assert stage.read().attempts == []
        stage.close()
        assert not any("cached plan" in one.log.read_text() for one in stage.servers)


def wait_for_more(stage):
    goal = len(stage.lines("end")) + 40
    wait_until(lambda: len(stage.lines("end")) >= goal, "more tasks")


def migrate(monkeypatch, url):
    """Apply one further migration: new columns and an index on the busiest tables."""
    text = """
ALTER TABLE tasks ADD COLUMN remark TEXT;
ALTER TABLE jobs ADD COLUMN remark TEXT;
ALTER TABLE task_groups ADD COLUMN remark TEXT;
CREATE INDEX tasks_by_remark ON tasks (remark) WHERE remark IS NOT NULL;
"""
    known = {dialect: migrations(dialect) for dialect in ("sqlite", "postgres")}
    following = Migration(len(known["sqlite"]) + 1, "of_the_future", tuple(script(text)))
    with monkeypatch.context() as patched:
        for module in (sqlite, postgres):
            patched.setattr(module, "migrations", lambda dialect: (*known[dialect], following))
        anyio.run(_migrate, url)


async def _migrate(url):
    async with opened(url) as store:
        await store.migrate()


def test_an_error_of_ten_megabytes_is_cut_and_other_tasks_continue(start_stage):
    stage = start_stage(lease_seconds=5)
    runner = stage.start_runner()
    verbose = stage.submit(Verbose(10_000_000), expect=Expectation("FAILED", failed=1))
    other = stage.submit(Fan(5))
    stage.wait_for_jobs(verbose, other)
    assert runner.is_alive()
    stage.check()
    (attempt,) = stage.read().attempts
    assert "too much" in attempt["error"]
    assert len(attempt["error"]) <= 16_384


def test_an_unreadable_input_fails_its_task_and_other_tasks_continue(start_stage):
    stage = start_stage(lease_seconds=5)
    runner = stage.start_runner()
    with Wire(stage.url, stage.token) as wire:
        groups = [
            task_group(1, inputs=[data], max_retries_values=[1]) for data in (b"\xff\x00", b'{"index": {}}', b"[")
        ]
        request = job_pb2.SubmitJobRequest(
            tasks=submissions(*groups, identifiers=[("Leaf", "v0.0")]), job_name="unreadable", trace_parent="trace"
        )
        job = wire.call("JobService/SubmitJob", request)
    other = stage.submit(Fan(5))
    stage.wait_for_jobs(other)
    stage.expect(UUID(bytes=job.id.uuid), Expectation("FAILED", failed=1))
    stage.wait_for_jobs()
    assert runner.is_alive()
    wait_until(lambda: not any(task["state"] == RUNNING for task in stage.read().tasks.values()), "the tasks beside it")
    failed = [task for task in stage.read().tasks.values() if task["state"] == FAILED]
    stage.expect(UUID(bytes=job.id.uuid), Expectation("FAILED", failed=len(failed)))
    stage.check()
    assert all("inputs" in task["error"] for task in failed)
