"""Spatial copies: second copies of large fragments, with whole datapoints as single values in spatial order.

A table stores its rows in order of time, column by column. The results of an area query are scattered over it, and
Lance reads each value of each column by itself, which takes 0.2 ms per datapoint of 29 columns. A copy stores a
datapoint as its serialised message, next to its spatial neighbours. Reading it in one piece takes a tenth of the time.

A copy belongs to one fragment. It is named after the fragment's data file and never changes either. Its last row holds
the bounds of each block of the other rows in space and time; they stay in memory, 40 bytes for 128 rows. Every row has
a key, from which a search decides whether to read it. Rows that were deleted later are recognised by their offset in
the fragment. So every version of the table may use the copy, except versions older than a deletion that the copy left
out. Its name says how many rows it has, and deletions can only reduce the number, so a version knows.

Maintenance writes the copies. Until then, the table's own columns and indexes answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileSession

from tilebox._core.columns import messages
from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox.server.points.columns import BOX, COLLECTION, remembered_schema, schema_metadata, with_missing_columns
from tilebox.server.points.index import spatial_order
from tilebox.server.points.index.spatial_order import BLOCK, KEY
from tilebox.server.points.keys import times_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import lance
    from lance.file import LanceFileReader
    from numpy.typing import NDArray

    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.durability import LocalDisk
    from tilebox.server.points.index.fragments import FragmentInfo

MIN_FRAGMENT_ROWS = 1 << 18
"""Smaller fragments get no copy: they are merged soon, and hold little of any one area."""

# The part of a fragment that is sorted at a time, which bounds the memory of maintenance.
_RUN_ROWS = 1 << 17
_RUN_BYTES = 64 << 20

# The part that is read or written at a time, by its size on disk or in the file.
_CHUNK_ROWS = 4_096
_CHUNK_BYTES = 4 << 20

_FILE_VERSION: Final = "2.1"
_FILE = pa.schema([pa.field("key", pa.binary(36), nullable=False), pa.field("row", pa.binary(), nullable=False)])


@dataclass(frozen=True, slots=True)
class Hits:
    """The datapoints that a search found in one copy.

    Args:
        file: The copy.
        rows: Row numbers in it, ascending.
        times: Times in milliseconds since 1970, in the same order.
        sizes: Sizes of the messages in bytes, in the same order.
    """

    file: SpatialCopy
    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SpatialCopy:
    """The copy of one fragment.

    Args:
        folder: The folder of the table's copies.
        options: Options of the object store, sorted.
        name: The name of the file in the folder.
        schema: The schema of the dataset when the copy was written.
        rows: Number of rows.
        blocks: The blocks of rows, see `spatial_order.BLOCK`.
    """

    folder: str
    options: tuple[tuple[str, str], ...]
    name: str
    schema: Schema
    rows: int
    blocks: NDArray[np.void]

    @classmethod
    def open(cls, folder: str, options: tuple[tuple[str, str], ...], name: str) -> SpatialCopy:
        """Open a copy that exists, and read its schema and blocks into memory."""
        reader = _session(folder, options).open_reader(name, columns=["row"])
        metadata = reader.metadata()
        rows = metadata.num_rows - 1
        [blocks] = reader.take_rows([rows]).to_table()["row"].to_pylist()
        return cls(folder, options, name, remembered_schema(metadata.schema), rows, np.frombuffer(blocks, BLOCK))

    def search(
        self,
        boxes: NDArray[np.float64],
        start_ms: int,
        end_ms: int,
        collections: Collection[int],
        deleted: NDArray[np.int64],
    ) -> Hits:
        """Find the datapoints whose bounding boxes intersect one of several boxes.

        Args:
            boxes: West, south, east, north in degrees, shape (n, 4).
            start_ms: First millisecond to include.
            end_ms: First millisecond to exclude.
            collections: Numbers of the collections to search.
            deleted: Offsets of the deleted rows of the fragment.
        """
        blocks, areas = self.blocks, spatial_order.round_outward(boxes)
        in_time = (blocks["first_ms"] < end_ms) & (blocks["last_ms"] >= start_ms)
        rows = spatial_order.rows_in(blocks[in_time & spatial_order.intersect_any(blocks["box"], areas)])
        keys = _from_binary(_take(self, "key", rows))
        mask = spatial_order.intersect_any(keys["box"], areas) & (keys["time"] >= start_ms) & (keys["time"] < end_ms)
        mask &= np.isin(keys["collection"], list(collections))
        if len(deleted):
            mask &= ~np.isin(keys["offset"], deleted)
        return Hits(self, rows[mask], keys["time"][mask], keys["size"][mask].astype(np.int64))


class SpatialCopies:
    """The copies of a table's fragments. Safe to use from several threads.

    Args:
        uri: The table.
        storage_options: Options of the object store.
        durability: Syncs the files that are written.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str], durability: LocalDisk) -> None:
        self._folder = f"{uri}/_places"
        self._options = tuple(sorted(storage_options.items()))
        self._durability = durability
        self._lock = threading.Lock()
        self._names: dict[str, list[tuple[int, str]]] = {}
        self._listed = -1
        self._files: dict[str, SpatialCopy] = {}
        self._unused_since: dict[str, float] = {}

    def get(self, fragment: FragmentInfo, version: int) -> SpatialCopy | None:
        """Return the copy that serves a fragment in a version of the table, or None."""
        if not _is_large(fragment):
            return None
        name = self._name_of(fragment)
        # If another process wrote a copy, it committed a later version after that, so listing once a version is enough.
        if name is None and self._listed < version:
            self._list(version)
            name = self._name_of(fragment)
        return None if name is None else self._open(name)

    def is_missing(self, fragment: FragmentInfo, version: int) -> bool:
        """Tell whether a fragment is large enough for a copy and has none."""
        return _is_large(fragment) and self.get(fragment, version) is None

    def write(self, dataset: lance.LanceDataset, info: FragmentInfo, schema: Schema) -> None:
        """Write the copy of a fragment.

        Args:
            dataset: A version that has the fragment.
            info: The fragment.
            schema: The schema of the dataset as of that version.
        """
        name, session = f"{_stem(info)}-{info.rows}.lance", _session(self._folder, self._options)
        temporary = self._durability.temporary_name(name)
        columns, fragment = [field.name for field in schema if field.name in dataset.schema.names], info.handle(dataset)
        scanner = dataset.scanner(
            columns=[*columns, COLLECTION, BOX],
            fragments=[fragment],
            with_row_address=True,
            batch_size=_batch_rows(fragment),
            batch_readahead=2,
            io_buffer_size=_RUN_BYTES,
        )
        blocks, start = [], 0
        with session.open_writer(temporary, schema=_FILE, version=_FILE_VERSION) as writer:
            for keys, rows in _runs(scanner, schema):
                order = spatial_order.argsort(keys["box"])
                for chunk in _chunks(order, keys["size"][order]):
                    batch = [_to_binary(keys[chunk]), rows.take(pa.array(chunk))]
                    writer.write_batch(pa.record_batch(batch, schema=_FILE))
                blocks.append(spatial_order.blocks_of(keys[order], start))
                start += len(order)
            # The blocks are the last row, not a global buffer of the file: reading one would hold the GIL.
            last = pa.array([np.concatenate(blocks).tobytes()], pa.binary())
            writer.write_batch(pa.record_batch([_to_binary(np.zeros(1, KEY)), last], schema=_FILE))
            for key, value in schema_metadata(schema).items():
                writer.add_schema_metadata(key.decode(), value.decode())
        self._durability.publish_file(self._folder, temporary, name)
        self._listed = -1

    def remove_unused(self, fragments: Iterable[FragmentInfo], seconds: float) -> None:
        """Remove copies of fragments that the table no longer has.

        Args:
            fragments: The fragments that the table has.
            seconds: How long a copy stays after its fragment was first found missing.
        """
        session, now = _session(self._folder, self._options), time.monotonic()
        used = {_stem(fragment) for fragment in fragments}
        unused = [name for name in session.list() if name.rpartition("-")[0] not in used]
        self._unused_since = {name: self._unused_since.get(name, now) for name in unused}
        removed = [name for name, since in self._unused_since.items() if now - since >= seconds]
        for name in removed:
            session.delete_file(name)
        with self._lock:
            self._files = {name: file for name, file in self._files.items() if name not in unused}
        if removed:
            self._listed = -1

    def _name_of(self, fragment: FragmentInfo) -> str | None:
        """Return the smallest known copy that has all rows of a fragment, or None."""
        names = self._names.get(_stem(fragment), ())
        return min(((rows, name) for rows, name in names if rows >= fragment.rows), default=(0, None))[1]

    def _list(self, version: int) -> None:
        names: dict[str, list[tuple[int, str]]] = {}
        for name in _session(self._folder, self._options).list():
            stem, _, rest = name.rpartition("-")
            rows, _, ending = rest.partition(".")
            if ending == "lance":
                names.setdefault(stem, []).append((int(rows), name))
        with self._lock:
            self._names, self._listed = names, version

    def _open(self, name: str) -> SpatialCopy:
        file = self._files.get(name)
        if file is None:
            file = SpatialCopy.open(self._folder, self._options, name)
            with self._lock:
                self._files[name] = file
        return file


def read_hits(hits: Iterable[Hits]) -> Iterator[pa.RecordBatch]:
    """Yield the datapoints of hits with all fields, some thousands per batch, each batch of one schema."""
    for schema, group in groupby(hits, key=lambda found: found.file.schema):
        pending: list[bytes] = []
        for found in group:
            for rows in _chunks(found.rows, found.sizes):
                pending += _take(found.file, "row", rows).to_pylist()
                if len(pending) >= _CHUNK_ROWS or sum(map(len, pending)) >= _CHUNK_BYTES:
                    yield messages.to_arrow(schema, pending)
                    pending = []
        if pending:
            yield messages.to_arrow(schema, pending)


def _chunks(rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Split rows into chunks of bounded size; only a single row that exceeds the bound makes a larger one."""
    ends = np.cumsum(np.maximum(sizes, _CHUNK_BYTES // _CHUNK_ROWS), dtype=np.int64)
    cuts = np.flatnonzero(np.diff(ends // _CHUNK_BYTES)) + 1
    return (chunk for chunk in np.split(rows, cuts) if len(chunk))


def _batch_rows(fragment: lance.LanceFragment) -> int:
    """Return how many rows of a fragment to scan at a time, judged by the size of its files."""
    size = sum(file.file_size_bytes or 0 for file in fragment.metadata.files)
    return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES * fragment.physical_rows // max(1, size)))


def _is_large(fragment: FragmentInfo) -> bool:
    return fragment.rows >= MIN_FRAGMENT_ROWS


def _runs(scanner: lance.LanceScanner, schema: Schema) -> Iterator[tuple[NDArray[np.void], pa.Array]]:
    """Yield the keys and messages of rows that are sorted together."""
    keys: list[NDArray[np.void]] = []
    rows: list[pa.Array] = []
    wanted = arrow_schema(schema)
    for batch in scanner.to_batches():
        if not batch.num_rows:
            continue
        [whole] = with_missing_columns(pa.Table.from_batches([batch]), wanted).combine_chunks().to_batches()
        rows.append(messages.from_arrow_to_array(schema, whole))
        keys.append(_keys_of(batch, rows[-1]))
        if sum(map(len, rows)) >= _RUN_ROWS or sum(part.nbytes for part in rows) >= _RUN_BYTES:
            yield np.concatenate(keys), pa.concat_arrays(rows)
            keys, rows = [], []
    if keys:
        yield np.concatenate(keys), pa.concat_arrays(rows)


def _keys_of(batch: pa.RecordBatch, rows: pa.BinaryArray) -> NDArray[np.void]:
    keys = np.empty(batch.num_rows, dtype=KEY)
    sides = batch.column(BOX).flatten()
    keys["box"] = spatial_order.round_outward(np.stack([side.to_numpy(zero_copy_only=False) for side in sides], axis=1))
    keys["time"] = times_of(pa.Table.from_batches([batch]))
    keys["offset"] = np.asarray(batch.column("_rowaddr")) & np.uint64(0xFFFFFFFF)
    keys["collection"] = np.asarray(batch.column(COLLECTION))
    keys["size"] = pc.binary_length(rows).to_numpy()
    return keys


def _take(file: SpatialCopy, column: str, rows: NDArray[np.int64]) -> pa.Array:
    if not len(rows):
        return pa.array([], _FILE.field(column).type)
    with _READERS.borrow(file, column) as reader:
        return reader.take_rows(rows.tolist(), batch_size=len(rows)).to_table()[column].combine_chunks()


def _from_binary(column: pa.Array) -> NDArray[np.void]:
    keys = np.frombuffer(column.buffers()[1] or b"", dtype=KEY, count=column.offset + len(column))
    return keys[column.offset :]


def _to_binary(keys: NDArray[np.void]) -> pa.Array:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(keys))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(KEY.itemsize), len(keys), buffers)


def _stem(fragment: FragmentInfo) -> str:
    """Return the name of a fragment's data file, which is unique and never changes."""
    return fragment.data.removesuffix(".lance")


@lru_cache(maxsize=64)
def _session(folder: str, options: tuple[tuple[str, str], ...]) -> LanceFileSession:
    return LanceFileSession(folder, storage_options=dict(options))


class _ReaderPool:
    """A pool of open files. Lance's readers must not be shared, so each serves one thread at a time.

    Opening a file takes as long as reading a few blocks. The pool is bounded because each reader holds a file open.
    """

    def __init__(self, max_idle: int) -> None:
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[object, ...], list[LanceFileReader]] = OrderedDict()

    @contextmanager
    def borrow(self, file: SpatialCopy, column: str) -> Iterator[LanceFileReader]:
        """Lend a reader of one column of a file. A reader that raised an error is not put back."""
        key = (file.folder, file.options, file.name, column)
        with self._lock:
            idle = self._idle.get(key)
            reader = idle.pop() if idle else None
        if reader is None:
            reader = _session(file.folder, file.options).open_reader(file.name, columns=[column])
        yield reader
        with self._lock:
            self._idle.setdefault(key, []).append(reader)
            self._idle.move_to_end(key)
            while sum(map(len, self._idle.values())) > self._max_idle:
                self._idle.popitem(last=False)


_READERS = _ReaderPool(max_idle=128)
