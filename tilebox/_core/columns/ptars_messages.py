"""The protobuf message that ptars reads and writes for a schema.

ptars converts between bytes and columns, outside the interpreter lock. It gets a message type of our own, compatible
on the wire with the datapoints of the dataset, for which it converts no values: times stay seconds and nanoseconds
(ptars would wrap times beyond 64 bits of nanoseconds), enumerations stay numbers, other messages stay bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from tilebox._core.schema.fields import VECTOR_COMPONENTS, Field, FieldKind, Schema
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

TIME_KINDS = (FieldKind.TIMESTAMP, FieldKind.DURATION)
"""Kinds whose values are a struct of seconds and nanoseconds in ptars' columns."""

WRAPPED_KINDS = (FieldKind.UUID, FieldKind.GEOMETRY)
"""Kinds whose values are a struct with one member of bytes in ptars' columns."""

_PACKAGE = "tilebox.wire"
_INSTANT = "Instant"
_WRAPPER = "Wrapper"
_MESSAGE_NAMES = dict.fromkeys(TIME_KINDS, _INSTANT) | dict.fromkeys(WRAPPED_KINDS, _WRAPPER)


@lru_cache(maxsize=256)
def handler_of(schema: Schema) -> tuple[Any, pa.Schema]:
    """Return the reader and writer of ptars for a schema.

    Returns:
        The message handler, and the Arrow schema of the record batches that it returns and takes.

    Raises:
        MissingExtraError: The extra `arrow`, which has ptars, is not installed.
    """
    try:
        import ptars
    except ImportError as error:
        raise MissingExtraError("Bulk conversion of datapoints", "arrow") from error
    pool = DescriptorPool()
    pool.Add(_file_descriptor(schema))
    file = pool.FindFileByName("tilebox/wire.proto")
    # No column is a timestamp for ptars. None only keeps it from looking for a time zone database.
    handlers = ptars.HandlerPool([file], ptars.PtarsConfig(timestamp_tz=None))
    handler = handlers.get_for_message(file.message_types_by_name["Datapoint"])
    return handler, handler.list_to_record_batch([]).schema


def _file_descriptor(schema: Schema) -> FileDescriptorProto:
    file = FileDescriptorProto(name="tilebox/wire.proto", package=_PACKAGE, syntax="proto3")
    datapoint = file.message_type.add(name="Datapoint")
    for field in sorted(schema, key=lambda field: field.number):
        _add_datapoint_field(datapoint, field)
    instant = file.message_type.add(name=_INSTANT)
    _add_field(instant, "seconds", 1, FieldDescriptorProto.TYPE_INT64)
    _add_field(instant, "nanos", 2, FieldDescriptorProto.TYPE_INT32)
    _add_field(file.message_type.add(name=_WRAPPER), "value", 1, FieldDescriptorProto.TYPE_BYTES)
    for kind, components in VECTOR_COMPONENTS.items():
        vector = file.message_type.add(name=kind.name)
        for number, component in enumerate(components, 1):
            _add_field(vector, component, number, FieldDescriptorProto.TYPE_DOUBLE, optional=True)
    return file


def _add_datapoint_field(message: DescriptorProto, field: Field) -> None:
    scalar = {
        FieldKind.STRING: FieldDescriptorProto.TYPE_STRING,
        FieldKind.BYTES: FieldDescriptorProto.TYPE_BYTES,
        FieldKind.MESSAGE: FieldDescriptorProto.TYPE_BYTES,
        FieldKind.ENUM: FieldDescriptorProto.TYPE_INT32,
        FieldKind.BOOL: FieldDescriptorProto.TYPE_BOOL,
        FieldKind.INT32: FieldDescriptorProto.TYPE_INT32,
        FieldKind.INT64: FieldDescriptorProto.TYPE_INT64,
        FieldKind.UINT32: FieldDescriptorProto.TYPE_UINT32,
        FieldKind.UINT64: FieldDescriptorProto.TYPE_UINT64,
        FieldKind.FLOAT: FieldDescriptorProto.TYPE_FLOAT,
        FieldKind.DOUBLE: FieldDescriptorProto.TYPE_DOUBLE,
    }.get(field.kind)
    if scalar is not None:
        wire_type = field.wire_type or scalar
        _add_field(message, field.name, field.number, wire_type, repeated=field.repeated, optional=not field.repeated)
        return
    added = _add_field(message, field.name, field.number, FieldDescriptorProto.TYPE_MESSAGE, repeated=field.repeated)
    added.type_name = f".{_PACKAGE}.{_MESSAGE_NAMES.get(field.kind, field.kind.name)}"


def _add_field(
    message: DescriptorProto, name: str, number: int, wire_type: int, *, repeated: bool = False, optional: bool = False
) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    added = message.field.add(name=name, number=number, label=label)
    added.type = wire_type  # type: ignore[assignment]
    if optional:
        added.proto3_optional = True
        added.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")
    return added
