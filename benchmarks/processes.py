"""Environments and processes of the peers: create, start, wait for, and stop them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 60


class CannotStartError(Exception):
    """A peer cannot run on this machine. The message says why."""


def make_environment(folder: Path, packages: Sequence[str], *, program: str) -> str:
    """Return the interpreter of a virtual environment. Create it if a program is missing in it.

    Args:
        folder: The environment.
        packages: The packages to install.
        program: A program that one of the packages installs.

    Raises:
        CannotStartError: The packages cannot be installed.
    """
    python = str(folder / "bin" / "python")
    if not (folder / "bin" / program).exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
            pip = [python, "-m", "pip", "install", "-q", *packages]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise CannotStartError(f"its packages cannot be installed: {last_line(str(error.stderr))}") from error
    return python


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    *,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the duration of the block, then stop it and its children with SIGTERM."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            user=user,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM) if process.poll() is None else None
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def await_ready(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process is ready.

    Raises:
        CannotStartError: It ended, or was not ready within a minute. The message has the last line of its log.
    """
    until = time.monotonic() + _START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > until:
            raise CannotStartError(f"it did not start: {last_line_of(log)}")
        time.sleep(0.05)


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on a local port.

    Raises:
        CannotStartError: As in `await_ready`.
    """

    def is_open() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    await_ready(is_open, process, log)


def last_line_of(log: Path) -> str:
    """Return the last line of a file."""
    return last_line(log.read_text(errors="replace"))


def last_line(text: str) -> str:
    """Return the last line of a text, cut to the width of a table cell."""
    return (text.strip().splitlines() or ["it printed nothing"])[-1][:200]
