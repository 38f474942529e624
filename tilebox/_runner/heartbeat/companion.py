"""The companion of a runner: a process of its own that extends the leases of what the runner executes.

    python -m tilebox._runner.heartbeat

A task may hold the interpreter lock for as long as it likes; nothing else in its process runs then,
but this does. It learns where the server is from its standard input, which also tells it when the
runner is gone, and what is executing from a table in shared memory. If the runner dies, it says so, and
what was executing then: nothing else that the runner held is to blame. It imports little, so that it stays small.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from tilebox._core.protocol.tilebox.ext.v1 import runners_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.protocol.workflows.v1 import core_pb2, task_pb2
from tilebox._runner.channel import CancelToken, Channel, ChannelError
from tilebox._runner.heartbeat.table import LeaseTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message

EXCHANGE = "tilebox.ext.v1.RunnerService/Exchange"
EXTEND_LEASES = "tilebox.ext.v1.RunnerService/ExtendLeases"
REPORT_DEATH = "tilebox.ext.v1.RunnerService/ReportDeath"
EXTEND_TASK_LEASE = "workflows.v1.TaskService/ExtendTaskLease"
ANSWER_SECONDS = 10.0
SHORTEST_SCAN_SECONDS = 0.02
LONGEST_SCAN_SECONDS = 1.0
# The runner's loop has its turn at least twice before leases are to be extended, unless the interpreter lock is held.
SILENT_PART = 0.75
# After so long without a task the process ends; it is started again when it is needed.
IDLE_SECONDS = 60.0
# A process closes what it has open before it is gone.
DYING_SECONDS = 5.0
DYING_CHECK_SECONDS = 0.005
# A request that the runner sent before it died may still be carried out, and bring it tasks: after so long it is said
# once more that it is dead.
SETTLE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
# The request is no good, the key is not taken, or the call is not known: no use to come again.
REFUSALS = (400, 401, 403, 404, 501)


class Companion:
    """Extends leases, round by round.

    Args:
        channel: Where to.
        table: What is executing.
        runner_id: Who executes it.
        is_extended: Whether the server knows the extension for runners.
        runner_pid: The runner's process; 0 if it is this one.
    """

    def __init__(
        self, channel: Channel, table: LeaseTable, *, runner_id: bytes, is_extended: bool, runner_pid: int
    ) -> None:
        self._channel = channel
        self._table = table
        self._runner_id = runner_id
        self._is_extended = is_extended
        self._runner_pid = runner_pid
        self._due: dict[tuple[bytes, int, float], float] = {}
        self._extend_after = 0.0
        self._settled: set[tuple[bytes, int, float]] = set()
        self._busy = time.monotonic()
        self._cancel_token = CancelToken()

    def run(self, stop: threading.Event) -> None:
        """Extend leases until told to stop, until there was nothing to do for a while, or until the runner is gone."""
        while not stop.is_set() and time.monotonic() - self._busy < IDLE_SECONDS and not _is_gone(self._runner_pid):
            stop.wait(self.round())

    def cancel(self) -> None:
        """End a request under way; no other one is made."""
        self._cancel_token.cancel()

    def report_death(self) -> None:
        """Say that the runner is dead, and what it was executing; for as long as its leases last, if nobody listens.

        What else it held can be given to others at once then, and does not count a crash.
        """
        lease_seconds = self._table.times()[1]
        if not self._is_extended or not lease_seconds:
            return  # it held nothing but what was executing, or never anything
        executing = _leases(self._table.read().values())
        report = runners_pb2.ReportDeathRequest(runner_id=self._runner_id, executing=executing, cause=self._cause())
        deadline = time.monotonic() + lease_seconds
        pause, is_said = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                # Not under the token of the rounds, which ends with them.
                self._post(REPORT_DEATH, report, CancelToken())
            except _RefusedError:
                return
            except ChannelError:
                wait = pause
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if is_said:
                    return
                is_said, wait = True, min(SETTLE_SECONDS, lease_seconds / 4)
            if time.monotonic() + wait > deadline:
                return
            time.sleep(wait)

    def round(self) -> float:
        """Extend what is due, and return after how many seconds to look again."""
        now = time.monotonic()
        rows = self._table.read()
        if rows:
            self._busy = now
        extend_after = self._extend_after or self._table.times()[0]
        self._due = {row: self._due.get(row, row[2] + extend_after) for row in rows.values()}
        due = {number: row for number, row in rows.items() if self._due[row] <= now}
        if due and not _is_stopped(self._runner_pid):
            self._extend(due, now)
        if rows and (mates := self._held_up(now, extend_after)) and not _is_stopped(self._runner_pid):
            self._give_back(mates, now)
        scan = min(max(self._table.times()[0] / 4, SHORTEST_SCAN_SECONDS), LONGEST_SCAN_SECONDS)
        return max(SHORTEST_SCAN_SECONDS / 2, min([scan, *(one - now for one in self._due.values() if one > now)]))

    def _held_up(self, now: float, extend_after: float) -> list[tuple[bytes, int, float]]:
        """Return what else the runner may hold, if a task has held its interpreter lock for long.

        As long as it does, nothing else begins there or is delivered. Otherwise the runner itself hands back what
        cannot begin soon.
        """
        if not self._is_extended or now - self._table.last_turn() <= SILENT_PART * extend_after:
            return []
        mates = [mate for mate in self._table.mates() if mate[2] + extend_after <= now]
        self._settled.intersection_update(mates)
        return [mate for mate in mates if mate not in self._settled]

    def _give_back(self, mates: list[tuple[bytes, int, float]], now: float) -> None:
        """Give back what is not executing. Of what was done or given back before, the server takes no note."""
        self._table.note_given_back(now)
        executing = {row[:2] for row in self._table.read().values()}
        given = [mate for mate in mates if mate[:2] not in executing]
        if not given:
            return
        try:
            self._post(EXCHANGE, runners_pb2.ExchangeRequest(runner_id=self._runner_id, returned=_leases(given)))
        except ChannelError:
            return  # tried again in the next round
        self._settled.update(given)

    def _extend(self, due: dict[int, tuple[bytes, int, float]], now: float) -> None:
        try:
            if self._is_extended:
                lost = self._extend_together(due)
            else:
                lost = {number for number, row in due.items() if not self._extend_singly(row)}
        except (ChannelError, DecodeError):
            return  # tried again in the next round; nothing is lost before the lease is over
        for number, row in due.items():
            if number in lost:
                self._table.mark_lost(number, row[1])
            else:
                self._due[row] = now + (self._extend_after or self._table.times()[0])

    def _extend_together(self, due: dict[int, tuple[bytes, int, float]]) -> set[int]:
        request = runners_pb2.ExtendLeasesRequest(runner_id=self._runner_id, leases=_leases(due.values()))
        answer = runners_pb2.ExtendLeasesResponse.FromString(self._post(EXTEND_LEASES, request))
        lost = {(lease.task_id, lease.lease_number) for lease in answer.lost}
        if answer.HasField("extend_after"):
            self._extend_after = _seconds(answer.extend_after)
        return {number for number, row in due.items() if row[:2] in lost}

    def _extend_singly(self, row: tuple[bytes, int, float]) -> bool:
        """Return whether one lease was extended, by the public wire."""
        request = task_pb2.TaskLeaseRequest(task_id=id_pb2.ID(uuid=row[0]))
        request.requested_lease.seconds = int(2 * self._table.times()[1]) or 120
        answer = core_pb2.TaskLease.FromString(self._post(EXTEND_TASK_LEASE, request))
        if not _seconds(answer.lease):
            return False
        self._extend_after = _seconds(answer.recommended_wait_until_next_extension) or self._extend_after
        return True

    def _post(self, method: str, message: Message, cancel_token: CancelToken | None = None) -> bytes:
        body = message.SerializeToString()
        answer = self._channel.post(
            method, body, seconds=ANSWER_SECONDS, cancel_token=cancel_token or self._cancel_token
        )
        if answer.status in REFUSALS:
            raise _RefusedError(f"HTTP {answer.status}")
        if answer.status != 200:
            raise ChannelError(f"HTTP {answer.status}")
        return answer.body

    def _cause(self) -> str:
        """Return what is known of the runner's death: it is not our child, so nobody tells us more."""
        return (
            f"process {self._runner_pid} on {socket.gethostname()} ended without a word, as one does that is killed, "
            "runs out of memory, or crashes in native code"
        )


class _RefusedError(ChannelError):
    """The server will not take this, however often it is said."""


def main() -> None:
    """Entry point of the heartbeat process; reads its configuration from stdin."""
    # The runner decides when this ends; Ctrl-C and what else is sent to the group are for the runner.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the runner was gone before it could write anything
    settings = json.loads(line)
    runner_pid = settings["runner_pid"]
    table = LeaseTable(settings["table"], settings["rows"])
    companion = Companion(
        Channel(settings["url"], settings["headers"], settings["proxy"]),
        table,
        runner_id=bytes.fromhex(settings["runner_id"]),
        is_extended=settings["is_extended"],
        runner_pid=runner_pid,
    )
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop, companion), daemon=True).start()
    companion.run(stop)
    if _is_gone(runner_pid, patience_seconds=DYING_SECONDS if stop.is_set() else 0.0):
        companion.report_death()
        table.close()


def _leases(rows: Iterable[tuple[bytes, int, float]]) -> list[runners_pb2.TaskLeaseNumber]:
    return [runners_pb2.TaskLeaseNumber(task_id=task_id, lease_number=number) for task_id, number, _ in rows]


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _wait_for_end(stop: threading.Event, companion: Companion) -> None:
    sys.stdin.buffer.read()
    stop.set()
    companion.cancel()


def _is_gone(pid: int, patience_seconds: float = 0.0) -> bool:
    """Tell whether the runner's process is dead, or is about to be.

    That the pipe was closed does not say so: the runner may have been replaced by another program, or tidy up what it
    has open. And it may stay open, in the hands of a process that a task has forked.
    """
    deadline = time.monotonic() + patience_seconds
    while pid and _is_alive(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(DYING_CHECK_SECONDS)
    return bool(pid)


def _is_alive(pid: int) -> bool:
    """Tell whether a process is alive; if in doubt, it is."""
    # It is mostly our parent. Between us may stand what starts the interpreter, so that it never was.
    if os.getppid() == pid or os.name != "posix":
        return True
    state = _state(pid)
    if state:
        return state not in (b"Z", b"X")
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _is_stopped(pid: int) -> bool:
    """Tell whether a process was suspended: its leases are to run out then, like those of a dead one."""
    return bool(pid) and _state(pid) == b"T"


def _state(pid: int) -> bytes:
    """Return a process's state, one letter, where the system tells; else nothing."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would cost a megabyte
            return file.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""
