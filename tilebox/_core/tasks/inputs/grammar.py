"""The annotations that task inputs may have; the guide lists them in `workflows/tasks.md`."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import types
import typing
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from pydantic_core import SchemaValidator, to_json
from pydantic_core import core_schema as cs

from tilebox._core.tasks.annotations import UnknownNameError, owner_of
from tilebox._core.tasks.inputs.codec import Codec, UnsupportedTypeError, codec, plain
from tilebox._core.tasks.inputs.containers import ANY_KIND, any_value, array, fixed_tuple, mapping, record, union
from tilebox._core.tasks.inputs.scalars import SCALARS, enum_member, literal, path, protobuf

if TYPE_CHECKING:
    from tilebox._core.tasks.annotations import Scope

_ARRAYS: dict[Any, type] = {
    **{type_: type_ for type_ in (list, tuple, set, frozenset)},
    **dict.fromkeys((collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection), list),
    **dict.fromkeys((collections.abc.Set, collections.abc.MutableSet), set),
}
_OBJECTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Grammar:
    """Converts annotations to codecs.

    Args:
        scope: The namespace in which the annotations are resolved.
        any_codec: The codec of `Any`, to share the one of another grammar.
    """

    def __init__(self, scope: Scope, any_codec: Codec | None = None) -> None:
        self._scope = scope
        self._any_codec = any_codec or any_value(self._validator_of)
        self._records: dict[Any, Codec] = {}
        self._definitions: list[cs.CoreSchema] = []

    def fields(self, type_: type, arguments: dict[Any, Any] | None = None) -> dict[str, tuple[Codec, bool]]:
        """Return the serialised fields of a dataclass: the codec of each, and whether the field is required.

        Args:
            type_: The dataclass.
            arguments: The types that its type variables stand for.

        Raises:
            UnknownNameError: An annotation uses a name that is not defined.
            UnsupportedTypeError: A field has an unsupported type.
        """
        return {
            field.name: (
                self._codec_of_field(type_, field, arguments or {}),
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            )
            for field in _serialized_fields(type_)
        }

    def validator(self, schema: cs.CoreSchema) -> SchemaValidator:
        """Compile a schema of this grammar's codecs."""
        return SchemaValidator(cs.definitions_schema(schema, self._definitions) if self._definitions else schema)

    def _codec_of_field(self, type_: type, field: dataclasses.Field[Any], arguments: dict[Any, Any]) -> Codec:
        try:
            resolved = self._scope.resolve(owner_of(type_, field), field.type)
        except (TypeError, SyntaxError) as error:
            reason = f"{field.name} is {field.type!r}, which is not a valid annotation: {error}"
            raise UnsupportedTypeError(reason) from error
        try:
            return self._codec(resolved, arguments)
        except UnsupportedTypeError as error:
            raise UnsupportedTypeError(f"{field.name} is {error}") from None

    def _codec(self, annotation: Any, arguments: dict[Any, Any]) -> Codec:
        origin, parts = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
        if annotation in (Any, object):
            return self._any_codec
        if isinstance(annotation, typing.TypeVar):
            return self._codec(arguments.get(annotation, annotation.__bound__ or Any), arguments)
        if hasattr(annotation, "__supertype__"):  # NewType
            return self._codec(annotation.__supertype__, arguments)
        if type(annotation).__name__ == "TypeAliasType":
            return self._codec(annotation.__value__, arguments)
        if origin is typing.Annotated:
            return self._codec(annotation.__origin__, arguments)
        if origin is typing.Literal:
            return literal(parts)
        if origin in (typing.Union, types.UnionType):
            members = {_name_of(part): self._codec(part, arguments) for part in parts}
            return self._any_codec if self._any_codec in members.values() else union(members)
        if origin is tuple and annotation is not tuple and parts[1:] != (...,):
            return fixed_tuple([self._codec(part, arguments) for part in parts])
        if isinstance(origin, collections.abc.Hashable) and origin in _ARRAYS:
            return array(_ARRAYS[origin], self._codec(parts[0] if parts else Any, arguments))
        if origin in _OBJECTS:
            key, value = parts or (Any, Any)
            return self._mapping(key, value, arguments)
        if isinstance(origin, type):
            return self._of_class(annotation, origin, parts, arguments)
        return _of_pydantic(annotation, self._any_codec)

    def _mapping(self, key: Any, value: Any, arguments: dict[Any, Any]) -> Codec:
        keys = self._codec(str if key is Any else key, arguments)
        if keys.kinds not in ({"string"}, {"integer"}):
            raise UnsupportedTypeError(
                f"a dict with keys of type {_name_of(key)}, but JSON has only string keys; write "
                f"dict[str, {_name_of(value)}]"
            )
        return mapping(keys, self._codec(value, arguments))

    def _of_class(self, annotation: Any, type_: type, parts: tuple[Any, ...], arguments: dict[Any, Any]) -> Codec:
        if type_ in SCALARS:
            return SCALARS[type_]
        if dataclasses.is_dataclass(type_):
            # A base class that turns its subclasses into dataclasses, as Task does, does not know their fields.
            if "__dataclass_transform__" in vars(type_):
                raise _unsupported(type_)
            return self._record(type_, tuple(arguments.get(part, part) for part in parts))
        if issubclass(type_, enum.Enum):
            return enum_member(type_)
        if issubclass(type_, Message):
            return protobuf(type_)
        if issubclass(type_, PurePath):
            return path(type_)
        return _of_pydantic(annotation, self._any_codec)

    def _record(self, type_: type, parts: tuple[Any, ...]) -> Codec:
        key = (type_, parts)
        if key not in self._records:
            ref = f"{type_.__qualname__}-{len(self._records)}"
            # Stored before the fields are read, because a dataclass may contain itself.
            self._records[key] = Codec(cs.definition_reference_schema(ref), frozenset({"object"}))
            arguments = dict(zip(getattr(type_, "__parameters__", ()), parts, strict=False))
            self._definitions.append(record(type_, self.fields(type_, arguments), ref))
        return self._records[key]

    def _validator_of(self, type_: type) -> SchemaValidator | None:
        grammar = Grammar(self._scope, self._any_codec)
        with suppress(UnsupportedTypeError, UnknownNameError):
            codec_ = grammar._codec(type_, {})
            return None if codec_ is self._any_codec else grammar.validator(codec_.schema)
        return None


def _of_pydantic(annotation: Any, any_codec: Codec) -> Codec:
    # Imported here, because this import takes longer than all of `tilebox.workflows`, and few tasks need it.
    from pydantic import PydanticUserError, TypeAdapter

    try:
        if annotation is complex:  # pydantic would write it in Python's notation, which no other language reads
            raise _unsupported(annotation)
        adapter = TypeAdapter(annotation)
        schema = adapter.json_schema()
    except (PydanticUserError, NameError) as error:
        if getattr(error, "code", None) == "typed-dict-version":
            reason = (
                f"{_name_of(annotation)}, a typing.TypedDict; before Python 3.12, write typing_extensions.TypedDict"
            )
            raise UnsupportedTypeError(reason) from None
        raise _unsupported(annotation) from None
    definition = schema.get("$defs", {}).get(schema.get("$ref", "").split("/")[-1], schema)

    def dump(value: Any) -> Any:
        checked = adapter.validate_python(value, strict=True)
        return adapter.dump_python(checked, mode="json", by_alias=True, round_trip=True)

    # A model may still write NaN or a lone surrogate, which the codec of Any refuses.
    write = cs.chain_schema([plain(dump), any_codec.schema])
    # Not the model's core schema: a model that occurs twice would define the same names twice.
    read = plain(lambda data: adapter.validate_json(to_json(data)))
    return codec(definition.get("type", ANY_KIND), write=write, read=read)


def _serialized_fields(type_: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields of a dataclass that are inputs, without those with the metadata `skip_serialization`."""
    fields = {field.name: field for field in dataclasses.fields(type_) if field.init}
    serialized = {name: field for name, field in fields.items() if not field.metadata.get("skip_serialization")}
    for name, parameter in inspect.signature(type_).parameters.items():
        if (
            name not in serialized
            and parameter.default is parameter.empty
            and not parameter.kind.name.startswith("VAR")
        ):
            reason = "skip_serialization" if name in fields else "an InitVar"
            raise UnsupportedTypeError(
                f"{name} is {reason}, which is not serialised, so it needs a default; give it one"
            )
    return list(serialized.values())


def _unsupported(annotation: Any) -> UnsupportedTypeError:
    hint = (
        "write str, int, float, bool, None, list, tuple, dict, a dataclass, an Enum, datetime, UUID, Path, bytes, "
        "a pydantic model or a combination of these"
    )
    module = getattr(annotation, "__module__", "").split(".")[0]
    if annotation is complex:
        hint = "write tuple[float, float]"
    elif module == "numpy":
        hint = "write list[float], or store the array in context.job_cache and give its key"
    elif module in ("xarray", "pandas", "dask"):
        hint = "store the data in context.job_cache and give its key"
    return UnsupportedTypeError(f"{_name_of(annotation)}, which cannot be serialised as JSON; {hint}")


def _name_of(annotation: Any) -> str:
    if annotation is type(None):
        return "None"
    is_class = isinstance(annotation, type) and typing.get_origin(annotation) is None
    return annotation.__name__ if is_class else repr(annotation).replace("typing.", "")
