"""Measuring: a new process per run, the median of several runs, the server under test, and the table of results."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
OFFICIAL = Path(os.environ.get("TILEBOX_OFFICIAL_ENV", HERE.parent / ".nox" / "official-client"))


@dataclass
class Row:
    """One row of the table.

    Args:
        target: Id of the target, such as `D1`.
        what: What was measured.
        ours: The figure of this project.
        peer: The figures of the peers.
        ratio: How many times better this project is.
        wanted: The value to reach.
    """

    target: str
    what: str
    ours: str
    peer: str = "–"
    ratio: str = "–"
    wanted: str = ""


@dataclass
class Table:
    """The results of a run, printed as a Markdown table."""

    rows: list[Row] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row and print it at once, because runs are long."""
        self.rows.append(Row(*cells))
        print("  ".join(cells), file=sys.stderr, flush=True)

    def __str__(self) -> str:
        lines = ["| # | what | ours | peer | ratio | to reach |", "|---|---|---|---|---|---|"]
        lines += [f"| {r.target} | {r.what} | {r.ours} | {r.peer} | {r.ratio} | {r.wanted} |" for r in self.rows]
        return "\n".join(lines)


def run_client(
    script: str, *arguments: str, python: str = sys.executable, official: bool = False, runs: int = 3
) -> dict[str, float]:
    """Run a client script in new processes and return the median of each figure that it prints as JSON."""
    python = str(OFFICIAL / "bin" / "python") if official else python
    # The official package has the same import name, so its interpreter must not see this checkout.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    results = []
    for _ in range(runs):
        done = subprocess.run(
            [python, str(HERE / "clients" / script), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tempfile.gettempdir(),
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def official_missing() -> str | None:
    """Return why the official client cannot run, or None if it can."""
    return None if (OFFICIAL / "bin" / "python").exists() else f"no official client in {OFFICIAL}"


@dataclass(frozen=True)
class Server:
    """A server in a separate process, and its API key."""

    url: str
    token: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_server(data_dir: Path, **settings: object) -> Iterator[Server]:
    """Run `tilebox serve` with these settings on a free port for the duration of the block."""
    import httpx

    port = free_port()
    command = [sys.executable, "-m", "tilebox.cli", "serve", "--data-dir", str(data_dir), "--port", str(port)]
    with (data_dir.parent / "server.log").open("ab") as log:
        environment = {**os.environ, **{f"TILEBOX_SERVER_{name.upper()}": str(settings[name]) for name in settings}}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        transport = httpx.HTTPTransport(retries=10)
        with httpx.Client(transport=transport, timeout=20) as client:
            while True:
                try:
                    client.get(f"{url}/readyz").raise_for_status()
                    break
                except (httpx.TransportError, httpx.HTTPStatusError):
                    if process.poll() is not None:
                        raise SystemExit(f"the server did not start, see {log.name}") from None
        yield Server(url, (data_dir / "api-key").read_text().strip(), process)
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rate(count: float, seconds: float) -> str:
    """Return a rate in the format of the table, such as `1,200/s`."""
    return f"{count / seconds:,.0f}/s"
