"""The least that is done to keep something: it is written, and the disk is waited for."""

from __future__ import annotations

import os

_KEPT_BYTES = 8192
_FILE_BYTES = 4 << 20


class Disk:
    """A file of fixed length that is written round and round.

    Args:
        path: The file.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        self._position = 0
        os.write(self._file, bytes(_FILE_BYTES))
        os.fsync(self._file)

    def keep(self) -> None:
        """Write something, and wait until it is on the disk."""
        os.pwrite(self._file, bytes(_KEPT_BYTES), self._position)
        os.fdatasync(self._file)
        self._position = (self._position + _KEPT_BYTES) % _FILE_BYTES
