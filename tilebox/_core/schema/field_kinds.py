"""The kinds of fields: how values behave, and which protobuf types carry them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tilebox._core.protocol.datasets.stac.v1 import asset_pb2, authentication_pb2, core_pb2, processing_pb2, storage_pb2
from tilebox._core.protocol.datasets.v1 import dataset_type_pb2, well_known_types_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import FileDescriptor

_KNOWN_FILES: tuple[FileDescriptor, ...] = (
    timestamp_pb2.DESCRIPTOR,
    duration_pb2.DESCRIPTOR,
    struct_pb2.DESCRIPTOR,
    id_pb2.DESCRIPTOR,
    well_known_types_pb2.DESCRIPTOR,
    core_pb2.DESCRIPTOR,
    asset_pb2.DESCRIPTOR,
    authentication_pb2.DESCRIPTOR,
    processing_pb2.DESCRIPTOR,
    storage_pb2.DESCRIPTOR,
)
KNOWN_ENUMS = {enum.full_name: enum for file in _KNOWN_FILES for enum in file.enum_types_by_name.values()}
KNOWN_TYPES: Mapping[str, FileDescriptor] = {
    **{message.full_name: file for file in _KNOWN_FILES for message in file.message_types_by_name.values()},
    **{name: enum.file for name, enum in KNOWN_ENUMS.items()},
}


class DatasetKind(Enum):
    """The kind of a dataset, which determines its required fields: a time, or a time and a geometry."""

    TEMPORAL = dataset_type_pb2.DATASET_KIND_TEMPORAL
    SPATIOTEMPORAL = dataset_type_pb2.DATASET_KIND_SPATIOTEMPORAL


class FieldKind(Enum):
    """The kind of a field's values; the member's value is the name of the wire type."""

    STRING = "string"
    BYTES = "bytes"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT = "float"
    DOUBLE = "double"
    ENUM = "enum"
    TIMESTAMP = "google.protobuf.Timestamp"
    DURATION = "google.protobuf.Duration"
    UUID = "datasets.v1.UUID"
    GEOMETRY = "datasets.v1.Geometry"
    VEC3 = "datasets.v1.Vec3"
    QUATERNION = "datasets.v1.Quaternion"
    LATLON = "datasets.v1.LatLon"
    LATLONALT = "datasets.v1.LatLonAlt"
    MESSAGE = "message"

    # Kinds are dict keys several times per column, and Enum's own hash, that of the name, is computed in Python.
    __hash__ = object.__hash__


VECTOR_COMPONENTS: Mapping[FieldKind, tuple[str, ...]] = {
    FieldKind.VEC3: ("x", "y", "z"),
    FieldKind.QUATERNION: ("q1", "q2", "q3", "q4"),
    FieldKind.LATLON: ("latitude", "longitude"),
    FieldKind.LATLONALT: ("latitude", "longitude", "altitude"),
}
"""The components of each vector kind, which also label its dimension in xarray."""

VECTOR_DIMENSIONS: Mapping[FieldKind, str] = {
    FieldKind.VEC3: "vec3",
    FieldKind.QUATERNION: "quaternion",
    FieldKind.LATLON: "latlon",
    FieldKind.LATLONALT: "lat_lon_alt",
}

QUERYABLE_KINDS = frozenset(
    {FieldKind.STRING, FieldKind.BOOL, FieldKind.INT32, FieldKind.INT64, FieldKind.UINT64, FieldKind.DOUBLE}
)
"""The kinds of fields that the hosted service lets a filter use, if not repeated."""

WIRE_SCALARS: Mapping[int, FieldKind] = {
    FieldDescriptorProto.TYPE_STRING: FieldKind.STRING,
    FieldDescriptorProto.TYPE_BYTES: FieldKind.BYTES,
    FieldDescriptorProto.TYPE_BOOL: FieldKind.BOOL,
    FieldDescriptorProto.TYPE_INT32: FieldKind.INT32,
    FieldDescriptorProto.TYPE_SINT32: FieldKind.INT32,
    FieldDescriptorProto.TYPE_SFIXED32: FieldKind.INT32,
    FieldDescriptorProto.TYPE_INT64: FieldKind.INT64,
    FieldDescriptorProto.TYPE_SINT64: FieldKind.INT64,
    FieldDescriptorProto.TYPE_SFIXED64: FieldKind.INT64,
    FieldDescriptorProto.TYPE_UINT32: FieldKind.UINT32,
    FieldDescriptorProto.TYPE_FIXED32: FieldKind.UINT32,
    FieldDescriptorProto.TYPE_UINT64: FieldKind.UINT64,
    FieldDescriptorProto.TYPE_FIXED64: FieldKind.UINT64,
    FieldDescriptorProto.TYPE_FLOAT: FieldKind.FLOAT,
    FieldDescriptorProto.TYPE_DOUBLE: FieldKind.DOUBLE,
}
_SCALAR_TYPES = {kind: number for number, kind in reversed(list(WIRE_SCALARS.items()))}
_MESSAGE_KINDS = {kind.value: kind for kind in FieldKind if "." in kind.value} | {"tilebox.v1.ID": FieldKind.UUID}


def known_type(type_name: str) -> FieldKind | None:
    """Return the kind of a message or enumeration, by its full name; None if a field cannot have this type."""
    if type_name not in KNOWN_TYPES:
        return None
    return FieldKind.ENUM if type_name in KNOWN_ENUMS else _MESSAGE_KINDS.get(type_name, FieldKind.MESSAGE)


def wire_type(kind: FieldKind) -> int:
    """Return the number of the protobuf type that usually carries a kind."""
    if kind is FieldKind.ENUM:
        return int(FieldDescriptorProto.TYPE_ENUM)
    return _SCALAR_TYPES.get(kind, int(FieldDescriptorProto.TYPE_MESSAGE))
