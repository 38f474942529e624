"""One child process that executes tasks, seen from its runner."""

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
# Between SIGTERM and SIGKILL.
TERMINATE_SECONDS = 1.0
MEMORY_CHECK_SECONDS = 0.02
# A process that a task forked may hold the pipe open, which then does not tell of the child's death.
DEATH_CHECK_SECONDS = 0.25
MIB = 1 << 20


class ChildDiedError(Exception):
    """A child ended while it executed a task; the message says what of."""

    def __init__(self, cause: str, kind: runners_pb2.FailureKind) -> None:
        super().__init__(cause)
        self.kind = kind


class Child:
    """One child process.

    Args:
        words: Settings, as JSON.
        sent: Task classes, cache and context, pickled.

    Raises:
        RuntimeError: It did not start.
    """

    def __init__(self, words: dict[str, Any], sent: bytes) -> None:
        self.executed = 0
        self.is_unwanted = False
        self._buffer = b""
        self._answers, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-c", COMMAND, PACKAGE_ROOT, str(theirs)],
                stdin=subprocess.PIPE,
                pass_fds=[theirs],
                # Ctrl-C is for the runner, which lets tasks finish.
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._answers)
            raise RuntimeError(f"no process for tasks could be started: {error}") from None
        finally:
            os.close(theirs)
        try:
            self._send(json.dumps(words).encode())
            self._send(sent)
            kind, content = self._receive(monotonic() + START_SECONDS, None)
        except ChildDiedError as death:
            self.close()
            raise RuntimeError(f"the process for tasks did not start: {death}") from None
        if kind != READY:
            self.close()
            raise RuntimeError(f"the process for tasks did not start: {content.decode(errors='replace')}")

    def is_alive(self) -> bool:
        """Whether it can be given a task."""
        return self._process.returncode is None and self._exited() is None

    def run(self, lease: Lease, time_limit: float | None, memory_limit: int | None) -> Report:
        """Execute a task.

        Raises:
            ChildDiedError: The child did not survive it.
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
        """End it at once."""
        with suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let it go, by closing the pipe from which it reads."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        if self._process.returncode is None and not self._wait(TERMINATE_SECONDS):
            self.kill()
            self._wait(None)
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1

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
            raise ChildDiedError("its process answered what is no report", runners_pb2.FAILURE_KIND_CRASH) from None
        # Whatever the child says, this is the task that it was given.
        report.task_id, report.lease_number = lease.task.task_id, lease.task.lease_number
        return report

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(struct.pack("<I", len(content)) + content)
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _receive(self, deadline: float | None, memory_limit: int | None) -> tuple[bytes, bytes]:
        """Wait for a frame, and for what may happen instead."""
        interval = DEATH_CHECK_SECONDS if memory_limit is None else MEMORY_CHECK_SECONDS
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        is_dead = False
        while True:
            frame = self._frame()
            if frame is not None:
                return frame
            if is_dead:
                raise self._died()
            left = interval if deadline is None else min(interval, deadline - monotonic())
            if poll.poll(max(0.0, left) * 1000):
                data = os.read(self._answers, MIB)
                self._buffer += data
                is_dead = not data
                continue
            if deadline is not None and monotonic() >= deadline:
                raise _DeadlineError
            if memory_limit is not None and self._memory() > memory_limit:
                self.kill()
                raise self._died(memory_limit)
            # One more look into the pipe, since it may have written before it ended.
            is_dead = self._exited() is not None and not poll.poll(0)

    def _frame(self) -> tuple[bytes, bytes] | None:
        if len(self._buffer) < FRAME.size:
            return None
        kind, size = FRAME.unpack_from(self._buffer)
        if size > MAX_FRAME_BYTES:
            self.kill()
            raise self._died()
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

    def _died(self, memory_limit: int | None = None) -> ChildDiedError:
        """Return what it died of, once it has."""
        exited = self._exited(wait=True)
        self.close()
        code, peak = exited or (0, 0)
        if memory_limit is not None:
            cause = f"out of memory: limit {memory_limit / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
        elif code < 0:
            cause = f"killed by signal {_signal_name(-code)}"
            if code == -signal.SIGKILL:
                cause += f", as the system does when memory runs out; peak {peak / MIB:.0f} MiB"
        else:
            cause = f"exit code {code}"
        return ChildDiedError(cause, runners_pb2.FAILURE_KIND_CRASH)

    def _wait(self, seconds: float | None) -> bool:
        """Wait until it has ended; False if it has not in time."""
        if seconds is None:
            self._exited(wait=True)
            return True
        deadline = monotonic() + seconds
        pause = threading.Event()
        while self._exited() is None:
            if monotonic() >= deadline:
                return False
            pause.wait(0.005)
        return True

    def _exited(self, *, wait: bool = False) -> tuple[int, int] | None:
        """Return exit code and peak memory, if it has ended."""
        if self._process.returncode is not None:
            return self._process.returncode, getattr(self, "_peak", 0)
        try:
            pid, status, usage = os.wait4(self._process.pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            # Somebody else in this process waits for all children.
            self._process.returncode = 0
            return 0, 0
        if pid == 0:
            return None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return self._process.returncode, self._peak

    def _memory(self) -> int:
        """Return how much memory it has in use, where the system tells; the child limits itself elsewhere."""
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
