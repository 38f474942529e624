"""Fixtures: an empty store on each database for every test, and the storages of datapoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from support.datapoints.tables import bucket, points, storage, table
from support.store.postgres import fresh_database, postgres_server
from support.store.records import make_team, opened

from tilebox.server.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tilebox.server.store.interface import Store, Team

__all__ = ["bucket", "points", "postgres_server", "storage", "table"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/control.sqlite"
    else:
        with fresh_database(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
async def store(database_url) -> AsyncIterator[Store]:
    """A store whose tables exist."""
    async with opened(database_url) as store:
        await store.migrate()
        yield store


@pytest.fixture
async def team(store) -> Team:
    made = make_team("local")
    await store.add_team(made)
    return made


@pytest.fixture
async def stranger(store) -> Team:
    made = make_team("stranger")
    await store.add_team(made)
    return made


@pytest.fixture
def run_machine(database_url):
    """A function that runs a hypothesis state machine on an empty database, after setting its `portal` and `store`."""

    def run(machine, **options):
        with start_blocking_portal("asyncio") as portal:
            opened = open_store(database_url)
            portal.call(opened.migrate)
            bound = type(machine.__name__, (machine,), {"portal": portal, "store": opened})
            suppressed = [HealthCheck.too_slow, HealthCheck.filter_too_much]
            try:
                run_state_machine_as_test(bound, settings=settings(suppress_health_check=suppressed, **options))
            finally:
                portal.call(opened.close)

    return run
