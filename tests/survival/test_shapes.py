"""Graphs of every shape, fairness between jobs, and a queue of a hundred thousand tasks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.http.wire import task_group
from survival.harness.scripted_runner import ACCEPTED, ScriptedRunner
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Diamond, Leaf, Steps, Tree

import tilebox.server.store.sql

pytestmark = pytest.mark.slow

STATEMENTS = Path(tilebox.server.store.sql.__file__).parent / "queries" / "orchestration.sqlite.sql"


def test_every_shape_is_executed_once_and_in_order(start_stage):
    stage = start_stage(lease_seconds=10)
    stage.submit(Tree(2, 64), name="wide")
    stage.submit(Chain(1000), name="deep")
    stage.submit(*(Diamond(20) for _ in range(5)), name="diamonds")
    stage.submit(*(Steps(60) for _ in range(5)), name="steps")
    for _ in range(3):
        stage.start_runner(concurrency=2)
    stage.wait_for_jobs()
    counted = stage.check(longest_gap_seconds=60)
    assert counted["start"] == counted["end"] == 1 + 64 + 64 * 64 + 1001 + 5 * (1 + 3 * 22 + 1) + 5 * 61
    assert stage.read().attempts == []


def test_a_small_job_ends_while_an_earlier_large_one_continues(start_stage):
    stage = start_stage(lease_seconds=10)
    large = stage.submit(*(Leaf(index, milliseconds=2) for index in range(1500)), name="large")
    stage.start_runner()
    wait_until(lambda: len(stage.lines("end")) >= 10, "the large job's start")
    small = stage.submit(Leaf(0), name="small")
    stage.wait_for_jobs(small)
    done = stage.read().jobs[large.id.bytes]["computed"]
    assert done < 1000
    stage.wait_for_jobs(large)
    stage.check()


def test_a_claim_costs_the_same_from_a_queue_of_a_hundred_thousand(fresh_server):
    server = fresh_server()
    runner = ScriptedRunner(server)
    runner.submit(task_group(100))
    before = cost_of_a_claim(server)
    for _ in range(10):
        runner.wire.submit_job(task_group(10_000))
    assert cost_of_a_claim(server) <= 2 * before
    tasks = runner.claim(100)
    assert len(tasks) == 100
    assert runner.report(*[runner.computed(task) for task in tasks]) == [ACCEPTED] * 100
    # The same with many completed rows in front.
    assert cost_of_a_claim(server) <= 2 * before
    runner.wire.http.close()


def cost_of_a_claim(server) -> int:
    """Return the number of SQLite virtual machine steps that it takes to find the first ten tasks."""
    statement = STATEMENTS.read_text().partition("-- name: ready_tasks")[2].partition("SELECT")[2].partition(";")[0]
    steps = 0

    def step():
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(server.data_dir / "tilebox.sqlite")) as connection:
        (queue,) = connection.execute("SELECT number FROM queues WHERE name = 'tasks.Leaf'").fetchone()
        connection.set_progress_handler(step, 1)
        found = connection.execute(f"SELECT {statement}", {"queue": queue, "count": 10}).fetchall()
    assert len(found) == 10
    return steps
