"""The SQLite engine: one writer, shared commits, savepoints, and errors in our words."""

from __future__ import annotations

import sqlite3
import threading
from functools import partial

import anyio
import pytest
from blockbuster import blockbuster_ctx

from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.store.sqlite import engine as sqlite_engine
from tilebox.server.store.sqlite.engine import PAGE_BYTES, SqliteEngine, log_bytes

pytestmark = pytest.mark.anyio

ROOM_BYTES = log_bytes(PAGE_BYTES)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def engine(tmp_path):
    opened = SqliteEngine(tmp_path / "test.sqlite", makes_room=True)
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
    """A write that holds the writer until it is opened, so that others wait together behind it."""

    def __init__(self):
        self.reached, self.opened, self.seen = threading.Event(), threading.Event(), []

    def __call__(self, connection):
        connection.set_trace_callback(self.seen.append)
        self.reached.set()
        assert self.opened.wait(300)


class Held:
    """Writes that wait together, since the writer is held until `open` or the end of the block, and what came of them."""

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
        """Let a write wait behind the others."""
        self._group.start_soon(self._collect, key, partial(self._engine.write, function, **options))
        await anyio.wait_all_tasks_blocked()

    async def _collect(self, key, write):
        try:
            self.outcomes[key] = await write()
        except (ServerError, InvalidArgumentError, ZeroDivisionError) as error:
            self.outcomes[key] = error


async def test_writes_that_wait_together_share_one_commit_and_not_their_failures(engine):
    def fails_half_way(connection):
        insert(100)(connection)
        raise ZeroDivisionError

    async with Held(engine) as held:
        for key, number in enumerate((1, 2, 3, 2, 4)):
            await held.write(key, insert(number))
        await held.write("half", fails_half_way)

    assert held.gate.seen.count("COMMIT") == 2  # one for the gate, one for all who waited behind it
    assert isinstance(held.outcomes.pop("half"), ZeroDivisionError)
    assert isinstance(held.outcomes.pop(3), InvalidArgumentError)
    assert held.outcomes == {0: 1, 1: 2, 2: 3, 4: 4}
    assert await engine.read(numbers) == [1, 2, 3, 4]


async def test_a_write_that_fails_for_its_neighbours_row_hears_of_it_when_that_can_be_seen(engine):
    committing, released = threading.Event(), threading.Event()

    def hold_the_commit(statement):
        if statement == "COMMIT":
            committing.set()
            assert released.wait(300)

    def insert_and_hold(connection):
        connection.set_trace_callback(hold_the_commit)
        return insert(7)(connection)

    async with Held(engine) as held:
        await held.write("first", insert_and_hold)
        await held.write("second", insert(7))
        held.gate.opened.set()
        await anyio.to_thread.run_sync(committing.wait)
        await anyio.wait_all_tasks_blocked()
        assert held.outcomes == {}
        released.set()

    assert isinstance(held.outcomes["second"], InvalidArgumentError)


async def test_a_write_that_fails_alone_leaves_nothing_behind(engine):
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
    async with Held(engine):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(engine.write, insert(1))
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]


async def test_closing_finishes_the_writes_that_wait(engine):
    async with anyio.create_task_group() as group, Held(engine) as held:
        for number in range(5):
            await held.write(number, insert(number + 1))
        group.start_soon(engine.close)
        await anyio.wait_all_tasks_blocked()
    assert held.outcomes == {number: number + 1 for number in range(5)}
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
        connection.execute("INSERT INTO filler VALUES (?)", ("x" * (ROOM_BYTES + 1_000_000),))

    async with Held(engine) as held:
        for key, function in (("before", insert(1)), ("fill", fill), ("after", insert(2))):
            await held.write(key, function)
    outcomes = held.outcomes.values()
    assert {type(outcome) for outcome in outcomes} == {ServerError}
    assert all("disk is full" in str(outcome) and outcome.code == "unavailable" for outcome in outcomes)
    await engine.write(insert(3))
    assert await engine.read(numbers) == [3]


async def test_a_transaction_that_a_write_ends_is_an_error_for_its_group(engine):
    def misbehave(connection):
        insert(1)(connection)
        connection.execute("ROLLBACK")

    with pytest.raises(ServerError, match="failed"):
        await engine.write(misbehave)
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]


async def test_a_reader_sees_one_state_and_cannot_write(engine):
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


async def test_another_process_that_holds_the_file_is_waited_for_and_then_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "BUSY_SECONDS", 0.05)
    engine = SqliteEngine(tmp_path / "test.sqlite")
    await engine.write(create)
    other = sqlite3.connect(engine.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServerError, match="locked") as told:
        await engine.write(insert(1))
    assert told.value.code == "unavailable"
    assert await engine.read(numbers) == []
    other.execute("COMMIT")
    other.close()
    await engine.write(insert(2))
    assert await engine.read(numbers) == [2]
    await engine.close()


async def test_a_new_file_that_another_process_is_making_is_waited_for(tmp_path, monkeypatch):
    other = sqlite3.connect(tmp_path / "test.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    other.execute("BEGIN IMMEDIATE")
    # SQLite itself does not wait before it switches to a write-ahead log: the other one ends while the engine does.
    monkeypatch.setattr(sqlite_engine.time, "sleep", lambda _: other.in_transaction and other.execute("COMMIT"))
    engine = SqliteEngine(tmp_path / "test.sqlite")
    await engine.write(insert(1))
    assert await engine.read(numbers) == [1]
    await engine.close()
    other.close()


async def test_a_place_that_cannot_be_opened_is_named(tmp_path):
    engine = SqliteEngine(tmp_path / "missing" / "test.sqlite")
    for attempt in (engine.read(numbers), engine.write(insert(1))):
        with pytest.raises(ServerError, match=r"missing.*unable to open"):
            await attempt
    await engine.close()


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
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
async def test_only_a_group_of_repeatable_writes_is_not_flushed_and_only_if_told_so(tmp_path, flushes, group, expected):
    engine = SqliteEngine(tmp_path / "test.sqlite", flushes_repeatable=flushes)
    async with Held(engine) as held:
        for number, is_repeatable in enumerate(group):
            await held.write(number, synchronous, is_repeatable=is_repeatable)
    assert held.outcomes == dict.fromkeys(range(len(group)), expected)
    # Whatever came before, the next one is judged by itself.
    assert await engine.write(synchronous) == "FULL"
    await engine.close()


def length_of_log(engine):
    return engine.path.with_name("test.sqlite-wal").stat().st_size


async def test_commits_do_not_make_the_log_longer(engine):
    before = length_of_log(engine)
    for number in range(300):
        await engine.write(insert(number))
    assert length_of_log(engine) == before >= ROOM_BYTES
    assert await engine.read(tables) == ["numbers"]


async def test_a_database_with_larger_pages_has_a_longer_log(tmp_path):
    with sqlite3.connect(tmp_path / "test.sqlite") as connection:
        create(connection)
    connection.close()
    engine = SqliteEngine(tmp_path / "test.sqlite", makes_room=True)
    await engine.write(insert(1))
    before = length_of_log(engine)
    for number in range(2, 600):
        await engine.write(insert(number))
    assert length_of_log(engine) == before >= log_bytes(4096)
    await engine.close()


async def test_what_a_start_that_broke_off_left_behind_is_cleared_away(tmp_path):
    with sqlite3.connect(tmp_path / "test.sqlite") as connection:
        connection.execute("CREATE TABLE room_in_log (bytes BLOB)")
    connection.close()
    engine = SqliteEngine(tmp_path / "test.sqlite", makes_room=True)
    await engine.write(create)
    assert length_of_log(engine) >= ROOM_BYTES
    assert await engine.read(tables) == ["numbers"]
    await engine.close()


async def test_a_disk_with_little_left_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "AMPLE_BYTES", 1 << 60)
    engine = SqliteEngine(tmp_path / "test.sqlite", makes_room=True)
    await engine.write(create)
    assert length_of_log(engine) < ROOM_BYTES
    await engine.close()


async def test_without_room_for_the_log_writes_go_on(tmp_path):
    engine = SqliteEngine(tmp_path / "test.sqlite", makes_room=True)
    connect = engine._connect

    def connect_narrowly():
        connection = connect()
        connection.execute("PRAGMA max_page_count = 100")
        return connection

    engine._connect = connect_narrowly
    await engine.write(create)
    await engine.write(insert(1))
    assert await engine.read(numbers) == [1]
    assert length_of_log(engine) < ROOM_BYTES
    await engine.close()
