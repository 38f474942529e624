"""`tilebox serve` as a process of its own; `tilebox.testing.LocalServer` is a server in a thread."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tilebox.server.settings import PREFIX

# Long enough for a busy machine; only a server that hangs takes longer.
PATIENCE_SECONDS = 300


class ServerProcess:
    """`tilebox serve` as a process of its own, which the test can kill.

    Args:
        data_dir: Where it keeps everything.
        arguments: What else stands behind `serve`.
        port: Where it listens; 0 takes a free one.
        settings: What to set besides, in its environment.
    """

    def __init__(self, data_dir: Path, *arguments: str, port: int = 0, **settings: object) -> None:
        self.data_dir = Path(data_dir)
        self.log = self.data_dir.parent / f"{self.data_dir.name}-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "tilebox.cli", "serve"]
        command += ["--data-dir", str(self.data_dir), "--port", str(port), *arguments]
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            )

    def wait_until_ready(self) -> ServerProcess:
        """Wait until the server responds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"Tilebox server at (\S+)", self.log.read_text())
            if found and httpx.get(f"{found[1]}/healthz", timeout=PATIENCE_SECONDS).status_code == 200:
                self.url = found[1]
                self.token = (self.data_dir / "api-key").read_text().strip()
                return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """Kill the process, as a power loss would."""
        self.process.kill()
        self.process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Stop the process with a signal, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def __enter__(self):
        return self.wait_until_ready()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
