"""Codecs of task inputs, which are schemas of pydantic-core, and error messages for the values that they refuse."""

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
    """A task input cannot have this annotation; the message suggests another."""


@dataclass(frozen=True)
class Codec:
    """The serialisation of one annotation.

    Attributes:
        schema: A schema of pydantic-core. Its Python mode checks a value and returns its JSON form; its JSON mode
            reads the value.
        kinds: The possible kinds of its JSON: null, boolean, integer, number, string, array, object.
        is_plain: Whether values are their own JSON form, so that several such types of one kind are not ambiguous.
        is_message: Whether it is a protobuf message, which is serialised as its bytes if it is the only input.
    """

    schema: cs.CoreSchema
    kinds: frozenset[str]
    is_plain: bool = False
    is_message: bool = False


def codec(kinds: str, *, write: cs.CoreSchema, read: cs.CoreSchema, **options: bool) -> Codec:
    """Return a codec with one schema per direction.

    Args:
        kinds: The possible kinds of its JSON, separated by spaces.
        write: Checks a value and returns its JSON form.
        read: Reads the value from JSON.
        options: `is_plain` and `is_message`.
    """
    schema = cs.json_or_python_schema(python_schema=write, json_schema=read)
    return Codec(schema, frozenset(kinds.split()), **options)


def instance_of(types: Any, name: str, convert: Callable[[Any], Any] | None = None) -> cs.CoreSchema:
    """Return a schema that accepts only values of some types, and converts them.

    Args:
        types: The types, as for `isinstance`.
        name: The name of the types in error messages.
        convert: Converts an accepted value; None returns it unchanged.
    """

    def check(value: Any) -> Any:
        if isinstance(value, types):
            return value if convert is None else convert(value)
        hint = f"; write {name}({value!r})" if isinstance(value, str) and name != "list" else ""
        raise type_error(name, value, "; write .tolist()" if hasattr(value, "tolist") else hint)

    return plain(check)


def type_error(name: str, value: Any, hint: str = "") -> PydanticCustomError:
    """Return the error for a value whose type does not match its annotation."""
    return value_error(f"must be {with_article(name)}, but is {describe(value)}{hint}", "bad_type")


def value_error(reason: str, kind: Any = "bad_value") -> PydanticCustomError:
    """Return the error for a value that cannot be serialised; the message is the field's path and the reason."""
    return PydanticCustomError(kind, "{reason}", {"reason": reason})


def explain(error: ValidationError) -> tuple[str, bool]:
    """Convert an error of pydantic to a message.

    Returns:
        The path and the problem, such as `.scenes[2].name must be a valid string`; and whether it is a wrong type,
        rather than a wrong value.
    """
    first = error.errors(include_url=False)[0]
    kind, message, value = first["type"], first["msg"], first["input"]
    reasons = {
        "bad_type": message,
        "bad_value": message,
        "missing": "is missing",
        "too_long": message,
        "json_invalid": "is nested too deeply" if "recursion" in message else f"is not valid JSON: {message}",
        "recursion_loop": "refers to itself, or is nested too deeply",
        "finite_number": f"is {describe(value).split(': ')[-1]}, which JSON does not have; write `float | None` and give None",
        "string_unicode": f"contains a lone surrogate, which UTF-8 cannot encode: {describe(value)}",
    }
    reason = reasons.get(kind) or f"{message.replace('Input should be', 'must be', 1)}, but is {describe(value)}"
    path = list(first["loc"])
    if path[-1:] == ["[key]"]:
        hint = "; write dict[int, ...] in the annotation" if type(value) is int else ""
        path, reason = path[:-2], f"has a key that {reason}{hint}"
    is_type = kind not in ("bad_value", "finite_number", "string_unicode", "recursion_loop")
    return f"{''.join(map(_step, path))} {reason}", is_type


def _step(step: int | str) -> str:
    return f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"


def describe(value: Any) -> str:
    """Return a value's type and its shortened repr."""
    if value is None:
        return "None"
    article = with_article(type(value).__name__)
    try:
        return f"{article}: {_short.repr(value)}"
    except Exception:  # noqa: BLE001 - the repr of a huge integer, or of a user's class, may fail
        return article


def with_article(name: str) -> str:
    """Return the name of a type with its article, "a" or "an"."""
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"
