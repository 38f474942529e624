"""Sessions of the database: open, configure, query and close them.

asyncpg prepares each statement once in a session, learns the types of its parameters from the database, and transfers
values in binary form. Every wait has a time limit, so a database that disappears silently raises an error.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
import asyncpg

from tilebox.server.store.postgres.errors import DRIVER_ERRORS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tilebox.server.store.sql.statements import Call, Numbered, Row, Steps

T = TypeVar("T")

_PARAMETER = re.compile(r"\$(\d+)")

Connection: TypeAlias = asyncpg.Connection
"""A session."""

CONNECT_SECONDS = 10.0
"""How long to wait for a connection from the pool or from the database."""

LOCK_SECONDS = 10.0
"""How long a statement waits for a lock of another transaction."""

STATEMENT_SECONDS = 60.0
"""How long the database may work on a statement."""

GRACE_SECONDS = 5.0
"""How long the client waits beyond that for the result, and how long for a probe and for the end of a session."""

SHORT_STATEMENTS = {
    # The statements look up a few rows by key, whatever their arguments are, so the plan of one call suits the next.
    # The statistics of a table are stale right after ten thousand inserts, and must not lead to a scan of the table.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Settings of a session that runs the short statements of runners."""


def connect_arguments(statement_seconds: float | None = None) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect` and `asyncpg.create_pool`, except the URL."""
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": (statement_seconds or STATEMENT_SECONDS) + GRACE_SECONDS,
        # Large enough for all statements of the server, and without expiry, so that none is prepared twice.
        "statement_cache_size": 500,
        "max_cached_statement_lifetime": 0,
    }


async def connect(
    url: str, *, statement_seconds: float | None = None, settings: Mapping[str, str] | None = None
) -> Connection:
    """Open a session, which the caller must close.

    Args:
        url: The URL of an `Address`.
        statement_seconds: How long a statement may take. None means `STATEMENT_SECONDS`.
        settings: Further settings of the session.

    Raises:
        One of `DRIVER_ERRORS`: The database cannot be reached or refuses the connection.
    """
    connection = await asyncpg.connect(url, **connect_arguments(statement_seconds))
    try:
        await configure(connection, statement_seconds, settings)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def configure(
    connection: Connection, statement_seconds: float | None = None, settings: Mapping[str, str] | None = None
) -> None:
    """Set the time limits and other settings of a session.

    A statement sets them, because PgBouncer refuses them as parameters of the connection.
    """
    limits = {"lock_timeout": LOCK_SECONDS, "statement_timeout": statement_seconds or STATEMENT_SECONDS}
    values = {name: f"{seconds * 1000:.0f}ms" for name, seconds in limits.items()} | dict(settings or {})
    await connection.fetch(
        "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS given (name, value)",
        [*values],
        [*values.values()],
        timeout=CONNECT_SECONDS,
    )


async def close(connection: Connection) -> None:
    """Close a session, even if the caller is cancelled. Terminate it if the database does not answer."""
    with anyio.CancelScope(shield=True), suppress(*DRIVER_ERRORS):
        await connection.close(timeout=GRACE_SECONDS)


@asynccontextmanager
async def open_session(url: str, *, statement_seconds: float | None = None) -> AsyncIterator[Connection]:
    """Open a session for the duration of the block."""
    connection = await connect(url, statement_seconds=statement_seconds)
    try:
        yield connection
    finally:
        await close(connection)


async def probe(connection: Connection) -> None:
    """Check that the database still answers.

    Raises:
        One of `DRIVER_ERRORS`: It does not.
    """
    await connection.execute("SELECT 1", timeout=GRACE_SECONDS)


async def run_steps(connection: Connection, steps: Steps[T]) -> T:
    """Run the calls of a verb on a connection and return the verb's result.

    Deferred calls run together before the next call that is not deferred, or at the end, in one round trip.
    """
    deferred: list[Call] = []
    try:
        step = next(steps)
        while True:
            if step.is_deferred:
                deferred.append(step)
                step = steps.send([])
            else:
                await _run_deferred(connection, deferred)
                step = steps.send(await _rows(connection, step))
    except StopIteration as stop:
        await _run_deferred(connection, deferred)
        result: T = stop.value
        return result


async def _rows(connection: Connection, call: Call) -> list[Row]:
    if not _has_work(call):
        return []
    rows: list[Row] = await connection.fetch(call.statement.numbered.text, *_values(call))
    return rows


async def _run_deferred(connection: Connection, calls: list[Call]) -> None:
    """Run calls as one statement, and clear the list."""
    needed = [call for call in calls if _has_work(call)]
    calls.clear()
    if needed:
        text = combine(tuple(call.statement.numbered for call in needed))
        await connection.fetch(text, *[value for call in needed for value in _values(call)])


def _has_work(call: Call) -> bool:
    return bool(call.statement.numbered.text) and call.each != []


def _values(call: Call) -> list[Any]:
    arguments = call.arguments if call.each is None else call.arrays
    return [arguments[name] for name in call.statement.numbered.parameters]


@cache
def combine(statements: tuple[Numbered, ...]) -> str:
    """Return one statement that does the work of several.

    All but the last become data-modifying CTEs, which PostgreSQL always runs to completion:
    https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING

    Args:
        statements: The statements. Their parameters follow each other in the result.

    Raises:
        ValueError: A SELECT is not the last of them. PostgreSQL does not run a CTE that only reads and is not used.
    """
    parts: list[str] = []
    offset = 0
    for statement in statements:
        parts.append(_PARAMETER.sub(partial(_renumber, offset), statement.text))
        offset += len(statement.parameters)
    *first, last = parts
    if any(part.startswith("SELECT") for part in first):
        raise ValueError("a SELECT among deferred statements must be the last")
    expressions = ", ".join(f"part_{number} AS ({part})" for number, part in enumerate(first))
    return f"WITH {expressions} {last}" if first else last


def _renumber(offset: int, parameter: re.Match[str]) -> str:
    return f"${offset + int(parameter[1])}"
