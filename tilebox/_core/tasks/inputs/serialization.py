"""Serialisation of task inputs, the fields of a task class, to bytes and back.

A task without inputs has no bytes. A single input is its JSON, or the bytes of a protobuf message. Several inputs are
a JSON object. The JSON is compact and encoded in UTF-8. `grammar` has the types of inputs.
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
"""The largest size of serialised inputs. Servers have limits of their own, which are usually much lower."""

_READABLE_DEPTH = 200


def serialize(task: object) -> bytes:
    """Return the serialised inputs of a task.

    Raises:
        TypeError: The type of an input does not match its annotation, or the object is not a task.
        ValueError: An input cannot be represented in JSON, or the inputs are too large.
        TaskDefinitionError: An annotation of the class uses a name that is still undefined.
    """
    return inputs_of(type(task)).serialize(task)


def deserialize(task_class: type[AnyTask], data: bytes) -> AnyTask:
    """Return a task from its serialised inputs.

    Inputs that the class does not have are ignored. Missing inputs get their defaults.

    Raises:
        ValueError: The bytes are not inputs of this class.
        TaskDefinitionError: An annotation of the class uses a name that is still undefined.
    """
    task: AnyTask = inputs_of(task_class).deserialize(data)
    return task


def inputs_of(task_class: type) -> Inputs:
    """Return the inputs of a task class.

    Raises:
        TypeError: The class is not a task class.
    """
    inputs = vars(task_class).get("__tilebox_inputs__")
    if not isinstance(inputs, Inputs):
        raise TypeError(f"{task_class.__name__} is not a task; write class {task_class.__name__}(Task)")
    return inputs


class Inputs:
    """The inputs of one task class.

    Args:
        task_class: The class, already a dataclass.
        scope: The namespace in which it is defined.

    Raises:
        TaskDefinitionError: A field has a type that cannot be serialised.
    """

    def __init__(self, task_class: type, scope: Scope) -> None:
        self._class = task_class
        self._scope = scope
        self._fields: dict[str, tuple[Codec, bool]] = {}
        self._single_input: str | None = None
        self._is_message = False
        self._validator: SchemaValidator | None = None
        # An undefined name may be defined further down; the first use of the class tries again.
        with suppress(UnknownNameError):
            self._resolve()

    def serialize(self, task: object) -> bytes:
        """Return the serialised inputs of a task of this class."""
        validator = self._validator or self._resolve_names()
        try:
            data = self._encode(validator, task)
        except ValidationError as error:
            reason, is_type = self._explain(error)
            raise (TypeError if is_type else ValueError)(reason) from None
        except (RecursionError, ValueError) as error:
            raise ValueError(f"{self._class.__name__} refers to itself, or is nested too deeply") from error
        if len(data) > MAX_INPUT_BYTES:
            raise ValueError(
                f"the inputs of {self._class.__name__} have {len(data):,} bytes, but at most {MAX_INPUT_BYTES:,} are "
                "allowed; store the data in context.job_cache and give its key"
            )
        return data

    def deserialize(self, data: bytes) -> Any:
        """Return a task of this class from its serialised inputs."""
        validator = self._validator or self._resolve_names()
        try:
            values = self._decode(validator, data)
        except ValidationError as error:
            raise ValueError(self._explain(error)[0]) from None
        return self._class(**values)

    def _encode(self, validator: SchemaValidator, task: object) -> bytes:
        if not self._fields:
            return b""
        if self._single_input is None:
            encoded = validator.validate_python({name: getattr(task, name) for name in self._fields})
        else:
            encoded = validator.validate_python(getattr(task, self._single_input))
        if self._is_message and encoded is not None:
            return base64.b64decode(encoded)
        data = to_json(encoded)
        # No runner can read JSON that is nested deeper than this. Counting brackets avoids a parse of all other inputs.
        if data.count(b"[") + data.count(b"{") > _READABLE_DEPTH:
            from_json(data)
        return data

    def _decode(self, validator: SchemaValidator, data: bytes) -> dict[str, Any]:
        if not self._fields:
            return {}
        # These bytes are JSON's null: no message begins with them, because `n` would be a field of an unknown wire type.
        if self._is_message and data != b"null":
            data = b'"%b"' % base64.b64encode(data)
        # A version of the task that had no inputs yet may have submitted it.
        if not data and not any(is_required for _, is_required in self._fields.values()):
            return {}
        values = validator.validate_json(data)
        return values if self._single_input is None else {self._single_input: values}

    def _explain(self, error: ValidationError) -> tuple[str, bool]:
        reason, is_type = explain(error)
        path = self._class.__name__ if self._single_input is None else f"{self._class.__name__}.{self._single_input}"
        return f"{path}{reason}", is_type

    def _resolve_names(self) -> SchemaValidator:
        try:
            return self._resolve()
        except UnknownNameError as error:
            raise TaskDefinitionError(
                f"{self._class.__name__} has an input of type {error.annotation}, but {error.missing}; import it where "
                "the class is defined, outside of `if TYPE_CHECKING`"
            ) from error

    def _resolve(self) -> SchemaValidator:
        grammar = Grammar(self._scope)
        try:
            self._fields = grammar.fields(self._class)
        except UnsupportedTypeError as error:
            raise TaskDefinitionError(f"{self._class.__name__}: {error}") from None
        schema = object_of(self._fields)
        if len(self._fields) == 1:
            [(self._single_input, (codec, _))] = self._fields.items()
            schema, self._is_message = codec.schema, codec.is_message
        self._validator = grammar.validator(schema)
        self._scope.close()
        return self._validator
