"""The tasks that a runner executes, in memory that it shares with its companion process.

The runner writes a row when a task starts and clears it when it ends, which costs a microsecond and
needs nobody's attention. The companion reads the rows when it is time to extend leases, also while a
task in the runner holds the interpreter lock.

Behind the rows stand the tasks that came lately, in a ring that nobody tidies up: most are
long done. They matter only if the interpreter lock is held for so long that those that have not begun,
or whose results are not delivered, would be waited for too long: the companion gives them back then.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Seconds until a new lease should be extended; seconds that it lasts; when the runner's loop last had its turn; when
# the companion last gave something back.
HEADER = struct.Struct("<dddd")
TIME = struct.Struct("<d")
TURN_OFFSET, GIVEN_BACK_OFFSET = 2 * TIME.size, 3 * TIME.size
# Version of the row, odd while it is written; id of the task, number of its lease, since when, number of a lost lease.
ROW = struct.Struct("<Q16sQdQ")
VERSION = struct.Struct("<Q")
LOST_OFFSET = ROW.size - VERSION.size
# No lease has it.
NONE_LOST = (1 << 64) - 1
# Of the ring: id of the task, number of its lease, since when.
MATE = struct.Struct("<16sQd")
MATES_PER_ROW = 512  # two of the largest batches


class LeaseTable:
    """Rows in a file that is mapped into memory.

    Args:
        path: The file.
        rows: How many there are.
    """

    def __init__(self, path: str, rows: int) -> None:
        self.path = path
        self.rows = rows
        with open(path, "r+b") as file:  # noqa: PTH123 - pathlib would cost the companion a megabyte
            self._memory = mmap.mmap(file.fileno(), self._size(rows))
        self._versions = [0] * rows
        self._next_mate = 0

    @classmethod
    def create(cls, rows: int) -> LeaseTable:
        """Return a new, empty table in a file of its own, which `close` removes."""
        import tempfile  # which the companion has no use for

        number, path = tempfile.mkstemp(prefix="tilebox-leases-")
        os.truncate(number, cls._size(rows))
        os.close(number)
        return cls(path, rows)

    def set_times(self, extend_after_seconds: float, lease_seconds: float) -> None:
        """Note when leases should be extended, and how long they last."""
        TIME.pack_into(self._memory, 0, extend_after_seconds)
        TIME.pack_into(self._memory, TIME.size, lease_seconds)

    def times(self) -> tuple[float, float]:
        """Return what `set_times` noted."""
        extend_after, lease, _, _ = HEADER.unpack_from(self._memory, 0)
        return extend_after, lease

    def note_turn(self, now: float) -> None:
        """Note that the runner's loop has its turn, so that no task holds the interpreter lock."""
        TIME.pack_into(self._memory, TURN_OFFSET, now)

    def last_turn(self) -> float:
        """Return what `note_turn` noted."""
        (turn,) = TIME.unpack_from(self._memory, TURN_OFFSET)
        return float(turn)

    def note_given_back(self, now: float) -> None:
        """Note, from the companion's side, that what came before and is not executing will be given back.

        It looks what is executing after this, and the runner looks at this after it has noted what it is about to
        execute, so that one of them sees the other.
        """
        TIME.pack_into(self._memory, GIVEN_BACK_OFFSET, now)

    def given_back(self) -> float:
        """Return what `note_given_back` noted."""
        (given_back,) = TIME.unpack_from(self._memory, GIVEN_BACK_OFFSET)
        return float(given_back)

    def note_batch(self, leases: Iterable[tuple[bytes, int]], since: float) -> None:
        """Note tasks and lease numbers that came. Those that came long before are forgotten for them."""
        memory, ring, position = self._memory, self._offset(self.rows), self._next_mate
        for task_id, number in leases:
            MATE.pack_into(memory, ring + position * MATE.size, task_id, number, since)
            position = (position + 1) % (self.rows * MATES_PER_ROW)
        self._next_mate = position

    def mates(self) -> list[tuple[bytes, int, float]]:
        """Return id, lease number and start of tasks that came lately, whatever has become of them.

        Of one that is written just now, parts may be those of another; no lease is like that.
        """
        ring = self._memory[self._offset(self.rows) :]
        return [mate for mate in MATE.iter_unpack(ring) if mate[2]]

    def set(self, row: int, task_id: bytes, lease_number: int, since: float) -> None:
        """Note that a task is ours since a time on the clock that never goes back."""
        self._write(row, task_id, lease_number, since)

    def clear(self, row: int) -> None:
        """Note that a task has ended."""
        self._write(row, b"", 0, 0.0)

    def mark_lost(self, row: int, lease_number: int) -> None:
        """Note, from the companion's side, that a lease is lost."""
        VERSION.pack_into(self._memory, self._offset(row) + LOST_OFFSET, lease_number)

    def is_lost(self, row: int, lease_number: int) -> bool:
        """Tell whether the companion heard that a lease is lost."""
        (lost,) = VERSION.unpack_from(self._memory, self._offset(row) + LOST_OFFSET)
        return bool(lost == lease_number)

    def read(self) -> dict[int, tuple[bytes, int, float]]:
        """Return id, lease number and start of all tasks, by row; rows that are being written are left out."""
        found = {}
        for row in range(self.rows):
            version, task_id, lease_number, since, lost = ROW.unpack_from(self._memory, self._offset(row))
            (again,) = VERSION.unpack_from(self._memory, self._offset(row))
            if since and version == again and version % 2 == 0 and lost != lease_number:
                found[row] = (task_id, lease_number, since)
        return found

    def close(self) -> None:
        """Remove the table."""
        self._memory.close()
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 - see above

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
        return cls._offset(rows) + rows * MATES_PER_ROW * MATE.size
