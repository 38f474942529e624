"""The store on PostgreSQL: values, URLs, group commit, and databases that end sessions or do not answer."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing, contextmanager
from uuid import uuid4

import anyio
import asyncpg
import psycopg
import pytest
from support.store.postgres import fresh_database, postgres_server
from support.store.records import make_team, opened
from support.work.world import World, done, group

from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.store import open_store
from tilebox.server.store.postgres import session, writer_locks
from tilebox.server.store.postgres import store as postgres_store
from tilebox.server.store.postgres.address import parse_url
from tilebox.server.store.postgres.errors import is_connection_lost
from tilebox.server.store.postgres.session import combine, run_steps
from tilebox.server.store.sql.statements import Call, Numbered, Statement, deferred, statements

__all__ = ["postgres_server"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def url(postgres_server):
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
async def store(url):
    async with opened(url) as store:
        yield store


@pytest.fixture
async def connection(url):
    async with session.open_session(parse_url(url).url) as connection:
        yield connection


def query(sql, each=None, /, **arguments):
    return Call(Statement("query", "", sql), arguments, each)


def verb_of(call):
    """A verb that makes one call and returns its rows."""
    return (yield call)


VALUES = {
    "bytea": [b"", b"\0\xff'\\", bytes(100_000), None],
    "bigint": [0, -(2**63), 2**63 - 1, None],
    "smallint": [0, -(2**15), 2**15 - 1, None],
    "text": ["", 'naïve {"},NULL', "🛰" * 50_000, None],
    "boolean": [True, False, None],
    "uuid": [uuid4(), None],
}


@pytest.mark.parametrize("kind", VALUES)
async def test_values_arrive_and_return_unchanged(connection, kind):
    values = VALUES[kind]
    each = [{"value": value} for value in values]
    rows = await run_steps(connection, verb_of(query(f"SELECT * FROM unnest(:value::{kind}[]) AS given (value)", each)))
    assert [row["value"] for row in rows] == values
    for value in values:
        (row,) = await run_steps(connection, verb_of(query(f"SELECT :value::{kind} AS value", value=value)))
        assert row["value"] == value


async def test_the_database_can_prepare_every_statement(store, connection):
    await store.migrate()
    texts = {statement.numbered.text: statement for statement in statements().values()}
    # Statements that only SQLite needs have no text here.
    for statement in [texts[text] for text in texts if text]:
        prepared = await connection.prepare(statement.numbered.text)
        assert len(prepared.get_parameters()) == len(statement.numbered.parameters), statement.name


async def test_a_parameter_may_stand_in_several_places(connection):
    sql = "SELECT :b::bigint - :a::bigint AS x, :a::bigint * :b::bigint AS y"
    (row,) = await run_steps(connection, verb_of(query(sql, a=2, b=5)))
    assert dict(row) == {"x": 3, "y": 10}


@pytest.mark.parametrize(
    ("value", "kind"), [(2**15, "smallint"), (2**63, "bigint"), ("seven", "bigint"), (7, "text"), ("\0", "text")]
)
async def test_a_value_that_does_not_fit_is_refused(store, value, kind):
    for write in (store.write, store.write_grouped):
        with pytest.raises(InvalidArgumentError, match="refused a value"):
            await write(lambda: verb_of(query(f"SELECT :value::{kind} AS value", value=value)))


async def test_reporting_a_task_and_claiming_the_next_takes_seven_round_trips(store):
    await store.migrate()
    world = await World.make(store)
    await world.submit(group(world.task("t0")), *[group(world.task(f"t{n}"), after=[n - 1]) for n in range(1, 6)])
    tasks = await world.claim()
    sent = []
    store._group_committer._connection.add_query_logger(lambda logged: sent.append(logged.query.partition("\n")[0]))
    tasks = (await world.exchange([done(task) for task in tasks], world.claim_request())).tasks
    assert [task.input for task in tasks] == [b"t1"]
    # BEGIN, the locks of the jobs, three reads, all writes at once, COMMIT.
    assert len(sent) == 7, sent


async def test_deferred_writes_are_done_before_the_next_call_and_at_the_end(store):
    await store.write(lambda: verb_of(query("CREATE TABLE numbers (n bigint PRIMARY KEY)")))

    def insert(n):
        return deferred(query("INSERT INTO numbers VALUES (:n)", n=n))

    def verb():
        yield insert(1)
        yield insert(2)
        yield deferred(query("INSERT INTO numbers SELECT unnest(:n::bigint[])", []))
        rows = yield query("SELECT n FROM numbers ORDER BY n")
        yield insert(3)
        yield deferred(query("SELECT pg_notify('channel', :n)", n="4"))
        return [row["n"] for row in rows]

    for write in (store.write, store.write_grouped):
        assert await write(verb) == [1, 2]
        (row,) = await store.read(lambda: verb_of(query("SELECT array_agg(n ORDER BY n) AS ns FROM numbers")))
        assert row["ns"] == [1, 2, 3]
        await store.write(lambda: verb_of(query("DELETE FROM numbers")))


def test_a_deferred_select_must_be_the_last():
    write, select = Numbered("INSERT INTO numbers VALUES ($1, $2)", ("a", "b")), Numbered("SELECT f($1)", ("c",))
    assert combine((write, select)) == "WITH part_0 AS (INSERT INTO numbers VALUES ($1, $2)) SELECT f($3)"
    with pytest.raises(ValueError, match="SELECT"):
        combine((select, write))


async def test_a_caller_gets_only_the_error_of_its_own_verb_in_a_group(store):
    await store.write(lambda: verb_of(query("CREATE TABLE numbers (n bigint PRIMARY KEY)")))

    def insert(number):
        yield query("INSERT INTO numbers VALUES (:n)", n=number)
        if number == 3:
            raise KeyError(number)
        return number

    outcomes = {}

    async def write(name, number):
        try:
            outcomes[name] = await store.write_grouped(lambda: insert(number))
        except (KeyError, InvalidArgumentError, ServerError) as error:
            outcomes[name] = error

    for _ in range(2):
        outcomes.clear()
        async with anyio.create_task_group() as tasks:
            for name, number in (("a", 1), ("again", 1), ("b", 2), ("raises", 3), ("c", 4)):
                tasks.start_soon(write, name, number)
        assert isinstance(outcomes["raises"], KeyError)
        stored = await store.read(lambda: verb_of(query("SELECT n FROM numbers ORDER BY n")))
        assert [row["n"] for row in stored] == [1, 2, 4]
    # In the second round all numbers exist already.
    assert all(isinstance(outcomes[name], InvalidArgumentError) for name in ("a", "again", "b", "c"))


async def test_a_terminated_session_is_a_lost_connection(connection, url):
    terminate_sessions(url)
    with anyio.fail_after(30), pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as caught:
        await run_steps(connection, verb_of(query("SELECT 1")))
    assert is_connection_lost(caught.value)
    assert connection.is_closed()


async def test_idle_sessions_that_were_terminated_are_replaced(store, url):
    await store.migrate()
    for number in range(5):
        await store.add_team(make_team(f"team-{number}"))
        await store.write_grouped(lambda: verb_of(query("SELECT 1")))
        async with store.writer_lock(uuid4()):
            pass
        terminate_sessions(url)
        assert len(await store.teams()) == number + 1
        terminate_sessions(url)


async def test_a_transaction_runs_again_after_its_session_was_terminated(store, url):
    await store.write(lambda: verb_of(query("CREATE TABLE numbers (n bigint PRIMARY KEY)")))
    attempts = []

    def verb():
        attempts.append(len(attempts))
        yield query("INSERT INTO numbers VALUES (1)")
        if len(attempts) == 1:
            terminate_sessions(url)
        return (yield query("SELECT n FROM numbers"))

    assert [row["n"] for row in await store.write(verb)] == [1]
    assert len(attempts) == 2


async def test_a_group_whose_session_was_terminated_raises_an_error(store, url):
    def verb():
        yield query("SELECT 1")
        terminate_sessions(url)
        yield query("SELECT 1")

    with pytest.raises(ServerError, match="Check whether the change was made") as caught:
        await store.write_grouped(verb)
    assert caught.value.code == "unavailable"
    assert len(await store.write_grouped(lambda: verb_of(query("SELECT 1")))) == 1


@pytest.fixture
def short_time_limits(monkeypatch):
    """Time limits that are short enough for a test."""
    monkeypatch.setattr(session, "STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr(session, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(session, "LOCK_SECONDS", 0.2)


async def test_a_session_that_does_not_answer_raises_an_error_and_is_replaced(short_time_limits, store, url):
    for write in (store.read, store.write, store.write_grouped):
        await write(lambda: verb_of(query("SELECT 1")))
        with suspended_sessions(url):
            with anyio.fail_after(60), pytest.raises(ServerError, match="did not answer in time") as caught:
                await write(lambda: verb_of(query("SELECT 1")))
            assert caught.value.code == "unavailable"
            with anyio.fail_after(60):
                assert len(await write(lambda: verb_of(query("SELECT 1")))) == 1


async def test_a_statement_that_takes_too_long_is_canceled(short_time_limits, store):
    for write in (store.write, store.write_grouped):
        with anyio.fail_after(60), pytest.raises(ServerError, match="statement timeout"):
            await write(lambda: verb_of(query("SELECT pg_sleep(3600)")))


async def test_announcements_notice_a_database_that_does_not_answer(short_time_limits, store, url, monkeypatch):
    monkeypatch.setattr(postgres_store, "PROBE_SECONDS", 0.1)
    with anyio.fail_after(60):
        async with aclosing(store.announcements()) as announcements:
            await anext(announcements)
            with suspended_sessions(url), pytest.raises(ServerError, match="did not answer in time"):
                await anext(announcements)


async def test_announcements_end_with_their_session(store, url):
    with anyio.fail_after(60):
        async with aclosing(store.announcements()) as announcements:
            await anext(announcements)
            terminate_sessions(url)
            with pytest.raises(ServerError, match="cannot be used now"):
                await anext(announcements)


async def test_waiting_for_a_writer_lock_outlasts_the_lock_timeout_and_has_a_limit(short_time_limits, url, monkeypatch):
    table = uuid4()
    async with opened(url) as one_process, opened(url) as other:
        async with one_process.writer_lock(table), anyio.create_task_group() as tasks:
            acquired = anyio.Event()

            async def wait():
                async with other.writer_lock(table):
                    acquired.set()

            monkeypatch.setattr(writer_locks, "WAIT_SECONDS", 0.0)
            with anyio.fail_after(60), pytest.raises(ServerError, match="another process has held a lock"):
                await wait()
            monkeypatch.setattr(writer_locks, "WAIT_SECONDS", 600.0)
            tasks.start_soon(wait)
            # Longer than the lock timeout of the session.
            await one_process.read(lambda: verb_of(query("SELECT pg_sleep(0.5)")))
            assert not acquired.is_set()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            await wait()
        assert acquired.is_set()


async def test_options_in_the_url_reach_the_database(url):
    options = "application_name=me&options=-c%20search_path%3Delsewhere&connect_timeout=7&keepalives=1&sslmode=prefer"
    async with opened(f"{url}&{options}") as store:
        sql = "SELECT current_setting('application_name') AS name, current_setting('search_path') AS path"
        (row,) = await store.read(lambda: verb_of(query(sql)))
        assert dict(row) == {"name": "me", "path": "elsewhere"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db/tilebox", "tilebox on db"),
        ("postgres://me:secret@db:5433/tilebox?sslmode=require", "tilebox on db:5433"),
        ("postgresql://me@one:1,two:2/tilebox?target_session_attrs=primary", "tilebox on one:1,two:2"),
        ("postgresql://me@[::1]:5432/tilebox", "tilebox on [::1]:5432"),
        ("postgresql:///tilebox?host=/var/run/postgresql", "tilebox on /var/run/postgresql"),
        ("postgresql://%2Fvar%2Frun/tilebox", "tilebox on /var/run"),
        ("postgresql:///tilebox", "tilebox on this machine"),
    ],
)
def test_errors_name_the_database_without_its_password(url, name):
    assert parse_url(url).name == name


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@db:port/tilebox", "must be postgresql://"),
        ("postgresql://me:secret@db/tilebox?sslmode", "must be postgresql://"),
        ("postgresql://me:secret@db/tilebox?channel_binding=require", "channel_binding=require"),
    ],
)
def test_an_invalid_url_raises_an_error_without_its_password(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def session_pids(url):
    """Return the process ids of the sessions of a database."""
    with psycopg.connect(url) as admin:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return [pid for (pid,) in admin.execute(sql)]


def terminate_sessions(url):
    """Terminate all sessions of a database, and wait until they have ended."""
    with psycopg.connect(url, autocommit=True) as admin:
        for pid in session_pids(url):
            if pid != admin.info.backend_pid:
                admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


@contextmanager
def suspended_sessions(url):
    """Suspend the processes of all open sessions for the block, so that they do not answer."""
    pids = session_pids(url)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
