"""The SQLite engine: one writer, group commit, savepoints, and translated errors."""

from __future__ import annotations

import sqlite3
import threading
from functools import partial

import anyio
import pytest
from blockbuster import blockbuster_ctx

from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.store.sqlite import engine as sqlite_engine
from tilebox.server.store.sqlite.engine import PAGE_BYTES, SqliteEngine, wal_bytes

pytestmark = pytest.mark.anyio

WAL_BYTES = wal_bytes(PAGE_BYTES)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def engine(tmp_path):
    opened = SqliteEngine(tmp_path / "test.sqlite", preallocates_wal=True)
    await opened.write(create)
    yield opened
    await opened.close()


def create(connection):
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY) STRICT")


def insert(number):
    return lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (number,)).lastrowid


def numbers(connection):
    return [row["n"] for row in connection.execute("SELECT n FROM numbers ORDER BY n")]


def tables(connection):
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")]


class Gate:
    """A write that blocks the writer thread until the gate is opened, so that later writes wait and form a group."""

    def __init__(self):
        self.reached, self.opened, self.seen = threading.Event(), threading.Event(), []

    def __call__(self, connection):
        connection.set_trace_callback(self.seen.append)
        self.reached.set()
        assert self.opened.wait(300)


class WriteGroup:
    """Writes that form one group, because the writer is blocked until the end of the block, and their outcomes."""

    def __init__(self, engine):
        self.gate, self.outcomes = Gate(), {}
        self._engine = engine
        self._group = anyio.create_task_group()

    async def __aenter__(self):
        await self._group.__aenter__()
        self._group.start_soon(self._engine.write, self.gate)
        await anyio.to_thread.run_sync(self.gate.reached.wait)
        return self

    async def __aexit__(self, *error):
        self.gate.opened.set()
        return await self._group.__aexit__(*error)

    async def write(self, key, function, **options):
        """Queue a write behind the others."""
        self._group.start_soon(self._collect, key, partial(self._engine.write, function, **options))
        await anyio.wait_all_tasks_blocked()

    async def _collect(self, key, write):
        try:
            self.outcomes[key] = await write()
        except (ServerError, InvalidArgumentError, ZeroDivisionError) as error:
            self.outcomes[key] = error


async def test_waiting_writes_share_a_commit_but_not_their_failures(engine):
    def fails_half_way(connection):
        insert(100)(connection)
        raise ZeroDivisionError

    async with WriteGroup(engine) as writes:
        for key, number in enumerate((1, 2, 3, 2, 4)):
            await writes.write(key, insert(number))
        await writes.write("half", fails_half_way)

    assert writes.gate.seen.count("COMMIT") == 2  # one for the gate, one for the group
    assert isinstance(writes.outcomes.pop("half"), ZeroDivisionError)
    assert isinstance(writes.outcomes.pop(3), InvalidArgumentError)
    assert writes.outcomes == {0: 1, 1: 2, 2: 3, 4: 4}
    assert await engine.read(numbers) == [1, 2, 3, 4]


async def test_a_conflict_with_a_neighbours_row_is_reported_after_the_commit(engine):
    committing, released = threading.Event(), threading.Event()

    def hold_the_commit(statement):
        if statement == "COMMIT":
            committing.set()
            assert released.wait(300)

    def insert_and_hold(connection):
        connection.set_trace_callback(hold_the_commit)
        return insert(7)(connection)

    async with WriteGroup(engine) as writes:
        await writes.write("first", insert_and_hold)
        await writes.write("second", insert(7))
        writes.gate.opened.set()
        await anyio.to_thread.run_sync(committing.wait)
        await anyio.wait_all_tasks_blocked()
        assert writes.outcomes == {}
        released.set()

    assert isinstance(writes.outcomes["second"], InvalidArgumentError)


async def test_a_failed_write_without_neighbours_is_undone(engine):
    def fail_late(connection):
        insert(1)(connection)
        raise LookupError("late")

    with pytest.raises(LookupError, match="late"):
        await engine.write(fail_late)
    with pytest.raises(InvalidArgumentError):
        await engine.write(lambda connection: [insert(2)(connection), insert(2)(connection)])
    assert await engine.read(numbers) == []
    assert await engine.write(insert(2)) == 2
    assert await engine.read(numbers) == [2]


async def test_a_write_that_is_cancelled_in_the_queue_never_happens(engine):
    async with WriteGroup(engine):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(engine.write, insert(1))
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]


async def test_closing_finishes_the_waiting_writes(engine):
    async with anyio.create_task_group() as group, WriteGroup(engine) as writes:
        for number in range(5):
            await writes.write(number, insert(number + 1))
        group.start_soon(engine.close)
        await anyio.wait_all_tasks_blocked()
    assert writes.outcomes == {number: number + 1 for number in range(5)}
    with pytest.raises(ServerError, match="closed"):
        await engine.read(numbers)
    with sqlite3.connect(engine.path) as connection:
        connection.row_factory = sqlite3.Row
        assert numbers(connection) == [1, 2, 3, 4, 5]
    connection.close()


async def test_more_writes_than_one_group_holds(engine, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "MAX_GROUP", 7)
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(engine.write, insert(number))
    assert await engine.read(numbers) == [*range(50)]


async def test_a_full_disk_fails_the_whole_group_and_the_next_write_succeeds(engine):
    def fill(connection):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        connection.execute("CREATE TABLE filler (text TEXT)")
        connection.execute("INSERT INTO filler VALUES (?)", ("x" * (WAL_BYTES + 1_000_000),))

    async with WriteGroup(engine) as writes:
        for key, function in (("before", insert(1)), ("fill", fill), ("after", insert(2))):
            await writes.write(key, function)
    outcomes = writes.outcomes.values()
    assert {type(outcome) for outcome in outcomes} == {ServerError}
    assert all("disk is full" in str(outcome) and outcome.code == "unavailable" for outcome in outcomes)
    await engine.write(insert(3))
    assert await engine.read(numbers) == [3]


async def test_a_write_that_ends_the_transaction_fails_its_group(engine):
    def misbehave(connection):
        insert(1)(connection)
        connection.execute("ROLLBACK")

    with pytest.raises(ServerError, match="failed"):
        await engine.write(misbehave)
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]


async def test_a_reader_sees_one_snapshot_and_cannot_write(engine):
    await engine.write(insert(1))
    looked, go_on = threading.Event(), threading.Event()

    def look_twice(connection):
        before = numbers(connection)
        looked.set()
        assert go_on.wait(300)
        return before, numbers(connection)

    seen = []

    async def read():
        seen.append(await engine.read(look_twice))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.to_thread.run_sync(looked.wait)
        await engine.write(insert(2))
        go_on.set()
    assert seen == [([1], [1])]
    with pytest.raises(ServerError, match="readonly"):
        await engine.read(insert(3))
    assert await engine.read(numbers) == [1, 2]


async def test_a_file_locked_by_another_process_is_an_error_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "BUSY_SECONDS", 0.05)
    engine = SqliteEngine(tmp_path / "test.sqlite")
    await engine.write(create)
    other = sqlite3.connect(engine.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServerError, match="locked") as caught:
        await engine.write(insert(1))
    assert caught.value.code == "unavailable"
    assert await engine.read(numbers) == []
    other.execute("COMMIT")
    other.close()
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]
    await engine.close()


async def test_a_new_file_that_another_process_creates_is_awaited(tmp_path, monkeypatch):
    other = sqlite3.connect(tmp_path / "test.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    other.execute("BEGIN IMMEDIATE")
    # SQLite does not wait before it switches to a write-ahead log, but the engine sleeps and retries. The other
    # transaction ends during that sleep.
    monkeypatch.setattr(sqlite_engine.time, "sleep", lambda _: other.in_transaction and other.execute("COMMIT"))
    engine = SqliteEngine(tmp_path / "test.sqlite")
    await engine.write(insert(1))
    assert await engine.read(numbers) == [1]
    await engine.close()
    other.close()


async def test_a_path_that_cannot_be_opened_is_named(tmp_path):
    engine = SqliteEngine(tmp_path / "missing" / "test.sqlite")
    for attempt in (engine.read(numbers), engine.write(insert(1))):
        with pytest.raises(ServerError, match=r"missing.*unable to open"):
            await attempt
    await engine.close()


async def test_a_file_that_is_no_database_is_named_and_unchanged(tmp_path):
    path = tmp_path / "photo.sqlite"
    path.write_bytes(b"certainly not a database" * 100)
    engine = SqliteEngine(path)
    with pytest.raises(ServerError, match="not a database"):
        await engine.write(insert(1))
    await engine.close()
    assert path.read_bytes() == b"certainly not a database" * 100


async def test_the_database_flushes_every_commit(engine):
    def settings(connection):
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await engine.write(settings) == ["wal", 2, 1]


async def test_the_event_loop_is_never_blocked(tmp_path):
    with blockbuster_ctx("tilebox"):
        engine = SqliteEngine(tmp_path / "test.sqlite")
        await engine.write(create)
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(engine.write, insert(number))
                group.start_soon(engine.read, numbers)
        assert len(await engine.read(numbers)) == 50
        await engine.close()


def synchronous(connection):
    return {1: "NORMAL", 2: "FULL"}[connection.execute("PRAGMA synchronous").fetchone()[0]]


@pytest.mark.parametrize(
    ("flushes", "group", "expected"),
    [(True, [True], "FULL"), (False, [True, True], "NORMAL"), (False, [True, False], "FULL"), (False, [False], "FULL")],
)
async def test_only_groups_of_repeatable_writes_skip_the_flush_and_only_if_configured(
    tmp_path, flushes, group, expected
):
    engine = SqliteEngine(tmp_path / "test.sqlite", flushes_repeatable=flushes)
    async with WriteGroup(engine) as writes:
        for number, is_repeatable in enumerate(group):
            await writes.write(number, synchronous, is_repeatable=is_repeatable)
    assert writes.outcomes == dict.fromkeys(range(len(group)), expected)
    # The next group is judged by its own writes.
    assert await engine.write(synchronous) == "FULL"
    await engine.close()


def wal_length(engine):
    return engine.path.with_name("test.sqlite-wal").stat().st_size


async def test_commits_do_not_extend_the_preallocated_log(engine):
    before = wal_length(engine)
    for number in range(300):
        await engine.write(insert(number))
    assert wal_length(engine) == before >= WAL_BYTES
    assert await engine.read(tables) == ["numbers"]


async def test_a_database_with_larger_pages_has_a_longer_log(tmp_path):
    with sqlite3.connect(tmp_path / "test.sqlite") as connection:
        create(connection)
    connection.close()
    engine = SqliteEngine(tmp_path / "test.sqlite", preallocates_wal=True)
    await engine.write(insert(1))
    before = wal_length(engine)
    for number in range(2, 600):
        await engine.write(insert(number))
    assert wal_length(engine) == before >= wal_bytes(4096)
    await engine.close()


async def test_leftovers_of_an_interrupted_start_are_removed(tmp_path):
    with sqlite3.connect(tmp_path / "test.sqlite") as connection:
        connection.execute("CREATE TABLE room_in_log (bytes BLOB)")
    connection.close()
    engine = SqliteEngine(tmp_path / "test.sqlite", preallocates_wal=True)
    await engine.write(create)
    assert wal_length(engine) >= WAL_BYTES
    assert await engine.read(tables) == ["numbers"]
    await engine.close()


async def test_a_nearly_full_disk_gets_no_preallocated_log(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "MIN_FREE_BYTES", 1 << 60)
    engine = SqliteEngine(tmp_path / "test.sqlite", preallocates_wal=True)
    await engine.write(create)
    assert wal_length(engine) < WAL_BYTES
    await engine.close()


async def test_writes_succeed_without_room_for_the_log(tmp_path):
    engine = SqliteEngine(tmp_path / "test.sqlite", preallocates_wal=True)
    connect = engine._connect

    def connect_with_limit():
        connection = connect()
        connection.execute("PRAGMA max_page_count = 100")
        return connection

    engine._connect = connect_with_limit
    await engine.write(create)
    await engine.write(insert(1))
    assert await engine.read(numbers) == [1]
    assert wal_length(engine) < WAL_BYTES
    await engine.close()
