"""Databases that are slow, locked, or fail to write: runners keep their leases, and nothing is lost."""

from __future__ import annotations

import resource
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from support.store.postgres import fresh_database
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated

from tilebox.workflows import TransportError

pytestmark = pytest.mark.slow


def resident_bytes(pid):
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_postgres_that_takes_half_a_second_a_statement(start_stage, postgres_server):
    with fresh_database(postgres_server) as database:
        stage = start_stage(database=database, lease_seconds=30)
        gated = stage.submit(Gated("gate"))
        keeper = stage.start_runner()
        stage.wait_for_file("gate.started")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END$$"
            )
            connection.execute(
                "CREATE TRIGGER dawdle BEFORE UPDATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
            )
        before = resident_bytes(stage.server.process.pid)
        other = stage.submit(Fan(12))
        runners = [stage.start_runner() for _ in range(3)]
        # Claims and reports of several statements take seconds each; extensions of leases still arrive in time.
        stage.wait_for_extensions(2)
        stage.open_gate("gate")
        stage.wait_for_jobs(gated, other)
        assert resident_bytes(stage.server.process.pid) < before + 50 * 2**20
        assert all(runner.is_alive() for runner in (keeper, *runners))
        counted = stage.check()
        assert counted["start"] == counted["end"] == 2 + 14
        assert stage.read().attempts == []
        stage.close()


class Intruder(threading.Thread):
    """Writes of another process that take two seconds each, with short pauses."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self._path = path
        self._is_over = threading.Event()
        self.writes = 0

    def run(self):
        with closing(sqlite3.connect(self._path, timeout=300, isolation_level=None)) as connection:
            while not self._is_over.is_set():
                connection.execute("BEGIN IMMEDIATE")
                self._is_over.wait(2)
                connection.execute("COMMIT")
                self.writes += 1
                self._is_over.wait(0.2)

    def stop(self):
        self._is_over.set()
        self.join(300)


def test_a_sqlite_file_that_is_locked_repeatedly_for_two_seconds(start_stage):
    stage = start_stage(lease_seconds=20)
    gated = stage.submit(Gated("gate"))
    runners = [stage.start_runner() for _ in range(3)]
    stage.wait_for_file("gate.started")
    intruder = Intruder(stage.data_dir / "tilebox.sqlite")
    intruder.start()
    other = stage.submit(Fan(12))
    stage.wait_for_extensions(2)
    wait_until(lambda: intruder.writes >= 4, "more of the other writes")
    stage.open_gate("gate")
    stage.wait_for_jobs(gated, other)
    intruder.stop()
    assert intruder.writes >= 3
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 2 + 14
    assert stage.read().attempts == []


def test_failing_writes_are_reported_and_survived(start_stage):
    stage = start_stage(lease_seconds=20)
    gated = stage.submit(Gated("gate"))
    runner = stage.start_runner()
    stage.wait_for_file("gate.started")
    pid = stage.server.process.pid
    # All further writes fail: SQLite's WAL gets an I/O error in the middle of a transaction.
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    with pytest.raises(TransportError, match=r"the server is unavailable for JobService/SubmitJob.*Nothing was stored"):
        stage.submit(Chain(1), name="refused")
    stage.open_gate("gate")
    wait_until(lambda: stage.lines("end"), "the end of the task")
    assert stage.server.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    stage.wait_for_jobs(gated)
    stage.wait_for_jobs(stage.submit(Chain(3)))
    assert runner.is_alive()
    counted = stage.check()
    assert counted["start"] == counted["end"] == 2 + 4
