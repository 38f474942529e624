"""Real servers for tests: in a thread of this process, or as the process that `tilebox serve` is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import httpx

from tilebox.server.process.run import Running, serve
from tilebox.server.settings import PREFIX, Settings

START_SECONDS = 60


class ServerThread:
    """A server in a thread, on a free port.

    Args:
        data_dir: Where it keeps everything; a directory that had a server before is taken up again.
        token: An API key it knows, where it does not make one because others of its database did.
        settings: What to set besides.

    Attributes:
        url: Where it answers.
        token: An API key of role admin.
    """

    url: str
    token: str

    def __init__(self, data_dir: Path, *, token: str | None = None, **settings: object) -> None:
        self._given_token = token
        self.data_dir = Path(data_dir)
        self._settings = Settings.read({}, data_dir=self.data_dir, port=0, **settings)
        self._is_started = threading.Event()
        self._error: BaseException | None = None
        self._running: Running | None = None
        self._thread = threading.Thread(target=self._run, name="tilebox-server", daemon=True)

    def start(self) -> ServerThread:
        """Return once it answers."""
        self._thread.start()
        assert self._is_started.wait(START_SECONDS), "the server did not start in time"
        if self._running is None:
            raise RuntimeError("the server did not start") from self._error
        self.url = self._running.url
        self.token = self._given_token or self._running.first_key or self._kept_key()
        return self

    def stop(self) -> None:
        """Stop it as SIGTERM would, and raise what it died of if it did."""
        if self._running is not None:
            self._running.stop()
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive(), "the server did not stop in time"
        if self._error is not None:
            raise self._error

    def __enter__(self):
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _kept_key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def _run(self) -> None:
        try:
            anyio.run(serve, self._settings, self._note_start)
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._error = error
        finally:
            self._is_started.set()

    def _note_start(self, running: Running) -> None:
        self._running = running
        self._is_started.set()


class ServerProcess:
    """`tilebox serve` as a process of its own, to be killed.

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
        """Return once it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"Tilebox server at (\S+)", self.log.read_text())
            if found and httpx.get(f"{found[1]}/healthz").status_code == 200:
                self.url = found[1]
                self.token = (self.data_dir / "api-key").read_text().strip()
                return self
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it without warning, as a power loss would."""
        self.process.kill()
        self.process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)

    def __enter__(self):
        return self.wait_until_ready()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
