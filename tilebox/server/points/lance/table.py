"""One Lance table: its versions, what its fragments hold, and how a change is committed to it.

Everything here blocks; `lance.py` calls it in worker threads.
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
from tilebox.server.points.index.fragments import Contents, joined
from tilebox.server.points.index.spatial_copies import Places
from tilebox.server.points.lance.snapshots import snapshots_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from lance.fragment import FragmentMetadata

    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.index.fragments import FragmentContents, Inventory, Selection
    from tilebox.server.points.interface import Summary

_KEPT_PLANS = 32

# 2.2, the default of this Lance, reads a whole page, a million rows, for one row of a column whose values are all
# equal: 5 ms a column where 2.1 takes 0.1. Collections, band counts and flags are such columns.
_FILE_VERSION: Final = "2.1"
_KEPT_CURSORS = 1024


@dataclass(frozen=True)
class Version:
    """A version of a table, which never changes.

    Args:
        dataset: To read it from.
        number: By which later queries name it as their snapshot.
        schema: The schema of the dataset as of this version.
        stored: The columns of the table.
        inventory: What its fragments hold.
    """

    dataset: lance.LanceDataset
    number: int
    schema: Schema
    stored: pa.Schema
    inventory: Inventory

    @property
    def contents(self) -> tuple[FragmentContents, ...]:
        """Its fragments, each with what it holds."""
        return self.inventory.parts

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns of a datapoint, without those of the store."""
        return arrow_schema(self.schema)

    @cached_property
    def stored_names(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self.stored.names)

    @cached_property
    def summary(self) -> dict[int, Summary]:
        """What the version holds of each collection."""
        return joined(one.collections for one in self.contents)

    def handle(self) -> lance.LanceDataset:
        """Return a handle of the caller's own, for calls that move their handle or lock it against readers."""
        return self.dataset.checkout_version(self.number)

    def select(self, collections: tuple[int, ...] | None, start_ms: int, end_ms: int) -> Selection:
        """Return the fragments in which datapoints of these collections (None: of any) and times may be."""
        return self.inventory.select(self.dataset, collections, start_ms, end_ms)


class Table:
    """A table that exists.

    Args:
        uri: A folder on disk or a URL of an object store.
        storage_options: Options of the object store.
        session: The caches that all tables share.

    Raises:
        NotFoundError: There is no such table.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str], session: Any) -> None:
        self.uri = uri
        self.durability = durability_of(uri)
        self.snapshots = snapshots_of(uri)
        self.contents = Contents()
        self.places = Places(uri, storage_options, self.durability)
        self.cleaned = 0
        """The version up to which old ones were removed."""
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
        """Create a table without rows. One that exists is left as it is."""
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
        """Return a version by number, or the newest.

        Raises:
            InvalidArgumentError: There is no such version, or no longer.
        """
        latest = self.latest()
        if number is None or number == latest.number:
            return latest
        try:
            return self._version(self._current.checkout_version(number))
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(
                f"snapshot {number} of the dataset is gone or never was; start the query again"
            ) from error

    def append(self, version: Version, rows: pa.Table) -> Version:
        """Commit rows as new fragments, durably."""
        fragments = write_fragments(
            rows, version.dataset, schema=version.stored, mode="append", enable_stable_row_ids=True
        )
        self.durability.sync_fragments(fragments)
        return self.commit(version, lance.LanceOperation.Append(fragments), appended=rows)

    def remove(self, version: Version, changed: list[FragmentMetadata], gone: list[int]) -> Version:
        """Commit fragments with deletion files, and fragments that are deleted whole, durably."""
        self.durability.sync_deletions(changed)
        return self.commit(version, lance.LanceOperation.Delete(changed, gone, "rows by address"))

    def commit(self, version: Version, operation: Any, *, appended: pa.Table | None = None) -> Version:
        """Commit an operation whose files are durable already."""
        transaction = lance.Transaction(version.number, operation)
        dataset = lance.LanceDataset.commit(version.dataset, transaction, enable_stable_row_ids=True)
        self.durability.sync_commit(transaction.uuid, version.number, dataset.version)
        if appended is not None and dataset.version == version.number + 1:
            self.contents.learn(dataset, version.inventory, appended)
            # Nothing came between, so the columns are the same; Lance describes them anew at some cost.
            return self._adopt(dataset, alike=version)
        return self._adopt(dataset)

    def publish(self, version: Version, dataset: lance.LanceDataset) -> Version:
        """Sync what Lance committed by itself upon a version, in a commit or two, and take it for the newest."""
        self.durability.sync_versions(version.number, dataset.version)
        return self._adopt(dataset)

    def _adopt(self, dataset: lance.LanceDataset, *, alike: Version | None = None) -> Version:
        version = self._version(dataset, alike)
        with self._lock:
            if version.number > self._current.version:
                self._current, self._newest = dataset, version
        return version

    @contextmanager
    def pinned(self, version: Version) -> Iterator[None]:
        """Keep upkeep of this process from removing a version meanwhile."""
        with self._lock:
            self._pins[version.number] += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins[version.number] -= 1
                self._pins += Counter()

    @property
    def pins(self) -> set[int]:
        """The versions that readers of this process read."""
        with self._lock:
            return set(self._pins)

    def plan(self, key: object, make: Any) -> Any:
        """Return a plan from the few that are kept, or make it."""
        with self._lock:
            plan = self.plans.get(key)
        if plan is None:
            plan = make()
        with self._lock:
            self.plans[key] = plan
            self.plans.move_to_end(key)
            while len(self.plans) > _KEPT_PLANS:
                self.plans.popitem(last=False)
        return plan

    def hand_out(self, cursor: object) -> None:
        """Remember that a cursor is good, as long as there are not many newer ones."""
        with self._lock:
            self._cursors[cursor] = None
            while len(self._cursors) > _KEPT_CURSORS:
                self._cursors.popitem(last=False)

    def has_handed_out(self, cursor: object) -> bool:
        """Tell whether a cursor is remembered; one that is not may be good all the same."""
        with self._lock:
            return cursor in self._cursors

    def _version(self, dataset: lance.LanceDataset, alike: Version | None = None) -> Version:
        """Describe a version, which has the columns of another if that is given."""
        if alike is not None:
            stored, schema = alike.stored, alike.schema
        else:
            stored = dataset.schema
            # Apart, since older versions of pyarrow cannot hash a schema with metadata.
            schema = _remembered(tuple((stored.metadata or {}).items()), stored.remove_metadata())
        return Version(dataset, int(dataset.version), schema, stored, self.contents.of(dataset))

    def _open(self) -> lance.LanceDataset:
        options = {"storage_options": self._storage_options, "session": self._session}
        try:
            dataset = lance.dataset(self.uri, **options)
            remembered_schema(dataset.schema)
        except (OSError, ValueError) as error:
            if "not found" in str(error).lower():
                raise NotFoundError(f"there is no datapoint table {self.uri}") from error
            self.durability.recover()
            return lance.dataset(self.uri, **options)
        return dataset


@lru_cache(maxsize=256)
def _remembered(metadata: tuple[tuple[bytes, bytes], ...], stored: pa.Schema) -> Schema:
    return remembered_schema(stored.with_metadata(dict(metadata)))
