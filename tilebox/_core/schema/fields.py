"""Field types and dataset schemas as plain data.

A client sends a schema to create a dataset, the server stores it, and both decode datapoints with it.
A schema has three forms; this file converts between the first two:

- `Schema` and `Field`, plain values;
- the wire form, `datasets.v1.AnnotatedType`: a protobuf descriptor set with annotations beside it
  (a request carries `datasets.v1.DatasetType` instead, whose fields have no numbers yet);
- the Arrow form of `arrow_schema.py`, in which datapoints are stored and streamed.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from tilebox._core.protocol.datasets.v1 import dataset_type_pb2
from tilebox._core.schema.field_kinds import (
    KNOWN_ENUMS,
    KNOWN_TYPES,
    QUERYABLE_KINDS,
    VECTOR_COMPONENTS,
    VECTOR_DIMENSIONS,
    WIRE_SCALARS,
    DatasetKind,
    FieldKind,
    known_type,
    wire_type,
)
from tilebox._core.schema.reprs import FieldRow, schema_html, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.descriptor import FileDescriptor

__all__ = [
    "CODE_NAME",
    "GEOMETRY",
    "ID",
    "INGESTION_TIME",
    "MAX_NAME_LENGTH",
    "METADATA_NAMES",
    "QUERYABLE_KINDS",
    "TIME",
    "VECTOR_COMPONENTS",
    "VECTOR_DIMENSIONS",
    "DatasetKind",
    "Field",
    "FieldKind",
    "Schema",
    "known_type",
]

CODE_NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a dataset.

    Args:
        name: The name in lower case, unique in the dataset.
        kind: The kind of the values.
        repeated: Whether a datapoint has a list of values.
        number: The field number on the wire; 0 until the server assigns one.
        type_name: The full name of the message or enumeration, for kinds that have one.
        wire_type: The number of the protobuf type if it is not the kind's usual one (`sint64`, for example); else 0.
        description: The meaning of the values.
        example_value: An example value as text.
        queryable: Whether a filter may use the field.
        source_json_pointer: The location of the value in a source document.
        json_schema_ref: A JSON schema that describes the value.
        roles: Numbers of `datasets.v1.FieldRole`.
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
        """Return whether both fields store and send their values in the same way."""
        return (self.kind, self.repeated, self.type_name) == (other.kind, other.repeated, other.type_name)

    @property
    def enum_labels(self) -> dict[int, str]:
        """The labels of an enumeration by number: its names without their prefix, and without the unspecified 0."""
        enum = KNOWN_ENUMS[self.type_name or ""]
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        return {value.number: value.name.removeprefix(prefix) for value in enum.values if value.number != 0}

    @property
    def type_text(self) -> str:
        """The type as error messages and schemas show it."""
        name = self.type_name if self.kind in (FieldKind.ENUM, FieldKind.MESSAGE) else self.kind.value
        return f"list of {name}" if self.repeated else str(name)

    def __str__(self) -> str:
        return f"{self.name}: {self.type_text}"


TIME = Field(name="time", kind=FieldKind.TIMESTAMP, number=1, type_name="google.protobuf.Timestamp")
# The official client reads ids only from this message; `tilebox.v1.ID` has the same bytes.
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
    """The schema of a dataset: its kind and its fields, the required ones first.

    Args:
        kind: The kind of the dataset, which determines the required fields.
        fields: All fields, in the order in which results show them.
        type_name: The full name of the protobuf message of a datapoint.
    """

    kind: DatasetKind
    fields: tuple[Field, ...]
    type_name: str = ""

    @classmethod
    def of(cls, kind: DatasetKind, fields: Iterable[Field] = (), type_name: str = "") -> Schema:
        """Return a schema of custom fields, with the required fields before them and a number for each field.

        Raises:
            ValueError: A name is malformed or repeated, or a required field has another type.
        """
        required = _REQUIRED[kind]
        custom = []
        for candidate in fields:
            standard = next((field for field in required if field.name == candidate.name), None)
            if standard is None:
                custom.append(candidate)
            elif standard.kind != candidate.kind or candidate.repeated:
                raise ValueError(
                    f"field {candidate.name!r} is part of every dataset of this kind, with another type: {standard}"
                )
        _check_names([field.name for field in (*required, *custom)])
        numbers = itertools.count(max(field.number for field in (*required, *custom)) + 1)
        numbered = [field if field.number else replace(field, number=next(numbers)) for field in custom]
        return cls(kind, (*required, *numbered), type_name)

    @classmethod
    def from_dataset_type(cls, message: dataset_type_pb2.DatasetType) -> Schema:
        """Read the schema in a request of a client.

        Raises:
            ValueError: The kind is unspecified, or a dataset cannot have a field.
        """
        try:
            kind = DatasetKind(message.kind)
        except ValueError:
            raise ValueError("the kind of a dataset must be temporal or spatio-temporal") from None
        return cls.of(
            kind, (replace(_read_field(field.descriptor, field.annotation), number=0) for field in message.fields)
        )

    @classmethod
    def from_annotated_type(cls, message: dataset_type_pb2.AnnotatedType) -> Schema:
        """Read the schema in a response of the server.

        Raises:
            ValueError: The descriptor set lacks the message, or a field has an unknown kind.
        """
        package, _, name = message.type_url.rpartition(".")
        for file in message.descriptor_set.file:
            for candidate in file.message_type:
                if file.package == package and candidate.name == name:
                    annotations = [*message.field_annotations]
                    annotations += [dataset_type_pb2.FieldAnnotation()] * (len(candidate.field) - len(annotations))
                    fields = tuple(map(_read_field, candidate.field, annotations))
                    kind = DatasetKind(message.kind) if message.kind else _guess_kind(fields)
                    return cls(kind, fields, message.type_url)
        raise ValueError(f"the descriptor set of the dataset lacks its message {message.type_url!r}")

    def to_dataset_type(self) -> dataset_type_pb2.DatasetType:
        """Convert the schema to the message in a client's request, which has no field numbers."""
        message = dataset_type_pb2.DatasetType(kind=self.kind.value)
        for field in self.fields:
            descriptor = _field_descriptor(field)
            descriptor.ClearField("number")
            message.fields.add(descriptor=descriptor, annotation=_annotation(field))
        return message

    def to_annotated_type(self) -> dataset_type_pb2.AnnotatedType:
        """Convert the schema to the message in a server's response."""
        return dataset_type_pb2.AnnotatedType(
            kind=self.kind.value,
            type_url=self.type_name,
            descriptor_set=self.descriptor_set(),
            field_annotations=[_annotation(field) for field in self.fields],
        )

    def descriptor_set(self) -> FileDescriptorSet:
        """Return the schema as protobuf file descriptors, dependencies first."""
        package, _, name = self.type_name.rpartition(".")
        own = FileDescriptorProto(name=f"{self.type_name.replace('.', '/')}.proto", package=package, syntax="proto3")
        own.message_type.append(_message_descriptor(name, self.fields))
        used = [KNOWN_TYPES[field.type_name] for field in self.fields if field.type_name]
        own.dependency.extend(dict.fromkeys(file.name for file in used))
        return FileDescriptorSet(file=[*_with_dependencies(used), own])

    def message_pool(self) -> DescriptorPool:
        """Return a new descriptor pool with this schema.

        Each schema has its own pool, because a pool refuses a second type of the same name.
        """
        pool = DescriptorPool()
        for file in self.descriptor_set().file:
            pool.Add(file)
        return pool

    @property
    def custom(self) -> tuple[Field, ...]:
        """All fields except time, id and ingestion time; the geometry is included."""
        return tuple(field for field in self.fields if field.name not in METADATA_NAMES)

    def get(self, name: str) -> Field | None:
        """Return the field with a name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def select(self, names: Iterable[str]) -> Schema:
        """Return this schema reduced to time, id, ingestion time and the named fields, in the schema's order."""
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
            FieldRow(field.name, field.type_text, "yes" if field.queryable else "", " ".join(field.description.split()))
            for field in self
        ]


def _check_names(names: list[str]) -> None:
    for name in names:
        if not CODE_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
            raise ValueError(
                f"field name {name!r} is malformed: it must start with a lower-case letter, contain only lower-case "
                f"letters, digits and underscores, and have at most {MAX_NAME_LENGTH} characters"
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"field {repeated[0]!r} is defined more than once")


def _guess_kind(fields: Iterable[Field]) -> DatasetKind:
    is_spatial = any(field.name == GEOMETRY.name and field.kind is FieldKind.GEOMETRY for field in fields)
    return DatasetKind.SPATIOTEMPORAL if is_spatial else DatasetKind.TEMPORAL


def _read_field(descriptor: FieldDescriptorProto, annotation: dataset_type_pb2.FieldAnnotation) -> Field:
    type_name = descriptor.type_name.removeprefix(".")
    if descriptor.type in WIRE_SCALARS:
        kind: FieldKind | None = WIRE_SCALARS[descriptor.type]
    else:
        kind = known_type(type_name)
    if kind is None:
        raise ValueError(
            f"field {descriptor.name!r} has a type that a dataset cannot have: {type_name or descriptor.type}"
        )
    return Field(
        name=descriptor.name,
        kind=kind,
        repeated=descriptor.label == FieldDescriptorProto.LABEL_REPEATED,
        number=descriptor.number,
        type_name=type_name or None,
        wire_type=0 if descriptor.type == wire_type(kind) else descriptor.type,
        description=annotation.description,
        example_value=annotation.example_value,
        queryable=annotation.queryable,
        source_json_pointer=annotation.source_json_pointer if annotation.HasField("source_json_pointer") else None,
        json_schema_ref=annotation.json_schema_ref if annotation.HasField("json_schema_ref") else None,
        roles=tuple(annotation.roles),
    )


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
    # An explicit JSON name, because the default, camel case, is the same for `band1` and `band_1`, which protobuf
    # refuses.
    descriptor = FieldDescriptorProto(name=field.name, number=field.number, label=label, json_name=field.name)
    descriptor.type = field.wire_type or wire_type(field.kind)  # type: ignore[assignment]
    if field.type_name:
        descriptor.type_name = f".{field.type_name}"
    return descriptor


def _message_descriptor(name: str, fields: Iterable[Field]) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for field in fields:
        descriptor = _field_descriptor(field)
        if not field.repeated and descriptor.type != FieldDescriptorProto.TYPE_MESSAGE:
            # Field presence, so that 0 and "" differ from a missing value; proto3 encodes it as a oneof of one field.
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
