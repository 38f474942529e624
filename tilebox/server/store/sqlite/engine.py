"""SQLite for a server: reads in threads, writes in one thread, and one commit for the writes that wait together.

Nothing here knows what is stored. `read` and `write` take a function of a connection:

- Reads run in a few threads, each with a connection of its own and a snapshot of its own.
- Writes queue for one thread. It takes all that wait, runs each in a savepoint, unless it is alone, commits them together
  and only then answers them. So a commit's flush to disk (`synchronous=FULL`) is shared, a write that fails undoes
  itself and none of its neighbours, and within a process nobody ever meets a locked database.
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
"""Writes committed together at most, which bounds how long the first of them waits for the others."""

BUSY_SECONDS = 30.0
"""How long to wait for another process, such as a command line beside the server, to finish its write."""

PAGE_BYTES = 2048
"""A page of a new database. A commit writes every page that it changes, and a task changes few bytes of each; of SQLite's
usual 4096 a step of a chain of tasks takes 5 % longer. With 1024 it takes 5 % less, and a fan-out 8 % more."""

AMPLE_BYTES = 400 << 20
"""Space that a disk must have left for a log of full length, so that what is wanted for speed is missed by nobody."""

_OLDEST_SQLITE = (3, 37)
_UNAVAILABLE = frozenset({"SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_LOCKED"})


class _Write(Generic[T]):
    """A write that waits for its answer."""

    def __init__(self, function: Callable[[sqlite3.Connection], T], *, is_repeatable: bool) -> None:
        self.function = function
        self.is_repeatable = is_repeatable
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self.loop.create_future()
        self.result: T
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Run in a savepoint of the group's transaction; raises what the function raises, having undone it."""
        connection.execute("SAVEPOINT write")
        try:
            self.result = self.function(connection)
        except BaseException:
            # A full disk, say, makes SQLite undo the whole transaction by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK TO write")
                connection.execute("RELEASE write")
            raise
        connection.execute("RELEASE write")

    def tell(self) -> None:
        """Answer who waits, in its loop; nobody, if that was cancelled meanwhile."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class SqliteEngine:
    """A database file, opened on first use.

    Args:
        path: The database; made if it does not exist, in a directory that does.
        readers: Threads for reads.
        flushes_repeatable: Whether to wait for the disk also where only repeatable writes would be lost with the power.
        makes_room: Whether to bring the write-ahead log to its full length before the first write. It takes some 50 ms,
            and makes each write after it faster.
    """

    def __init__(
        self, path: Path, *, readers: int = 4, flushes_repeatable: bool = True, makes_room: bool = False
    ) -> None:
        self.path = path
        self._makes_room = makes_room
        self._flushes_repeatable = flushes_repeatable
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix=f"sqlite-read-{path.name}")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._queue: SimpleQueue[_Write[Any] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None
        self._is_closed = False

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that only reads, and return its result; all it sees is one state of the database.

        Args:
            function: Gets a connection, whose rows can be indexed by name. Must not keep it.

        Raises:
            ServerError: The database failed. What the function itself raises passes through.
        """
        self._check_open()
        return await asyncio.wrap_future(self._readers.submit(self._run_read, function))

    async def write(self, function: Callable[[sqlite3.Connection], T], *, is_repeatable: bool = False) -> T:
        """Run a function in a transaction, and return its result once that is on disk.

        A caller that is cancelled leaves the write undone or done, never half done.

        Args:
            function: Gets a connection inside a transaction, which it must not end. Whatever it raises undoes
                what it did.
            is_repeatable: Whether what it does would be done again if it were lost. Such a write is never lost with
                the process, but perhaps with the power, if the engine was told not to flush it.

        Raises:
            ServerError: The database failed; nothing was stored. What the function raises passes through.
        """
        self._check_open()
        self._start_writer()
        write = _Write(function, is_repeatable=is_repeatable)
        self._queue.put(write)
        return await write.answer

    async def close(self) -> None:
        """Finish the writes that wait, then let go of all threads and connections. May be called twice."""
        self._is_closed = True
        await asyncio.to_thread(self._close)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ServerError(f"the database {self.path} was closed", code="unavailable")

    def _run_read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with self._explained():
            connection = self._reader()
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
                # A daemon, so that a program that forgot to close can end; what was acknowledged is on disk.
                self._writer = threading.Thread(target=self._serve_writes, name=f"sqlite-write-{self.path.name}")
                self._writer.daemon = True
                self._writer.start()

    def _serve_writes(self) -> None:
        connection: sqlite3.Connection | None = None
        while writes := self._next_group():
            try:
                if connection is None:
                    connection = self._connect()
                    if self._makes_room:
                        self._make_room(connection)
                self._commit_together(connection, writes)
            except BaseException as error:  # noqa: BLE001 - every write of the group must be answered
                for write in writes:
                    write.error = self._explain(error)
                _answer(writes)
                # The state of the connection is unknown; closing it undoes what was not committed.
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[_Write[Any]]:
        """Wait for a write, and return it with all that wait by then; none means that the engine closes."""
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
            self._queue.put(None)
        return group

    def _commit_together(self, connection: sqlite3.Connection, writes: list[_Write[Any]]) -> None:
        if not self._flushes_repeatable:
            # The flush of a later commit is one of all before it, so nothing is ever kept without what came before.
            is_light = all(write.is_repeatable for write in writes)
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_light else 'FULL'}")
        connection.execute("BEGIN IMMEDIATE")
        if len(writes) == 1:
            self._commit_alone(connection, writes[0])
        else:
            for write in writes:
                try:
                    write.run(connection)
                except BaseException as error:
                    if not connection.in_transaction:
                        # The transaction is gone, and with it what the group's other writes did.
                        raise
                    write.error = self._explain(error)
            connection.execute("COMMIT")
        # Failures too are told only now: one may be due to a neighbour's row, which nobody could see before.
        _answer(writes)

    def _commit_alone(self, connection: sqlite3.Connection, write: _Write[Any]) -> None:
        """Run a write without a savepoint: if it fails, the whole transaction is undone."""
        try:
            write.result = write.function(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK")
            write.error = self._explain(error)
        else:
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ServerError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or later is needed")
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Write the log once to the length after which SQLite begins it anew.

        A commit that makes a file longer waits for the file system's own journal too, and takes twice as long.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        room_bytes = log_bytes(connection.execute("PRAGMA page_size").fetchone()[0])
        if log.exists() and log.stat().st_size >= room_bytes:
            return
        if shutil.disk_usage(self.path.parent).free < AMPLE_BYTES:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            # One that is there was left behind by a process that ended just here.
            connection.execute("DROP TABLE IF EXISTS room_in_log")
            connection.execute("CREATE TABLE room_in_log (bytes BLOB)")
            connection.execute("INSERT INTO room_in_log VALUES (zeroblob(?))", (room_bytes,))
            connection.execute("COMMIT")
            connection.execute("DROP TABLE room_in_log")
        except sqlite3.Error:
            # It goes without.
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    def _explain(self, error: BaseException) -> BaseException:
        """Return what a caller is told of a failed write: our own errors as they are, SQLite's in our words."""
        if not isinstance(error, sqlite3.Error):
            return error
        told = _told(self.path, error, consequence=". Nothing was stored")
        told.__cause__ = error
        return told

    def _close(self) -> None:
        with self._starting:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            writer.join()
        self._readers.shutdown(wait=True)
        while self._opened:
            self._opened.pop().close()


def log_bytes(page_bytes: int) -> int:
    """Return the length of the log, 1000 pages, at which SQLite copies it into the database and begins it anew."""
    return 1000 * (page_bytes + 24)


def _answer(writes: list[_Write[Any]]) -> None:
    """Answer those who wait, all of a loop at once: each call from thread to loop may cost a change of threads."""
    for loop in {write.loop for write in writes}:
        told = [write.tell for write in writes if write.loop is loop]
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            loop.call_soon_threadsafe(_call_all, told)


def _call_all(functions: list[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new database to a write-ahead log, which lets reads go on beside the writer.

    SQLite does not wait for another process that switches at the same moment, so this does.
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


def _told(path: Path, error: sqlite3.Error, consequence: str = "") -> TileboxError:
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, sqlite3.IntegrityError):
        return InvalidArgumentError(f"the database refused a value: {error}")
    if "no such table" in str(error):
        return ServerError(
            f"the database {path} has no tables ({error}): start `tilebox serve` on it once, which makes them",
            code="unavailable",
        )
    if any(name.startswith(code) for code in _UNAVAILABLE):
        return ServerError(f"the database {path} cannot be used now: {error}{consequence}", code="unavailable")
    return ServerError(f"the database {path} failed: {error}{consequence}")
