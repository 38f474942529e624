"""Codecs of task inputs, which are schemas of pydantic's engine, and messages for the values that they refuse."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError
from pydantic_core import core_schema as cs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ValidationError

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60

before = cs.no_info_before_validator_function
after = cs.no_info_after_validator_function
plain = cs.no_info_plain_validator_function


class UnsupportedTypeError(Exception):
    """An annotation cannot be a task input; the message says what to write instead."""


@dataclass(frozen=True)
class Codec:
    """One annotation as pydantic's engine sees it.

    Attributes:
        schema: In Python, checks a value and returns what JSON has; from JSON, reads the value.
        kinds: What its JSON may be: null, boolean, integer, number, string, array, object.
        is_plain: Whether values are what JSON has, so that several such types of one kind are not ambiguous.
        is_message: Whether it is a protobuf message, which travels as its bytes if it is the only input.
    """

    schema: cs.CoreSchema
    kinds: frozenset[str]
    is_plain: bool = False
    is_message: bool = False


def codec(kinds: str, *, write: cs.CoreSchema, read: cs.CoreSchema, **options: bool) -> Codec:
    """Return a codec of a schema for each direction."""
    schema = cs.json_or_python_schema(python_schema=write, json_schema=read)
    return Codec(schema, frozenset(kinds.split()), **options)


def expect(types: Any, name: str, convert: Callable[[Any], Any] | None = None) -> cs.CoreSchema:
    """Return a schema that refuses values of other types, and converts the value."""

    def check(value: Any) -> Any:
        if isinstance(value, types):
            return value if convert is None else convert(value)
        hint = f"; write {name}({value!r})" if isinstance(value, str) and name != "list" else ""
        raise bad_type(name, value, "; write .tolist()" if hasattr(value, "tolist") else hint)

    return plain(check)


def bad_type(name: str, value: Any, hint: str = "") -> PydanticCustomError:
    """Return the error of a value that is of another type than its annotation says."""
    return unfit(f"must be {with_article(name)}, but is {described(value)}{hint}", "bad_type")


def unfit(reason: str, kind: Any = "bad_value") -> PydanticCustomError:
    """Return the error of a value that cannot travel; the reason goes on after where it is."""
    return PydanticCustomError(kind, "{reason}", {"reason": reason})


def explain(error: ValidationError) -> tuple[str, bool]:
    """Say in words what pydantic refuses.

    Returns:
        Where and what it is, such as `.scenes[2].name must be a valid string`; and whether a type is wrong.
    """
    first = error.errors(include_url=False)[0]
    kind, message, value = first["type"], first["msg"], first["input"]
    reasons = {
        "bad_type": message,
        "bad_value": message,
        "missing": "is missing",
        "too_long": message,
        "json_invalid": "is nested too deeply" if "recursion" in message else f"is no JSON: {message}",
        "recursion_loop": "refers to itself, or is nested too deeply",
        "finite_number": f"is {described(value).split(': ')[-1]}, which JSON cannot hold; write `float | None` and give None",
        "string_unicode": f"holds half a surrogate pair, which UTF-8 cannot say: {described(value)}",
    }
    reason = reasons.get(kind) or f"{message.replace('Input should be', 'must be', 1)}, but is {described(value)}"
    path = list(first["loc"])
    if path[-1:] == ["[key]"]:
        hint = "; write dict[int, ...] in the annotation" if type(value) is int else ""
        path, reason = path[:-2], f"has a key that {reason}{hint}"
    is_type = kind not in ("bad_value", "finite_number", "string_unicode", "recursion_loop")
    return f"{''.join(map(_step, path))} {reason}", is_type


def _step(step: int | str) -> str:
    return f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"


def described(value: Any) -> str:
    """Name a value's type and show the value, shortened."""
    if value is None:
        return "None"
    article = with_article(type(value).__name__)
    try:
        return f"{article}: {_short.repr(value)}"
    except Exception:  # noqa: BLE001 - the repr of an integer that is too long to be written, or a user's own
        return article


def with_article(name: str) -> str:
    """Put "a" or "an" before the name of a type."""
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"
