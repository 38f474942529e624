"""SQLite for a server: reads in several threads, writes in one thread, and group commit.

The engine does not know what is stored. `read` and `write` take a function of a connection:

- Reads run in a few threads. Each thread has its own connection, and each read its own snapshot.
- Writes queue for one thread. The thread takes all waiting writes, runs each in a savepoint (unless there is only one),
  commits them together, and only then answers them. The writes thus share one flush to disk (`synchronous=FULL`), a
  write that fails is undone without its neighbours, and no write of this process meets a locked database.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tilebox.errors import InvalidArgumentError, ServerError, TileboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

MAX_GROUP = 256
"""The most writes in one commit. It bounds how long the first of them waits for the others."""

BUSY_SECONDS = 30.0
"""How long to wait for the write of another process, such as a command beside the server."""

PAGE_BYTES = 2048
"""The page size of a new database. A commit writes whole pages, and a task changes few bytes of each. With SQLite's
default of 4096, a step of a chain of tasks takes 5 % longer. With 1024 it takes 5 % less, but a fan-out 8 % more."""

MIN_FREE_BYTES = 400 << 20
"""The free space on the disk below which the log is not preallocated: others need it more than the log needs speed."""

_OLDEST_SQLITE = (3, 37)
_UNAVAILABLE = frozenset({"SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_LOCKED"})


class _Write(Generic[T]):
    """A write in the queue, with the future of its caller."""

    def __init__(self, function: Callable[[sqlite3.Connection], T], *, is_repeatable: bool) -> None:
        self.function = function
        self.is_repeatable = is_repeatable
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self.loop.create_future()
        self.result: T
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Run in a savepoint of the group's transaction. An error of the function undoes the write and propagates."""
        connection.execute("SAVEPOINT write")
        try:
            self.result = self.function(connection)
        except BaseException:
            # Some errors, such as a full disk, make SQLite roll back the whole transaction by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK TO write")
                connection.execute("RELEASE write")
            raise
        connection.execute("RELEASE write")

    def resolve(self) -> None:
        """Resolve the future of the caller, unless it was cancelled. Must run in the loop of the caller."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class SqliteEngine:
    """A database file, opened on first use.

    Args:
        path: The database file. It is created if it does not exist; its directory must exist.
        readers: The number of threads for reads.
        flushes_repeatable: Whether to flush commits that contain only repeatable writes.
        preallocates_wal: Whether to extend the write-ahead log to its full length before the first write. That takes
            about 50 ms, and makes each later write faster.
    """

    def __init__(
        self, path: Path, *, readers: int = 4, flushes_repeatable: bool = True, preallocates_wal: bool = False
    ) -> None:
        self.path = path
        self._preallocates_wal = preallocates_wal
        self._flushes_repeatable = flushes_repeatable
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix=f"sqlite-read-{path.name}")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._queue: SimpleQueue[_Write[Any] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None
        self._is_closed = False

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads, on one snapshot of the database, and return its result.

        Args:
            function: Gets a connection, whose rows are indexed by name. It must not keep the connection.

        Raises:
            ServerError: The database failed. Errors of the function pass through.
        """
        self._check_open()
        return await asyncio.wrap_future(self._readers.submit(self._run_read, function))

    async def write(self, function: Callable[[sqlite3.Connection], T], *, is_repeatable: bool = False) -> T:
        """Run a function in a transaction, and return its result once the transaction is on disk.

        If the caller is cancelled, the write happens completely or not at all.

        Args:
            function: Gets a connection inside a transaction, which it must not end. An error undoes its changes.
            is_repeatable: Whether the work is done again if it is lost. If the engine does not flush repeatable writes,
                a loss of power may undo such a write; a crash of the process does not.

        Raises:
            ServerError: The database failed, and nothing was stored. Errors of the function pass through.
        """
        self._check_open()
        self._start_writer()
        write = _Write(function, is_repeatable=is_repeatable)
        self._queue.put(write)
        return await write.answer

    async def close(self) -> None:
        """Finish the waiting writes, end all threads and close all connections. May be called twice."""
        self._is_closed = True
        await asyncio.to_thread(self._close)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ServerError(f"the database {self.path} is closed", code="unavailable")

    def _run_read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated_errors():
            connection = self._reader()
            # Without a transaction, each statement of the function would see a snapshot of its own.
            connection.execute("BEGIN")
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.connection = connection
            self._opened.append(connection)
        return connection

    def _start_writer(self) -> None:
        with self._starting:
            if self._writer is None:
                # A daemon thread lets a program end that forgot to close the engine. Acknowledged writes are on disk.
                self._writer = threading.Thread(target=self._serve_writes, name=f"sqlite-write-{self.path.name}")
                self._writer.daemon = True
                self._writer.start()

    def _serve_writes(self) -> None:
        connection: sqlite3.Connection | None = None
        while writes := self._next_group():
            try:
                if connection is None:
                    connection = self._connect()
                    if self._preallocates_wal:
                        self._preallocate_wal(connection)
                self._commit_group(connection, writes)
            except BaseException as error:  # noqa: BLE001 - every write of the group must be answered
                for write in writes:
                    write.error = self._translate_write_error(error)
                _resolve(writes)
                # The state of the connection is unknown. Closing it rolls back what was not committed.
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Write[Any]]:
        """Wait for a write, and return it with all others that wait by then; empty if the engine closes."""
        group: list[_Write[Any]] = []
        write = self._queue.get()
        with suppress(Empty):
            while write is not None:
                if not write.answer.cancelled():
                    group.append(write)
                if len(group) >= MAX_GROUP:
                    return group
                write = self._queue.get(block=not group)
        if write is None and group:
            # The end mark came after these writes: put it back for the next call.
            self._queue.put(None)
        return group

    def _commit_group(self, connection: sqlite3.Connection, writes: list[_Write[Any]]) -> None:
        if not self._flushes_repeatable:
            # A flush covers all commits before it in the log. So a loss of power may undo the latest commits, but never
            # an earlier one alone.
            is_repeatable = all(write.is_repeatable for write in writes)
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_repeatable else 'FULL'}")
        # IMMEDIATE takes the write lock now. A lock taken later could fail at once, however long the busy timeout is.
        connection.execute("BEGIN IMMEDIATE")
        if len(writes) == 1:
            self._commit_alone(connection, writes[0])
        else:
            for write in writes:
                try:
                    write.run(connection)
                except BaseException as error:
                    if not connection.in_transaction:
                        # SQLite rolled back the transaction, and with it the other writes of the group.
                        raise
                    write.error = self._translate_write_error(error)
            connection.execute("COMMIT")
        # Failures are answered after the commit too. One may be a conflict with a neighbour's row, which its caller
        # could not find in the database before.
        _resolve(writes)

    def _commit_alone(self, connection: sqlite3.Connection, write: _Write[Any]) -> None:
        """Run a write without a savepoint. If it fails, the whole transaction is rolled back."""
        try:
            write.result = write.function(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK")
            write.error = self._translate_write_error(error)
        else:
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ServerError(f"SQLite {sqlite3.sqlite_version} is too old: install SQLite 3.37 or later")
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.row_factory = sqlite3.Row
            # Without effect on an existing database, and on any once its log is set up, so it comes first.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _preallocate_wal(self, connection: sqlite3.Connection) -> None:
        """Extend the write-ahead log to the length at which SQLite restarts it.

        A commit that makes a file longer also waits for the journal of the file system, and takes twice as long.
        """
        wal = self.path.with_name(f"{self.path.name}-wal")
        length = wal_bytes(connection.execute("PRAGMA page_size").fetchone()[0])
        if wal.exists() and wal.stat().st_size >= length:
            return
        if shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            # A process that ended at this point may have left the table behind.
            connection.execute("DROP TABLE IF EXISTS room_in_log")
            connection.execute("CREATE TABLE room_in_log (bytes BLOB)")
            connection.execute("INSERT INTO room_in_log VALUES (zeroblob(?))", (length,))
            connection.execute("COMMIT")
            connection.execute("DROP TABLE room_in_log")
        except sqlite3.Error:
            # Preallocation only saves time, so the engine works without it.
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translate(self.path, error) from error

    def _translate_write_error(self, error: BaseException) -> BaseException:
        """Return the error for the caller of a failed write: errors of SQLite are translated, others stay the same."""
        if not isinstance(error, sqlite3.Error):
            return error
        translated = _translate(self.path, error, consequence=". Nothing was stored")
        translated.__cause__ = error
        return translated

    def _close(self) -> None:
        with self._starting:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            writer.join()
        self._readers.shutdown(wait=True)
        while self._opened:
            self._opened.pop().close()


def wal_bytes(page_bytes: int) -> int:
    """Return the length of the write-ahead log at which SQLite copies it into the database and restarts it.

    That is 1000 pages by default, each with a header of 24 bytes (https://sqlite.org/fileformat.html#walformat).

    Args:
        page_bytes: The page size of the database.
    """
    return 1000 * (page_bytes + 24)


def _resolve(writes: list[_Write[Any]]) -> None:
    """Resolve the futures of writes, with one call for each event loop: each call may cost a switch of threads."""
    for loop in {write.loop for write in writes}:
        resolvers = [write.resolve for write in writes if write.loop is loop]
        with suppress(RuntimeError):  # the loop was closed, so no caller waits any more
            loop.call_soon_threadsafe(_call_all, resolvers)


def _call_all(functions: list[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new database to a write-ahead log, so that reads and writes do not wait for each other.

    SQLite ignores the busy timeout if another process switches at the same moment, so this function retries.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _translate(path: Path, error: sqlite3.Error, consequence: str = "") -> TileboxError:
    code_name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, sqlite3.IntegrityError):
        return InvalidArgumentError(f"the database refused a value: {error}")
    if "no such table" in str(error):
        return ServerError(
            f"the database {path} has no tables ({error}): start `tilebox serve` on it once to create them",
            code="unavailable",
        )
    if any(code_name.startswith(code) for code in _UNAVAILABLE):
        return ServerError(f"the database {path} cannot be used now: {error}{consequence}", code="unavailable")
    return ServerError(f"the database {path} failed: {error}{consequence}")
