"""Migrations of the tables: finding the pending ones, and applying them.

A migration is a file `migrations/NNNN_name.<dialect>.sql`. One transaction applies it and records it, so no migration
is ever half applied, and an interrupted run continues where it stopped. The previous version of the server may still
be running, so a migration must leave the tables usable by it: it only adds, and the next version removes what has
become superfluous. A database that is ahead of this version stays as it is.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tilebox.errors import ServerError
from tilebox.server.store.sql.statements import Call, Steps, call, script

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger("tilebox.server")


@dataclass(frozen=True)
class Migration:
    """A numbered change of the tables."""

    number: int
    name: str
    calls: tuple[Call, ...]


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of a dialect (`sqlite` or `postgres`) in order."""
    suffix = f".{dialect}.sql"
    folder = files(__package__) / "migrations"
    available = []
    for file in folder.iterdir():
        if file.name.endswith(suffix):
            number, _, name = file.name.removesuffix(suffix).partition("_")
            available.append(Migration(int(number), name, tuple(script(file.read_text("utf-8")))))
    return tuple(sorted(available, key=lambda migration: migration.number))


def pending(available: Iterable[Migration]) -> Steps[list[Migration]]:
    """Return the migrations that this database lacks.

    Raises:
        ServerError: The database has a migration of the same number with another name, so it belongs to another
            program.
    """
    yield call("create_migrations")
    applied = {row["number"]: row["name"] for row in (yield call("migrations"))}
    for migration in available:
        name = applied.get(migration.number, migration.name)
        if name != migration.name:
            raise ServerError(
                f"migration {migration.number} of this database is {name!r} where {migration.name!r} is expected: "
                "it belongs to another program or to an unreleased version; choose another database"
            )
    return [migration for migration in available if migration.number not in applied]


def apply(migration: Migration) -> Steps[None]:
    """Apply a migration and record it."""
    logger.info("migration %04d %s: applying", migration.number, migration.name)
    started = time.monotonic()
    for step in migration.calls:  # noqa: UP028 - `yield from` would send rows to a tuple
        yield step
    now_us = time.time_ns() // 1000
    yield call("add_migration", number=migration.number, name=migration.name, applied_us=now_us)
    logger.info("migration %04d %s: done in %.1f s", migration.number, migration.name, time.monotonic() - started)


def apply_pending(available: Iterable[Migration]) -> Steps[None]:
    """Apply all migrations that this database lacks, in one transaction."""
    for migration in (yield from pending(available)):
        yield from apply(migration)
