"""Which old versions of a table somebody may still read.

Whoever hands a version to a client, to read further pages or to resume a stream, marks it: on a local disk
with an empty file whose age counts, seen by every process. Versions without a mark go after a short grace,
because listing thousands of them slows every commit. In an object store the newest version is found
without listing the others, so there all are kept as long as a mark would be.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tilebox.server.points.durability import LAST_VERSION

if TYPE_CHECKING:
    from datetime import timedelta

    import lance

GRACE_SECONDS = 120.0
"""How long a version is kept that no client was told of: longer than any single request should read it."""


class LocalSnapshots:
    """Marks and versions of a table in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._versions = folder / "_versions"
        self._marks = folder / "_snapshots"
        self._marked: dict[int, float] = {}

    def mark(self, version: int, *, every_seconds: float = 60.0) -> None:
        """Keep a version, for the retention from now on."""
        now = time.time()
        if now - self._marked.get(version, 0.0) > every_seconds:
            self._marks.mkdir(exist_ok=True)
            (self._marks / str(version)).touch()
            self._marked = {number: at for number, at in self._marked.items() if now - at < every_seconds}
            self._marked[version] = now

    def remove_old(self, dataset: lance.LanceDataset, retention: timedelta, pinned: set[int]) -> int:
        """Remove versions that nobody may read any more, and return the bytes freed."""
        now, seconds = time.time(), retention.total_seconds()
        kept = {dataset.version, *pinned, *self._fresh_marks(now - seconds)}
        oldest = now - min(GRACE_SECONDS, seconds)
        removed = [version for version, at in self._present() if at < oldest and version not in kept]
        return int(dataset.cleanup_old_versions(versions=removed).bytes_removed) if removed else 0

    def _fresh_marks(self, oldest: float) -> set[int]:
        fresh = set()
        for entry in os.scandir(self._marks) if self._marks.is_dir() else ():
            if entry.stat().st_mtime >= oldest:
                fresh.add(int(entry.name))
            else:
                Path(entry.path).unlink(missing_ok=True)
        return fresh

    def _present(self) -> list[tuple[int, float]]:
        entries = [entry for entry in os.scandir(self._versions) if entry.name.endswith(".manifest")]
        return [(LAST_VERSION - int(entry.name.partition(".")[0]), entry.stat().st_mtime) for entry in entries]


class RemoteSnapshots(LocalSnapshots):
    """Versions of a table in an object store, which all are kept for the retention."""

    def __init__(self) -> None:
        pass

    def mark(self, version: int, *, every_seconds: float = 60.0) -> None:
        """Do nothing: every version is kept."""

    def remove_old(self, dataset: lance.LanceDataset, retention: timedelta, pinned: set[int]) -> int:
        """Remove versions older than the retention, unless a reader of this process reads one as old."""
        if any(version < dataset.version for version in pinned):
            return 0
        return int(dataset.cleanup_old_versions(older_than=retention).bytes_removed)


def snapshots_of(uri: str) -> LocalSnapshots:
    """Return what keeps the versions of a table."""
    return RemoteSnapshots() if "://" in uri else LocalSnapshots(Path(uri))
