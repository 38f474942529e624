"""Durability of commits on a local disk, where Lance itself syncs nothing.

Files are synced in the order in which they refer to each other: data and deletion files with their
directories before the commit, the manifest after it. Only then is the write acknowledged. A manifest
that a power loss truncated belongs to a commit that was never acknowledged, so opening sets it aside.
An object store acknowledges only durable writes, so nothing needs to be synced there.
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

_SYNC_THREADS = 8

LAST_VERSION = 2**64 - 1
"""The name of a manifest is this number minus its version, so that the newest sorts first."""


class LocalDisk:
    """Durability of one table in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sync_created(self) -> None:
        """Sync all files of a table that was just created, and its entry in the parent folder."""
        self._sync_tree(self._folder)
        _sync([self._folder.parent])

    def sync_fragments(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Sync the data files of fragments that are about to be committed."""
        files = [self._folder / "data" / file.path for fragment in fragments for file in fragment.files]
        _sync([*files, self._folder / "data"] if files else [])

    def sync_deletions(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Sync the deletion files of fragments that are about to be committed."""
        deletions = [(part.id, part.deletion_file) for part in fragments if part.deletion_file is not None]
        files = [self._folder / file.path(number) for number, file in deletions]
        _sync([*files, self._folder / "_deletions", self._folder] if files else [])

    def sync_commit(self, transaction: str, read: int, committed: int) -> None:
        """Sync the manifest of a committed version, and the record of its transaction.

        Args:
            transaction: Id of the transaction.
            read: The version that the transaction was prepared on.
            committed: The version that it created.
        """
        record = self._folder / "_transactions" / f"{read}-{transaction}.txn"
        manifest = self._manifest(committed)
        _sync([record, record.parent, manifest, manifest.parent])

    def sync_versions(self, after: int, last: int) -> None:
        """Sync the manifests of several versions, and the records of their transactions.

        Args:
            after: The version before the first of them.
            last: The newest of them.
        """
        records = self._folder / "_transactions"
        transactions = [Path(entry.path) for entry in os.scandir(records) if after <= _read_version(entry.name) <= last]
        manifests = [path for path in map(self._manifest, range(after + 1, last + 1)) if path.exists()]
        _sync([*transactions, records, *manifests, self._folder / "_versions"])

    def sync_data(self) -> None:
        """Sync all data files, for merged fragments, whose files Lance does not name before their commit.

        Syncing a file that is on the disk already costs next to nothing.
        """
        self._sync_tree(self._folder / "data")

    def sync_indexes(self, segments: Iterable[str]) -> None:
        """Sync the files of index segments that are about to be committed."""
        indices = self._folder / "_indices"
        for segment in segments:
            self._sync_tree(indices / segment)
        _sync([indices, self._folder])

    def temporary_name(self, name: str) -> str:
        """Return the name under which a file beside the table is written until it is complete."""
        return f"{name}.part"

    def publish_file(self, folder: str, temporary: str, name: str) -> None:
        """Sync a complete file beside the table, then rename it to its final name."""
        path = Path(folder)
        _sync([path / temporary])
        (path / temporary).rename(path / name)
        _sync([path, self._folder])

    def recover(self) -> None:
        """Set aside manifests that a power loss truncated, if an older one can be read.

        Raises:
            OSError: No manifest can be read; nothing was changed.
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
            raise OSError(
                f"no version of the datapoint table {self._folder} can be read; restore the folder from a backup"
            )
        for manifest in torn:
            manifest.rename(manifest.with_suffix(".torn"))
        _sync([self._folder / "_versions"])

    def _manifest(self, version: int) -> Path:
        return self._folder / "_versions" / f"{LAST_VERSION - version}.manifest"

    def _sync_tree(self, top: Path) -> None:
        for folder, _, names in os.walk(top):
            # Other writers sync their own files; the ones that they are writing have hidden names, and come and go.
            with suppress(FileNotFoundError):
                _sync([Path(folder) / name for name in names if not name.startswith(".")])
            _sync([Path(folder)])


class ObjectStore(LocalDisk):
    """Durability in an object store: nothing to do, because it acknowledges only durable writes."""

    def __init__(self) -> None:
        pass

    def sync_created(self) -> None:
        """Do nothing."""

    def sync_fragments(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Do nothing."""

    def sync_deletions(self, fragments: Iterable[FragmentMetadata]) -> None:
        """Do nothing."""

    def sync_commit(self, transaction: str, read: int, committed: int) -> None:
        """Do nothing."""

    def sync_versions(self, after: int, last: int) -> None:
        """Do nothing."""

    def sync_data(self) -> None:
        """Do nothing."""

    def sync_indexes(self, segments: Iterable[str]) -> None:
        """Do nothing."""

    def temporary_name(self, name: str) -> str:
        """Return the name itself: an object appears only when it is complete."""
        return name

    def publish_file(self, folder: str, temporary: str, name: str) -> None:
        """Do nothing."""

    def recover(self) -> None:
        """Do nothing: an object is stored completely or not at all."""


def _read_version(record: str) -> int:
    """Return the version that a transaction was prepared on, from its file name `<version>-<uuid>.txn`."""
    number = record.partition("-")[0]
    return int(number) if number.isdecimal() else -1


def durability_of(uri: str) -> LocalDisk:
    """Return the durability of the storage that a table is in."""
    return ObjectStore() if "://" in uri else LocalDisk(Path(uri))


def _sync(paths: Sequence[Path]) -> None:
    """Sync files and folders concurrently: a disk carries out flushes together if it gets them together."""
    pending = [_sync_pool().submit(_sync_one, path) for path in paths[1:]]
    try:
        # This thread would only wait, so it syncs one itself: a thread switch takes about as long as a flush.
        for path in paths[:1]:
            _sync_one(path)
    finally:
        wait(pending)
    for future in pending:
        future.result()


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _sync_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="tilebox-sync")
