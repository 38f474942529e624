"""PostgreSQL: values both ways, its URL, verbs that share a commit, and what is lost or does not answer."""

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
from tilebox.server.store.postgres.address import read_url
from tilebox.server.store.postgres.errors import is_lost
from tilebox.server.store.postgres.session import combined, run_steps
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
    async with session.opened(read_url(url).url) as connection:
        yield connection


def ask(sql, each=None, /, **arguments):
    return Call(Statement("ask", "", sql), arguments, each)


def one(call):
    """A verb of one call."""
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
    rows = await run_steps(connection, one(ask(f"SELECT * FROM unnest(:value::{kind}[]) AS given (value)", each)))
    assert [row["value"] for row in rows] == values
    for value in values:
        (row,) = await run_steps(connection, one(ask(f"SELECT :value::{kind} AS value", value=value)))
        assert row["value"] == value


async def test_the_database_knows_the_types_of_every_statement(store, connection):
    await store.migrate()
    texts = {statement.numbered.text: statement for statement in statements().values()}
    # Those that SQLite alone needs have none.
    for statement in [texts[text] for text in texts if text]:
        prepared = await connection.prepare(statement.numbered.text)
        assert len(prepared.get_parameters()) == len(statement.numbered.parameters), statement.name


async def test_a_parameter_may_stand_in_several_places(connection):
    sql = "SELECT :b::bigint - :a::bigint AS x, :a::bigint * :b::bigint AS y"
    (row,) = await run_steps(connection, one(ask(sql, a=2, b=5)))
    assert dict(row) == {"x": 3, "y": 10}


@pytest.mark.parametrize(
    ("value", "kind"), [(2**15, "smallint"), (2**63, "bigint"), ("seven", "bigint"), (7, "text"), ("\0", "text")]
)
async def test_a_value_that_does_not_fit_is_refused(store, value, kind):
    for write in (store.write, store.write_grouped):
        with pytest.raises(InvalidArgumentError, match="refused a value"):
            await write(lambda: one(ask(f"SELECT :value::{kind} AS value", value=value)))


async def test_a_step_from_a_task_to_the_next_takes_few_round_trips(store):
    await store.migrate()
    world = await World.make(store)
    await world.submit(group(world.task("t0")), *[group(world.task(f"t{n}"), after=[n - 1]) for n in range(1, 6)])
    tasks = await world.claim()
    sent = []
    store._group_committer._connection.add_query_logger(lambda query: sent.append(query.query.partition("\n")[0]))
    tasks = (await world.exchange([done(task) for task in tasks], world.claim_request())).tasks
    assert [task.input for task in tasks] == [b"t1"]
    # BEGIN, the locks of the jobs, three reads, all writes at once, COMMIT.
    assert len(sent) == 7, sent


async def test_deferred_writes_are_done_before_the_next_call_and_at_the_end(store):
    await store.write(lambda: one(ask("CREATE TABLE kept (n bigint PRIMARY KEY)")))

    def insert(n):
        return deferred(ask("INSERT INTO kept VALUES (:n)", n=n))

    def verb():
        yield insert(1)
        yield insert(2)
        yield deferred(ask("INSERT INTO kept SELECT unnest(:n::bigint[])", []))
        found = yield ask("SELECT n FROM kept ORDER BY n")
        yield insert(3)
        yield deferred(ask("SELECT pg_notify('said', :n)", n="4"))
        return [row["n"] for row in found]

    for write in (store.write, store.write_grouped):
        assert await write(verb) == [1, 2]
        (row,) = await store.read(lambda: one(ask("SELECT array_agg(n ORDER BY n) AS ns FROM kept")))
        assert row["ns"] == [1, 2, 3]
        await store.write(lambda: one(ask("DELETE FROM kept")))


def test_a_deferred_select_must_be_the_last():
    write, select = Numbered("INSERT INTO kept VALUES ($1, $2)", ("a", "b")), Numbered("SELECT f($1)", ("c",))
    assert combined((write, select)) == "WITH part_0 AS (INSERT INTO kept VALUES ($1, $2)) SELECT f($3)"
    with pytest.raises(ValueError, match="SELECT"):
        combined((select, write))


async def test_verbs_that_share_a_commit_hear_of_their_own_failure_only(store):
    await store.write(lambda: one(ask("CREATE TABLE kept (n bigint PRIMARY KEY)")))

    def insert(number):
        yield ask("INSERT INTO kept VALUES (:n)", n=number)
        if number == 3:
            raise KeyError(number)
        return number

    told = {}

    async def keep(name, number):
        try:
            told[name] = await store.write_grouped(lambda: insert(number))
        except (KeyError, InvalidArgumentError, ServerError) as error:
            told[name] = error

    for _ in range(2):
        told.clear()
        async with anyio.create_task_group() as tasks:
            for name, number in (("a", 1), ("again", 1), ("b", 2), ("raises", 3), ("c", 4)):
                tasks.start_soon(keep, name, number)
        assert isinstance(told["raises"], KeyError)
        stored = await store.read(lambda: one(ask("SELECT n FROM kept ORDER BY n")))
        assert [row["n"] for row in stored] == [1, 2, 4]
    # The second time all of them were there.
    assert all(isinstance(told[name], InvalidArgumentError) for name in ("a", "again", "b", "c"))


async def test_a_session_that_is_cut_is_known_to_be_lost(connection, url):
    cut(url)
    with anyio.fail_after(30), pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as caught:
        await run_steps(connection, one(ask("SELECT 1")))
    assert is_lost(caught.value)
    assert connection.is_closed()


async def test_sessions_that_were_cut_while_idle_are_replaced(store, url):
    await store.migrate()
    for number in range(5):
        await store.add_team(make_team(f"team-{number}"))
        await store.write_grouped(lambda: one(ask("SELECT 1")))
        async with store.writer_lock(uuid4()):
            pass
        cut(url)
        assert len(await store.teams()) == number + 1
        cut(url)


async def test_a_transaction_that_loses_its_session_is_run_again(store, url):
    await store.write(lambda: one(ask("CREATE TABLE kept (n bigint PRIMARY KEY)")))
    attempts = []

    def verb():
        attempts.append(len(attempts))
        yield ask("INSERT INTO kept VALUES (1)")
        if len(attempts) == 1:
            cut(url)
        return (yield ask("SELECT n FROM kept"))

    assert [row["n"] for row in await store.write(verb)] == [1]
    assert len(attempts) == 2


async def test_a_group_that_loses_its_session_is_told_so(store, url):
    def verb():
        yield ask("SELECT 1")
        cut(url)
        yield ask("SELECT 1")

    with pytest.raises(ServerError, match="Look whether the change was made") as caught:
        await store.write_grouped(verb)
    assert caught.value.code == "unavailable"
    assert len(await store.write_grouped(lambda: one(ask("SELECT 1")))) == 1


@pytest.fixture
def impatient(monkeypatch):
    """Time limits that a test can wait for."""
    monkeypatch.setattr(session, "STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr(session, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(session, "LOCK_SECONDS", 0.2)


async def test_a_session_that_does_not_answer_is_given_up(impatient, store, url):
    for write in (store.read, store.write, store.write_grouped):
        await write(lambda: one(ask("SELECT 1")))
        with silenced(url):
            with anyio.fail_after(60), pytest.raises(ServerError, match="did not answer in time") as caught:
                await write(lambda: one(ask("SELECT 1")))
            assert caught.value.code == "unavailable"
            with anyio.fail_after(60):
                assert len(await write(lambda: one(ask("SELECT 1")))) == 1


async def test_a_statement_that_takes_too_long_is_ended(impatient, store):
    for write in (store.write, store.write_grouped):
        with anyio.fail_after(60), pytest.raises(ServerError, match="statement timeout"):
            await write(lambda: one(ask("SELECT pg_sleep(3600)")))


async def test_announcements_notice_a_server_that_does_not_answer(impatient, store, url, monkeypatch):
    monkeypatch.setattr(postgres_store, "PROBE_SECONDS", 0.1)
    with anyio.fail_after(60):
        async with aclosing(store.announcements()) as announcements:
            await anext(announcements)
            with silenced(url), pytest.raises(ServerError, match="did not answer in time"):
                await anext(announcements)


async def test_announcements_end_with_their_session(store, url):
    with anyio.fail_after(60):
        async with aclosing(store.announcements()) as announcements:
            await anext(announcements)
            cut(url)
            with pytest.raises(ServerError, match="cannot be used now"):
                await anext(announcements)


async def test_a_writer_lock_is_waited_for_in_slices_and_not_for_ever(impatient, url, monkeypatch):
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
            # Longer than one slice.
            await one_process.read(lambda: one(ask("SELECT pg_sleep(0.5)")))
            assert not acquired.is_set()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(60):
            await wait()
        assert acquired.is_set()


async def test_options_of_libpq_reach_the_database(url):
    more = "application_name=me&options=-c%20search_path%3Delsewhere&connect_timeout=7&keepalives=1&sslmode=prefer"
    async with opened(f"{url}&{more}") as store:
        sql = "SELECT current_setting('application_name') AS name, current_setting('search_path') AS path"
        (row,) = await store.read(lambda: one(ask(sql)))
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
    assert read_url(url).name == name


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@db:port/tilebox", "must be postgresql://"),
        ("postgresql://me:secret@db/tilebox?sslmode", "must be postgresql://"),
        ("postgresql://me:secret@db/tilebox?channel_binding=require", "channel_binding=require"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def sessions(url):
    """Return the processes that serve the sessions of a database."""
    with psycopg.connect(url) as admin:
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return [pid for (pid,) in admin.execute(others)]


def cut(url):
    """End all sessions of a database."""
    with psycopg.connect(url, autocommit=True) as admin:
        for pid in sessions(url):
            if pid != admin.info.backend_pid:
                admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


@contextmanager
def silenced(url):
    """Stop the processes of all sessions that are open, so that they say nothing any more."""
    stopped = sessions(url)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
