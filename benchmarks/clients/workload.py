"""What every orchestrator is given to do: a fan-out, single tasks on an idle worker, and a chain.

Tasks do nothing but note when they started. They note it in a file that all processes append to, which costs a
microsecond or two and wakes nobody, so it is the same small burden for each of them. Only the standard library is used
here, since this runs in the peers' environments.
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
_LOOK_SECONDS = 0.002
_PATIENCE_SECONDS = 120.0
# Long enough that a worker has gone to sleep, whatever it does when it is idle.
_IDLE_SECONDS = 0.05

LEAVES = int(os.environ.get("WORKLOAD_LEAVES", "10000"))
LINKS = int(os.environ.get("WORKLOAD_LINKS", "200"))
STARTS = int(os.environ.get("WORKLOAD_STARTS", "100"))
ADDRESS = os.environ.get("WORKLOAD_ADDRESS", "")


class Marks:
    """The times at which tasks started, in a file.

    Args:
        path: The file, made if it is not there.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def add(self) -> None:
        """Note that a task starts now."""
        os.write(self._file, _TIME.pack(time.perf_counter()))

    def count(self) -> int:
        """Return how many tasks started so far."""
        return os.fstat(self._file).st_size // _TIME.size

    def await_count(self, count: int, look_seconds: float = _LOOK_SECONDS) -> list[float]:
        """Return the times of all tasks, once so many have started."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.count() < count:
            if time.monotonic() > until:
                raise SystemExit(f"only {self.count()} of {count} tasks started in {_PATIENCE_SECONDS:.0f} s")
            time.sleep(look_seconds)
        content = os.pread(self._file, self.count() * _TIME.size, 0)
        return [moment for (moment,) in _TIME.iter_unpack(content)]


MARKS = Marks(os.environ.get("WORKLOAD_MARKS", os.devnull))


@dataclass(frozen=True)
class Peer:
    """How an orchestrator is asked.

    Args:
        fan_out: Submits one task that submits so many tasks, which call `MARKS.add`.
        start: Submits one task, which calls `MARKS.add`.
        chain: Submits so many tasks, each of which starts after the one before it.
    """

    fan_out: Callable[[int], object]
    start: Callable[[], object]
    chain: Callable[[int], object]


def measure(peer: Peer, parts: Sequence[str] = ("start", "chain", "fan_out")) -> None:
    """Measure a peer whose worker runs already, and print what was found as JSON."""
    peer.start()
    MARKS.await_count(1)  # it is up, and has connected to everything
    found: dict[str, float] = {}
    if "start" in parts:
        found |= _starts(peer)
    if "chain" in parts:
        found |= _chain(peer)
    if "fan_out" in parts:
        found |= _fan_out(peer)
    print(json.dumps(found), flush=True)


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
