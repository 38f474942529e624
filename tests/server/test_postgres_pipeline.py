"""PostgreSQL without waiting for each statement: values both ways, answers that come later, and what is lost."""

from __future__ import annotations

import asyncio
import os
import socket
from uuid import uuid4

import anyio
import psycopg
import pytest
from orchestrated import World, done, group
from postgres import fresh_database, postgres_server
from psycopg import errors
from store_records import opened

from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.store import open_store
from tilebox.server.store.postgres.group_commit import GroupCommitter
from tilebox.server.store.postgres.pipeline import Pipeline
from tilebox.server.store.postgres.pool import PostgresEngine, is_lost
from tilebox.server.store.statements import Call, Statement, later, statements

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
async def engine(url):
    opened = PostgresEngine(url)
    yield opened
    await opened.close()


@pytest.fixture
async def pipeline(engine):
    opened = await engine.open_pipeline()
    yield opened
    await opened.close()


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
async def test_values_arrive_and_return_unchanged(pipeline, kind):
    values = VALUES[kind]
    each = [{"value": value} for value in values]
    rows = await pipeline.run(one(ask(f"SELECT * FROM unnest(:value::{kind}[]) AS given (value)", each)))
    assert [row["value"] for row in rows] == values
    for value in values:
        assert await pipeline.run(one(ask(f"SELECT :value::{kind} AS value", value=value))) == [{"value": value}]


async def test_every_statement_takes_types_that_can_be_written(url, pipeline):
    store = open_store(url)
    await store.migrate()
    await store.close()
    texts = {statement.numbered.text: statement for statement in statements().values()}
    # Those that SQLite alone needs have none.
    for statement in [texts[text] for text in texts if text]:
        prepared = await pipeline.prepare(statement)
        assert bool(prepared.columns) >= statement.answers, statement.name


async def test_a_parameter_may_stand_in_several_places(pipeline):
    sql = "SELECT :b::bigint - :a::bigint AS x, :a::bigint * :b::bigint AS y"
    assert await pipeline.run(one(ask(sql, a=2, b=5))) == [{"x": 3, "y": 10}]


async def test_more_is_sent_than_a_socket_holds_while_answers_come_back(pipeline):
    def verb():
        answers = []
        for number in range(40):
            each = [{"value": bytes([number]) * 200_000}]
            answers.append((yield later(ask("SELECT value FROM unnest(:value::bytea[]) AS given (value)", each))))
        yield ask("SELECT 1 AS one")
        return answers

    with anyio.fail_after(60):
        answers = await pipeline.run(verb())
    assert [rows[0]["value"] for rows in answers] == [bytes([number]) * 200_000 for number in range(40)]


async def test_an_answer_that_may_come_later_is_there_with_the_next_one(pipeline):
    def verb():
        first = yield later(ask("SELECT 1 AS n"))
        second = yield later(ask("SELECT 2 AS n"))
        third = yield ask("SELECT 3 AS n")
        return [first, second, third]

    assert await pipeline.run(verb()) == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]


async def test_an_answer_that_may_come_later_is_there_even_if_the_next_call_has_nothing_to_run(pipeline):
    def verb():
        first = yield later(ask("SELECT 1 AS n"))
        nothing = yield ask("SELECT value AS n FROM unnest(:value::bigint[]) AS given (value)", [])
        return first, nothing

    assert await pipeline.run(verb()) == ([{"n": 1}], [])


async def test_what_stands_behind_a_failed_statement_is_not_run(pipeline):
    def prepare():
        yield ask("CREATE TABLE kept (n bigint PRIMARY KEY)")
        yield ask("INSERT INTO kept VALUES (:n)", n=1)

    def verb():
        pipeline.command(b"BEGIN")
        yield ask("INSERT INTO kept VALUES (:n)", n=2)
        yield ask("INSERT INTO kept VALUES (:n)", n=1)
        yield ask("INSERT INTO kept VALUES (:n)", n=3)
        pipeline.command(b"COMMIT")
        yield ask("SELECT n FROM kept")

    await pipeline.run(prepare())
    await pipeline.sync()
    with pytest.raises(errors.UniqueViolation):
        await pipeline.run(verb())
    pipeline.command(b"ROLLBACK")
    assert await pipeline.run(one(ask("SELECT n FROM kept"))) == [{"n": 1}]


async def test_a_broken_connection_is_told(engine, pipeline):
    (row,) = await pipeline.run(one(ask("SELECT pg_backend_pid() AS process, :x::bigint AS x", x=1)))
    assert not pipeline.is_lost
    await engine.write(lambda: one(ask(f"SELECT pg_terminate_backend({row['process']}, 10000) AS done")))
    with anyio.fail_after(30), pytest.raises(psycopg.OperationalError) as caught:
        await pipeline.run(one(ask("SELECT 1")))
    assert is_lost(caught.value)
    assert pipeline.is_lost
    with pytest.raises(psycopg.OperationalError):
        await pipeline.run(one(ask("SELECT 1")))


async def test_a_socket_that_gets_the_number_of_a_broken_connection_is_left_alone(engine):
    pipeline = await engine.open_pipeline()
    number = pipeline._libpq.socket
    # As libpq does by itself when it finds that the connection is broken.
    pipeline._libpq.finish()
    near, far = socket.socketpair()
    if near.fileno() != number:
        os.dup2(near.fileno(), number)
    heard = anyio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(number, heard.set)
    await pipeline.close()
    far.send(b"x")
    with anyio.fail_after(10):
        await heard.wait()
    loop.remove_reader(number)
    if near.fileno() != number:
        os.close(number)
    near.close()
    far.close()


async def test_a_step_from_a_task_to_the_next_is_waited_for_twice(url, monkeypatch):
    waits = 0

    async def counted(pipeline):
        nonlocal waits
        waits += 1
        await sync(pipeline)

    sync = Pipeline.sync
    monkeypatch.setattr(Pipeline, "sync", counted)
    async with opened(url) as store:
        await store.migrate()
        world = await World.make(store)
        await world.submit(group(world.task("t0")), *[group(world.task(f"t{n}"), after=[n - 1]) for n in range(1, 6)])
        tasks = await world.claim()
        for _ in range(4):
            # Statements are prepared by the first ones.
            waits = 0
            tasks = (await world.exchange([done(task) for task in tasks], world.wish())).tasks
    assert [task.input for task in tasks] == [b"t4"]
    assert waits == 2


async def test_verbs_that_share_a_commit_hear_of_their_own_failure_only(engine):
    committer = GroupCommitter(engine)
    await engine.write(lambda: one(ask("CREATE TABLE kept (n bigint PRIMARY KEY)")))

    def insert(number):
        yield ask("INSERT INTO kept VALUES (:n)", n=number)
        if number == 3:
            raise KeyError(number)
        return number

    told = {}

    async def keep(name, number):
        try:
            told[name] = await committer.write(lambda: insert(number), [])
        except (KeyError, InvalidArgumentError, ServerError) as error:
            told[name] = error

    for _ in range(2):
        told.clear()
        async with anyio.create_task_group() as tasks:
            for name, number in (("a", 1), ("again", 1), ("b", 2), ("raises", 3), ("c", 4)):
                tasks.start_soon(keep, name, number)
        assert isinstance(told["raises"], KeyError)
        stored = await engine.read(lambda: one(ask("SELECT n FROM kept ORDER BY n")))
        assert [row["n"] for row in stored] == [1, 2, 4]
    # The second time all of them were there.
    assert all(isinstance(told[name], InvalidArgumentError) for name in ("a", "again", "b", "c"))
    await committer.close()
