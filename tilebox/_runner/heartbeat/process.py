"""The heartbeat process of a runner, which extends the leases of the tasks that the runner executes.

    python -m tilebox._runner.heartbeat

A task may hold the interpreter lock for any time. Nothing else in its process runs then, so another process extends the
leases. It reads its configuration from stdin, and the executing tasks from a table in shared memory. It notices the
death of the runner by the end of stdin or by its process id, and reports it together with the tasks that were
executing, since only those can have caused it. The module imports little, so that the process stays small.
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

    from tilebox._runner.heartbeat.table import LeaseRow

EXCHANGE = "tilebox.ext.v1.RunnerService/Exchange"
EXTEND_LEASES = "tilebox.ext.v1.RunnerService/ExtendLeases"
REPORT_DEATH = "tilebox.ext.v1.RunnerService/ReportDeath"
EXTEND_TASK_LEASE = "workflows.v1.TaskService/ExtendTaskLease"
ANSWER_SECONDS = 10.0
SHORTEST_SCAN_SECONDS = 0.02
LONGEST_SCAN_SECONDS = 1.0
# The part of the extension interval after which a loop that did not run must be blocked by the interpreter lock.
# Otherwise the loop runs at least twice in each interval.
BLOCKED_PART = 0.75
# The process ends after this time without a task. The runner starts it again when needed.
IDLE_SECONDS = 60.0
# A dying process closes its files, stdin of this process among them, before it is gone.
EXIT_TIMEOUT_SECONDS = 5.0
EXIT_CHECK_SECONDS = 0.005
# The server may process a request of the runner after it died, and assign tasks to it. So the death is reported again
# after this time.
SETTLE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
# The request is invalid, the key is not accepted, or the call is unknown, so a repetition would fail as well.
FINAL_STATUSES = (400, 401, 403, 404, 501)


class Heartbeat:
    """Extends the leases of one runner.

    Args:
        channel: The channel to the server.
        table: The table of the executing tasks.
        runner_id: The id of the runner, 16 bytes.
        has_extension: Whether the server supports the runner extension.
        runner_pid: The process id of the runner; 0 if it is this process.
    """

    def __init__(
        self, channel: Channel, table: LeaseTable, *, runner_id: bytes, has_extension: bool, runner_pid: int
    ) -> None:
        self._channel = channel
        self._table = table
        self._runner_id = runner_id
        self._has_extension = has_extension
        self._runner_pid = runner_pid
        self._due: dict[LeaseRow, float] = {}
        self._extend_after = 0.0
        self._returned: set[LeaseRow] = set()
        self._last_busy = time.monotonic()
        self._cancel_token = CancelToken()

    def run(self, stop: threading.Event) -> None:
        """Extend leases until `stop` is set, no task executes for `IDLE_SECONDS`, or the runner is gone."""
        while not (stop.is_set() or self._is_idle() or _is_gone(self._runner_pid)):
            stop.wait(self.run_once())

    def cancel(self) -> None:
        """Cancel the request under way, and make no more of them."""
        self._cancel_token.cancel()

    def report_death(self) -> None:
        """Report the death of the runner and its executing tasks. Retry while its leases last.

        The server then gives the other tasks of the runner to other runners at once, without counting a crash.
        """
        lease_seconds = self._table.times()[1]
        if not self._has_extension or not lease_seconds:
            return  # the runner held only executing tasks, or never claimed any
        executing = _leases(self._table.read().values())
        report = runners_pb2.ReportDeathRequest(runner_id=self._runner_id, executing=executing, cause=self._cause())
        deadline = time.monotonic() + lease_seconds
        pause, was_reported = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                # A token of its own, since `cancel` may have cancelled the other one.
                self._post(REPORT_DEATH, report, CancelToken())
            except _FinalStatusError:
                return
            except ChannelError:
                wait = pause
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if was_reported:
                    return
                was_reported, wait = True, min(SETTLE_SECONDS, lease_seconds / 4)
            if time.monotonic() + wait > deadline:
                return
            time.sleep(wait)

    def run_once(self) -> float:
        """Extend the leases that are due, and return the seconds until the next call."""
        now = time.monotonic()
        rows = self._table.read()
        if rows:
            self._last_busy = now
        extend_after = self._extend_after or self._table.times()[0]
        self._due = {row: self._due.get(row, row[2] + extend_after) for row in rows.values()}
        due = {number: row for number, row in rows.items() if self._due[row] <= now}
        if due and not _is_stopped(self._runner_pid):
            self._extend(due, now)
        if rows and (claims := self._blocked_claims(now, extend_after)) and not _is_stopped(self._runner_pid):
            self._return_claims(claims, now)
        scan = min(max(self._table.times()[0] / 4, SHORTEST_SCAN_SECONDS), LONGEST_SCAN_SECONDS)
        until_due = (due_at - now for due_at in self._due.values() if due_at > now)
        return max(SHORTEST_SCAN_SECONDS / 2, min([scan, *until_due]))

    def _is_idle(self) -> bool:
        return time.monotonic() - self._last_busy >= IDLE_SECONDS

    def _blocked_claims(self, now: float, extend_after: float) -> list[LeaseRow]:
        """Return the other claims of the runner if a task has held its interpreter lock for long.

        Meanwhile the runner can neither start tasks nor deliver reports. At other times, the runner itself returns the
        tasks that cannot start soon.
        """
        if not self._has_extension or now - self._table.loop_time() <= BLOCKED_PART * extend_after:
            return []
        claims = [claim for claim in self._table.recent_claims() if claim[2] + extend_after <= now]
        self._returned.intersection_update(claims)
        return [claim for claim in claims if claim not in self._returned]

    def _return_claims(self, claims: list[LeaseRow], now: float) -> None:
        """Return the tasks that are not executing. The server ignores those that were reported or returned before."""
        self._table.record_return(now)
        executing = {row[:2] for row in self._table.read().values()}
        returned = [claim for claim in claims if claim[:2] not in executing]
        if not returned:
            return
        try:
            self._post(EXCHANGE, runners_pb2.ExchangeRequest(runner_id=self._runner_id, returned=_leases(returned)))
        except ChannelError:
            return  # the next `run_once` tries again
        self._returned.update(returned)

    def _extend(self, due: dict[int, LeaseRow], now: float) -> None:
        try:
            if self._has_extension:
                lost = self._extend_batch(due)
            else:
                lost = {number for number, row in due.items() if not self._extend_one(row)}
        except (ChannelError, DecodeError):
            return  # the next `run_once` tries again, long before the lease expires
        for number, row in due.items():
            if number in lost:
                self._table.mark_lost(number, row[1])
            else:
                self._due[row] = now + (self._extend_after or self._table.times()[0])

    def _extend_batch(self, due: dict[int, LeaseRow]) -> set[int]:
        request = runners_pb2.ExtendLeasesRequest(runner_id=self._runner_id, leases=_leases(due.values()))
        answer = runners_pb2.ExtendLeasesResponse.FromString(self._post(EXTEND_LEASES, request))
        lost = {(lease.task_id, lease.lease_number) for lease in answer.lost}
        if answer.HasField("extend_after"):
            self._extend_after = _seconds(answer.extend_after)
        return {number for number, row in due.items() if row[:2] in lost}

    def _extend_one(self, row: LeaseRow) -> bool:
        """Extend one lease through the public API, and return whether the server did so."""
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
        if answer.status in FINAL_STATUSES:
            raise _FinalStatusError(f"HTTP {answer.status}")
        if answer.status != 200:
            raise ChannelError(f"HTTP {answer.status}")
        return answer.body

    def _cause(self) -> str:
        """Return the cause of the death for the report. The exit code is unknown: only the parent process learns it."""
        return (
            f"process {self._runner_pid} on {socket.gethostname()} ended unexpectedly; it may have been killed, "
            "run out of memory, or crashed in native code"
        )


class _FinalStatusError(ChannelError):
    """The server rejected a request in a way that a repetition would not change."""


def main() -> None:
    """Entry point of the heartbeat process; reads its configuration from stdin."""
    # The runner decides when this process ends, so it ignores Ctrl-C and other signals to the process group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the runner died before it wrote the configuration
    settings = json.loads(line)
    runner_pid = settings["runner_pid"]
    table = LeaseTable(settings["table"], settings["rows"])
    heartbeat = Heartbeat(
        Channel(settings["url"], settings["headers"], settings["proxy"]),
        table,
        runner_id=bytes.fromhex(settings["runner_id"]),
        has_extension=settings["has_extension"],
        runner_pid=runner_pid,
    )
    stop = threading.Event()
    threading.Thread(target=_wait_for_end_of_stdin, args=(stop, heartbeat), daemon=True).start()
    heartbeat.run(stop)
    if _is_gone(runner_pid, timeout_seconds=EXIT_TIMEOUT_SECONDS if stop.is_set() else 0.0):
        heartbeat.report_death()
        table.close()


def _leases(rows: Iterable[LeaseRow]) -> list[runners_pb2.TaskLeaseNumber]:
    return [runners_pb2.TaskLeaseNumber(task_id=task_id, lease_number=number) for task_id, number, _ in rows]


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _wait_for_end_of_stdin(stop: threading.Event, heartbeat: Heartbeat) -> None:
    sys.stdin.buffer.read()
    stop.set()
    heartbeat.cancel()


def _is_gone(pid: int, timeout_seconds: float = 0.0) -> bool:
    """Return whether the process of the runner has ended, or ends within a time.

    The end of stdin does not prove it: the runner may have replaced itself by another program, or closed its files.
    Stdin may also stay open after its death, if a task forked a process that inherited the pipe.
    """
    deadline = time.monotonic() + timeout_seconds
    while pid and _is_alive(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(EXIT_CHECK_SECONDS)
    return bool(pid)


def _is_alive(pid: int) -> bool:
    """Return whether a process is alive; True in case of doubt."""
    # The runner is usually the parent. It is not if a launcher stands between it and this interpreter.
    if os.getppid() == pid or os.name != "posix":
        return True
    state = _process_state(pid)
    if state:
        return state not in (b"Z", b"X")
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _is_stopped(pid: int) -> bool:
    """Return whether a process is suspended. Its leases must then expire, like those of a dead process."""
    return bool(pid) and _process_state(pid) == b"T"


def _process_state(pid: int) -> bytes:
    """Return the state of a process, one letter, or nothing on a system without /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would cost a megabyte
            return file.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""
