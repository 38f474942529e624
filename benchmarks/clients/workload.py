"""The workload of every orchestrator: a fan-out, single tasks on an idle worker, and a chain.

Tasks only record when they started, in a file that all processes append to. That takes a microsecond or two and wakes
no process, so it is the same small cost for all. This module uses only the standard library, because it runs in the
peers' environments.
"""

from __future__ import annotations

import json
import os
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_TIME = struct.Struct("d")
_POLL_SECONDS = 0.002
_TIMEOUT_SECONDS = 120.0
# Long enough for an idle worker to go to sleep.
_IDLE_SECONDS = 0.05

LEAVES = int(os.environ.get("WORKLOAD_LEAVES", "10000"))
LINKS = int(os.environ.get("WORKLOAD_LINKS", "200"))
STARTS = int(os.environ.get("WORKLOAD_STARTS", "100"))
ADDRESS = os.environ.get("WORKLOAD_ADDRESS", "")


class Marks:
    """The start times of tasks, in a file.

    Args:
        path: The file. It is created if it is missing.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def add(self) -> None:
        """Record the start of a task."""
        os.write(self._file, _TIME.pack(time.perf_counter()))

    def count(self) -> int:
        """Return the number of tasks that have started."""
        return os.fstat(self._file).st_size // _TIME.size

    def await_count(self, count: int, poll_seconds: float = _POLL_SECONDS) -> list[float]:
        """Wait until `count` tasks have started and return the start times of all tasks."""
        until = time.monotonic() + _TIMEOUT_SECONDS
        while self.count() < count:
            if time.monotonic() > until:
                raise SystemExit(f"only {self.count()} of {count} tasks started in {_TIMEOUT_SECONDS:.0f} s")
            time.sleep(poll_seconds)
        content = os.pread(self._file, self.count() * _TIME.size, 0)
        return [seconds for (seconds,) in _TIME.iter_unpack(content)]


MARKS = Marks(os.environ.get("WORKLOAD_MARKS", os.devnull))


@dataclass(frozen=True)
class Peer:
    """How to submit the workload to an orchestrator.

    Args:
        fan_out: Submits one task that submits the given number of tasks, which call `MARKS.add`.
        start: Submits one task, which calls `MARKS.add`.
        chain: Submits the given number of tasks, each of which starts after the previous one.
    """

    fan_out: Callable[[int], object]
    start: Callable[[], object]
    chain: Callable[[int], object]


def measure(peer: Peer, parts: Sequence[str] = ("start", "chain", "fan_out")) -> None:
    """Measure an orchestrator whose worker is running and print the figures as JSON."""
    peer.start()
    MARKS.await_count(1)  # wait until the worker is connected
    figures: dict[str, float] = {}
    if "start" in parts:
        figures |= _starts(peer)
    if "chain" in parts:
        figures |= _chain(peer)
    if "fan_out" in parts:
        figures |= _fan_out(peer)
    print(json.dumps(figures), flush=True)


def _starts(peer: Peer) -> dict[str, float]:
    latencies = []
    for _ in range(STARTS):
        time.sleep(_IDLE_SECONDS)
        before = MARKS.count()
        submitted = time.perf_counter()
        peer.start()
        latencies.append((MARKS.await_count(before + 1)[-1] - submitted) * 1e3)
    return {"start_p50_ms": statistics.median(latencies), "start_p95_ms": statistics.quantiles(latencies, n=20)[18]}


def _chain(peer: Peer) -> dict[str, float]:
    before = MARKS.count()
    peer.chain(LINKS)
    times = MARKS.await_count(before + LINKS)[before:]
    steps = [(after - earlier) * 1e3 for earlier, after in pairwise(times)]
    return {"step_p50_ms": statistics.median(steps)}


def _fan_out(peer: Peer) -> dict[str, float]:
    before = MARKS.count()
    submitted = time.perf_counter()
    peer.fan_out(LEAVES)
    times = MARKS.await_count(before + LEAVES, 0.01)
    return {"tasks_per_s": LEAVES / (max(times[before:]) - submitted)}
