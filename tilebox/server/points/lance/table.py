"""One Lance table: its versions, the statistics of its fragments, and commits of changes.

Everything here blocks; `store.py` calls it in worker threads.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import lance
from lance.fragment import write_fragments

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.points.columns import remembered_schema, stored_schema
from tilebox.server.points.durability import durability_of
from tilebox.server.points.index.fragments import StatisticsCache, merge_summaries
from tilebox.server.points.index.spatial_copies import SpatialCopies
from tilebox.server.points.lance.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from lance.fragment import FragmentMetadata

    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.index.fragments import FragmentInfo, Inventory, Selection
    from tilebox.server.points.interface import Summary

_CACHED_PLANS = 32
_CACHED_CURSORS = 1024

# Version 2.2, the default of this Lance, reads a page of a million rows for one row of a column whose values are all
# equal. That takes 5 ms per column; 2.1 takes 0.1 ms. Collections, band counts and flags are such columns.
_FILE_VERSION: Final = "2.1"


@dataclass(frozen=True)
class Version:
    """A version of a table. It never changes.

    Args:
        dataset: The Lance dataset at this version.
        number: The number by which later queries name it as their snapshot.
        schema: The schema of the dataset as of this version.
        stored: The Arrow schema of the table, internal columns included.
        inventory: Its fragments with their statistics.
    """

    dataset: lance.LanceDataset
    number: int
    schema: Schema
    stored: pa.Schema
    inventory: Inventory

    @property
    def fragments(self) -> tuple[FragmentInfo, ...]:
        """Its fragments with their statistics."""
        return self.inventory.parts

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns of a datapoint, without the internal ones."""
        return arrow_schema(self.schema)

    @cached_property
    def stored_names(self) -> frozenset[str]:
        """The names of all columns of the table."""
        return frozenset(self.stored.names)

    @cached_property
    def summary(self) -> dict[int, Summary]:
        """The summary of each collection, by number."""
        return merge_summaries(fragment.collections for fragment in self.fragments)

    def handle(self) -> lance.LanceDataset:
        """Return a new handle, for calls that move their handle to another version or lock it against readers."""
        return self.dataset.checkout_version(self.number)

    def select(self, collections: tuple[int, ...] | None, start_ms: int, end_ms: int) -> Selection:
        """Select the fragments that may have datapoints of collections (None: any) in a half-open interval."""
        return self.inventory.select(self.dataset, collections, start_ms, end_ms)


class Table:
    """A table that exists.

    Args:
        uri: A folder on disk or a URL of an object store.
        storage_options: Options of the object store.
        session: The Lance session with the caches that all tables share.

    Raises:
        NotFoundError: The table does not exist.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str], session: Any) -> None:
        self.uri = uri
        self.durability = durability_of(uri)
        self.snapshots = snapshots_of(uri)
        self.statistics = StatisticsCache()
        self.spatial_copies = SpatialCopies(uri, storage_options, self.durability)
        self.cleaned_version = 0
        """The newest version at the last removal of old versions."""
        self.plans: OrderedDict[object, Any] = OrderedDict()
        self._cursors: OrderedDict[object, None] = OrderedDict()
        self._storage_options = dict(storage_options)
        self._session = session
        self._lock = threading.Lock()
        self._pins: Counter[int] = Counter()
        self._current = self._open()
        self._newest: Version | None = None

    @classmethod
    def create(cls, uri: str, schema: Schema, storage_options: Mapping[str, str]) -> None:
        """Create a table without rows. Leave an existing table unchanged."""
        empty = stored_schema(schema).empty_table()
        try:
            lance.write_dataset(
                empty,
                uri,
                mode="create",
                storage_options=dict(storage_options),
                enable_stable_row_ids=True,
                data_storage_version=_FILE_VERSION,
            )
        except OSError as error:
            if "already exists" not in str(error):
                raise
        durability_of(uri).sync_created()

    def latest(self) -> Version:
        """Return the newest version, whichever process committed it."""
        with self._lock:
            newest = self._current.latest_version
            if newest != self._current.version:
                self._current = self._current.checkout_version(newest)
            dataset = self._current
            version = self._newest
        if version is None or version.dataset is not dataset:
            version = self._version(dataset)
            with self._lock:
                self._newest = version
        return version

    def at(self, number: int | None) -> Version:
        """Return a version by number, or the newest for None.

        Raises:
            InvalidArgumentError: The version was removed or never existed.
        """
        latest = self.latest()
        if number is None or number == latest.number:
            return latest
        try:
            return self._version(self._current.checkout_version(number))
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(
                f"snapshot {number} of the dataset is gone or never existed; start the query again"
            ) from error

    def append(self, version: Version, rows: pa.Table) -> Version:
        """Commit rows as new fragments, durably, upon a version."""
        fragments = write_fragments(
            rows, version.dataset, schema=version.stored, mode="append", enable_stable_row_ids=True
        )
        self.durability.sync_fragments(fragments)
        return self.commit(version, lance.LanceOperation.Append(fragments), appended=rows)

    def remove(self, version: Version, changed: list[FragmentMetadata], removed: list[int]) -> Version:
        """Commit deletions durably.

        Args:
            version: The version before.
            changed: Fragments with new deletion files.
            removed: Numbers of the fragments that have no rows left.
        """
        self.durability.sync_deletions(changed)
        return self.commit(version, lance.LanceOperation.Delete(changed, removed, "rows by address"))

    def commit(self, version: Version, operation: Any, *, appended: pa.Table | None = None) -> Version:
        """Commit an operation whose files are durable already, upon a version."""
        transaction = lance.Transaction(version.number, operation)
        dataset = lance.LanceDataset.commit(version.dataset, transaction, enable_stable_row_ids=True)
        self.durability.sync_commit(transaction.uuid, version.number, dataset.version)
        if appended is not None and dataset.version == version.number + 1:
            self.statistics.record_append(dataset, version.inventory, appended)
            # No other commit came between, so the columns are unchanged. Asking Lance for them again costs time.
            return self._adopt(dataset, same_columns_as=version)
        return self._adopt(dataset)

    def publish(self, version: Version, dataset: lance.LanceDataset) -> Version:
        """Sync one or more commits that Lance itself made upon a version, and make the result the newest version."""
        self.durability.sync_versions(version.number, dataset.version)
        return self._adopt(dataset)

    def _adopt(self, dataset: lance.LanceDataset, *, same_columns_as: Version | None = None) -> Version:
        version = self._version(dataset, same_columns_as)
        with self._lock:
            if version.number > self._current.version:
                self._current, self._newest = dataset, version
        return version

    @contextmanager
    def pinned(self, version: Version) -> Iterator[None]:
        """Keep the maintenance of this process from removing a version inside the context."""
        with self._lock:
            self._pins[version.number] += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins[version.number] -= 1
                self._pins += Counter()  # drops the entries with a count of zero

    @property
    def pins(self) -> set[int]:
        """The versions that readers of this process read."""
        with self._lock:
            return set(self._pins)

    def plan(self, key: object, make: Any) -> Any:
        """Return a plan from the cache, or make it and cache it."""
        with self._lock:
            plan = self.plans.get(key)
        if plan is None:
            plan = make()
        with self._lock:
            self.plans[key] = plan
            self.plans.move_to_end(key)
            while len(self.plans) > _CACHED_PLANS:
                self.plans.popitem(last=False)
        return plan

    def remember_cursor(self, cursor: object) -> None:
        """Remember that a cursor is valid, until there are many newer ones."""
        with self._lock:
            self._cursors[cursor] = None
            while len(self._cursors) > _CACHED_CURSORS:
                self._cursors.popitem(last=False)

    def knows_cursor(self, cursor: object) -> bool:
        """Tell whether a cursor is remembered. A cursor that is not may be valid all the same."""
        with self._lock:
            return cursor in self._cursors

    def _version(self, dataset: lance.LanceDataset, same_columns_as: Version | None = None) -> Version:
        if same_columns_as is not None:
            stored, schema = same_columns_as.stored, same_columns_as.schema
        else:
            stored = dataset.schema
            # Two arguments, because older versions of pyarrow cannot hash a schema with metadata.
            schema = _cached_schema(tuple((stored.metadata or {}).items()), stored.remove_metadata())
        return Version(dataset, int(dataset.version), schema, stored, self.statistics.inventory_of(dataset))

    def _open(self) -> lance.LanceDataset:
        options = {"storage_options": self._storage_options, "session": self._session}
        try:
            dataset = lance.dataset(self.uri, **options)
            remembered_schema(dataset.schema)
        except (OSError, ValueError) as error:
            if "not found" in str(error).lower():
                raise NotFoundError(f"the datapoint table {self.uri} does not exist") from error
            self.durability.recover()
            return lance.dataset(self.uri, **options)
        return dataset


@lru_cache(maxsize=256)
def _cached_schema(metadata: tuple[tuple[bytes, bytes], ...], stored: pa.Schema) -> Schema:
    return remembered_schema(stored.with_metadata(dict(metadata)))
