"""What a codec of task inputs is: a type of the grammar, to what JSON has and back, with words for what does not fit."""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False).encode

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class UnsupportedTypeError(Exception):
    """An annotation is not in the grammar; the message says what to write instead."""


class Unfit(Exception):  # noqa: N818 - not an error that anybody sees, but half of one
    """A value does not fit its annotation.

    Args:
        reason: What is wrong with it, as the rest of a sentence that begins with where it is.
        is_type: Whether its type is wrong, as opposed to its value.
    """

    def __init__(self, reason: str, *, is_type: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_type = is_type
        self.where = ""

    def within(self, step: str) -> Unfit:
        """Note where it is, seen from one level further out."""
        self.where = step + self.where
        return self


class Codec:
    """One type of the grammar.

    Attributes:
        written: The type as it is written in annotations.
        kinds: What its JSON may be: null, boolean, integer, number, string, array, object.
        is_plain: Whether values are what JSON has, so that several such types of one kind are no ambiguity.
    """

    written: str = "Any"
    kinds: frozenset[str] = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
    is_plain = False

    def encode(self, value: Any) -> Any:
        """Return what `json` writes for a value.

        Raises:
            Unfit: The value is of another type, or nothing that JSON can hold.
        """
        raise NotImplementedError

    def decode(self, data: Any) -> Any:
        """Return the value that `json` has read.

        Raises:
            Unfit: It is none of this type.
        """
        raise NotImplementedError

    def parts(self) -> Iterable[Codec]:
        """Return the codecs that this one consists of, which resolves what is still unresolved.

        Raises:
            UnknownNameError: An annotation names something that is not there.
            UnsupportedTypeError: A type is not in the grammar.
        """
        return ()

    def _unfit(self, value: Any, hint: str = "") -> Unfit:
        return Unfit(f"must be {with_article(self.written)}, but is {described(value)}{hint}")


def to_json(value: Any) -> bytes:
    """Write what codecs make as JSON, without spaces, in UTF-8.

    Raises:
        Unfit: Text holds half a surrogate pair, which UTF-8 cannot say.
    """
    if type(value) is int:  # the usual input of subtasks that are numbered
        return b"%d" % value
    try:
        return _encode_json(value).encode()
    except UnicodeEncodeError as error:
        raise Unfit(
            f"holds {error.object[error.start]!r}, half a surrogate pair, which no text in UTF-8 can", is_type=False
        ) from None


def each(step: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    done: list[Any] = []
    try:
        for value in values:
            done.append(step(value))  # noqa: PERF401 - how far it came is what an error says
    except Unfit as unfit:
        raise unfit.within(f"[{len(done)}]") from None
    return done


def at(key: Any, step: Callable[[Any], Any], value: Any) -> Any:
    try:
        return step(value)
    except Unfit as unfit:
        raise unfit.within(f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]") from None


def kind_of(data: Any) -> str:
    return _KINDS.get(type(data), "object")


def described(value: Any) -> str:
    if value is None:
        return "None"
    article = with_article(type(value).__name__)
    try:
        return f"{article}: {_short.repr(value)}"
    except Exception:  # noqa: BLE001 - such as that of an integer that is too long to be written
        return article


def with_article(name: str) -> str:
    if name in ("None", "Any"):
        return name
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"
