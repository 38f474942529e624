"""The tasks that a runner executes, in memory that it shares with its heartbeat process.

The runner writes a row when a task starts and clears it when the task ends, which costs a microsecond and needs no
system call. The heartbeat process reads the rows when leases are due, also while a task holds the interpreter lock of
the runner.

After the rows follows a ring buffer of recently claimed tasks. The runner never removes entries, so most of those tasks
are long done. The heartbeat process reads it only if a task holds the interpreter lock for too long. It then returns
the tasks to the server that have not started, or whose reports were not delivered.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

# Seconds after which to extend a lease; seconds that a lease lasts; time at which the runner's loop last ran; time at
# which the heartbeat process last returned tasks.
HEADER = struct.Struct("<dddd")
TIME = struct.Struct("<d")
LOOP_TIME_OFFSET, RETURNED_OFFSET = 2 * TIME.size, 3 * TIME.size
# Version of the row, odd during a write; task id; lease number; time of the claim; number of a lost lease.
ROW = struct.Struct("<Q16sQdQ")
VERSION = struct.Struct("<Q")
LOST_OFFSET = ROW.size - VERSION.size
# A number that no lease has.
NONE_LOST = (1 << 64) - 1
# An entry of the ring buffer: task id; lease number; time of the claim.
CLAIM = struct.Struct("<16sQd")
CLAIMS_PER_ROW = 512  # two of the largest batches

LeaseRow: TypeAlias = tuple[bytes, int, float]
"""Task id, lease number, and the time of the claim on the monotonic clock."""


class LeaseTable:
    """The rows and the ring buffer, in a file that is mapped into memory.

    Args:
        path: The path of the file.
        rows: The number of rows, one for each slot.
    """

    def __init__(self, path: str, rows: int) -> None:
        self.path = path
        self.rows = rows
        with open(path, "r+b") as file:  # noqa: PTH123 - pathlib would cost the heartbeat process a megabyte
            self._memory = mmap.mmap(file.fileno(), self._size(rows))
        self._versions = [0] * rows
        self._next_claim = 0

    @classmethod
    def create(cls, rows: int) -> LeaseTable:
        """Create an empty table in a temporary file, which `close` removes."""
        import tempfile  # only the runner needs it, and the heartbeat process must stay small

        number, path = tempfile.mkstemp(prefix="tilebox-leases-")
        os.truncate(number, cls._size(rows))
        os.close(number)
        return cls(path, rows)

    def set_times(self, extend_after_seconds: float, lease_seconds: float) -> None:
        """Set the seconds after which to extend a lease, and the seconds that it lasts."""
        TIME.pack_into(self._memory, 0, extend_after_seconds)
        TIME.pack_into(self._memory, TIME.size, lease_seconds)

    def times(self) -> tuple[float, float]:
        """Return the two durations of `set_times`."""
        extend_after, lease, _, _ = HEADER.unpack_from(self._memory, 0)
        return extend_after, lease

    def record_loop_time(self, now: float) -> None:
        """Record that the runner's loop runs at this time, so no task holds the interpreter lock."""
        TIME.pack_into(self._memory, LOOP_TIME_OFFSET, now)

    def loop_time(self) -> float:
        """Return the time at which the runner's loop last ran."""
        (loop_time,) = TIME.unpack_from(self._memory, LOOP_TIME_OFFSET)
        return float(loop_time)

    def record_return(self, now: float) -> None:
        """Record that the heartbeat process is about to return the tasks that are not executing.

        It reads the executing tasks after this write, and the runner reads `returned_at` after it has written the task
        that it is about to execute. So at least one of them sees the write of the other.
        """
        TIME.pack_into(self._memory, RETURNED_OFFSET, now)

    def returned_at(self) -> float:
        """Return the time at which the heartbeat process last returned tasks."""
        (returned_at,) = TIME.unpack_from(self._memory, RETURNED_OFFSET)
        return float(returned_at)

    def record_claims(self, leases: Iterable[tuple[bytes, int]], since: float) -> None:
        """Add the ids and lease numbers of claimed tasks to the ring buffer, in place of the oldest ones."""
        memory, ring, position = self._memory, self._offset(self.rows), self._next_claim
        for task_id, number in leases:
            CLAIM.pack_into(memory, ring + position * CLAIM.size, task_id, number, since)
            position = (position + 1) % (self.rows * CLAIMS_PER_ROW)
        self._next_claim = position

    def recent_claims(self) -> list[LeaseRow]:
        """Return the recently claimed tasks, whether or not they are done.

        An entry that is being written may mix two tasks. That is harmless, since no lease matches such an entry.
        """
        ring = self._memory[self._offset(self.rows) :]
        return [claim for claim in CLAIM.iter_unpack(ring) if claim[2]]

    def set(self, row: int, task_id: bytes, lease_number: int, since: float) -> None:
        """Write the executing task of a row, and the time of its claim on the monotonic clock."""
        self._write(row, task_id, lease_number, since)

    def clear(self, row: int) -> None:
        """Clear a row, because its task has ended."""
        self._write(row, b"", 0, 0.0)

    def mark_lost(self, row: int, lease_number: int) -> None:
        """Mark a lease as lost. Only the heartbeat process calls it."""
        VERSION.pack_into(self._memory, self._offset(row) + LOST_OFFSET, lease_number)

    def is_lost(self, row: int, lease_number: int) -> bool:
        """Return whether the heartbeat process has marked a lease as lost."""
        (lost,) = VERSION.unpack_from(self._memory, self._offset(row) + LOST_OFFSET)
        return bool(lost == lease_number)

    def read(self) -> dict[int, LeaseRow]:
        """Return the executing tasks by row, without lost leases and without rows that are being written."""
        tasks = {}
        for row in range(self.rows):
            version, task_id, lease_number, since, lost = ROW.unpack_from(self._memory, self._offset(row))
            (version_after,) = VERSION.unpack_from(self._memory, self._offset(row))
            if since and version == version_after and version % 2 == 0 and lost != lease_number:
                tasks[row] = (task_id, lease_number, since)
        return tasks

    def close(self) -> None:
        """Unmap the table and remove its file."""
        self._memory.close()
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 - pathlib is too large, as above

    def _write(self, row: int, task_id: bytes, lease_number: int, since: float) -> None:
        offset = self._offset(row)
        version = self._versions[row] + 2
        self._versions[row] = version
        VERSION.pack_into(self._memory, offset, version - 1)
        ROW.pack_into(self._memory, offset, version - 1, task_id, lease_number, since, NONE_LOST)
        VERSION.pack_into(self._memory, offset, version)

    @staticmethod
    def _offset(row: int) -> int:
        return HEADER.size + row * ROW.size

    @classmethod
    def _size(cls, rows: int) -> int:
        return cls._offset(rows) + rows * CLAIMS_PER_ROW * CLAIM.size
