"""A child process that executes tasks, one after the other, as its runner hands them over."""

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
from typing import TYPE_CHECKING, Any, BinaryIO

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.runner.registry import Registry
from tilebox._runner.execution import Execution, describe
from tilebox._runner.processes.process import COMPUTED, FAILED, FAILED_TO_START, FRAME, MIB, READY

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Memory is watched from outside, fifty times a second. What is asked for in one go is refused here, but not
# at the limit itself: programs reserve more than they use.
RESERVE_FACTOR = 2
RESERVE_BYTES = 1 << 30


def main(answers: int) -> None:
    """Execute tasks until there are no more.

    Args:
        answers: The file descriptor for what comes out.
    """
    os.set_inheritable(answers, False)
    frames: SimpleQueue[bytes] = SimpleQueue()
    # Tasks must neither read what is meant for us, nor write where our answers go.
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_read, args=(requests, frames), daemon=True).start()
    words = json.loads(frames.get())
    try:
        execution = _prepare(words, frames.get())
    except BaseException as error:  # noqa: BLE001 - the runner says so
        _answer(answers, FAILED_TO_START, describe(error).encode())
        os._exit(1)
    _answer(answers, READY, b"")
    while True:
        given = runners_pb2.ExchangeResponse.FromString(frames.get())
        report = execution.run(given.tasks[0], given.jobs[0])
        if isinstance(report, runners_pb2.FailedReport):
            _note_memory(report, words["memory_limit"])
        kind = COMPUTED if isinstance(report, runners_pb2.ComputedReport) else FAILED
        sys.stdout.flush()
        _answer(answers, kind, report.SerializeToString())


def _read(requests: BinaryIO, frames: SimpleQueue[bytes]) -> None:
    """Take in what the runner sends; once it sends nothing any more it is gone, and so is the reason for this."""
    while True:
        head = requests.read(4)
        if len(head) < 4:
            os._exit(0)
        frames.put(requests.read(struct.unpack("<I", head)[0]))


def _prepare(words: dict[str, Any], sent: bytes) -> Execution:
    sys.path[:] = words["path"]
    sys.argv[:] = words["arguments"]
    os.chdir(words["directory"])
    if words["main"] is not None:
        _import_main(*words["main"])
    classes, cache, runner_context = pickle.loads(sent)  # noqa: S301 - it comes from our own parent
    if words["memory_limit"] is not None:
        _limit_memory(words["memory_limit"])
    return Execution(
        Registry(classes), cluster=words["cluster"], cache=cache, runner_context=runner_context, call=_call
    )


def _import_main(kind: str, place: str) -> None:
    """Import the runner's main module under another name, as multiprocessing does; its guarded part stays out."""
    run = runpy.run_module if kind == "name" else runpy.run_path
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(run(place, run_name="__mp_main__"))
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def _limit_memory(limit: int) -> None:
    import resource

    size = RESERVE_FACTOR * limit + RESERVE_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _note_memory(report: runners_pb2.FailedReport, limit: int | None) -> None:
    """Say so if memory was what a task failed of."""
    if limit is not None and report.error.startswith("MemoryError("):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        cause = f"out of memory: limit {limit / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB"
        report.error = f"{cause}\n{report.error}"
        report.kind = runners_pb2.FAILURE_KIND_CRASH


def _call(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def _answer(answers: int, kind: bytes, content: bytes) -> None:
    left = memoryview(FRAME.pack(kind, len(content)) + content)
    while left:
        left = left[os.write(answers, left) :]
