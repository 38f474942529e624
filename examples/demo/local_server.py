"""A server of the demonstration's own: `tilebox serve` as a process, as a user would start it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tilebox.cli import invocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.tour import Shown
    from demo.transcript import Transcript

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_BETWEEN_LOOKS_SECONDS = 0.05
_LOG_LINES = 15
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class ServerFailedError(Exception):
    """The server did not start; the message has the end of its log."""


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Args:
        url: Where it answers.
        token: An API key of role admin.
    """

    url: str
    token: str


@contextmanager
def running(data_dir: Path, transcript: Transcript) -> Iterator[LocalServer]:
    """Run a server while inside.

    Args:
        data_dir: Where it keeps everything; one that was used before is taken up again.
        transcript: Says what happens.

    Raises:
        ServerFailedError: It does not answer in time.
    """
    transcript.step("Start a server: one command, no other service")
    transcript.code(f"tilebox serve --data-dir {shlex.quote(str(data_dir))}")
    url = f"http://127.0.0.1:{_free_port()}"
    log = data_dir.parent / "server.log"
    # The first thing in it is an API key.
    log.unlink(missing_ok=True)
    with transcript.timed() as watch, os.fdopen(os.open(log, _NEW_FILE, 0o600), "wb") as output:
        process = _spawn(data_dir, url, output)
        try:
            _await_health(process, url, log)
        except BaseException:
            _stop(process)
            raise
    transcript.say(
        f"It answers at {url} after {watch.seconds:.1f} s; it has made an API key in {data_dir / 'api-key'}."
    )
    try:
        yield LocalServer(url, (data_dir / "api-key").read_text().strip())
    finally:
        _stop(process)


def explain(data_dir: Path, shown: Shown, transcript: Transcript) -> None:
    """Say how to go on from here."""
    folder = shlex.quote(str(data_dir.resolve()))
    transcript.step("Go on yourself: the server is stopped, its data is kept")
    transcript.code(
        f"""
        {invocation.tilebox_serve()} --data-dir {folder}

        export TILEBOX_API_URL=http://127.0.0.1:8080
        export TILEBOX_API_KEY=$(cat {folder}/api-key)
        {invocation.python()} -c 'from tilebox.datasets import Client; print(Client().dataset("{shown.slug}").collections())'
        """
    )


def _spawn(data_dir: Path, url: str, output: object) -> subprocess.Popen[bytes]:
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "tilebox.cli", "serve", "--data-dir", str(data_dir), "--port", port]
    # The server's settings in the reader's environment are for another server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TILEBOX_")}
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)  # type: ignore[call-overload,no-any-return]


def _await_health(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailedError(f"the server ended with code {process.returncode}; {_end_of(log)}")
        try:
            if httpx.get(f"{url}/healthz", timeout=2.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(_BETWEEN_LOOKS_SECONDS)
    raise ServerFailedError(f"the server did not answer within {_START_SECONDS:.0f} s; {_end_of(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return f"its log, {log}, ends with:\n" + "\n".join(lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
