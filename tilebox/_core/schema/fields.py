"""Field types and the schema of a dataset, as plain data.

A schema is what a client asks the server for, what the server stores, and what both decode datapoints
by. It has three forms, and this file converts between the first two:

- `Schema` and `Field`, plain values;
- the wire form, `datasets.v1.AnnotatedType`: a protobuf descriptor set with annotations beside it
  (a request carries `datasets.v1.DatasetType` instead, whose fields have no numbers yet);
- the Arrow form of `arrow.py`, in which datapoints are stored and streamed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from tilebox._core.protocol.datasets.stac.v1 import asset_pb2, authentication_pb2, core_pb2, processing_pb2, storage_pb2
from tilebox._core.protocol.datasets.v1 import dataset_type_pb2, well_known_types_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2
from tilebox._core.schema.reprs import FieldRow, schema_html, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.protobuf.descriptor import FileDescriptor

CODE_NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_NAME_LENGTH = 100

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
_KNOWN_ENUMS = {enum.full_name: enum for file in _KNOWN_FILES for enum in file.enum_types_by_name.values()}
_KNOWN_TYPES: Mapping[str, FileDescriptor] = {
    **{message.full_name: file for file in _KNOWN_FILES for message in file.message_types_by_name.values()},
    **{name: enum.file for name, enum in _KNOWN_ENUMS.items()},
}


class DatasetKind(Enum):
    """What every datapoint of a dataset has: a time, or a time and a footprint."""

    TEMPORAL = dataset_type_pb2.DATASET_KIND_TEMPORAL
    SPATIOTEMPORAL = dataset_type_pb2.DATASET_KIND_SPATIOTEMPORAL


class FieldKind(Enum):
    """How the values of a field behave; the value is the wire type's name."""

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

    # Kinds are looked up several times a column; Enum's own hash is that of the name, in Python.
    __hash__ = object.__hash__


VECTOR_COMPONENTS: Mapping[FieldKind, tuple[str, ...]] = {
    FieldKind.VEC3: ("x", "y", "z"),
    FieldKind.QUATERNION: ("q1", "q2", "q3", "q4"),
    FieldKind.LATLON: ("latitude", "longitude"),
    FieldKind.LATLONALT: ("latitude", "longitude", "altitude"),
}
"""The components of a vector kind, which are also the labels along its dimension."""

VECTOR_DIMENSIONS: Mapping[FieldKind, str] = {
    FieldKind.VEC3: "vec3",
    FieldKind.QUATERNION: "quaternion",
    FieldKind.LATLON: "latlon",
    FieldKind.LATLONALT: "lat_lon_alt",
}

QUERYABLE_KINDS = frozenset(
    {FieldKind.STRING, FieldKind.BOOL, FieldKind.INT32, FieldKind.INT64, FieldKind.UINT64, FieldKind.DOUBLE}
)
"""Kinds that the public service lets a filter name, if not repeated."""

_WIRE_SCALARS: Mapping[int, FieldKind] = {
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
_SCALAR_TYPES = {kind: number for number, kind in reversed(list(_WIRE_SCALARS.items()))}
_MESSAGE_KINDS = {kind.value: kind for kind in FieldKind if "." in kind.value} | {"tilebox.v1.ID": FieldKind.UUID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a dataset.

    Args:
        name: Lower-case name, unique in its dataset.
        kind: How its values behave.
        repeated: Whether a datapoint has a list of values in place of one.
        number: Its number on the wire; 0 until the server gave one.
        type_name: Full name of its message or enumeration, for kinds that have one.
        wire_type: The protobuf type where it is not the kind's usual one (`sint64`, say); 0 otherwise.
        description: What the values mean.
        example_value: One value, as text.
        queryable: Whether a filter may name it.
        source_json_pointer: Where in a source document the value comes from.
        json_schema_ref: A JSON schema that describes the value.
        roles: Roles by number of `datasets.v1.FieldRole`.
    """

    name: str
    kind: FieldKind
    repeated: bool = False
    number: int = 0
    type_name: str | None = None
    wire_type: int = 0
    description: str = ""
    example_value: str = ""
    queryable: bool = False
    source_json_pointer: str | None = None
    json_schema_ref: str | None = None
    roles: tuple[int, ...] = ()

    def same_type(self, other: Field) -> bool:
        """Tell whether values of both fields are stored and sent alike."""
        return (self.kind, self.repeated, self.type_name) == (other.kind, other.repeated, other.type_name)

    @property
    def enum_labels(self) -> dict[int, str]:
        """Labels of an enumeration by number: its names without the prefix, and without the unspecified one."""
        enum = _KNOWN_ENUMS[self.type_name or ""]
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        return {value.number: value.name.removeprefix(prefix) for value in enum.values if value.number != 0}

    @property
    def shown_type(self) -> str:
        """Its type as messages and schemas show it."""
        name = self.type_name if self.kind in (FieldKind.ENUM, FieldKind.MESSAGE) else self.kind.value
        return f"list of {name}" if self.repeated else str(name)

    def __str__(self) -> str:
        return f"{self.name}: {self.shown_type}"


TIME = Field(name="time", kind=FieldKind.TIMESTAMP, number=1, type_name="google.protobuf.Timestamp")
# The official client reads ids of this message only; `tilebox.v1.ID` has the same bytes.
ID = Field(name="id", kind=FieldKind.UUID, number=2, type_name="datasets.v1.UUID")
INGESTION_TIME = Field(name="ingestion_time", kind=FieldKind.TIMESTAMP, number=3, type_name="google.protobuf.Timestamp")
GEOMETRY = Field(name="geometry", kind=FieldKind.GEOMETRY, number=4, type_name="datasets.v1.Geometry")
METADATA_NAMES = (TIME.name, ID.name, INGESTION_TIME.name)

_REQUIRED = {
    DatasetKind.TEMPORAL: (TIME, ID, INGESTION_TIME),
    DatasetKind.SPATIOTEMPORAL: (TIME, ID, INGESTION_TIME, GEOMETRY),
}


@dataclass(frozen=True, slots=True, repr=False)
class Schema:
    """The type of a dataset: its kind and its fields, the required ones first.

    Args:
        kind: What every datapoint has.
        fields: All fields, in the order in which results show them.
        type_name: Full name of the message that carries a datapoint.
    """

    kind: DatasetKind
    fields: tuple[Field, ...]
    type_name: str = ""

    @classmethod
    def of(cls, kind: DatasetKind, fields: Iterable[Field] = (), type_name: str = "") -> Schema:
        """Build a schema from its custom fields: required ones are put in front and numbers given.

        Raises:
            ValueError: A name is malformed, repeated, or a required field has another type.
        """
        required = _REQUIRED[kind]
        custom = []
        for candidate in fields:
            standard = next((field for field in required if field.name == candidate.name), None)
            if standard is None:
                custom.append(candidate)
            elif standard.kind != candidate.kind or candidate.repeated:
                raise ValueError(
                    f"field {candidate.name!r} is part of every dataset of this kind and must be a {standard}"
                )
        _check_names([field.name for field in (*required, *custom)])
        taken = {field.number for field in (*required, *custom)}
        following = max(taken) + 1
        numbered: list[Field] = []
        for field in custom:
            if not field.number:
                field, following = replace(field, number=following), following + 1  # noqa: PLW2901
            numbered.append(field)
        return cls(kind, (*required, *numbered), type_name)

    @classmethod
    def from_dataset_type(cls, message: dataset_type_pb2.DatasetType) -> Schema:
        """Read the type that a request asks for.

        Raises:
            ValueError: A field cannot be part of a dataset.
        """
        try:
            kind = DatasetKind(message.kind)
        except ValueError:
            raise ValueError("kind must be temporal or spatio-temporal") from None
        return cls.of(
            kind, (replace(_read_field(field.descriptor, field.annotation), number=0) for field in message.fields)
        )

    @classmethod
    def from_annotated_type(cls, message: dataset_type_pb2.AnnotatedType) -> Schema:
        """Read the type that the server describes a dataset by.

        Raises:
            ValueError: The descriptor set lacks the message, or a field has no known kind.
        """
        package, _, name = message.type_url.rpartition(".")
        for file in message.descriptor_set.file:
            for candidate in file.message_type:
                if file.package == package and candidate.name == name:
                    notes = [*message.field_annotations]
                    notes += [dataset_type_pb2.FieldAnnotation()] * (len(candidate.field) - len(notes))
                    fields = tuple(map(_read_field, candidate.field, notes))
                    kind = DatasetKind(message.kind) if message.kind else _guess_kind(fields)
                    return cls(kind, fields, message.type_url)
        raise ValueError(f"the dataset's descriptor set lacks its message {message.type_url!r}")

    def to_dataset_type(self) -> dataset_type_pb2.DatasetType:
        """Return the form in which a client asks for this type."""
        message = dataset_type_pb2.DatasetType(kind=self.kind.value)
        for field in self.fields:
            descriptor = _field_descriptor(field)
            descriptor.ClearField("number")
            message.fields.add(descriptor=descriptor, annotation=_annotation(field))
        return message

    def to_annotated_type(self) -> dataset_type_pb2.AnnotatedType:
        """Return the form in which the server describes this type."""
        return dataset_type_pb2.AnnotatedType(
            kind=self.kind.value,
            type_url=self.type_name,
            descriptor_set=self.descriptor_set(),
            field_annotations=[_annotation(field) for field in self.fields],
        )

    def descriptor_set(self) -> FileDescriptorSet:
        """Return this type as protobuf descriptors, its dependencies first."""
        package, _, name = self.type_name.rpartition(".")
        own = FileDescriptorProto(name=f"{self.type_name.replace('.', '/')}.proto", package=package, syntax="proto3")
        own.message_type.append(_message_descriptor(name, self.fields))
        used = [_KNOWN_TYPES[field.type_name] for field in self.fields if field.type_name]
        own.dependency.extend(dict.fromkeys(file.name for file in used))
        return FileDescriptorSet(file=[*_with_dependencies(used), own])

    def message_pool(self) -> DescriptorPool:
        """Return a pool of its own that knows this type, so that schemas of one name never meet."""
        pool = DescriptorPool()
        for file in self.descriptor_set().file:
            pool.Add(file)
        return pool

    @property
    def custom(self) -> tuple[Field, ...]:
        """The fields that this dataset has beyond time, id and ingestion time (its geometry included)."""
        return tuple(field for field in self.fields if field.name not in METADATA_NAMES)

    def get(self, name: str) -> Field | None:
        """Return the field of that name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def select(self, names: Iterable[str]) -> Schema:
        """Return this schema with only time, id, ingestion time and the named fields, in this order."""
        wanted = {*METADATA_NAMES, *names}
        return replace(self, fields=tuple(field for field in self.fields if field.name in wanted))

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __repr__(self) -> str:
        return schema_text(self._heading, self._rows())

    def _repr_html_(self) -> str:
        return schema_html(self._heading, self._rows())

    @property
    def _heading(self) -> str:
        return f"{self.kind.name.capitalize()} dataset, {len(self.fields)} fields"

    def _rows(self) -> list[FieldRow]:
        return [
            FieldRow(
                field.name, field.shown_type, "yes" if field.queryable else "", " ".join(field.description.split())
            )
            for field in self
        ]


def known_type(type_name: str) -> FieldKind | None:
    """Return the kind of the message or enumeration of that full name, or None where it cannot be a field's type."""
    if type_name not in _KNOWN_TYPES:
        return None
    return FieldKind.ENUM if type_name in _KNOWN_ENUMS else _MESSAGE_KINDS.get(type_name, FieldKind.MESSAGE)


def _check_names(names: list[str]) -> None:
    for name in names:
        if not CODE_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            raise ValueError(
                f"field name {name!r} must start with a lower-case letter, go on with lower-case letters, digits and "
                f"underscores, and have at most {MAX_NAME_LENGTH} characters"
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"field {repeated[0]!r} is defined more than once")


def _guess_kind(fields: Iterable[Field]) -> DatasetKind:
    spatial = any(field.name == GEOMETRY.name and field.kind is FieldKind.GEOMETRY for field in fields)
    return DatasetKind.SPATIOTEMPORAL if spatial else DatasetKind.TEMPORAL


def _read_field(descriptor: FieldDescriptorProto, notes: dataset_type_pb2.FieldAnnotation) -> Field:
    type_name = descriptor.type_name.removeprefix(".")
    if descriptor.type in _WIRE_SCALARS:
        kind: FieldKind | None = _WIRE_SCALARS[descriptor.type]
    else:
        kind = known_type(type_name)
    if kind is None:
        raise ValueError(
            f"field {descriptor.name!r} has a type that no dataset can hold: {type_name or descriptor.type}"
        )
    return Field(
        name=descriptor.name,
        kind=kind,
        repeated=descriptor.label == FieldDescriptorProto.LABEL_REPEATED,
        number=descriptor.number,
        type_name=type_name or None,
        wire_type=0 if descriptor.type == _wire_type(kind) else descriptor.type,
        description=notes.description,
        example_value=notes.example_value,
        queryable=notes.queryable,
        source_json_pointer=notes.source_json_pointer if notes.HasField("source_json_pointer") else None,
        json_schema_ref=notes.json_schema_ref if notes.HasField("json_schema_ref") else None,
        roles=tuple(notes.roles),
    )


def _wire_type(kind: FieldKind) -> int:
    if kind is FieldKind.ENUM:
        return int(FieldDescriptorProto.TYPE_ENUM)
    return _SCALAR_TYPES.get(kind, int(FieldDescriptorProto.TYPE_MESSAGE))


def _annotation(field: Field) -> dataset_type_pb2.FieldAnnotation:
    return dataset_type_pb2.FieldAnnotation(
        description=field.description,
        example_value=field.example_value,
        queryable=field.queryable,
        source_json_pointer=field.source_json_pointer,
        json_schema_ref=field.json_schema_ref,
        roles=[dataset_type_pb2.FieldRole.Name(role) for role in field.roles],
    )


def _field_descriptor(field: Field) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if field.repeated else FieldDescriptorProto.LABEL_OPTIONAL
    # A JSON name of its own: camel case would give `band1` and `band_1` the same one, which protobuf refuses.
    descriptor = FieldDescriptorProto(name=field.name, number=field.number, label=label, json_name=field.name)
    descriptor.type = field.wire_type or _wire_type(field.kind)  # type: ignore[assignment]
    if field.type_name:
        descriptor.type_name = f".{field.type_name}"
    return descriptor


def _message_descriptor(name: str, fields: Iterable[Field]) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for field in fields:
        descriptor = _field_descriptor(field)
        if not field.repeated and descriptor.type != FieldDescriptorProto.TYPE_MESSAGE:
            # Presence, so that 0 and "" differ from a missing value; proto3 spells it as a oneof of one.
            descriptor.proto3_optional = True
            descriptor.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
        message.field.append(descriptor)
    return message


def _with_dependencies(files: Iterable[FileDescriptor]) -> list[FileDescriptorProto]:
    ordered: dict[str, FileDescriptorProto] = {}

    def visit(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            visit(dependency)
        if file.name not in ordered:
            ordered[file.name] = FileDescriptorProto()
            file.CopyToProto(ordered[file.name])

    for file in files:
        visit(file)
    return list(ordered.values())
