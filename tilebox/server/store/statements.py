"""Named SQL: statements live in `queries/*.sql`, are read once, and serve both dialects.

A statement starts with `-- name: its_name`, goes on with a sentence of what it does, and takes parameters as
`:parameter`. What both databases understand alike is written once; that is all of it so far.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
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
class Statement:
    """A statement of SQL.

    Args:
        name: What the code calls it.
        summary: What it does, in a sentence.
        sql: Its text, parameters written `:parameter` as SQLite has them.
    """

    name: str
    summary: str
    sql: str

    @cached_property
    def pyformat(self) -> str:
        """The text with parameters written `%(parameter)s`, as psycopg has them."""
        return _PARAMETER.sub(r"%(\1)s", self.sql.replace("%", "%%"))


@dataclass(frozen=True)
class Call:
    """A statement with its arguments, for a driver to run."""

    statement: Statement
    arguments: dict[str, Any]


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


def script(text: str) -> list[Call]:
    """Return the statements of a migration. A semicolon at the end of a line ends a statement, and only there."""
    bare = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE)
    parts = (part.strip() for part in re.split(r";\s*$", bare, flags=re.MULTILINE))
    return [Call(Statement(part.partition("\n")[0], "", part), {}) for part in parts if part]


@cache
def statements() -> dict[str, Statement]:
    """Return all named statements."""
    texts = (
        file.read_text("utf-8") for file in (files(__package__) / "queries").iterdir() if file.name.endswith(".sql")
    )
    found: dict[str, Statement] = {}
    for text in texts:
        for statement in _read(text):
            if statement.name in found:
                raise ValueError(f"two statements are named {statement.name!r}")
            found[statement.name] = statement
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
