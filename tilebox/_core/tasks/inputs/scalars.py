"""Codecs of scalar types: numbers, strings, literals, enums, types with a text form, and protobuf messages."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import DecodeError
from pydantic_core import SchemaValidator, ValidationError, to_json
from pydantic_core import core_schema as cs

from tilebox._core.tasks.inputs.codec import (
    Codec,
    UnsupportedTypeError,
    after,
    before,
    codec,
    instance_of,
    type_error,
    value_error,
    with_article,
)
from tilebox._core.values.durations import write_duration

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable

    from google.protobuf.message import Message

# pydantic reads integers of at most 4300 digits, and some versions count the sign as a digit.
_MIN_INTEGER, _MAX_INTEGER = -(10**4299) + 1, 10**4300 - 1

_KINDS = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}

# pydantic checks for lone surrogates only if a string has a maximum length; this one is never reached.
_TEXT = cs.str_schema(strict=True, max_length=2**40)
_INT = cs.int_schema(strict=True)
_FLOAT = cs.float_schema(strict=True, allow_inf_nan=False)
_BOOL = cs.bool_schema(strict=True)


def builtin(value: Any) -> Any:
    """Return a numpy scalar as its Python value, and any other value unchanged."""
    # Compared by name, so that tasks without numpy do not import it.
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


def literal(values: tuple[Any, ...]) -> Codec:
    """Return the codec of a `Literal`."""
    for value in values:
        if type(value) not in (str, int, bool, type(None)):
            raise UnsupportedTypeError(f"a Literal of {value!r}; write one of str, int, bool or None")
    name = f"Literal[{', '.join(map(repr, values))}]"

    def check_type(value: Any, check: Callable[[Any], Any]) -> Any:
        member = check(value)
        if type(member) is not type(value):  # True equals 1
            raise type_error(name, value)
        return member

    schema = cs.no_info_wrap_validator_function(check_type, cs.literal_schema(list(values)))
    return Codec(schema, frozenset(_KINDS[type(value)] for value in values), is_plain=True)


def enum_member(type_: type[enum.Enum]) -> Codec:
    """Return the codec of an enum, which is serialised as the value of the member."""
    for member in type_:
        if type(member.value) not in _KINDS:
            raise UnsupportedTypeError(
                f"an Enum whose member {member.name} is {member.value!r}; give its members text or numbers"
            )
    kinds = " ".join(_KINDS[type(member.value)] for member in type_)
    write = instance_of(type_, type_.__name__, lambda member: member.value)
    # Not pydantic's enum schema, which refuses combined flags in older versions.
    return codec(kinds, write=write, read=_reader(type_, type_, cs.any_schema()))


def path(type_: type) -> Codec:
    """Return the codec of a path class."""
    return _text_of(type_, str, _reader(type_, type_))


def protobuf(message: type[Message]) -> Codec:
    """Return the codec of a protobuf message: its bytes in base64; equal messages give equal bytes."""
    name = message.__name__
    write = instance_of(message, name, lambda value: _base64(value.SerializeToString(deterministic=True)))
    read = _reader(message, lambda text: message.FromString(base64.b64decode(text, validate=True)))
    return codec("string", write=write, read=read, is_message=True)


def _text_of(type_: type, write: Callable[[Any], str], read: cs.CoreSchema, *others: type) -> Codec:
    reader = SchemaValidator(read)

    def to_text(value: Any) -> str:
        text = write(value)
        if type(value) is type_:
            return text
        # A subclass may write what its base class cannot read, as pandas does with nanoseconds and NaT.
        with suppress(ValidationError):
            if reader.validate_json(to_json(text)) == value:
                return text
        raise type_error(type_.__name__, value, f", which would lose information as {with_article(type_.__name__)}")

    check = instance_of((type_, *others), type_.__name__, to_text)
    return codec("string", write=cs.chain_schema([check, _TEXT]), read=read)


def _reader(type_: type, read: Callable[[Any], Any], inner: cs.CoreSchema = _TEXT) -> cs.CoreSchema:
    def check(data: Any) -> Any:
        try:
            return read(data)
        except (ValueError, TypeError, DecodeError):
            raise type_error(type_.__name__, data) from None

    return after(check, inner)


def _integer(value: Any) -> Any:
    value = builtin(value)
    if isinstance(value, int) and not _MIN_INTEGER <= value <= _MAX_INTEGER:
        raise value_error("has more than 4300 digits")
    return value


def _real(value: Any, check: Callable[[Any], float]) -> float:
    value = builtin(value)
    if type(value) is not int:
        return check(value)
    try:
        float(value)
    except OverflowError:
        raise value_error("is too large for a float") from None
    return value  # 3 is written as 3, not as 3.0


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _isoformat(value: date | time) -> str:
    return value.isoformat()


# Not pydantic's own schemas: they use the URL-safe alphabet of base64, write UTC as Z and an empty duration as PT0S,
# read times into time zones of a class of their own, and refuse UTC offsets with seconds.
_BYTES = _reader(bytes, lambda text: base64.b64decode(text, validate=True))

SCALARS: dict[Any, Codec] = {
    str: Codec(_TEXT, frozenset({"string"}), is_plain=True),
    int: codec("integer", write=before(_integer, _INT), read=_INT, is_plain=True),
    float: codec("integer number", write=cs.no_info_wrap_validator_function(_real, _FLOAT), read=_FLOAT, is_plain=True),
    bool: codec("boolean", write=before(builtin, _BOOL), read=_BOOL, is_plain=True),
    type(None): Codec(cs.none_schema(), frozenset({"null"}), is_plain=True),
    bytes: _text_of(bytes, _base64, _BYTES, bytearray, memoryview),
    datetime: _text_of(datetime, _isoformat, _reader(datetime, datetime.fromisoformat)),
    date: _text_of(date, _isoformat, _reader(date, date.fromisoformat)),
    time: _text_of(time, _isoformat, _reader(time, time.fromisoformat)),
    timedelta: _text_of(timedelta, write_duration, cs.timedelta_schema(strict=True)),
    UUID: _text_of(UUID, str, cs.uuid_schema(strict=True)),
    Decimal: _text_of(Decimal, str, cs.decimal_schema(allow_inf_nan=True)),
}
