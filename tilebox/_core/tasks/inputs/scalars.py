"""Codecs of single values: text, numbers, literals, members of enums, what travels as text, protobuf messages."""

from __future__ import annotations

import base64
import binascii
import math
import numbers
import operator
from datetime import date, datetime
from decimal import InvalidOperation
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message

from tilebox._core.tasks.inputs.codec import Codec, Unfit, UnsupportedTypeError, kind_of, with_article

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable

# Python writes and reads no integer of more than 4300 digits as text.
_INTEGER_LIMIT = 10**4300


class Text(Codec):
    written, kinds, is_plain = "str", frozenset({"string"}), True

    def encode(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class Boolean(Codec):
    written, kinds, is_plain = "bool", frozenset({"boolean"}), True

    def encode(self, value: Any) -> Any:
        if value is True or value is False:
            return value
        # numpy's, without importing it for those who have none.
        if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
            return bool(value)
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class Integer(Codec):
    written, kinds, is_plain = "int", frozenset({"integer"}), True

    def encode(self, value: Any) -> Any:
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise self._unfit(value)
            value = operator.index(value)
        if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
            raise Unfit("has more than 4300 digits", is_type=False)
        return value

    def decode(self, data: Any) -> Any:
        if type(data) is float and data.is_integer():  # as languages without integers write them
            return int(data)
        if type(data) is not int:
            raise self._unfit(data)
        return data


class Real(Codec):
    written, kinds, is_plain = "float", frozenset({"integer", "number"}), True

    def encode(self, value: Any) -> Any:
        if type(value) is int:
            self._as_float(value)
            return value
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise self._unfit(value)
        return self._as_float(value)

    def decode(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, (int, float)):
            raise self._unfit(data)
        return self._as_float(data)

    def _as_float(self, value: Any) -> float:
        try:
            number = float(value)
        except OverflowError:
            raise Unfit("is too large for a float", is_type=False) from None
        if not math.isfinite(number):
            hint = "; write `float | None` and give None"
            raise Unfit(f"is {number!r}, which JSON cannot hold{hint}", is_type=False)
        return number


class Null(Codec):
    written, kinds, is_plain = "None", frozenset({"null"}), True

    def encode(self, value: Any) -> Any:
        if value is None:
            return None
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class Choice(Codec):
    is_plain = True

    def __init__(self, values: tuple[Any, ...]) -> None:
        for value in values:
            if type(value) not in (str, int, bool, type(None)):
                raise UnsupportedTypeError(f"a Literal of {value!r}; write one of str, int, bool or None")
        self._values = {(type(value), value) for value in values}
        self.written = f"Literal[{', '.join(map(repr, values))}]"
        self.kinds = frozenset(kind_of(value) for value in values)

    def encode(self, value: Any) -> Any:
        # With its type, because True equals 1.
        if value.__hash__ is not None and (type(value), value) in self._values:
            return value
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class Member(Codec):
    def __init__(self, members: type[enum.Enum]) -> None:
        self._members = members
        self.written = members.__name__
        for member in members:
            if type(member.value) not in (str, int, float, bool, type(None)):
                raise UnsupportedTypeError(
                    f"an Enum whose member {member.name} is {member.value!r}; give its members text or numbers"
                )
        self.kinds = frozenset(kind_of(member.value) for member in members)

    def encode(self, value: Any) -> Any:
        if isinstance(value, self._members):
            return value.value
        raise self._unfit(value, f"; write {self.written}({value!r})" if type(value) in (str, int) else "")

    def decode(self, data: Any) -> Any:
        try:
            return self._members(data)
        except (ValueError, TypeError):
            raise self._unfit(data) from None


class Written(Codec):
    """A type that travels as text."""

    kinds = frozenset({"string"})

    def __init__(self, type_: type, write: Callable[[Any], str], read: Callable[[str], Any], *others: type) -> None:
        self._type = type_
        self._accepted = (type_, *others)
        self._write = write
        self._read = read
        self.written = type_.__name__

    def encode(self, value: Any) -> Any:
        if not isinstance(value, self._accepted) or (self._type is date and isinstance(value, datetime)):
            raise self._unfit(value, f"; write {self.written}({value!r})" if isinstance(value, str) else "")
        text = self._write(value)
        # A subclass may write what its parent cannot read, as pandas does with nanoseconds and NaT.
        if type(value) is not self._type and self.decode(text) != value:
            raise self._unfit(value, f", which loses something as {with_article(self.written)}")
        return text

    def decode(self, data: Any) -> Any:
        if not isinstance(data, str):
            raise self._unfit(data)
        try:
            return self._read(data)
        except (ValueError, InvalidOperation, OverflowError, TypeError):
            raise self._unfit(data) from None


class MessageCodec(Codec):
    """A protobuf message; a task whose only input it is sends its bytes as they are.

    Args:
        message: Its class.
    """

    kinds = frozenset({"string"})

    def __init__(self, message: type[Message]) -> None:
        self._message = message
        self.written = message.__name__

    def encode(self, value: Any) -> Any:
        return base64.b64encode(self.to_bytes(value)).decode()

    def decode(self, data: Any) -> Any:
        if not isinstance(data, str):
            raise self._unfit(data)
        try:
            return self.from_bytes(base64.b64decode(data, validate=True))
        except binascii.Error:
            raise self._unfit(data) from None

    def to_bytes(self, value: Any) -> bytes:
        """Serialise a message; equal ones to equal bytes."""
        if not isinstance(value, self._message):
            raise self._unfit(value)
        return value.SerializeToString(deterministic=True)

    def from_bytes(self, data: bytes) -> Message:
        """Read a message."""
        try:
            return self._message.FromString(data)
        except DecodeError:
            raise self._unfit(data) from None


INTEGER = Integer()
REAL = Real()
