"""Named SQL: statements live in `queries/*.sql`, are read once, and serve both dialects.

A statement starts with `-- name: its_name`, goes on with a sentence of what it does, and takes parameters as
`:parameter`. What both databases understand alike is written once. Where they differ, the same name stands in
`NAME.sqlite.sql` and in `NAME.postgres.sql`, and a statement that one of them does not need has no text there.

A statement can be called once, or for each of many rows of arguments (`call_each`). SQLite then runs it once a row,
which costs microseconds; PostgreSQL runs it once for all, so its text takes every parameter as an array.
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
"""A row of an answer, by column; a driver's row that can be indexed by name will do."""

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


@dataclass(frozen=True)
class Numbered:
    """A text whose parameters are numbered from 1, and their names in that order."""

    text: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """A statement of SQL.

    Args:
        name: What the code calls it.
        summary: What it does, in a sentence.
        sql: Its text for SQLite, parameters written `:parameter`; nothing if SQLite does not need it.
        postgres: Its text for PostgreSQL where that differs.
    """

    name: str
    summary: str
    sql: str
    postgres: str | None = None

    @cached_property
    def numbered(self) -> Numbered:
        """The text for PostgreSQL with parameters written `$1`, as the database itself has them."""
        text = self.sql if self.postgres is None else self.postgres
        parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        return Numbered(_PARAMETER.sub(lambda found: f"${parameters.index(found[1]) + 1}", text), parameters)

    @cached_property
    def answers(self) -> bool:
        """Whether it returns rows, wherever it has a text."""
        text = self.sql or self.postgres or ""
        if text.startswith("CREATE"):
            return False
        return text.startswith("SELECT") or "RETURNING" in text or ("\nSELECT" in text and "INSERT" not in text)


@dataclass(slots=True)
class Call:
    """A statement with its arguments, for a driver to run.

    Args:
        statement: What to run.
        arguments: By parameter.
        each: Rows of arguments, for a statement that is called for each of them.
        is_deferred: Whether a back end may run it later, see `deferred`.
    """

    statement: Statement
    arguments: dict[str, Any]
    each: Sequence[dict[str, Any]] | None = None
    is_deferred: bool = False

    @property
    def arrays(self) -> dict[str, list[Any]]:
        """The rows of arguments as arrays, by parameter."""
        rows = self.each or ()
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


Steps: TypeAlias = Generator[Call, list[Row], T]
"""A verb as a generator: it yields the calls to run, is sent their rows, and returns its answer.

So a verb is written once, and each back end runs it its own way: SQLite in a thread, PostgreSQL awaiting each call.
"""


def call(name: str, /, **arguments: Any) -> Call:
    """Return the call of a named statement.

    Raises:
        InvalidArgumentError: A text cannot be stored. PostgreSQL takes no NUL, so SQLite gets none either.
    """
    for argument, value in arguments.items():
        if isinstance(value, str):
            _check_text(argument, value)
    return Call(statements()[name], arguments)


def call_each(name: str, rows: Sequence[dict[str, Any]], /) -> Call:
    """Return the call of a named statement for each of some rows of arguments; for none, nothing is run.

    Texts in the rows are not checked, unlike those of `call`: whoever makes the rows has to.
    """
    return Call(statements()[name], {}, rows)


def deferred(made: Call) -> Call:
    """Return a write that may be run together with the deferred ones right behind it, in one round trip.

    They must change different rows, since PostgreSQL shows none of them what the others did. They are run before
    the next call that is not deferred, and at the end of the verb at the latest. Their rows are not answered.
    """
    return Call(made.statement, made.arguments, made.each, is_deferred=True)


def script(text: str) -> list[Call]:
    """Return the statements of a migration. A semicolon at the end of a line ends a statement, and only there."""
    bare = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)
    parts = (part.strip() for part in re.split(r";\s*$", bare, flags=re.MULTILINE))
    return [Call(Statement(part.partition("\n")[0], "", part), {}) for part in parts if part]


@cache
def statements() -> dict[str, Statement]:
    """Return all named statements."""
    found: dict[str, Statement] = {}
    variants: dict[str, Statement] = {}
    for file in (files(__package__) / "queries").iterdir():
        known = variants if file.name.endswith(".postgres.sql") else found
        for statement in _read(file.read_text("utf-8")) if file.name.endswith(".sql") else ():
            if statement.name in known:
                raise ValueError(f"two statements are named {statement.name!r}")
            known[statement.name] = statement
    for name, variant in variants.items():
        found[name] = replace(found[name], postgres=variant.sql)
    return found


def _read(text: str) -> list[Statement]:
    _, *parts = _NAME.split(text)
    return [_statement(name, body) for name, body in zip(parts[::2], parts[1::2], strict=True)]


def _statement(name: str, body: str) -> Statement:
    lines = body.strip().splitlines()
    notes = [line.removeprefix("-- ") for line in lines if line.startswith("--")]
    sql = "\n".join(line for line in lines if not line.startswith("--"))
    return Statement(name, " ".join(notes), sql.rstrip(";"))


def _check_text(argument: str, value: str) -> None:
    try:
        storable = b"\0" not in value.encode()
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise InvalidArgumentError(
            f"{argument} must be text that can be stored: it contains a NUL character or half of a surrogate pair"
        )
