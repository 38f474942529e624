"""Named SQL statements, read once from `queries/*.sql`, for SQLite and PostgreSQL.

A statement starts with `-- name: its_name`, followed by a comment with a sentence about what it does. Its parameters
are written `:parameter`. A statement that both databases understand is in `FILE.sql`. Where the dialects differ, the
same name is in `FILE.sqlite.sql` and in `FILE.postgres.sql`; a statement that one database does not need has no text
there.

A statement is called once, or for each of many rows of arguments (`call_each`). SQLite then runs it once for each row,
which takes microseconds. PostgreSQL runs it once for all rows, because a round trip costs more than a row; its text
takes each parameter as an array.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar

from tilebox.errors import InvalidArgumentError

T = TypeVar("T")

Row: TypeAlias = Mapping[str, Any]
"""A row of a result, indexed by the names of its columns. The rows of both drivers qualify."""

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@dataclass(frozen=True)
class Numbered:
    """A text whose parameters are numbered `$1`, `$2`, …, and the names of the parameters in that order."""

    text: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """An SQL statement.

    Args:
        name: Its name in the code.
        summary: A sentence about what it does.
        sql: Its text, with parameters written `:parameter`; empty if SQLite does not need it.
        postgres: Its text for PostgreSQL, or None if that does not differ.
    """

    name: str
    summary: str
    sql: str
    postgres: str | None = None

    @cached_property
    def numbered(self) -> Numbered:
        """The text for PostgreSQL, with its parameters in PostgreSQL's own notation."""
        text = self.sql if self.postgres is None else self.postgres
        parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        return Numbered(_PARAMETER.sub(lambda match: f"${parameters.index(match[1]) + 1}", text), parameters)

    @cached_property
    def returns_rows(self) -> bool:
        """Whether the statement returns rows."""
        text = self.sql or self.postgres or ""
        if text.startswith("CREATE"):
            return False
        return text.startswith("SELECT") or "RETURNING" in text or ("\nSELECT" in text and "INSERT" not in text)


@dataclass(slots=True)
class Call:
    """A call of a statement, for a back end to run.

    Args:
        statement: The statement.
        arguments: Its arguments, by parameter.
        each: The rows of arguments of a statement that is called for each of them, or None.
        is_deferred: Whether the back end may run it later, see `deferred`.
    """

    statement: Statement
    arguments: dict[str, Any]
    each: Sequence[dict[str, Any]] | None = None
    is_deferred: bool = False

    @property
    def arrays(self) -> dict[str, list[Any]]:
        """The rows of arguments as one array for each parameter."""
        rows = self.each or ()
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


Steps: TypeAlias = Generator[Call, list[Row], T]
"""A verb as a generator: it yields calls, receives the rows of each, and returns its result.

A verb is therefore written once, and each back end runs it in its own way: SQLite in a thread, PostgreSQL by awaiting
each call.
"""


def call(name: str, /, **arguments: Any) -> Call:
    """Return a call of a named statement.

    Raises:
        InvalidArgumentError: A text cannot be stored. PostgreSQL refuses NUL characters, so SQLite gets none either.
    """
    for argument, value in arguments.items():
        if isinstance(value, str):
            _check_text(argument, value)
    return Call(statements()[name], arguments)


def call_each(name: str, rows: Sequence[dict[str, Any]], /) -> Call:
    """Return a call of a named statement for each of many rows of arguments. Without rows, nothing runs.

    Unlike `call`, this does not check the texts in the rows; the caller must.
    """
    return Call(statements()[name], {}, rows)


def deferred(write: Call) -> Call:
    """Return a write that may share a round trip with the deferred writes that directly follow it.

    These writes must change different rows, because in PostgreSQL none of them sees what the others changed. They run
    before the next call that is not deferred, or at the end of the verb. They return no rows.
    """
    return Call(write.statement, write.arguments, write.each, is_deferred=True)


def script(text: str) -> list[Call]:
    """Return the statements of a migration. A semicolon ends a statement only at the end of a line."""
    bare = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)
    parts = (part.strip() for part in re.split(r";\s*$", bare, flags=re.MULTILINE))
    return [Call(Statement(part.partition("\n")[0], "", part), {}) for part in parts if part]


@cache
def statements() -> dict[str, Statement]:
    """Return all named statements."""
    common: dict[str, Statement] = {}
    postgres: dict[str, Statement] = {}
    for file in (files(__package__) / "queries").iterdir():
        known = postgres if file.name.endswith(".postgres.sql") else common
        for statement in _read(file.read_text("utf-8")) if file.name.endswith(".sql") else ():
            if statement.name in known:
                raise ValueError(f"two statements are named {statement.name!r}")
            known[statement.name] = statement
    for name, variant in postgres.items():
        common[name] = replace(common[name], postgres=variant.sql)
    return common


def _read(text: str) -> list[Statement]:
    _, *parts = _NAME.split(text)
    return [_statement(name, body) for name, body in zip(parts[::2], parts[1::2], strict=True)]


def _statement(name: str, body: str) -> Statement:
    lines = body.strip().splitlines()
    comments = [line.removeprefix("-- ") for line in lines if line.startswith("--")]
    sql = "\n".join(line for line in lines if not line.startswith("--"))
    return Statement(name, " ".join(comments), sql.rstrip(";"))


def _check_text(argument: str, value: str) -> None:
    try:
        storable = b"\0" not in value.encode()
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise InvalidArgumentError(
            f"{argument} must be text that can be stored: it contains a NUL character or half of a surrogate pair"
        )
