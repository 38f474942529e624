"""The least work for durability: write to a file and wait for the disk."""

from __future__ import annotations

import os

_WRITE_BYTES = 8192
_FILE_BYTES = 4 << 20


class Disk:
    """A file of fixed length that is overwritten in a circle.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._position = 0
        os.write(self._file, bytes(_FILE_BYTES))
        os.fsync(self._file)

    def write_durably(self) -> None:
        """Write `_WRITE_BYTES` bytes and wait until they are on the disk."""
        os.pwrite(self._file, bytes(_WRITE_BYTES), self._position)
        os.fdatasync(self._file)
        self._position = (self._position + _WRITE_BYTES) % _FILE_BYTES
