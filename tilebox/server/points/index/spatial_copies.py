"""A second copy of large fragments: whole datapoints, each as one value, those that lie together stored together.

Rows of a table lie in order of time, a column at a time. An area finds one here and one there, and Lance then reads
each value of each column by itself, 0.2 ms a datapoint of 29 columns. Here a datapoint is its serialised message, read
in one piece from among its neighbours, which takes a tenth.

A file belongs to one fragment, by the name of its data file, and like that never changes. Its last row is what bounds
each block of the others in space and time, which is kept in memory, 40 bytes for 128 rows. Every row has a key, by
which a search tells what to read; what was deleted since is told by the row's place in the fragment. So any version of
the table may use the file, but those older than a deletion that it took into account: its name says how many rows it
has, and deletions only ever take some away.

Upkeep writes the files; where there is none yet, the table's own columns and indexes answer.
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
from tilebox.server.points.columns import BOX, COLLECTION, filled, remembered_schema, schema_metadata
from tilebox.server.points.keys import times_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import lance
    from lance.file import LanceFileReader
    from numpy.typing import NDArray

    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.durability import LocalDisk
    from tilebox.server.points.index.fragments import FragmentContents

PLACED_ROWS = 1 << 18
"""Fragments of fewer rows have no such copy: they are merged soon, and hold little of any one area."""

_BLOCK_ROWS = 128

# So much of a fragment is put in order of place at a time, which bounds the memory of upkeep.
_RUN_ROWS = 1 << 17
_RUN_BYTES = 64 << 20

# So much is read or written at once, by its size on the disk or in the file.
_ROWS_AT_ONCE = 4_096
_BYTES_AT_ONCE = 4 << 20

_FILE_VERSION: Final = "2.1"
_FILE = pa.schema([pa.field("key", pa.binary(36), nullable=False), pa.field("row", pa.binary(), nullable=False)])
_KEY = np.dtype([("box", "<f4", 4), ("time", "<i8"), ("offset", "<u4"), ("collection", "<i4"), ("size", "<u4")])
_BLOCK = np.dtype([("box", "<f4", 4), ("first_ms", "<i8"), ("last_ms", "<i8"), ("start", "<u4"), ("rows", "<u4")])


@dataclass(frozen=True, slots=True)
class Hits:
    """Datapoints that a search found in one file.

    Args:
        file: The file.
        rows: Their numbers in it, ascending.
        times: Their times in milliseconds, in the same order.
        sizes: How many bytes each has.
    """

    file: PlaceFile
    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlaceFile:
    """The copy of one fragment.

    Args:
        folder: The folder of the table's copies.
        options: Options of the object store, sorted.
        name: Its name in there.
        schema: The schema of the dataset when it was written.
        rows: Number of rows.
        blocks: What bounds each block.
    """

    folder: str
    options: tuple[tuple[str, str], ...]
    name: str
    schema: Schema
    rows: int
    blocks: NDArray[np.void]

    @classmethod
    def opened(cls, folder: str, options: tuple[tuple[str, str], ...], name: str) -> PlaceFile:
        """Read what is kept in memory of a file that exists."""
        reader = _session(folder, options).open_reader(name, columns=["row"])
        metadata = reader.metadata()
        rows = metadata.num_rows - 1
        [blocks] = reader.take_rows([rows]).to_table()["row"].to_pylist()
        return cls(folder, options, name, remembered_schema(metadata.schema), rows, np.frombuffer(blocks, _BLOCK))

    def search(
        self,
        boxes: NDArray[np.float64],
        start_ms: int,
        end_ms: int,
        collections: Collection[int],
        gone: NDArray[np.int64],
    ) -> Hits:
        """Find the datapoints whose boxes touch one of some others.

        Args:
            boxes: West, south, east, north, shape (n, 4).
            start_ms: First millisecond to include.
            end_ms: First millisecond to exclude.
            collections: The collections to look in.
            gone: Which rows of the fragment are deleted.
        """
        blocks, sides = self.blocks, _outward(boxes)
        in_time = (blocks["first_ms"] < end_ms) & (blocks["last_ms"] >= start_ms)
        rows = _rows_of(blocks[in_time & _touch(blocks["box"], sides)])
        found = _from_binary(_take(self, "key", rows))
        kept = _touch(found["box"], sides) & (found["time"] >= start_ms) & (found["time"] < end_ms)
        kept &= np.isin(found["collection"], list(collections))
        if len(gone):
            kept &= ~np.isin(found["offset"], gone)
        return Hits(self, rows[kept], found["time"][kept], found["size"][kept].astype(np.int64))


class Places:
    """The copies of a table's fragments. Safe to use from several threads.

    Args:
        uri: The table.
        storage_options: Options of the object store.
        durability: What makes files durable.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str], durability: LocalDisk) -> None:
        self._folder = f"{uri}/_places"
        self._options = tuple(sorted(storage_options.items()))
        self._durability = durability
        self._lock = threading.Lock()
        self._names: dict[str, list[tuple[int, str]]] = {}
        self._listed = -1
        self._files: dict[str, PlaceFile] = {}
        self._gone_since: dict[str, float] = {}

    def of(self, one: FragmentContents, version: int) -> PlaceFile | None:
        """Return the copy of a fragment as a version of the table has it, if there is one."""
        if not _is_large(one):
            return None
        name = self._name_of(one)
        # Another process may have written it; then it committed a version after that.
        if name is None and self._listed < version:
            self._list(version)
            name = self._name_of(one)
        return None if name is None else self._opened(name)

    def lacks(self, one: FragmentContents, version: int) -> bool:
        """Tell whether a copy of a fragment would pay, and is not there."""
        return _is_large(one) and self.of(one, version) is None

    def write(self, dataset: lance.LanceDataset, one: FragmentContents, schema: Schema) -> None:
        """Write the copy of a fragment."""
        name, session = f"{_stem(one)}-{one.rows}.lance", _session(self._folder, self._options)
        written = self._durability.unfinished(name)
        columns, fragment = [field.name for field in schema if field.name in dataset.schema.names], one.handle(dataset)
        scanner = dataset.scanner(
            columns=[*columns, COLLECTION, BOX],
            fragments=[fragment],
            with_row_address=True,
            batch_size=_rows_at_once(fragment),
            batch_readahead=2,
            io_buffer_size=_RUN_BYTES,
        )
        blocks, start = [], 0
        with session.open_writer(written, schema=_FILE, version=_FILE_VERSION) as writer:
            for keys, rows in _runs(scanner, schema):
                order = _by_place(keys["box"])
                for part in _parts(order, keys["size"][order]):
                    writer.write_batch(
                        pa.record_batch([_to_binary(keys[part]), rows.take(pa.array(part))], schema=_FILE)
                    )
                blocks.append(_blocks(keys[order], start))
                start += len(order)
            # As a last row: reading a buffer of the file apart from its rows would hold the interpreter lock meanwhile.
            last = pa.array([np.concatenate(blocks).tobytes()], pa.binary())
            writer.write_batch(pa.record_batch([_to_binary(np.zeros(1, _KEY)), last], schema=_FILE))
            for key, value in schema_metadata(schema).items():
                writer.add_schema_metadata(key.decode(), value.decode())
        self._durability.finish(self._folder, written, name)
        self._listed = -1

    def remove_old(self, kept: Iterable[FragmentContents], seconds: float) -> None:
        """Remove the copies of fragments that the table has no more, some time after that was seen first."""
        session, now, used = _session(self._folder, self._options), time.monotonic(), {_stem(one) for one in kept}
        gone = [name for name in session.list() if name.rpartition("-")[0] not in used]
        self._gone_since = {name: self._gone_since.get(name, now) for name in gone}
        removed = [name for name, since in self._gone_since.items() if now - since >= seconds]
        for name in removed:
            session.delete_file(name)
        with self._lock:
            self._files = {name: file for name, file in self._files.items() if name not in gone}
        if removed:
            self._listed = -1

    def _name_of(self, one: FragmentContents) -> str | None:
        """Return the file with the fewest rows of those that have all of a fragment, if it is known."""
        names = self._names.get(_stem(one), ())
        return min(((rows, name) for rows, name in names if rows >= one.rows), default=(0, None))[1]

    def _list(self, version: int) -> None:
        names: dict[str, list[tuple[int, str]]] = {}
        for name in _session(self._folder, self._options).list():
            stem, _, rest = name.rpartition("-")
            rows, _, ending = rest.partition(".")
            if ending == "lance":
                names.setdefault(stem, []).append((int(rows), name))
        with self._lock:
            self._names, self._listed = names, version

    def _opened(self, name: str) -> PlaceFile:
        file = self._files.get(name)
        if file is None:
            file = PlaceFile.opened(self._folder, self._options, name)
            with self._lock:
                self._files[name] = file
        return file


def read(hits: Iterable[Hits]) -> Iterator[pa.RecordBatch]:
    """Yield the datapoints that searches found, some thousands at a time; all fields of those of one schema."""
    for schema, alike in groupby(hits, key=lambda one: one.file.schema):
        waiting: list[bytes] = []
        for one in alike:
            for rows in _parts(one.rows, one.sizes):
                waiting += _take(one.file, "row", rows).to_pylist()
                if len(waiting) >= _ROWS_AT_ONCE or sum(map(len, waiting)) >= _BYTES_AT_ONCE:
                    yield messages.to_arrow(schema, waiting)
                    waiting = []
        if waiting:
            yield messages.to_arrow(schema, waiting)


def _parts(rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut rows into parts that are handled at once; only a row that is too large by itself makes a larger part."""
    ends = np.cumsum(np.maximum(sizes, _BYTES_AT_ONCE // _ROWS_AT_ONCE), dtype=np.int64)
    cuts = np.flatnonzero(np.diff(ends // _BYTES_AT_ONCE)) + 1
    return (part for part in np.split(rows, cuts) if len(part))


def _rows_at_once(fragment: lance.LanceFragment) -> int:
    """Return how many rows of a fragment to read at once, judged by its files."""
    size = sum(file.file_size_bytes or 0 for file in fragment.metadata.files)
    return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * fragment.physical_rows // max(1, size)))


def _is_large(one: FragmentContents) -> bool:
    return one.rows >= PLACED_ROWS


def _runs(scanner: lance.LanceScanner, schema: Schema) -> Iterator[tuple[NDArray[np.void], pa.Array]]:
    """Yield keys and messages of rows that are put in order of place together."""
    keys: list[NDArray[np.void]] = []
    rows: list[pa.Array] = []
    wanted = arrow_schema(schema)
    for batch in scanner.to_batches():
        if not batch.num_rows:
            continue
        [whole] = filled(pa.Table.from_batches([batch]), wanted).combine_chunks().to_batches()
        rows.append(messages.from_arrow_to_array(schema, whole))
        keys.append(_keys_of(batch, rows[-1]))
        if sum(map(len, rows)) >= _RUN_ROWS or sum(part.nbytes for part in rows) >= _RUN_BYTES:
            yield np.concatenate(keys), pa.concat_arrays(rows)
            keys, rows = [], []
    if keys:
        yield np.concatenate(keys), pa.concat_arrays(rows)


def _keys_of(batch: pa.RecordBatch, rows: pa.BinaryArray) -> NDArray[np.void]:
    keys = np.empty(batch.num_rows, dtype=_KEY)
    sides = batch.column(BOX).flatten()
    keys["box"] = _outward(np.stack([side.to_numpy(zero_copy_only=False) for side in sides], axis=1))
    keys["time"] = times_of(pa.Table.from_batches([batch]))
    keys["offset"] = np.asarray(batch.column("_rowaddr")) & np.uint64(0xFFFFFFFF)
    keys["collection"] = np.asarray(batch.column(COLLECTION))
    keys["size"] = pc.binary_length(rows).to_numpy()
    return keys


def _outward(boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round boxes (n, 4) so that none gets smaller; NaN, for no footprint, stays and touches nothing."""
    rounded = boxes.astype(np.float32)
    ends = np.array([-np.inf, -np.inf, np.inf, np.inf], dtype=np.float32)
    return np.nextafter(rounded, ends)


def _by_place(boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return an order in which the boxes (n, 4) of a block lie together: in tiles, those of like size for themselves.

    A large box among small ones would make its block touch everything.
    """
    west, south, east, north = boxes.astype(np.float64).T
    side = np.maximum(east - west, north - south)
    size = np.nan_to_num(np.floor(np.log2(np.maximum(side, 1e-3)) / 4), nan=np.inf)
    order = []
    for value in np.unique(size):
        own = np.flatnonzero(size == value)
        order.append(own[_in_tiles((west + east)[own], (south + north)[own])])
    return np.concatenate(order)


def _in_tiles(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order points by strips of y of equal numbers, and in each by x, so that a block is about square."""
    strips = max(1, round((len(x) / _BLOCK_ROWS) ** 0.5))
    strip = np.empty(len(y), dtype=np.int64)
    strip[np.argsort(y)] = np.arange(len(y)) * strips // len(y)
    return np.lexsort((x, strip))


def _blocks(keys: NDArray[np.void], start: int) -> NDArray[np.void]:
    """Return what bounds each block of rows whose keys are given in order, the first of which has a number."""
    starts = np.arange(0, len(keys), _BLOCK_ROWS)
    blocks = np.empty(len(starts), dtype=_BLOCK)
    blocks["box"][:, :2] = np.fmin.reduceat(keys["box"][:, :2], starts)
    blocks["box"][:, 2:] = np.fmax.reduceat(keys["box"][:, 2:], starts)
    blocks["first_ms"] = np.minimum.reduceat(keys["time"], starts)
    blocks["last_ms"] = np.maximum.reduceat(keys["time"], starts)
    blocks["start"] = start + starts
    blocks["rows"] = np.diff([*starts, len(keys)])
    return blocks


def _touch(own: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which boxes (n, 4) touch one of some others."""
    found = np.zeros(len(own), dtype=bool)
    for west, south, east, north in boxes:
        found |= (own[:, 0] <= east) & (own[:, 2] >= west) & (own[:, 1] <= north) & (own[:, 3] >= south)
    return found


def _rows_of(blocks: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the numbers of all rows of blocks."""
    rows, starts = blocks["rows"].astype(np.int64), blocks["start"].astype(np.int64)
    ends = np.cumsum(rows)
    return np.repeat(starts - (ends - rows), rows) + np.arange(rows.sum())


def _take(file: PlaceFile, column: str, rows: NDArray[np.int64]) -> pa.Array:
    if not len(rows):
        return pa.array([], _FILE.field(column).type)
    with _READERS.lent(file, column) as reader:
        return reader.take_rows(rows.tolist(), batch_size=len(rows)).to_table()[column].combine_chunks()


def _from_binary(column: pa.Array) -> NDArray[np.void]:
    keys = np.frombuffer(column.buffers()[1] or b"", dtype=_KEY, count=column.offset + len(column))
    return keys[column.offset :]


def _to_binary(keys: NDArray[np.void]) -> pa.Array:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(keys))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(_KEY.itemsize), len(keys), buffers)


def _stem(one: FragmentContents) -> str:
    """Return the name of a fragment's data file, which is unique and never changes."""
    return one.data.removesuffix(".lance")


@lru_cache(maxsize=64)
def _session(folder: str, options: tuple[tuple[str, str], ...]) -> LanceFileSession:
    return LanceFileSession(folder, storage_options=dict(options))


class _Readers:
    """Open files, each lent to one thread at a time, as Lance's readers demand.

    Opening one takes as long as reading a few blocks; how many are kept is bounded for the sake of the process.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[object, ...], list[LanceFileReader]] = OrderedDict()

    @contextmanager
    def lent(self, file: PlaceFile, column: str) -> Iterator[LanceFileReader]:
        """Lend what reads a column of a file; an error in its use is the end of it."""
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
            while sum(map(len, self._idle.values())) > self._kept:
                self._idle.popitem(last=False)


_READERS = _Readers(kept=128)
