"""The runner's side of one child process that executes tasks."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2

if TYPE_CHECKING:
    from tilebox._core.runner.exchanges import Lease, Report

PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
COMMAND = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from tilebox._runner.processes.child import main; main(int(sys.argv[2]))"
)
FRAME = struct.Struct("<cI")
READY, FAILED_TO_START, COMPUTED, FAILED = b"R", b"E", b"C", b"F"
MAX_FRAME_BYTES = 256 << 20
START_SECONDS = 120.0
# The time between SIGTERM and SIGKILL.
TERMINATE_SECONDS = 1.0
MEMORY_CHECK_SECONDS = 0.02
# A process that a task forked may hold the pipe open, so the end of the pipe alone does not reveal a dead child.
DEATH_CHECK_SECONDS = 0.25
MIB = 1 << 20


class ChildDiedError(Exception):
    """A child died while it executed a task; the message gives the cause."""

    def __init__(self, cause: str, kind: runners_pb2.FailureKind) -> None:
        super().__init__(cause)
        self.kind = kind


class Child:
    """One child process.

    Args:
        settings: The settings of the child, which it gets as JSON.
        pickled: The pickled task classes, cache and runner context.

    Raises:
        RuntimeError: The child did not start.
    """

    def __init__(self, settings: dict[str, Any], pickled: bytes) -> None:
        self.executed = 0
        self.is_abandoned = False
        self._buffer = b""
        self._results_fd, child_fd = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a module of this package
                [sys.executable, "-c", COMMAND, PACKAGE_ROOT, str(child_fd)],
                stdin=subprocess.PIPE,
                pass_fds=[child_fd],
                # Ctrl-C must reach only the runner, which lets tasks finish.
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._results_fd)
            raise RuntimeError(f"could not start a child process for tasks: {error}") from None
        finally:
            os.close(child_fd)
        try:
            self._send(json.dumps(settings).encode())
            self._send(pickled)
            kind, content = self._receive(monotonic() + START_SECONDS, None)
        except ChildDiedError as death:
            self.close()
            raise RuntimeError(f"the child process for tasks died while it started: {death}") from None
        if kind != READY:
            self.close()
            raise RuntimeError(f"the child process for tasks could not start: {content.decode(errors='replace')}")

    def is_alive(self) -> bool:
        """Return whether the child can execute a task."""
        return self._process.returncode is None and self._poll_exit() is None

    def run(self, lease: Lease, time_limit: float | None, memory_limit: int | None) -> Report:
        """Execute a task and return its report.

        Args:
            lease: The task.
            time_limit: The longest duration in seconds, or None.
            memory_limit: The largest memory in bytes, or None.

        Raises:
            ChildDiedError: The child died, or was killed because of a limit.
        """
        self.executed += 1
        self._send(runners_pb2.ExchangeResponse(tasks=[lease.task], jobs=[lease.job]).SerializeToString())
        deadline = None if time_limit is None else monotonic() + time_limit
        try:
            kind, content = self._receive(deadline, memory_limit)
        except _DeadlineError:
            self._terminate()
            raise ChildDiedError(f"time limit of {time_limit:g} s exceeded", runners_pb2.FAILURE_KIND_TASK) from None
        return self._report(kind, content, lease)

    def kill(self) -> None:
        """Kill the child and its process group."""
        with suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the child by closing the pipe from which it reads, or kill it if that does not help."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        if self._process.returncode is None and not self._wait(TERMINATE_SECONDS):
            self.kill()
            self._wait(None)
        if self._results_fd >= 0:
            os.close(self._results_fd)
            self._results_fd = -1

    def _report(self, kind: bytes, content: bytes, lease: Lease) -> Report:
        report: runners_pb2.ComputedReport | runners_pb2.FailedReport
        try:
            if kind == COMPUTED:
                report = runners_pb2.ComputedReport.FromString(content)
            else:
                report = runners_pb2.FailedReport.FromString(content)
        except DecodeError:
            self.kill()
            self.close()
            raise ChildDiedError("its process sent an invalid report", runners_pb2.FAILURE_KIND_CRASH) from None
        # The child runs user code, so take the ids from the lease, not from the report.
        report.task_id, report.lease_number = lease.task.task_id, lease.task.lease_number
        return report

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(struct.pack("<I", len(content)) + content)
            self._process.stdin.flush()
        except OSError:
            raise self._death() from None

    def _receive(self, deadline: float | None, memory_limit: int | None) -> tuple[bytes, bytes]:
        """Wait for a frame, the deadline, the memory limit, or the death of the child."""
        interval = DEATH_CHECK_SECONDS if memory_limit is None else MEMORY_CHECK_SECONDS
        poll = select.poll()
        poll.register(self._results_fd, select.POLLIN)
        is_dead = False
        while True:
            frame = self._frame()
            if frame is not None:
                return frame
            if is_dead:
                raise self._death()
            remaining = interval if deadline is None else min(interval, deadline - monotonic())
            if poll.poll(max(0.0, remaining) * 1000):
                data = os.read(self._results_fd, MIB)
                self._buffer += data
                is_dead = not data
                continue
            if deadline is not None and monotonic() >= deadline:
                raise _DeadlineError
            if memory_limit is not None and self._memory() > memory_limit:
                self.kill()
                raise self._death(memory_limit)
            # Check the pipe once more, since the child may have written before it died.
            is_dead = self._poll_exit() is not None and not poll.poll(0)

    def _frame(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < FRAME.size:
            return None
        kind, size = FRAME.unpack_from(self._buffer)
        if size > MAX_FRAME_BYTES:
            self.kill()
            raise self._death()
        if len(self._buffer) < FRAME.size + size:
            return None
        content = self._buffer[FRAME.size : FRAME.size + size]
        self._buffer = self._buffer[FRAME.size + size :]
        return kind, content

    def _terminate(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        if not self._wait(TERMINATE_SECONDS):
            self.kill()
        self.close()

    def _death(self, memory_limit: int | None = None) -> ChildDiedError:
        """Wait for the death of the child and return its cause as an error."""
        exited = self._poll_exit(wait=True)
        self.close()
        code, peak = exited or (0, 0)
        if memory_limit is not None:
            cause = f"out of memory: limit {memory_limit / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
        elif code < 0:
            cause = f"killed by signal {_signal_name(-code)}"
            if code == -signal.SIGKILL:
                cause += f", which the system sends when memory runs out; peak {peak / MIB:.0f} MiB"
        else:
            cause = f"exit code {code}"
        return ChildDiedError(cause, runners_pb2.FAILURE_KIND_CRASH)

    def _wait(self, seconds: float | None) -> bool:
        """Wait until the child has exited, and return whether it did in time."""
        if seconds is None:
            self._poll_exit(wait=True)
            return True
        deadline = monotonic() + seconds
        pause = threading.Event()
        while self._poll_exit() is None:
            if monotonic() >= deadline:
                return False
            pause.wait(0.005)
        return True

    def _poll_exit(self, *, wait: bool = False) -> tuple[int, int] | None:
        """Return the exit code and the peak memory in bytes, or None if the child is running."""
        if self._process.returncode is not None:
            return self._process.returncode, getattr(self, "_peak", 0)
        try:
            pid, status, usage = os.wait4(self._process.pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            # Other code in this process has waited for the child and taken its exit status.
            self._process.returncode = 0
            return 0, 0
        if pid == 0:
            return None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return self._process.returncode, self._peak

    def _memory(self) -> int:
        """Return the resident memory in bytes, or 0 without /proc, where only the limit in the child applies."""
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb") as file:  # noqa: PTH123 - fifty times a second
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0


class _DeadlineError(Exception):
    """The deadline has passed."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
