"""Codecs of what consists of other values: arrays, objects, dataclasses, unions, and whatever says its own type."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import numbers
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tilebox._core.tasks.annotations import UnknownNameError
from tilebox._core.tasks.inputs.codec import (
    Codec,
    Unfit,
    UnsupportedTypeError,
    at,
    described,
    each,
    kind_of,
    to_json,
    with_article,
)
from tilebox._core.tasks.inputs.scalars import INTEGER, REAL, Integer, Null, Real, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tilebox._core.tasks.inputs.grammar import Grammar


class Array(Codec):
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
        items = each(self._item.encode, value)
        return sorted(items, key=to_json) if self._is_set else items

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise self._unfit(data)
        items = each(self._item.decode, data)
        return items if self._type is list else self._type(items)

    def parts(self) -> Iterable[Codec]:
        return (self._item,)


class Tuple(Codec):
    kinds = frozenset({"array"})

    def __init__(self, items: Sequence[Codec]) -> None:
        self._items = items
        self.written = f"tuple[{', '.join(item.written for item in items) or '()'}]"

    def encode(self, value: Any) -> Any:
        if not isinstance(value, (tuple, list)):
            raise self._unfit(value)
        self._check_length(value)
        return [at(index, item.encode, value[index]) for index, item in enumerate(self._items)]

    def decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise self._unfit(data)
        self._check_length(data)
        return tuple(at(index, item.decode, data[index]) for index, item in enumerate(self._items))

    def parts(self) -> Iterable[Codec]:
        return self._items

    def _check_length(self, value: Sequence[Any]) -> None:
        if len(value) != len(self._items):
            raise Unfit(f"must have {len(self._items)} items as in {self.written}, but has {len(value)}")


class Object(Codec):
    kinds = frozenset({"object"})

    def __init__(self, key: Codec, value: Codec) -> None:
        if key.kinds not in ({"string"}, {"integer"}) and type(key) is not Anything:
            raise UnsupportedTypeError(
                f"a dict with keys of type {key.written}, where JSON has text; write dict[str, {value.written}]"
            )
        self._key = Text() if type(key) is Anything else key
        self._value = value
        self._is_by_number = "integer" in key.kinds and "string" not in key.kinds
        self.written = f"dict[{self._key.written}, {value.written}]"

    def encode(self, value: Any) -> Any:
        if not isinstance(value, (dict, collections.abc.Mapping)):
            raise self._unfit(value)
        return {self._encode_key(key): at(key, self._value.encode, item) for key, item in value.items()}

    def decode(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise self._unfit(data)
        return {self._decode_key(key): at(key, self._value.decode, item) for key, item in data.items()}

    def parts(self) -> Iterable[Codec]:
        return (self._key, self._value)

    def _encode_key(self, key: Any) -> str:
        if type(key) is str and type(self._key) is Text:
            return key
        try:
            return str(self._key.encode(key))
        except Unfit as unfit:
            raise Unfit(f"has a key that {unfit.reason}", is_type=unfit.is_type) from None

    def _decode_key(self, key: str) -> Any:
        try:
            return self._key.decode(int(key) if self._is_by_number else key)
        except (Unfit, ValueError):
            raise Unfit(f"has a key that must be {with_article(self._key.written)}, but is {described(key)}") from None


class Record(Codec):
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
        return {name: at(name, codec.encode, getattr(value, name)) for name, codec in self._codecs().items()}

    def decode(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise self._unfit(data)
        codecs = self._codecs()
        for name in self._required:
            if name not in data:
                raise Unfit("is missing").within(f".{name}")
        # Fields that are not known are those of a later version.
        values = {name: at(name, codec.decode, data[name]) for name, codec in codecs.items() if name in data}
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


class Union(Codec):
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
        candidates = self._by_kind.get(kind_of(data), ())
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
        return self._by_kind.get(kind_of(value), ()) if type(value) in (int, float) else self._members

    def _of_kind(self, kind: str) -> list[Codec]:
        found = [member for member in self._members if kind in member.kinds]
        if any(type(member) is Integer for member in found):
            found = [member for member in found if type(member) is not Real]
        if len(found) > 1 and not all(member.is_plain for member in found):
            both = " and ".join(member.written for member in found)
            raise UnsupportedTypeError(
                f"{self.written}, of which {both} look the same in JSON ({kind}); write one of them, or a dataclass "
                "that says which it is"
            )
        return found


class OptionalCodec(Union):
    """A type, or None.

    Args:
        member: The type.
    """

    def __init__(self, member: Codec) -> None:
        super().__init__([member, Null()])
        self.member = member


class Anything(Codec):
    """Whatever has a type of its own that travels."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar

    def encode(self, value: Any) -> Any:
        kind = type(value)
        if kind in (str, bool, type(None)):
            return value
        if isinstance(value, (list, tuple)):
            return each(self.encode, value)
        if isinstance(value, dict):
            return {self._key(key): at(key, self.encode, item) for key, item in value.items()}
        return self._of(value).encode(value)

    def decode(self, data: Any) -> Any:
        return data

    def _of(self, value: Any) -> Codec:
        # numpy's scalars are of types that no annotation has.
        if not isinstance(value, enum.Enum) and isinstance(value, numbers.Real):
            return INTEGER if isinstance(value, numbers.Integral) else REAL
        with suppress(UnsupportedTypeError, UnknownNameError):
            codec = self._grammar.codec(type(value))
            if type(codec) is not Anything:
                return codec
        raise Unfit(f"is {described(value)}, which cannot travel as JSON")

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        raise Unfit(f"has the key {described(key)}, where JSON has text; write dict[int, ...] in the annotation")


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
