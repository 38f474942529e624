"""Retention of old versions of a table that a client may still read.

A server process that gives a version to a client, to read further pages or to resume a stream, marks it. On a
local disk the mark is an empty file, seen by every process, whose age counts. Versions without a mark are removed
after a short grace period, because listing thousands of them slows every commit. In an object store the newest
version is found without listing the others, so all versions are kept as long as a marked one.
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
"""How long a version without a mark is kept: longer than any single request should read it."""


class LocalSnapshots:
    """Marks and versions of a table in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._versions = folder / "_versions"
        self._marks = folder / "_snapshots"
        self._marked: dict[int, float] = {}

    def mark(self, version: int, *, every_seconds: float = 60.0) -> None:
        """Keep a version for the retention from now on. Touch its mark at most once in `every_seconds`."""
        now = time.time()
        if now - self._marked.get(version, 0.0) > every_seconds:
            self._marks.mkdir(exist_ok=True)
            (self._marks / str(version)).touch()
            self._marked = {number: at for number, at in self._marked.items() if now - at < every_seconds}
            self._marked[version] = now

    def remove_old(self, dataset: lance.LanceDataset, retention: timedelta, pinned: set[int]) -> int:
        """Remove versions that no reader needs any more.

        Args:
            dataset: The newest version, which is kept.
            retention: How long a marked version is kept.
            pinned: Versions that readers of this process read.

        Returns:
            The number of bytes freed.
        """
        now, seconds = time.time(), retention.total_seconds()
        kept = {dataset.version, *pinned, *self._fresh_marks(now - seconds)}
        oldest = now - min(GRACE_SECONDS, seconds)
        removed = [version for version, at in self._existing() if at < oldest and version not in kept]
        return int(dataset.cleanup_old_versions(versions=removed).bytes_removed) if removed else 0

    def _fresh_marks(self, oldest: float) -> set[int]:
        fresh = set()
        for entry in os.scandir(self._marks) if self._marks.is_dir() else ():
            if entry.stat().st_mtime >= oldest:
                fresh.add(int(entry.name))
            else:
                Path(entry.path).unlink(missing_ok=True)
        return fresh

    def _existing(self) -> list[tuple[int, float]]:
        entries = [entry for entry in os.scandir(self._versions) if entry.name.endswith(".manifest")]
        return [(LAST_VERSION - int(entry.name.partition(".")[0]), entry.stat().st_mtime) for entry in entries]


class RemoteSnapshots(LocalSnapshots):
    """Versions of a table in an object store, all of which are kept for the retention."""

    def __init__(self) -> None:
        pass

    def mark(self, version: int, *, every_seconds: float = 60.0) -> None:
        """Do nothing: every version is kept."""

    def remove_old(self, dataset: lance.LanceDataset, retention: timedelta, pinned: set[int]) -> int:
        """Remove versions older than the retention, unless a reader of this process reads an older version."""
        if any(version < dataset.version for version in pinned):
            return 0
        return int(dataset.cleanup_old_versions(older_than=retention).bytes_removed)


def snapshots_of(uri: str) -> LocalSnapshots:
    """Return the retention of the storage that a table is in."""
    return RemoteSnapshots() if "://" in uri else LocalSnapshots(Path(uri))
