"""What makes an acknowledged commit survive power loss on a local disk, where Lance itself syncs nothing.

Files are synced in the order in which they refer to each other: data and deletion files with their
directories before the commit, the manifest after it; only then is the write acknowledged. A manifest
that was cut off by a power loss belongs to a commit nobody was told of, so opening sets it aside.
An object store acknowledges only what is durable, so there it is all nothing to do.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import lance

from tilebox.server.points.columns import remembered_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lance.fragment import FragmentMetadata

_FLUSHES_AT_ONCE = 8

LAST_VERSION = 2**64 - 1
"""Manifests are named by the distance of their version from this one."""


class LocalDisk:
    """Syncs the files of one table in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sync_created(self) -> None:
        """Sync everything of a table that was just created, and its place in the parent folder."""
        self._sync_tree(self._folder)
        _sync([self._folder.parent])

    def sync_fragments(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Sync the data files of fragments that are about to be committed."""
        files = [self._folder / "data" / file.path for fragment in fragments for file in fragment.files]
        _sync([*files, self._folder / "data"] if files else [])

    def sync_deletions(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Sync the deletion files of fragments that are about to be committed."""
        deletions = [(one.id, one.deletion_file) for one in fragments if one.deletion_file is not None]
        files = [self._folder / file.path(number) for number, file in deletions]
        _sync([*files, self._folder / "_deletions", self._folder] if files else [])

    def sync_commit(self, transaction: str, read: int, committed: int) -> None:
        """Sync the manifest of a version, and the record of the transaction of that name, prepared on another."""
        record = self._folder / "_transactions" / f"{read}-{transaction}.txn"
        manifest = self._manifest(committed)
        _sync([record, record.parent, manifest, manifest.parent])

    def sync_versions(self, after: int, last: int) -> None:
        """Sync the manifests of versions, and the records of their transactions.

        Args:
            after: The version that they were committed upon.
            last: The newest of them.
        """
        records = self._folder / "_transactions"
        own = [Path(entry.path) for entry in os.scandir(records) if after <= _read_version(entry.name) <= last]
        manifests = [path for path in map(self._manifest, range(after + 1, last + 1)) if path.exists()]
        _sync([*own, records, *manifests, self._folder / "_versions"])

    def sync_data(self) -> None:
        """Sync the data files of merged fragments, which Lance does not name before they are committed.

        Syncing a file that is on the disk already costs next to nothing.
        """
        self._sync_tree(self._folder / "data")

    def sync_indexes(self, segments: Iterable[str]) -> None:
        """Sync the files of index segments that are about to be committed."""
        indices = self._folder / "_indices"
        for segment in segments:
            self._sync_tree(indices / segment)
        _sync([indices, self._folder])

    def unfinished(self, name: str) -> str:
        """Return the name under which a file beside the table is written, until it is whole."""
        return f"{name}.part"

    def finish(self, folder: str, written: str, name: str) -> None:
        """Sync a file beside the table that was written whole, and give it the name by which it is found."""
        path = Path(folder)
        _sync([path / written])
        (path / written).rename(path / name)
        _sync([path, self._folder])

    def recover(self) -> None:
        """Set aside manifests that a power loss cut off, if an older one can be read.

        Raises:
            OSError: None can be read; nothing was changed.
        """
        torn: list[Path] = []
        manifests = sorted((self._folder / "_versions").glob("*.manifest"))  # the newest first: names count down
        for manifest in manifests:
            version = LAST_VERSION - int(manifest.stem)
            try:
                remembered_schema(lance.dataset(str(self._folder), version=version).schema)
            except (OSError, ValueError):
                torn.append(manifest)
                continue
            break
        if len(torn) == len(manifests):
            raise OSError(f"no version of the datapoint table {self._folder} can be read")
        for manifest in torn:
            manifest.rename(manifest.with_suffix(".torn"))
        _sync([self._folder / "_versions"])

    def _manifest(self, version: int) -> Path:
        return self._folder / "_versions" / f"{LAST_VERSION - version}.manifest"

    def _sync_tree(self, top: Path) -> None:
        for folder, _, names in os.walk(top):
            # Writers beside us sync their own files; theirs under way have hidden names and come and go.
            with suppress(FileNotFoundError):
                _sync([Path(folder) / name for name in names if not name.startswith(".")])
            _sync([Path(folder)])


class ObjectStore(LocalDisk):
    """An object store, where there is nothing to sync."""

    def __init__(self) -> None:
        pass

    def sync_created(self) -> None:
        """Do nothing: what is stored is durable."""

    def sync_fragments(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Do nothing: what is stored is durable."""

    def sync_deletions(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Do nothing: what is stored is durable."""

    def sync_commit(self, transaction: str, read: int, committed: int) -> None:
        """Do nothing: what is stored is durable."""

    def sync_versions(self, after: int, last: int) -> None:
        """Do nothing: what is stored is durable."""

    def sync_data(self) -> None:
        """Do nothing: what is stored is durable."""

    def sync_indexes(self, segments: Iterable[str]) -> None:
        """Do nothing: what is stored is durable."""

    def unfinished(self, name: str) -> str:
        """Return the name itself: what is stored is whole."""
        return name

    def finish(self, folder: str, written: str, name: str) -> None:
        """Do nothing: what is stored is durable."""

    def recover(self) -> None:
        """Do nothing: an object is stored whole or not at all."""


def _read_version(record: str) -> int:
    """Return the version that a transaction was prepared on: its file is called `<version>-<uuid>.txn`."""
    number = record.partition("-")[0]
    return int(number) if number.isdecimal() else -1


def durability_of(uri: str) -> LocalDisk:
    """Return what syncs a table at a place."""
    return ObjectStore() if "://" in uri else LocalDisk(Path(uri))


def _sync(paths: Sequence[Path]) -> None:
    """Sync files and folders, all at once: flushes of a disk that are asked for together are carried out together."""
    waiting = [_flushes().submit(_sync_one, path) for path in paths[1:]]
    try:
        # One by this thread, which would only wait: a change of threads takes about as long as a flush.
        for path in paths[:1]:
            _sync_one(path)
    finally:
        wait(waiting)
    for one in waiting:
        one.result()


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _flushes() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FLUSHES_AT_ONCE, thread_name_prefix="tilebox-flush")
