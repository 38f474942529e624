"""What may be an input of a task, and how it travels: for each type of the grammar, to JSON and back.

| annotation | JSON |
|---|---|
| `str`, `int`, `float`, `bool`, `None`, `Literal` | as it is |
| `list`, `tuple`, `set`, `frozenset`, `Sequence` … of these | array |
| `dict`, `Mapping` … whose keys are text in JSON, or `int` | object |
| dataclasses | object |
| `Enum` | the value of the member |
| `datetime`, `date`, `time`, `timedelta` | text, ISO 8601 |
| `UUID`, `Path`, `Decimal` | text |
| `bytes`, protobuf messages | text, base64 |
| unions, whose members must be told apart by their JSON | that of the member |
| `Any`, `object` | as the value's own type says; comes back as what JSON has |

Integers may have up to 4300 digits, which is what Python reads (other languages read 64 bits). Infinite numbers and
NaN are refused, as JSON has none. Sets are put in order, so that equal tasks have equal inputs. Types are checked in
both directions; numpy's scalars count as the numbers they are.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import dataclasses
import enum
import json
import math
import numbers
import operator
import re
import reprlib
import types
import typing
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from tilebox._core.annotations import Scope, UnknownNameError, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Codec", "Grammar", "MessageCodec", "OptionalCodec", "Unfit", "UnsupportedTypeError", "to_json"]

# Python writes and reads no integer of more than 4300 digits as text.
_INTEGER_LIMIT = 10**4300

_ARRAYS: dict[Any, type] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False).encode


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
        return Unfit(f"must be {_article(self.written)}, but is {_described(value)}{hint}")


class _Text(Codec):
    written, kinds, is_plain = "str", frozenset({"string"}), True

    def encode(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class _Boolean(Codec):
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


class _Integer(Codec):
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


class _Real(Codec):
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


class _Null(Codec):
    written, kinds, is_plain = "None", frozenset({"null"}), True

    def encode(self, value: Any) -> Any:
        if value is None:
            return None
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class _Literal(Codec):
    is_plain = True

    def __init__(self, values: tuple[Any, ...]) -> None:
        for value in values:
            if type(value) not in (str, int, bool, type(None)):
                raise UnsupportedTypeError(f"a Literal of {value!r}; write one of str, int, bool or None")
        self._values = {(type(value), value) for value in values}
        self.written = f"Literal[{', '.join(map(repr, values))}]"
        self.kinds = frozenset(_kind(value) for value in values)

    def encode(self, value: Any) -> Any:
        # With its type, because True equals 1.
        if value.__hash__ is not None and (type(value), value) in self._values:
            return value
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        return self.encode(data)


class _Member(Codec):
    def __init__(self, members: type[enum.Enum]) -> None:
        self._members = members
        self.written = members.__name__
        for member in members:
            if type(member.value) not in (str, int, float, bool, type(None)):
                raise UnsupportedTypeError(
                    f"an Enum whose member {member.name} is {member.value!r}; give its members text or numbers"
                )
        self.kinds = frozenset(_kind(member.value) for member in members)

    def encode(self, value: Any) -> Any:
        if isinstance(value, self._members):
            return value.value
        raise self._unfit(value, f"; write {self.written}({value!r})" if type(value) in (str, int) else "")

    def decode(self, data: Any) -> Any:
        try:
            return self._members(data)
        except (ValueError, TypeError):
            raise self._unfit(data) from None


class _Written(Codec):
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
            raise self._unfit(value, f", which loses something as {_article(self.written)}")
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


class _Array(Codec):
    kinds = frozenset({"array"})

    def __init__(self, type_: type, item: Codec, written: str) -> None:
        self._type = type_
        self._item = item
        self.written = written
        self._is_set = issubclass(type_, (set, frozenset))
        self._accepted: Any = collections.abc.Set if self._is_set else (list, tuple)

    def encode(self, value: Any) -> Any:
        if not isinstance(value, self._accepted):
            hint = "; write .tolist()" if hasattr(value, "tolist") else ""
            raise self._unfit(value, hint)
        items = _each(self._item.encode, value)
        return sorted(items, key=to_json) if self._is_set else items

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise self._unfit(data)
        items = _each(self._item.decode, data)
        return items if self._type is list else self._type(items)

    def parts(self) -> Iterable[Codec]:
        return (self._item,)


class _Tuple(Codec):
    kinds = frozenset({"array"})

    def __init__(self, items: Sequence[Codec]) -> None:
        self._items = items
        self.written = f"tuple[{', '.join(item.written for item in items) or '()'}]"

    def encode(self, value: Any) -> Any:
        if not isinstance(value, (tuple, list)):
            raise self._unfit(value)
        self._check_length(value)
        return [_at(index, item.encode, value[index]) for index, item in enumerate(self._items)]

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise self._unfit(data)
        self._check_length(data)
        return tuple(_at(index, item.decode, data[index]) for index, item in enumerate(self._items))

    def parts(self) -> Iterable[Codec]:
        return self._items

    def _check_length(self, value: Sequence[Any]) -> None:
        if len(value) != len(self._items):
            raise Unfit(f"must have {len(self._items)} items as in {self.written}, but has {len(value)}")


class _Object(Codec):
    kinds = frozenset({"object"})

    def __init__(self, key: Codec, value: Codec) -> None:
        if key.kinds not in ({"string"}, {"integer"}) and type(key) is not _Anything:
            raise UnsupportedTypeError(
                f"a dict with keys of type {key.written}, where JSON has text; write dict[str, {value.written}]"
            )
        self._key = _Text() if type(key) is _Anything else key
        self._value = value
        self._is_by_number = "integer" in key.kinds and "string" not in key.kinds
        self.written = f"dict[{self._key.written}, {value.written}]"

    def encode(self, value: Any) -> Any:
        if not isinstance(value, (dict, collections.abc.Mapping)):
            raise self._unfit(value)
        return {self._encode_key(key): _at(key, self._value.encode, item) for key, item in value.items()}

    def decode(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise self._unfit(data)
        return {self._decode_key(key): _at(key, self._value.decode, item) for key, item in data.items()}

    def parts(self) -> Iterable[Codec]:
        return (self._key, self._value)

    def _encode_key(self, key: Any) -> str:
        if type(key) is str and type(self._key) is _Text:
            return key
        try:
            return str(self._key.encode(key))
        except Unfit as unfit:
            raise Unfit(f"has a key that {unfit.reason}", is_type=unfit.is_type) from None

    def _decode_key(self, key: str) -> Any:
        try:
            return self._key.decode(int(key) if self._is_by_number else key)
        except (Unfit, ValueError):
            raise Unfit(f"has a key that must be {_article(self._key.written)}, but is {_described(key)}") from None


class _Record(Codec):
    """A dataclass inside an input."""

    kinds = frozenset({"object"})

    def __init__(self, type_: type, arguments: dict[Any, Any], grammar: Grammar) -> None:
        self._type = type_
        self._arguments = arguments
        self._grammar = grammar
        self._fields: dict[str, Codec] | None = None
        self._required: list[str] = []
        self.written = type_.__name__

    def encode(self, value: Any) -> Any:
        if type(value) is not self._type:
            loss = ", whose further fields would be lost" if isinstance(value, self._type) else ""
            raise self._unfit(value, loss)
        return {name: _at(name, codec.encode, getattr(value, name)) for name, codec in self._codecs().items()}

    def decode(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise self._unfit(data)
        codecs = self._codecs()
        for name in self._required:
            if name not in data:
                raise Unfit("is missing").within(f".{name}")
        # Fields that are not known are those of a later version.
        values = {name: _at(name, codec.decode, data[name]) for name, codec in codecs.items() if name in data}
        try:
            return self._type(**values)
        except (TypeError, ValueError) as error:
            raise Unfit(f"is no {self.written}: {error}", is_type=False) from error

    def parts(self) -> Iterable[Codec]:
        return self._codecs().values()

    def _codecs(self) -> dict[str, Codec]:
        # Only now, because a dataclass may be a part of itself, or be defined further down.
        if self._fields is None:
            fields = travelling_fields(self._type)
            self._fields = {
                field.name: self._grammar.codec_of_field(self._type, field, self._arguments) for field in fields
            }
            self._required = [field.name for field in fields if not has_default(field)]
        return self._fields


class _Union(Codec):
    def __init__(self, members: Sequence[Codec]) -> None:
        self._members = members
        self.kinds = frozenset[str]().union(*(member.kinds for member in members))
        self.written = " | ".join(member.written for member in members)
        self._by_kind = {kind: self._of_kind(kind) for kind in self.kinds}

    def encode(self, value: Any) -> Any:
        for member in self._in_order(value):
            try:
                return member.encode(value)
            except Unfit as unfit:
                # That of the only member that can be meant says more than that it is none of them.
                if unfit.where or not unfit.is_type:
                    raise
        raise self._unfit(value)

    def decode(self, data: Any) -> Any:
        candidates = self._by_kind.get(_kind(data), ())
        for member in candidates:
            try:
                return member.decode(data)
            except Unfit:
                if len(candidates) == 1:
                    raise
        raise self._unfit(data)

    def parts(self) -> Iterable[Codec]:
        return self._members

    def _in_order(self, value: Any) -> Iterable[Codec]:
        # An integer is an int before it is a float, or it would come back as one.
        return self._by_kind.get(_kind(value), ()) if type(value) in (int, float) else self._members

    def _of_kind(self, kind: str) -> list[Codec]:
        found = [member for member in self._members if kind in member.kinds]
        if any(type(member) is _Integer for member in found):
            found = [member for member in found if type(member) is not _Real]
        if len(found) > 1 and not all(member.is_plain for member in found):
            both = " and ".join(member.written for member in found)
            raise UnsupportedTypeError(
                f"{self.written}, of which {both} look the same in JSON ({kind}); write one of them, or a dataclass "
                "that says which it is"
            )
        return found


class OptionalCodec(_Union):
    """A type, or None.

    Args:
        member: The type.
    """

    def __init__(self, member: Codec) -> None:
        super().__init__([member, _Null()])
        self.member = member


class _Anything(Codec):
    """Whatever has a type of its own that travels."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in (str, bool, type(None)):
            return value
        if isinstance(value, (list, tuple)):
            return _each(self.encode, value)
        if isinstance(value, dict):
            return {self._key(key): _at(key, self.encode, item) for key, item in value.items()}
        return self._of(value).encode(value)

    def decode(self, data: Any) -> Any:
        return data

    def _of(self, value: Any) -> Codec:
        # numpy's scalars are of types that no annotation has.
        if not isinstance(value, enum.Enum) and isinstance(value, numbers.Real):
            return _INTEGER if isinstance(value, numbers.Integral) else _REAL
        with suppress(UnsupportedTypeError, UnknownNameError):
            codec = self._grammar.codec(type(value))
            if type(codec) is not _Anything:
                return codec
        raise Unfit(f"is {_described(value)}, which cannot travel as JSON")

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        raise Unfit(f"has the key {_described(key)}, where JSON has text; write dict[int, ...] in the annotation")


class Grammar:
    """Makes codecs of annotations.

    Args:
        scope: Where names in annotations are looked up besides in modules.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._records: dict[Any, _Record] = {}

    def codec_of_field(
        self, type_: type, field: dataclasses.Field[Any], arguments: dict[Any, Any] | None = None
    ) -> Codec:
        """Return the codec of a dataclass's field.

        Args:
            type_: The dataclass.
            field: One of its fields.
            arguments: What its type variables stand for.

        Raises:
            UnknownNameError: Its annotation names something that is not there.
            UnsupportedTypeError: Its type is not in the grammar.
        """
        owner = owner_of(type_, field)
        try:
            resolved = self._scope.resolve(owner, field.type)
        except (TypeError, SyntaxError) as error:
            raise UnsupportedTypeError(f"{field.type!r}, which is no annotation of a field: {error}") from error
        return self.codec(resolved, arguments or {})

    def codec(self, annotation: Any, arguments: dict[Any, Any] | None = None) -> Codec:
        """Return the codec of an annotation, whose names are resolved."""
        arguments = arguments or {}
        simple = _SIMPLE.get(annotation) if annotation.__hash__ is not None else None
        if simple is not None:
            return simple
        if annotation in (Any, object):
            return _Anything(self)
        if isinstance(annotation, typing.TypeVar):
            return self.codec(arguments.get(annotation, annotation.__bound__ or Any), arguments)
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.codec(annotation.__supertype__, arguments)
        if type(annotation).__name__ == "TypeAliasType":
            return self.codec(annotation.__value__, arguments)
        if isinstance(annotation, type) and typing.get_origin(annotation) is None:
            return self._of_class(annotation)
        return self._of_generic(annotation, arguments)

    def _of_class(self, type_: type) -> Codec:
        if dataclasses.is_dataclass(type_):
            return self._record(type_, ())
        if issubclass(type_, enum.Enum):
            return _Member(type_)
        if issubclass(type_, Message):
            return MessageCodec(type_)
        if issubclass(type_, PurePath):
            return _Written(type_, str, type_)
        if type_ in _ARRAYS:
            return _Array(_ARRAYS[type_], _Anything(self), type_.__name__)
        if type_ in _OBJECTS:
            return _Object(_Anything(self), _Anything(self))
        raise _unsupported(type_)

    def _of_generic(self, annotation: Any, arguments: dict[Any, Any]) -> Codec:
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return self.codec(parts[0], arguments)
        if origin is typing.Literal:
            return _Literal(parts)
        if origin in (typing.Union, types.UnionType):
            return self._union([self.codec(part, arguments) for part in parts])
        if origin is tuple and not (len(parts) == 2 and parts[1] is ...):
            return _Tuple([self.codec(part, arguments) for part in parts])
        if origin in _ARRAYS:
            item = self.codec(parts[0], arguments)
            ending = ", ..." if origin is tuple else ""
            return _Array(_ARRAYS[origin], item, f"{origin.__name__}[{item.written}{ending}]")
        if origin in _OBJECTS:
            return _Object(self.codec(parts[0], arguments), self.codec(parts[1], arguments))
        if isinstance(origin, type) and dataclasses.is_dataclass(origin):
            return self._record(origin, tuple(arguments.get(part, part) for part in parts))
        raise _unsupported(annotation)

    def _union(self, members: list[Codec]) -> Codec:
        anything = [member for member in members if type(member) is _Anything]
        if anything:
            return anything[0]
        if len(members) == 2 and type(members[1]) is _Null:
            return OptionalCodec(members[0])
        return _Union(members)

    def _record(self, type_: type, parts: tuple[Any, ...]) -> _Record:
        key = (type_, parts)
        if key not in self._records:
            names = getattr(type_, "__parameters__", ())
            self._records[key] = _Record(type_, dict(zip(names, parts, strict=False)), self)
        return self._records[key]


def travelling_fields(type_: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields of a dataclass that are inputs.

    Those with `skip_serialization` in their metadata are none, nor are those that `__post_init__` fills in.

    Raises:
        UnsupportedTypeError: A field that is none has no default, so that nobody could make the value again.
    """
    every = getattr(type_, dataclasses._FIELDS)  # type: ignore[attr-defined]  # noqa: SLF001
    travelling = []
    for field in every.values():
        kind = field._field_type  # noqa: SLF001
        if kind is dataclasses._FIELD_CLASSVAR or not field.init:  # type: ignore[attr-defined]  # noqa: SLF001
            continue
        is_kept = kind is dataclasses._FIELD and not field.metadata.get("skip_serialization", False)  # type: ignore[attr-defined]  # noqa: SLF001
        if is_kept:
            travelling.append(field)
        elif not has_default(field):
            what = "skip_serialization" if field.metadata.get("skip_serialization") else "an InitVar"
            raise UnsupportedTypeError(f"{what}, which does not travel, without a default; give it one")
    return travelling


def has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a dataclass can be made without giving a field."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def write_duration(value: timedelta) -> str:
    """Write a duration as in ISO 8601, in days and seconds.

    >>> write_duration(timedelta(days=1, seconds=2.5)), write_duration(-timedelta(seconds=90))
    ('P1DT2.5S', '-PT90S')
    """
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    days, micros = divmod(micros, 86_400_000_000)
    seconds, fraction = divmod(micros, 1_000_000)
    text = f"{seconds}.{fraction:06}".rstrip("0").rstrip(".") if fraction else str(seconds)
    if not micros:
        return f"{sign}P{days}D"
    return f"{sign}P{f'{days}D' if days else ''}T{text}S"


_DURATION = re.compile(
    r"(?P<sign>[-+]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<micros>\d{1,6})\d*)?S)?)?",
    re.ASCII | re.IGNORECASE,
)


def read_duration(text: str) -> timedelta:
    """Read a duration as in ISO 8601, of weeks, days, hours, minutes and seconds.

    Raises:
        ValueError: It is none.
        OverflowError: It is longer than a timedelta can be.
    """
    match = _DURATION.fullmatch(text)
    if not match or text.upper().endswith(("P", "T")):
        raise ValueError(f"{text!r} is no duration")
    parts = match.groupdict()
    sign = -1 if parts.pop("sign") == "-" else 1
    micros = (parts.pop("micros") or "").ljust(6, "0")
    # The sign goes into the parts, because the shortest timedelta is longer than the longest one.
    exact = {name: sign * int(number or 0) for name, number in parts.items()}
    return timedelta(**exact, microseconds=sign * int(micros))


def _each(step: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    done: list[Any] = []
    try:
        for value in values:
            done.append(step(value))  # noqa: PERF401 - how far it came is what an error says
    except Unfit as unfit:
        raise unfit.within(f"[{len(done)}]") from None
    return done


def _at(key: Any, step: Callable[[Any], Any], value: Any) -> Any:
    try:
        return step(value)
    except Unfit as unfit:
        raise unfit.within(f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]") from None


def _kind(data: Any) -> str:
    return _KINDS.get(type(data), "object")


def _described(value: Any) -> str:
    if value is None:
        return "None"
    article = _article(type(value).__name__)
    try:
        return f"{article}: {_short.repr(value)}"
    except Exception:  # noqa: BLE001 - such as that of an integer that is too long to be written
        return article


def _article(name: str) -> str:
    if name in ("None", "Any"):
        return name
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def _unsupported(annotation: Any) -> UnsupportedTypeError:
    name = annotation.__name__ if isinstance(annotation, type) else repr(annotation).replace("typing.", "")
    return UnsupportedTypeError(f"{name}, which cannot travel as JSON; {_instead(annotation)}")


def _instead(annotation: Any) -> str:
    if annotation is complex:
        return "write tuple[float, float]"
    module = getattr(annotation, "__module__", "").split(".")[0]
    if module == "numpy":
        return "write list[float], or keep the array in context.job_cache and give its key"
    if module in ("xarray", "pandas", "dask"):
        return "keep the data in context.job_cache and give its key"
    return (
        "write str, int, float, bool, None, list, tuple, dict, a dataclass, an Enum, datetime, UUID, Path, bytes "
        "or a combination of these"
    )


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


def _isoformat(value: date | time) -> str:
    return value.isoformat()


_INTEGER = _Integer()
_REAL = _Real()
_SIMPLE: dict[Any, Codec] = {
    str: _Text(),
    int: _INTEGER,
    float: _REAL,
    bool: _Boolean(),
    type(None): _Null(),
    None: _Null(),
    datetime: _Written(datetime, _isoformat, datetime.fromisoformat),
    date: _Written(date, _isoformat, date.fromisoformat),
    time: _Written(time, _isoformat, time.fromisoformat),
    timedelta: _Written(timedelta, write_duration, read_duration),
    UUID: _Written(UUID, str, UUID),
    Decimal: _Written(Decimal, str, Decimal),
    bytes: _Written(
        bytes,
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(text, validate=True),
        bytearray,
        memoryview,
    ),
}
