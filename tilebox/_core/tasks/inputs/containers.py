"""Codecs of container types: arrays, dicts, dataclasses, unions, and `Any`."""

from __future__ import annotations

import collections.abc
import enum
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema as cs
from pydantic_core import to_json

from tilebox._core.tasks.inputs.codec import (
    Codec,
    UnsupportedTypeError,
    after,
    before,
    codec,
    describe,
    instance_of,
    plain,
    type_error,
    value_error,
)
from tilebox._core.tasks.inputs.scalars import builtin

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import SchemaValidator

ANY_KIND = "null boolean integer number string array object"

_LIST = instance_of((list, tuple), "list")


def array(type_: type, item: Codec) -> Codec:
    """Return the codec of a list, a tuple of any length, or a set."""
    items = cs.list_schema(item.schema)
    steps = [_LIST, items]
    if issubclass(type_, (set, frozenset)):
        # Sorted, so that equal tasks have equal inputs.
        steps = [instance_of(collections.abc.Set, "set", list), items, plain(lambda data: sorted(data, key=to_json))]
    return codec("array", write=cs.chain_schema(steps), read=items if type_ is list else after(type_, items))


def fixed_tuple(items: list[Codec]) -> Codec:
    """Return the codec of a tuple with a type for each item."""
    schema = cs.tuple_schema([item.schema for item in items])
    return codec("array", write=cs.chain_schema([_LIST, schema]), read=schema)


def mapping(key: Codec, value: Codec) -> Codec:
    """Return the codec of a dict; JSON has its keys as strings."""
    read_key = key.schema
    if key.kinds == {"integer"}:
        # The schema of the key refuses a string that is not a number.
        read_key = before(lambda text: int(text) if text.lstrip("-").isdecimal() else text, key.schema)
    write = cs.chain_schema([instance_of(collections.abc.Mapping, "dict"), cs.dict_schema(key.schema, value.schema)])
    return codec("object", write=write, read=cs.dict_schema(read_key, value.schema))


def record(type_: type, fields: dict[str, tuple[Codec, bool]], ref: str) -> cs.CoreSchema:
    """Return the schema of a dataclass.

    Args:
        type_: The dataclass.
        fields: The codec of each serialised field, and whether the field is required.
        ref: The reference by which other schemas use this one.
    """

    def to_dict(value: Any) -> dict[str, Any]:
        if type(value) is not type_:
            hint = ", whose additional fields would be lost" if isinstance(value, type_) else ""
            raise type_error(type_.__name__, value, hint)
        return {field: getattr(value, field) for field in fields}

    def from_dict(values: dict[str, Any]) -> Any:
        try:
            return type_(**values)
        except (TypeError, ValueError) as error:
            raise value_error(f"is not a valid {type_.__name__}: {error}") from error

    schema = object_of(fields)
    write, read = before(to_dict, schema), after(from_dict, schema)
    return cs.json_or_python_schema(python_schema=write, json_schema=read, ref=ref)


def object_of(fields: dict[str, tuple[Codec, bool]]) -> cs.CoreSchema:
    """Return the schema of an object with named fields; it ignores others, which a later version may have added."""
    return cs.typed_dict_schema(
        {name: cs.typed_dict_field(field.schema, required=required) for name, (field, required) in fields.items()}
    )


def union(members: dict[str, Codec]) -> Codec:
    """Return the codec of a union.

    Args:
        members: The codecs of its members by name.

    Raises:
        UnsupportedTypeError: Two members have the same form in JSON.
    """
    name = " | ".join(members)
    for kind in ANY_KIND.split():
        alike = [member for member in members if kind in members[member].kinds]
        if len(alike) > 1 and not all(members[member].is_plain for member in alike):
            raise UnsupportedTypeError(
                f"{name}, in which {' and '.join(alike)} look the same in JSON ({kind}); write only one of them, or a "
                "dataclass with a field that tells them apart"
            )
    kinds = frozenset[str]().union(*(member.kinds for member in members.values()))
    others = [member for member in members.values() if member.kinds != {"null"}]
    if len(others) == 1:
        return replace(others[0], schema=cs.nullable_schema(others[0].schema), kinds=kinds)
    # Integers are tried first, or else an int would come back as a float.
    in_order = sorted(members.values(), key=lambda member: "number" in member.kinds)
    schema = cs.union_schema(
        [member.schema for member in in_order],
        mode="left_to_right",
        custom_error_type="union",
        custom_error_message=f"must be {name}",
    )
    return Codec(schema, kinds, is_plain=all(member.is_plain for member in members.values()))


def any_value(validator_of: Callable[[type], SchemaValidator | None]) -> Codec:
    """Return the codec of `Any`: a value is written by its own type, and read in its JSON form.

    Args:
        validator_of: Returns the validator of a type, or None if its values cannot be serialised.
    """
    validators: dict[type, SchemaValidator | None] = {}

    def write(value: Any) -> Any:
        value = builtin(value)
        type_ = type(value)
        if not isinstance(value, (enum.Enum, bool)):
            type_ = next((base for base in (str, int, float, list, tuple, dict) if isinstance(value, base)), type_)
        if type_ not in validators:
            validators[type_] = validator_of(type_)
        validator = validators[type_]
        if validator is None:
            raise value_error(f"is {describe(value)}, which cannot be serialised as JSON", "bad_type")
        return validator.validate_python(value)

    return codec(ANY_KIND, write=plain(write), read=cs.any_schema())
