"""Databases that are slow, locked by others, or that fail to write; runners keep their leases, and nothing is lost."""

from __future__ import annotations

import resource
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from postgres import fresh_database
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated

from tilebox.workflows import TransportError

pytestmark = pytest.mark.slow


def resident_bytes(pid):
    """Return how much memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_postgres_that_takes_half_a_second_a_statement(stage, postgres_server):
    with fresh_database(postgres_server) as database:
        there = stage(database=database, lease_seconds=30)
        gated = there.submit(Gated("gate"))
        keeper = there.start_runner()
        there.wait_for_file("gate.started")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END$$"
            )
            connection.execute(
                "CREATE TRIGGER dawdle BEFORE UPDATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
            )
        before = resident_bytes(there.server.process.pid)
        other = there.submit(Fan(12))
        runners = [there.start_runner() for _ in range(3)]
        # Claims and reports take seconds each, of several statements; what extends leases comes through all the same.
        there.wait_for_extensions(2)
        there.open_gate("gate")
        there.wait_for_jobs(gated, other)
        assert resident_bytes(there.server.process.pid) < before + 50 * 2**20
        assert all(runner.is_alive() for runner in (keeper, *runners))
        counted = there.check()
        assert counted["start"] == counted["end"] == 2 + 14
        assert there.read().attempts == []
        there.close()


class Intruder(threading.Thread):
    """Another process's writes, each of which takes two seconds, with hardly a pause between them."""

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


def test_a_sqlite_file_that_others_lock_for_two_seconds_again_and_again(stage):
    there = stage(lease_seconds=20)
    gated = there.submit(Gated("gate"))
    runners = [there.start_runner() for _ in range(3)]
    there.wait_for_file("gate.started")
    intruder = Intruder(there.data_dir / "tilebox.sqlite")
    intruder.start()
    other = there.submit(Fan(12))
    there.wait_for_extensions(2)
    wait_until(lambda: intruder.writes >= 4, "more of the other writes")
    there.open_gate("gate")
    there.wait_for_jobs(gated, other)
    intruder.stop()
    assert intruder.writes >= 3
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert counted["start"] == counted["end"] == 2 + 14
    assert there.read().attempts == []


def test_a_disk_that_fails_to_write_is_said_and_got_over(stage):
    there = stage(lease_seconds=20)
    gated = there.submit(Gated("gate"))
    runner = there.start_runner()
    there.wait_for_file("gate.started")
    pid = there.server.process.pid
    # No byte more goes into any file: SQLite's log fails with an I/O error in the middle of a transaction.
    usual = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    with pytest.raises(TransportError, match=r"the server is unavailable for JobService/SubmitJob.*Nothing was stored"):
        there.submit(Chain(1), name="refused")
    there.open_gate("gate")
    wait_until(lambda: there.lines("end"), "the end of the task")
    assert there.server.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
    there.wait_for_jobs(gated)
    there.wait_for_jobs(there.submit(Chain(3)))
    assert runner.is_alive()
    counted = there.check()
    assert counted["start"] == counted["end"] == 2 + 4
