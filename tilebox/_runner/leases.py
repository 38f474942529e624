"""The tasks that a runner executes, in memory that it shares with its companion process.

The runner writes a row when a task starts and clears it when it ends, which costs a microsecond and
needs nobody's attention. The companion reads the rows when it is time to extend leases, also while a
task in the runner holds the interpreter lock.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress

# Seconds until a new lease should be extended; seconds that it lasts.
HEADER = struct.Struct("<dd")
# Version of the row, odd while it is written; id of the task, number of its lease, since when, number of a lost lease.
ROW = struct.Struct("<Q16sQdQ")
VERSION = struct.Struct("<Q")
LOST_OFFSET = ROW.size - VERSION.size
# No lease has it.
NONE_LOST = (1 << 64) - 1


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
            self._memory = mmap.mmap(file.fileno(), HEADER.size + rows * ROW.size)
        self._versions = [0] * rows

    @classmethod
    def create(cls, rows: int) -> LeaseTable:
        """Return a new, empty table in a file of its own, which `close` removes."""
        import tempfile  # which the companion has no use for

        number, path = tempfile.mkstemp(prefix="tilebox-leases-")
        os.truncate(number, HEADER.size + rows * ROW.size)
        os.close(number)
        return cls(path, rows)

    def set_times(self, extend_after_seconds: float, lease_seconds: float) -> None:
        """Note when leases should be extended, and how long they last."""
        HEADER.pack_into(self._memory, 0, extend_after_seconds, lease_seconds)

    def times(self) -> tuple[float, float]:
        """Return what `set_times` noted."""
        extend_after, lease = HEADER.unpack_from(self._memory, 0)
        return extend_after, lease

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

    def _offset(self, row: int) -> int:
        return HEADER.size + row * ROW.size
