"""The set-up of a scenario: a real server process, runner processes, a folder, and functions that wait."""

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

from support.servers.processes import PATIENCE_SECONDS, ServerProcess
from survival.harness.invariants import Expectation, check, ended_jobs, read_effects, read_postgres, read_sqlite

from tilebox.server.rules.task_states import TaskState
from tilebox.workflows import Client

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).with_name("work.py")


def wait_until(condition, description: str, seconds: float = PATIENCE_SECONDS):
    """Call a condition until its result is true, and return the result.

    Raises:
        AssertionError: The condition did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        text = description() if callable(description) else description
        assert time.monotonic() < deadline, f"timed out after {seconds:.0f} s, waiting for {text}"
        time.sleep(0.02)
    return result


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunnerProcess:
    """A process that runs the tasks of `work.py`.

    Args:
        url: URL of the server, or of a proxy in front of it.
        token: An API key.
        folder: Folder in which tasks log their executions.
        log: File for the output of the process.
        inside: Network namespace of the process, if not this one.
        options: Options of the runner.
    """

    def __init__(
        self, url: str, token: str, folder: Path, log: Path, *, inside: str | None = None, **options: object
    ) -> None:
        self.log = log
        command = ["ip", "netns", "exec", inside] if inside else []
        command += [sys.executable, str(PROGRAM), url, token, str(folder), json.dumps(options)]
        environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
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
        """Kill the process, as a power loss would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop the process gracefully, and return its exit status."""
        self.send(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Stage:
    """A server process on a fixed port, its runners, and their jobs.

    Args:
        folder: Folder for all files.
        data_dir: Data directory of the server; by default inside the folder.
        database: URL of a PostgreSQL database; SQLite by default.
        settings: Settings of the server.
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
        # Pytest shows the output of failed tests.
        for log in (process.log for process in (*self.servers, *self.runners)):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}")

    def close(self) -> None:
        """Kill all processes."""
        for runner in self.runners:
            if runner.is_alive():
                runner.send(signal.SIGCONT)
                runner.kill()
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()

    @property
    def server(self) -> ServerProcess:
        """The server that was started last."""
        return self.servers[-1]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def token(self) -> str:
        return self.server.token

    def start_server(self) -> ServerProcess:
        """Start the server, or restart it on the same port and data."""
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
        """Return the lines that tasks have logged so far."""
        return [line for line in read_effects(self.effects) if line.kind == kind and task in (None, line.task)]

    def wait_for_file(self, name: str) -> str:
        """Wait for a file that a task writes, and return its content."""
        path = self.folder / name
        wait_until(lambda: path.exists() and path.read_text(), f"the file {name}")
        return path.read_text()

    def open_gate(self, name: str) -> None:
        (self.folder / name).touch()

    def make_lock(self, name: str) -> Callable[[], None]:
        """Create the FIFO of a `Locking` task, and return a function that releases the task."""
        os.mkfifo(self.folder / name)
        return lambda: os.close(os.open(self.folder / name, os.O_WRONLY))

    def wait_for_extensions(self, number: int) -> None:
        """Wait until the lease of a task was extended some number of times."""
        ends = defaultdict(set)

        def has_extensions():
            for task in self.read().tasks.values():
                if task["state"] == TaskState.RUNNING:
                    ends[task["id"], task["lease_number"]].add(task["leased_until_us"])
            return any(len(seen) > number for seen in ends.values())

        wait_until(has_extensions, "extensions of a lease")

    def wait_for_jobs(self, *jobs, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until jobs have ended; by default all jobs."""
        wanted = {job.id.hex for job in jobs} or set(self.jobs)
        wait_until(lambda: wanted <= self.ended(), lambda: f"the end of {wanted - self.ended()}", seconds)

    def ended(self) -> set[str]:
        """Return the ids of all jobs that have ended, in hexadecimal."""
        return ended_jobs(self.data_dir / "tilebox.sqlite" if self.database is None else self.database)

    def read(self):
        """Return the content of the database."""
        return read_postgres(self.database) if self.database else read_sqlite(self.data_dir / "tilebox.sqlite")

    def check(self, **options):
        """Stop all runners, and check the invariants."""
        for runner in self.runners:
            if runner.is_alive():
                runner.send(signal.SIGTERM)
        for runner in self.runners:
            runner.process.wait(PATIENCE_SECONDS)
        max_crashes = int(self.settings.get("max_crashes", 10))
        return check(self.read(), read_effects(self.effects), self.jobs, max_crashes=max_crashes, **options)
