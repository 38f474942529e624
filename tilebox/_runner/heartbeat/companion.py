"""The companion of a runner: a process of its own that extends the leases of what the runner executes.

    python -m tilebox._runner.heartbeat

A task may hold the interpreter lock for as long as it likes; nothing else in its process runs then,
but this does. It learns where the server is from its standard input, which also tells it when the
runner is gone, and what is executing from a table in shared memory. If the runner dies, it says so, and
what was executing then: nothing else that the runner held is to blame. It imports little, and speaks the
few messages that it needs without the protobuf library, so that it stays small.
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

from tilebox._runner.channel import Channel, ChannelError, Ticket
from tilebox._runner.heartbeat.table import LeaseTable

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._ticket = Ticket()

    def run(self, stop: threading.Event) -> None:
        """Extend leases until told to stop, until there was nothing to do for a while, or until the runner is gone."""
        while not stop.is_set() and time.monotonic() - self._busy < IDLE_SECONDS and not _is_gone(self._runner_pid):
            stop.wait(self.round())

    def interrupt(self) -> None:
        """End a request under way; no other one is made."""
        self._ticket.interrupt()

    def report_death(self) -> None:
        """Say that the runner is dead, and what it was executing; for as long as its leases last, if nobody listens.

        What else it held can be given to others at once then, and does not count a crash.
        """
        lease_seconds = self._table.times()[1]
        if not self._is_extended or not lease_seconds:
            return  # it held nothing but what was executing, or never anything
        executing = b"".join(_field(2, _field(1, row[0]) + _number(2, row[1])) for row in self._table.read().values())
        words = _field(1, self._runner_id) + executing + _field(3, self._cause().encode())
        deadline = time.monotonic() + lease_seconds
        pause, is_said = FIRST_PAUSE_SECONDS, False
        while True:
            try:
                # Not under the ticket of the rounds, which ends with them.
                self._post(REPORT_DEATH, words, Ticket())
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
        leases = b"".join(_field(6, _field(1, mate[0]) + _number(2, mate[1])) for mate in given)
        try:
            self._post(EXCHANGE, _field(1, self._runner_id) + leases)
        except ChannelError:
            return  # tried again in the next round
        self._settled.update(given)

    def _extend(self, due: dict[int, tuple[bytes, int, float]], now: float) -> None:
        try:
            if self._is_extended:
                lost = self._extend_together(due)
            else:
                lost = {number for number, row in due.items() if not self._extend_singly(row)}
        except (ChannelError, ValueError):
            return  # tried again in the next round; nothing is lost before the lease is over
        for number, row in due.items():
            if number in lost:
                self._table.mark_lost(number, row[1])
            else:
                self._due[row] = now + (self._extend_after or self._table.times()[0])

    def _extend_together(self, due: dict[int, tuple[bytes, int, float]]) -> set[int]:
        leases = b"".join(_field(2, _field(1, row[0]) + _number(2, row[1])) for row in due.values())
        answer = self._post(EXTEND_LEASES, _field(1, self._runner_id) + leases)
        lost = set()
        for number, value in _fields(answer):
            if number == 1 and isinstance(value, bytes):
                lease = dict(_fields(value))
                lost.add((lease.get(1, b""), lease.get(2, 0)))
            elif number == 3 and isinstance(value, bytes):
                self._extend_after = _seconds(value)
        return {number for number, row in due.items() if (row[0], row[1]) in lost}

    def _extend_singly(self, row: tuple[bytes, int, float]) -> bool:
        """Return whether one lease was extended, by the public wire."""
        wanted = int(2 * self._table.times()[1]) or 120
        answer = self._post(EXTEND_TASK_LEASE, _field(1, _field(1, row[0])) + _field(2, _number(1, wanted)))
        lease = dict(_fields(answer))
        granted, wait = lease.get(1, b""), lease.get(2, b"")
        if not isinstance(granted, bytes) or not _seconds(granted):
            return False
        if isinstance(wait, bytes) and _seconds(wait):
            self._extend_after = _seconds(wait)
        return True

    def _post(self, method: str, body: bytes, ticket: Ticket | None = None) -> bytes:
        answer = self._channel.post(method, body, seconds=ANSWER_SECONDS, ticket=ticket or self._ticket)
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
    """Be the companion of the runner whose words arrive on the standard input."""
    # The runner decides when this ends; Ctrl-C and what else is sent to the group are for the runner.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the runner was gone before it could say anything
    words = json.loads(line)
    runner_pid = words["runner_pid"]
    table = LeaseTable(words["table"], words["rows"])
    companion = Companion(
        Channel(words["url"], words["headers"], words["proxy"]),
        table,
        runner_id=bytes.fromhex(words["runner_id"]),
        is_extended=words["is_extended"],
        runner_pid=runner_pid,
    )
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop, companion), daemon=True).start()
    companion.run(stop)
    if _is_gone(runner_pid, patience_seconds=DYING_SECONDS if stop.is_set() else 0.0):
        companion.report_death()
        table.close()


def _wait_for_end(stop: threading.Event, companion: Companion) -> None:
    sys.stdin.buffer.read()
    stop.set()
    companion.interrupt()


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


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of all fields of a message.

    Raises:
        ValueError: It is cut off.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == 0:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        if kind == 2:
            size, position = _read_varint(message, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("a field of no known kind")
        if position + size > len(message):
            raise ValueError("the message is cut off")
        yield key >> 3, message[position : position + size]
        position += size


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("the message is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _seconds(duration: bytes) -> float:
    parts = dict(_fields(duration))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    return (seconds if isinstance(seconds, int) else 0) + (nanos if isinstance(nanos, int) else 0) / 1e9
