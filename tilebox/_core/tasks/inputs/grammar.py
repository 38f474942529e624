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
import collections.abc
import dataclasses
import enum
import types
import typing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import Message

from tilebox._core.tasks.annotations import owner_of
from tilebox._core.tasks.inputs.codec import Codec, UnsupportedTypeError
from tilebox._core.tasks.inputs.containers import Anything, Array, Object, OptionalCodec, Record, Tuple, Union
from tilebox._core.tasks.inputs.scalars import INTEGER, REAL, Boolean, Choice, Member, MessageCodec, Null, Text, Written
from tilebox._core.values.durations import read_duration, write_duration

if TYPE_CHECKING:
    from tilebox._core.tasks.annotations import Scope

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


class Grammar:
    """Makes codecs of annotations.

    Args:
        scope: Where names in annotations are looked up besides in modules.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._records: dict[Any, Record] = {}

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
            return Anything(self)
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
        # What makes dataclasses of its subclasses, as Task does, says nothing of what is in them.
        if dataclasses.is_dataclass(type_) and "__dataclass_transform__" not in vars(type_):
            return self._record(type_, ())
        if issubclass(type_, enum.Enum):
            return Member(type_)
        if issubclass(type_, Message):
            return MessageCodec(type_)
        if issubclass(type_, PurePath):
            return Written(type_, str, type_)
        if type_ in _ARRAYS:
            return Array(_ARRAYS[type_], Anything(self), type_.__name__)
        if type_ in _OBJECTS:
            return Object(Anything(self), Anything(self))
        raise _unsupported(type_)

    def _of_generic(self, annotation: Any, arguments: dict[Any, Any]) -> Codec:
        origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return self.codec(parts[0], arguments)
        if origin is typing.Literal:
            return Choice(parts)
        if origin in (typing.Union, types.UnionType):
            return self._union([self.codec(part, arguments) for part in parts])
        if origin is tuple and not (len(parts) == 2 and parts[1] is ...):
            return Tuple([self.codec(part, arguments) for part in parts])
        if origin in _ARRAYS:
            item = self.codec(parts[0], arguments)
            ending = ", ..." if origin is tuple else ""
            return Array(_ARRAYS[origin], item, f"{origin.__name__}[{item.written}{ending}]")
        if origin in _OBJECTS:
            return Object(self.codec(parts[0], arguments), self.codec(parts[1], arguments))
        if isinstance(origin, type) and dataclasses.is_dataclass(origin):
            return self._record(origin, tuple(arguments.get(part, part) for part in parts))
        raise _unsupported(annotation)

    def _union(self, members: list[Codec]) -> Codec:
        anything = [member for member in members if type(member) is Anything]
        if anything:
            return anything[0]
        if len(members) == 2 and type(members[1]) is Null:
            return OptionalCodec(members[0])
        return Union(members)

    def _record(self, type_: type, parts: tuple[Any, ...]) -> Record:
        key = (type_, parts)
        if key not in self._records:
            names = getattr(type_, "__parameters__", ())
            self._records[key] = Record(type_, dict(zip(names, parts, strict=False)), self)
        return self._records[key]


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


def _isoformat(value: date | time) -> str:
    return value.isoformat()


_SIMPLE: dict[Any, Codec] = {
    str: Text(),
    int: INTEGER,
    float: REAL,
    bool: Boolean(),
    type(None): Null(),
    None: Null(),
    datetime: Written(datetime, _isoformat, datetime.fromisoformat),
    date: Written(date, _isoformat, date.fromisoformat),
    time: Written(time, _isoformat, time.fromisoformat),
    timedelta: Written(timedelta, write_duration, read_duration),
    UUID: Written(UUID, str, UUID),
    Decimal: Written(Decimal, str, Decimal),
    bytes: Written(
        bytes,
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(text, validate=True),
        bytearray,
        memoryview,
    ),
}
