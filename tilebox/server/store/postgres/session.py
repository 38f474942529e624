"""Sessions of the database: how one is opened, set up, asked and closed.

asyncpg prepares a statement once a session, asks the database for the types of its parameters, and carries values in
binary form. Every wait has a time limit here, so a server that is gone without a word becomes an error.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
import asyncpg

from tilebox.server.store.postgres.errors import FAILURES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tilebox.server.store.sql.statements import Call, Numbered, Row, Steps

T = TypeVar("T")

_NUMBER = re.compile(r"\$(\d+)")

Connection: TypeAlias = asyncpg.Connection
"""A session."""

CONNECT_SECONDS = 10.0
"""How long to wait for a connection, from the pool or from the server."""

LOCK_SECONDS = 10.0
"""How long a statement waits for a lock of another transaction."""

STATEMENT_SECONDS = 60.0
"""How long the server works at a statement."""

GRACE_SECONDS = 5.0
"""How much longer the client waits for the answer, for a probe, and for the end of a session."""

SHORT_STATEMENTS = {
    # The statements look a few rows up by their keys, however many they are called with. A plan made for one call
    # serves the next, and what the statistics say of a table right after ten thousand inserts is no reason to read it.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Settings of a session that runs the short statements of runners."""


def connect_arguments(statement_seconds: float | None = None) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect` and `asyncpg.create_pool` beside the URL."""
    return {
        "timeout": CONNECT_SECONDS,
        "command_timeout": (statement_seconds or STATEMENT_SECONDS) + GRACE_SECONDS,
        # More than there are, and for as long as the session lasts.
        "statement_cache_size": 500,
        "max_cached_statement_lifetime": 0,
    }


async def connect(
    url: str, *, statement_seconds: float | None = None, settings: Mapping[str, str] | None = None
) -> Connection:
    """Open a session; the caller closes it.

    Args:
        url: As `address.read_url` returns it.
        statement_seconds: How long a statement may take; None means `STATEMENT_SECONDS`.
        settings: Settings of the session.
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
    """Set the time limits of a session, and other settings.

    They are set by a statement, since PgBouncer refuses them among the parameters of a connection.
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
    """Close a session, however the caller ends; one that does not answer is cut."""
    with anyio.CancelScope(shield=True), suppress(*FAILURES):
        await connection.close(timeout=GRACE_SECONDS)


@asynccontextmanager
async def opened(url: str, *, statement_seconds: float | None = None) -> AsyncIterator[Connection]:
    """Open a session for the block."""
    connection = await connect(url, statement_seconds=statement_seconds)
    try:
        yield connection
    finally:
        await close(connection)


async def probe(connection: Connection) -> None:
    """Make sure that the server still answers; raises what asyncpg does if not."""
    await connection.execute("SELECT 1", timeout=GRACE_SECONDS)


async def run_steps(connection: Connection, steps: Steps[T]) -> T:
    """Run a verb's calls on a connection and return its answer."""
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
        answer: T = stop.value
        return answer


async def _rows(connection: Connection, call: Call) -> list[Row]:
    if not _runs(call):
        return []
    rows: list[Row] = await connection.fetch(call.statement.numbered.text, *_values(call))
    return rows


async def _run_deferred(connection: Connection, calls: list[Call]) -> None:
    """Run calls in one statement, and forget them."""
    runs = [call for call in calls if _runs(call)]
    calls.clear()
    if runs:
        text = combined(tuple(call.statement.numbered for call in runs))
        await connection.fetch(text, *[value for call in runs for value in _values(call)])


def _runs(call: Call) -> bool:
    return bool(call.statement.numbered.text) and call.each != []


def _values(call: Call) -> list[Any]:
    given = call.arguments if call.each is None else call.arrays
    return [given[name] for name in call.statement.numbered.parameters]


@cache
def combined(texts: tuple[Numbered, ...]) -> str:
    """Return one statement that does what several do: data-modifying CTEs, which PostgreSQL runs to their end.

    Raises:
        ValueError: A SELECT is not the last of them; PostgreSQL would leave it out.
    """
    parts: list[str] = []
    count = 0
    for numbered in texts:
        parts.append(_NUMBER.sub(partial(_moved, count), numbered.text))
        count += len(numbered.parameters)
    *before, last = parts
    if any(part.startswith("SELECT") for part in before):
        raise ValueError("a SELECT among deferred statements must be the last")
    named = ", ".join(f"part_{number} AS ({part})" for number, part in enumerate(before))
    return f"WITH {named} {last}" if before else last


def _moved(count: int, number: re.Match[str]) -> str:
    return f"${count + int(number[1])}"
