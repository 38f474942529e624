"""The inputs of tasks: the fields of their classes, checked, as the bytes that travel, and back.

A task without inputs is no bytes. One input alone is its JSON, or the bytes of a protobuf message. Several are a JSON
object. JSON has no spaces, and its text is UTF-8. See `grammar` for what an input may be.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import ValidationError, from_json, to_json

from tilebox._core.tasks.annotations import Scope, UnknownNameError
from tilebox._core.tasks.inputs.codec import UnsupportedTypeError, explain
from tilebox._core.tasks.inputs.containers import object_of
from tilebox._core.tasks.inputs.grammar import Grammar
from tilebox.errors import TaskDefinitionError

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from tilebox._core.tasks.inputs.codec import Codec

    AnyTask = TypeVar("AnyTask")

__all__ = ["MAX_INPUT_BYTES", "Inputs", "deserialize", "serialize"]

MAX_INPUT_BYTES = 16 * 2**20
"""What no server takes; each has a limit of its own, which is usually much lower."""

_READABLE_DEPTH = 200


def serialize(task: object) -> bytes:
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
    """Return the inputs of a class of tasks.

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
        self._fields: dict[str, tuple[Codec, bool]] = {}
        self._only: str | None = None
        self._is_message = False
        self._validator: SchemaValidator | None = None
        # A name that is unknown now may be defined further down; the first use will tell.
        with suppress(UnknownNameError):
            self._resolve()

    def serialize(self, task: object) -> bytes:
        """Return the inputs of a task of this class."""
        validator = self._validator or self._resolved()
        try:
            data = self._encode(validator, task)
        except ValidationError as error:
            reason, is_type = self._explain(error)
            raise (TypeError if is_type else ValueError)(reason) from None
        except (RecursionError, ValueError) as error:
            raise ValueError(f"{self._class.__name__} refers to itself, or is nested too deeply") from error
        if len(data) > MAX_INPUT_BYTES:
            raise ValueError(
                f"the inputs of {self._class.__name__} are {len(data):,} bytes, of which at most {MAX_INPUT_BYTES:,} "
                "can travel; keep the data in context.job_cache and give its key"
            )
        return data

    def deserialize(self, data: bytes) -> Any:
        """Make a task of this class."""
        validator = self._validator or self._resolved()
        try:
            values = self._decode(validator, data)
        except ValidationError as error:
            raise ValueError(self._explain(error)[0]) from None
        return self._class(**values)

    def _encode(self, validator: SchemaValidator, task: object) -> bytes:
        if not self._fields:
            return b""
        if self._only is None:
            encoded = validator.validate_python({name: getattr(task, name) for name in self._fields})
        else:
            encoded = validator.validate_python(getattr(task, self._only))
        if self._is_message and encoded is not None:
            return base64.b64decode(encoded)
        data = to_json(encoded)
        # Few inputs have so many brackets, and fewer are so deep, but no runner could read those.
        if data.count(b"[") + data.count(b"{") > _READABLE_DEPTH:
            from_json(data)
        return data

    def _decode(self, validator: SchemaValidator, data: bytes) -> dict[str, Any]:
        if not self._fields:
            return {}
        # No message begins with the bytes of null: the first would be of a field with a type that there is not.
        if self._is_message and data != b"null":
            data = b'"%b"' % base64.b64encode(data)
        # Submitted by a version of the task that had no inputs yet.
        if not data and not any(is_required for _, is_required in self._fields.values()):
            return {}
        values = validator.validate_json(data)
        return values if self._only is None else {self._only: values}

    def _explain(self, error: ValidationError) -> tuple[str, bool]:
        reason, is_type = explain(error)
        place = self._class.__name__ if self._only is None else f"{self._class.__name__}.{self._only}"
        return f"{place}{reason}", is_type

    def _resolved(self) -> SchemaValidator:
        try:
            return self._resolve()
        except UnknownNameError as error:
            raise TaskDefinitionError(
                f"{self._class.__name__} has an input of type {error.annotation}, but {error.missing}; import it "
                "where the class is defined, and not only `if TYPE_CHECKING`"
            ) from error

    def _resolve(self) -> SchemaValidator:
        grammar = Grammar(self._scope)
        try:
            self._fields = grammar.fields(self._class)
        except UnsupportedTypeError as error:
            raise TaskDefinitionError(f"{self._class.__name__}: {error}") from None
        schema = object_of(self._fields)
        if len(self._fields) == 1:
            [(self._only, (codec, _))] = self._fields.items()
            schema, self._is_message = codec.schema, codec.is_message
        self._validator = grammar.validator(schema)
        self._scope.close()
        return self._validator
