"""The child process that executes tasks, one at a time, as its runner sends them."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import runpy
import struct
import sys
import threading
import types
from queue import SimpleQueue
from typing import Any, BinaryIO

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.registry import Registry
from tilebox._runner.execution import Execution, format_error
from tilebox._runner.processes.process import COMPUTED, FAILED, FAILED_TO_START, FRAME, MIB, READY

# The runner checks the memory fifty times a second. This limit rejects a huge allocation at once. It is higher than
# the limit itself, because programs reserve more memory than they use.
RESERVE_FACTOR = 2
RESERVE_BYTES = 1 << 30


def main(results_fd: int) -> None:
    """Execute tasks until the runner closes the pipe.

    Args:
        results_fd: The file descriptor of the pipe for reports.
    """
    os.set_inheritable(results_fd, False)
    frames: SimpleQueue[bytes] = SimpleQueue()
    # Move the pipe of requests away from standard input, so that tasks cannot read from it. Reports have their own
    # pipe, because tasks may write to standard output.
    requests = os.fdopen(os.dup(0), "rb")
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    threading.Thread(target=_read_frames, args=(requests, frames), daemon=True).start()
    settings = json.loads(frames.get())
    try:
        execution = _prepare(settings, frames.get())
    except BaseException as error:  # noqa: BLE001 - the runner raises it
        _send_frame(results_fd, FAILED_TO_START, format_error(error).encode())
        os._exit(1)
    _send_frame(results_fd, READY, b"")
    while True:
        request = runners_pb2.ExchangeResponse.FromString(frames.get())
        report = execution.run(request.tasks[0], request.jobs[0])
        if isinstance(report, runners_pb2.FailedReport):
            _add_memory_cause(report, settings["memory_limit"])
        kind = COMPUTED if isinstance(report, runners_pb2.ComputedReport) else FAILED
        sys.stdout.flush()
        _send_frame(results_fd, kind, report.SerializeToString())


def _read_frames(requests: BinaryIO, frames: SimpleQueue[bytes]) -> None:
    """Read frames from the runner into a queue. At the end of the pipe the runner is gone, so end this process too."""
    while True:
        header = requests.read(4)
        if len(header) < 4:
            os._exit(0)
        frames.put(requests.read(struct.unpack("<I", header)[0]))


def _prepare(settings: dict[str, Any], pickled: bytes) -> Execution:
    sys.path[:] = settings["path"]
    sys.argv[:] = settings["arguments"]
    os.chdir(settings["directory"])
    if settings["main"] is not None:
        _import_main(*settings["main"])
    classes, cache, runner_context = pickle.loads(pickled)  # noqa: S301 - it comes from the parent process
    if settings["memory_limit"] is not None:
        _limit_memory(settings["memory_limit"])
    return Execution(
        Registry(classes),
        cluster=settings["cluster"],
        cache=cache,
        runner_context=runner_context,
        run_coroutine=asyncio.run,
    )


def _import_main(kind: str, name_or_path: str) -> None:
    """Import the runner's main module as `__mp_main__`, like multiprocessing, so its guarded part does not run."""
    run = runpy.run_module if kind == "name" else runpy.run_path
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(run(name_or_path, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def _limit_memory(limit: int) -> None:
    import resource

    size = RESERVE_FACTOR * limit + RESERVE_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _add_memory_cause(report: runners_pb2.FailedReport, limit: int | None) -> None:
    """Add the memory limit to the report of a task that failed with a MemoryError."""
    if limit is not None and report.error.startswith("MemoryError("):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        cause = f"out of memory: limit {limit / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
        report.error = f"{cause}\n{report.error}"
        report.kind = runners_pb2.FAILURE_KIND_CRASH


def _send_frame(results_fd: int, kind: bytes, content: bytes) -> None:
    remaining = memoryview(FRAME.pack(kind, len(content)) + content)
    while remaining:
        remaining = remaining[os.write(results_fd, remaining) :]
