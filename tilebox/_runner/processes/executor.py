"""Executing each task in a child process, which may be limited, may crash, and is told apart by what it died of.

A slot keeps its child and uses it again. What goes to the child is ours: the task classes by reference,
and tasks as they came. What comes back may be anything, since user code ran there: it is read as a
protobuf message and nothing else.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._runner.execution import set_retry

if TYPE_CHECKING:
    import asyncio

    from tilebox._core.exchanges import Lease, Report
    from tilebox._core.registry import Registry

PACKAGE_ROOT = str(Path(__file__).resolve().parents[3])
COMMAND = "import sys; sys.path.insert(0, sys.argv[1]); from tilebox._runner.processes.child import main; main(int(sys.argv[2]))"
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


class ProcessExecutor:
    """Executes each task in a child process, one for each slot.

    Args:
        registry: The task classes.
        cache: Of all jobs; a copy of it goes to each child.
        runner_context: What tasks find as `context.runner_context`; a copy of it goes to each child.
        time_limit: Seconds that a task may take.
        memory_limit: Bytes of memory that it may use.
        recycle_after: Number of tasks after which a child is replaced.

    Raises:
        ValueError: Something cannot be sent to a child.
    """

    def __init__(
        self,
        registry: Registry,
        cache: Any,
        runner_context: Any,
        *,
        time_limit: float | None,
        memory_limit: int | None,
        recycle_after: int | None,
    ) -> None:
        if os.name != "posix":
            raise ValueError('isolation="process" needs a POSIX system; use isolation="thread" here')
        self._classes = [registry.find(identifier) for identifier in registry.identifiers]
        self._sent = _pickled(self._classes, cache, runner_context)
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._recycle_after = recycle_after
        self._random = Random()  # noqa: S311 it spreads retries
        self._words: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}

    def start(self, cluster: str, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002 children have their own
        """Start the first child, so that what is wrong with the tasks' module is heard of now.

        Raises:
            RuntimeError: It did not start; the message says why.
        """
        self._words = {
            "cluster": cluster,
            "memory_limit": self._memory_limit,
            "path": sys.path,
            "directory": str(Path.cwd()),
            "arguments": sys.argv,
            "main": _main_module() if b"__main__" in self._sent else None,
        }
        self._child(0)

    def run(self, slot: int, lease: Lease) -> Report:
        """Execute a task to its end, whatever end that is."""
        if lease.task.identifier >= len(self._classes):
            return lease.handed_back()
        try:
            child = self._child(slot)
        except RuntimeError as error:
            return self._failed(lease, runners_pb2.FAILURE_KIND_CRASH, str(error))
        try:
            report = child.run(lease, self._time_limit, self._memory_limit)
        except _Died as death:
            self._drop(slot, child)
            if child.is_unwanted:
                return lease.handed_back()
            return self._failed(lease, death.kind, str(death))
        if self._recycle_after is not None and child.executed >= self._recycle_after:
            self._drop(slot, child)
            child.close()
        return report

    def abandon(self, slot: int) -> None:
        """End what a slot executes."""
        with self._lock:
            child = self._children.get(slot)
        if child is not None:
            child.is_unwanted = True
            child.kill()

    lose = abandon

    def close(self) -> None:
        """End all children."""
        with self._lock:
            children, self._children = list(self._children.values()), {}
        for child in children:
            child.close()

    def _child(self, slot: int) -> Child:
        with self._lock:
            child = self._children.get(slot)
        if child is None or not child.is_alive():
            if child is not None:
                child.close()
            child = Child(self._words, self._sent)
            with self._lock:
                self._children[slot] = child
        return child

    def _drop(self, slot: int, child: Child) -> None:
        with self._lock:
            if self._children.get(slot) is child:
                del self._children[slot]

    def _failed(self, lease: Lease, kind: runners_pb2.FailureKind, error: str) -> Report:
        task = lease.task
        report = runners_pb2.FailedReport(
            task_id=task.task_id, lease_number=task.lease_number, display=task.display, kind=kind, error=error
        )
        set_retry(report, self._classes[task.identifier], task.retry_count, self._random)
        return report


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
        except _Died as death:
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
            _Died: The child did not survive it.
        """
        self.executed += 1
        self._send(runners_pb2.ExchangeResponse(tasks=[lease.task], jobs=[lease.job]).SerializeToString())
        deadline = None if time_limit is None else monotonic() + time_limit
        try:
            kind, content = self._receive(deadline, memory_limit)
        except _TimeOver:
            self._terminate()
            raise _Died(f"time limit of {time_limit:g} s exceeded", runners_pb2.FAILURE_KIND_TASK) from None
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
            raise _Died("its process answered what is no report", runners_pb2.FAILURE_KIND_CRASH) from None
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
                raise _TimeOver
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

    def _died(self, memory_limit: int | None = None) -> _Died:
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
        return _Died(cause, runners_pb2.FAILURE_KIND_CRASH)

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


class _Died(Exception):  # noqa: N818 - it is a message
    """A child ended while it executed a task."""

    def __init__(self, cause: str, kind: runners_pb2.FailureKind) -> None:
        super().__init__(cause)
        self.kind = kind


class _TimeOver(Exception):  # noqa: N818 - it is a message
    """The deadline has passed."""


def _pickled(classes: list[Any], cache: Any, runner_context: Any) -> bytes:
    for what, value in (("a task class", classes), ("the cache", cache), ("the runner's context", runner_context)):
        try:
            pickle.dumps(value)
        except Exception as error:
            raise ValueError(
                f'{what} cannot be sent to another process, as isolation="process" needs: {error}'
            ) from error
    return pickle.dumps((classes, cache, runner_context))


def _main_module() -> tuple[str, str]:
    """Return where a child finds what is defined in the program's main module.

    Raises:
        ValueError: Nowhere, as in a notebook.
    """
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        return "name", name
    path = getattr(main, "__file__", None)
    if path is None or not Path(path).exists():
        raise ValueError('isolation="process" needs tasks that a file defines; import them from a module')
    return "path", str(Path(path).resolve())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
