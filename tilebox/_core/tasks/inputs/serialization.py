"""The inputs of tasks: the fields of their classes, checked, as the bytes that travel, and back.

A task without inputs is no bytes; one with one input is that input's JSON (of a protobuf message, its bytes); one
with more is an object. JSON has no spaces, and its text is UTF-8. See `input_types` for what an input may be.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tilebox._core.tasks.annotations import Scope, UnknownNameError
from tilebox._core.tasks.inputs.codec import Codec, Unfit, UnsupportedTypeError, to_json
from tilebox._core.tasks.inputs.containers import OptionalCodec, has_default, travelling_fields
from tilebox._core.tasks.inputs.grammar import Grammar
from tilebox._core.tasks.inputs.scalars import MessageCodec
from tilebox.errors import TaskDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilebox._core.tasks.task import Task

    AnyTask = TypeVar("AnyTask", bound=Task)

__all__ = ["MAX_INPUT_BYTES", "Inputs", "deserialize", "serialize"]

MAX_INPUT_BYTES = 16 * 2**20
"""What no server takes; each has a limit of its own, which is usually much lower."""


def serialize(task: Task) -> bytes:
    """Return a task's inputs as they travel.

    Raises:
        TypeError: An input is not of the type that its annotation says; or this is no task.
        ValueError: An input is nothing that JSON can hold, or is too large.
        TaskDefinitionError: The class has annotations whose names are still unknown.
    """
    return inputs_of(type(task)).serialize(task)


def deserialize(task_class: type[AnyTask], data: bytes) -> AnyTask:
    """Make a task of its inputs.

    Inputs that the class does not know are left out; those that are missing have their defaults.

    Raises:
        ValueError: These are no inputs of such a task.
        TaskDefinitionError: The class has annotations whose names are still unknown.
    """
    task: AnyTask = inputs_of(task_class).deserialize(data)
    return task


def inputs_of(task_class: type) -> Inputs:
    """Return what a class of tasks knows of its inputs.

    Raises:
        TypeError: It is no class of tasks.
    """
    inputs = vars(task_class).get("__tilebox_inputs__")
    if not isinstance(inputs, Inputs):
        raise TypeError(f"{task_class.__name__} is no task; write class {task_class.__name__}(Task)")
    return inputs


class Inputs:
    """The inputs of one class of tasks.

    Args:
        task_class: The class, a dataclass by now.
        scope: Where it is defined.

    Raises:
        TaskDefinitionError: A field is of a type that cannot travel.
    """

    def __init__(self, task_class: type, scope: Scope) -> None:
        self._class = task_class
        self._scope = scope
        self._codecs: dict[str, Codec] | None = None
        self._encoders: list[tuple[str, Callable[[Any], Any]]] = []
        self._only: MessageCodec | None = None
        self._only_is_optional = False
        self._required: list[str] = []
        # What is unknown may be defined further down; the first use will tell.
        with suppress(UnknownNameError):
            self._resolve()

    def serialize(self, task: Task) -> bytes:
        """Return the inputs of a task of this class."""
        codecs = self._codecs if self._codecs is not None else self._resolved()
        try:
            if not codecs:
                return b""
            data = self._encode(task)
        except Unfit as unfit:
            self._refuse(unfit)
        except (RecursionError, UnicodeEncodeError) as error:
            raise ValueError(f"{self._class.__name__} refers to itself, or is nested too deeply") from error
        if len(data) > MAX_INPUT_BYTES:
            raise ValueError(
                f"the inputs of {self._class.__name__} are {len(data):,} bytes, of which at most {MAX_INPUT_BYTES:,} "
                "can travel; keep the data in context.job_cache and give its key"
            )
        return data

    def deserialize(self, data: bytes) -> Any:
        """Make a task of this class."""
        codecs = self._codecs if self._codecs is not None else self._resolved()
        try:
            values = self._decode(codecs, data)
        except Unfit as unfit:
            raise ValueError(f"{self._class.__name__}{unfit.where} {unfit.reason}") from None
        except RecursionError:
            raise ValueError(f"the inputs of {self._class.__name__} are nested too deeply") from None
        return self._class(**values)

    def _encode(self, task: Task) -> bytes:
        if len(self._encoders) == 1:
            [(name, encode)] = self._encoders
            value = getattr(task, name)
            try:
                if self._only is not None and not (value is None and self._only_is_optional):
                    return self._only.to_bytes(value)
                return to_json(encode(value))
            except Unfit as unfit:
                raise unfit.within(f".{name}") from None
        encoded = {}
        name = ""
        try:
            for name, encode in self._encoders:
                encoded[name] = encode(getattr(task, name))
        except Unfit as unfit:
            raise unfit.within(f".{name}") from None
        try:
            return to_json(encoded)
        except Unfit as unfit:
            raise unfit.within(f".{_first_unfit(encoded)}") from None

    def _decode(self, codecs: dict[str, Codec], data: bytes) -> dict[str, Any]:
        if not codecs:
            return {}
        # Submitted by a version of the task that had no inputs yet.
        if not data and not self._required and self._only is None:
            return {}
        if len(codecs) == 1:
            [(name, codec)] = codecs.items()
            return {name: self._decode_only(name, codec, data)}
        parsed = self._parse(data)
        if not isinstance(parsed, dict):
            raise Unfit(f"has the inputs {', '.join(codecs)}, but came with one that has no name")
        for name in self._required:
            if name not in parsed:
                raise Unfit("is missing").within(f".{name}")
        values = {}
        for name, codec in codecs.items():
            if name in parsed:
                try:
                    values[name] = codec.decode(parsed[name])
                except Unfit as unfit:
                    raise unfit.within(f".{name}") from None
        return values

    def _decode_only(self, name: str, codec: Codec, data: bytes) -> Any:
        try:
            # No message begins with the bytes of null: the first would be of a field with a type that there is not.
            if self._only is not None and not (self._only_is_optional and data == b"null"):
                return self._only.from_bytes(data)
            return codec.decode(self._parse(data))
        except Unfit as unfit:
            raise unfit.within(f".{name}") from None

    def _parse(self, data: bytes) -> Any:
        try:
            return json.loads(data.decode(), parse_constant=_refuse_constant)
        except ValueError as error:
            raise Unfit(f"came with inputs that are no JSON: {error}") from None

    def _resolved(self) -> dict[str, Codec]:
        try:
            return self._resolve()
        except UnknownNameError as error:
            raise TaskDefinitionError(
                f"{self._class.__name__} has an input of type {error.annotation}, but {error.missing}; import it "
                "where the class is defined, and not only `if TYPE_CHECKING`"
            ) from error

    def _resolve(self) -> dict[str, Codec]:
        grammar = Grammar(self._scope)
        codecs = {}
        required = []
        for field in self._fields():
            try:
                codecs[field.name] = grammar.codec_of_field(self._class, field)
                _resolve_parts(codecs[field.name], set())
            except UnsupportedTypeError as error:
                self._refuse_definition(f"{field.name} is {error}")
            if not has_default(field):
                required.append(field.name)
        self._required = required
        self._encoders = [(name, codec.encode) for name, codec in codecs.items()]
        self._note_message(list(codecs.values()))
        self._codecs = codecs
        self._scope.close()
        return codecs

    def _fields(self) -> list[Any]:
        try:
            return travelling_fields(self._class)
        except UnsupportedTypeError as error:
            self._refuse_definition(str(error))

    def _note_message(self, codecs: list[Codec]) -> None:
        if len(codecs) != 1:
            return
        [codec] = codecs
        if isinstance(codec, OptionalCodec):
            codec, self._only_is_optional = codec.member, True
        if isinstance(codec, MessageCodec):
            self._only = codec

    def _refuse(self, unfit: Unfit) -> NoReturn:
        message = f"{self._class.__name__}{unfit.where} {unfit.reason}"
        raise TypeError(message) if unfit.is_type else ValueError(message)

    def _refuse_definition(self, reason: str) -> NoReturn:
        raise TaskDefinitionError(f"{self._class.__name__}: {reason}")


def _resolve_parts(codec: Codec, seen: set[int]) -> None:
    if id(codec) not in seen:
        seen.add(id(codec))
        for part in codec.parts():
            _resolve_parts(part, seen)


def _first_unfit(encoded: dict[str, Any]) -> str:
    for name, value in encoded.items():
        try:
            to_json(value)
        except Unfit:
            return name
    raise AssertionError("all of them fit")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
