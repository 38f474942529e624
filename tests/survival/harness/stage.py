"""Everything real that a scenario needs: a server process, runner processes, a folder, and a way to wait."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from servers import PATIENCE_SECONDS, ServerProcess
from survival.harness.invariants import Expectation, check, ended_jobs, read_effects, read_postgres, read_sqlite

from tilebox.server.rules.task_states import TaskState
from tilebox.workflows import Client

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).with_name("work.py")


def wait_until(condition, what: str, seconds: float = PATIENCE_SECONDS):
    """Return what a condition returns once that is true.

    Raises:
        AssertionError: It never was; the message says what.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain, for {seconds:.0f} s: {what() if callable(what) else what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class RunnerProcess:
    """A runner of the tasks in `work.py`.

    Args:
        url: The server, or what stands before it.
        token: An API key.
        folder: Where tasks write what they do.
        log: Where the runner writes what it has to say.
        inside: The network namespace that it runs in, if another one.
        options: Of the runner.
    """

    def __init__(
        self, url: str, token: str, folder: Path, log: Path, *, inside: str | None = None, **options: object
    ) -> None:
        self.log = log
        command = ["ip", "netns", "exec", inside] if inside else []
        command += [sys.executable, str(PROGRAM), url, token, str(folder), json.dumps(options)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(PROGRAM.parents[2] / folder) for folder in (".", "support")),
        }
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power loss would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Let it finish, and return its exit status."""
        self.send(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Stage:
    """A server process on a port that it keeps, its runners, and the jobs that they work on.

    Args:
        folder: For everything.
        data_dir: Of the server, if not in there.
        database: URL of a PostgreSQL database, if not SQLite.
        settings: Of the server.
    """

    def __init__(
        self, folder: Path, *, data_dir: Path | None = None, database: str | None = None, **settings: object
    ) -> None:
        self.folder = folder
        self.data_dir = data_dir or folder / "data"
        self.effects = folder / "effects"
        self.database = database
        self.settings = settings
        self.port = free_port()
        self.servers: list[ServerProcess] = []
        self.runners: list[RunnerProcess] = []
        self.jobs: dict[str, Expectation] = {}

    def __enter__(self):
        self.start_server()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        # Shown where a test failed.
        for log in (one.log for one in (*self.servers, *self.runners)):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}")

    def close(self) -> None:
        """End everything at once."""
        for runner in self.runners:
            if runner.is_alive():
                runner.send(signal.SIGCONT)
                runner.kill()
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()

    @property
    def server(self) -> ServerProcess:
        """The one that was started last."""
        return self.servers[-1]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def token(self) -> str:
        return self.server.token

    def start_server(self) -> ServerProcess:
        """Start the server, or start it again where it was."""
        arguments = [] if self.database is None else ["--database", self.database]
        server = ServerProcess(self.data_dir, *arguments, port=self.port, **self.settings)
        self.servers.append(server)
        return server.wait_until_ready()

    def start_server_beside(self) -> ServerProcess:
        """Start another server on the same PostgreSQL database, on a port of its own."""
        data_dir = self.folder / f"beside-{len(self.servers)}"
        data_dir.mkdir()
        shutil.copy(self.data_dir / "api-key", data_dir)
        arguments = ["--database", self.database, "--storage", str(self.data_dir / "datapoints")]
        server = ServerProcess(data_dir, *arguments, **self.settings)
        self.servers.insert(0, server)
        return server.wait_until_ready()

    def client(self, url: str | None = None) -> Client:
        return Client(url or self.url, self.token)

    def start_runner(self, url: str | None = None, **options: object) -> RunnerProcess:
        log = self.folder / f"runner-{len(self.runners)}.log"
        runner = RunnerProcess(url or self.url, self.token, self.folder, log, **options)
        self.runners.append(runner)
        return runner

    def count_deaths(self, runners: list[RunnerProcess], **options: object) -> int:
        """Start another runner for each that dies until all jobs have ended, and return how many died."""
        deaths = 0

        def is_over():
            nonlocal deaths
            for number, runner in enumerate(runners):
                if not runner.is_alive():
                    deaths += 1
                    runners[number] = self.start_runner(**options)
            return set(self.jobs) <= self.ended()

        wait_until(is_over, lambda: f"the end of {set(self.jobs) - self.ended()}")
        return deaths

    def submit(self, *tasks, name="job", url: str | None = None, expect: Expectation | None = None, **options):
        """Submit a job, of which the invariants are to be checked in the end."""
        job = self.client(url).jobs().submit(name, list(tasks), **options)
        self.expect(job.id, expect)
        return job

    def expect(self, job_id, expectation: Expectation | None = None) -> None:
        self.jobs[job_id.hex] = expectation or Expectation()

    def lines(self, kind: str, task: str | None = None) -> list:
        """Return what tasks wrote so far."""
        return [line for line in read_effects(self.effects) if line.kind == kind and task in (None, line.task)]

    def wait_for_file(self, name: str) -> str:
        """Return what a task wrote into a file."""
        path = self.folder / name
        wait_until(lambda: path.exists() and path.read_text(), f"the file {name}")
        return path.read_text()

    def open_gate(self, name: str) -> None:
        (self.folder / name).touch()

    def make_lock(self, name: str) -> Callable[[], None]:
        """Make what a task `Locking` waits for, and return what ends its wait."""
        os.mkfifo(self.folder / name)
        return lambda: os.close(os.open(self.folder / name, os.O_WRONLY))

    def wait_for_extensions(self, number: int) -> None:
        """Return once the lease of one task was extended so many times."""
        ends = defaultdict(set)

        def are_seen():
            for task in self.read().tasks.values():
                if task["state"] == TaskState.RUNNING:
                    ends[task["id"], task["lease_number"]].add(task["leased_until_us"])
            return any(len(seen) > number for seen in ends.values())

        wait_until(are_seen, "extensions of a lease")

    def wait_for_jobs(self, *jobs, seconds: float = PATIENCE_SECONDS) -> None:
        """Return once jobs have ended; by default all."""
        wanted = {job.id.hex for job in jobs} or set(self.jobs)
        wait_until(lambda: wanted <= self.ended(), lambda: f"the end of {wanted - self.ended()}", seconds)

    def ended(self) -> set[str]:
        """Return the ids of jobs that have ended, in hexadecimal."""
        return ended_jobs(self.data_dir / "tilebox.sqlite" if self.database is None else self.database)

    def read(self):
        """Return what the database holds."""
        return read_postgres(self.database) if self.database else read_sqlite(self.data_dir / "tilebox.sqlite")

    def check(self, **options):
        """Check the invariants, when all is over."""
        for runner in self.runners:
            if runner.is_alive():
                runner.send(signal.SIGTERM)
        for runner in self.runners:
            runner.process.wait(PATIENCE_SECONDS)
        max_crashes = int(self.settings.get("max_crashes", 10))
        return check(self.read(), read_effects(self.effects), self.jobs, max_crashes=max_crashes, **options)
