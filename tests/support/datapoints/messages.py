"""Datapoints of every field type, for property tests: a schema that has them all and a strategy that draws messages."""

from __future__ import annotations

from functools import cache

import shapely
from google.protobuf import message_factory
from hypothesis import strategies as st

from tilebox._core.schema.fields import VECTOR_COMPONENTS, DatasetKind, Field, FieldKind, Schema

TYPE_NAMES = {
    FieldKind.ENUM: "datasets.v1.ProcessingLevel",
    FieldKind.MESSAGE: "google.protobuf.Struct",
}
TYPE_NAMES |= {kind: kind.value for kind in FieldKind if "." in kind.value}

MIN_SECONDS, MIN_NANOS = -9223372037, 145224193
MAX_SECONDS, MAX_NANOS = 9223372036, 854775807


def field(name: str, kind: FieldKind, **options) -> Field:
    """A field of a kind, with a message or enumeration where the kind needs one."""
    return Field(name=name, kind=kind, type_name=TYPE_NAMES.get(kind), **options)


def schema_of(*fields: Field, kind: DatasetKind = DatasetKind.SPATIOTEMPORAL) -> Schema:
    """A schema with these custom fields."""
    return Schema.of(kind, fields, type_name="tilebox.test.Datapoint")


EVERY_KIND = schema_of(
    *(field(f"a_{kind.name.lower()}", kind) for kind in FieldKind),
    *(field(f"many_{kind.name.lower()}", kind, repeated=True) for kind in FieldKind),
    field("zigzag", FieldKind.INT64, wire_type=18),
    field("fixed", FieldKind.UINT32, wire_type=7),
)


@cache
def message_class(schema: Schema):
    """The protobuf class of a schema's datapoints."""
    return message_factory.GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


def serialise(message) -> bytes:
    """Return protobuf's deterministic serialisation of a message."""
    return message.SerializeToString(deterministic=True)


@st.composite
def instants(draw, nanos_step: int = 1) -> dict[str, int]:
    seconds = draw(st.integers(MIN_SECONDS + 1, MAX_SECONDS - 1) | st.integers(-2, 2))
    return {"seconds": seconds, "nanos": draw(st.integers(0, 10**9 // nanos_step - 1)) * nanos_step}


@st.composite
def durations(draw) -> dict[str, int]:
    seconds = draw(st.integers(-MAX_SECONDS + 1, MAX_SECONDS - 1) | st.integers(-2, 2))
    nanos = draw(st.integers(0, 10**9 - 1))
    return {"seconds": seconds, "nanos": -nanos if seconds < 0 else nanos}


coordinates = st.floats(-180, 180, allow_nan=False)
geometries = st.one_of(
    st.builds(shapely.Point, coordinates, coordinates),
    st.builds(lambda x, y: shapely.box(x, y, x + 1, y + 1), coordinates, coordinates),
)
ANY = st.floats(allow_subnormal=True)
VALUES = {
    FieldKind.STRING: st.text(max_size=8),
    FieldKind.BYTES: st.binary(max_size=8),
    FieldKind.BOOL: st.booleans(),
    FieldKind.INT32: st.integers(-(2**31), 2**31 - 1),
    FieldKind.INT64: st.integers(-(2**63), 2**63 - 1),
    FieldKind.UINT32: st.integers(0, 2**32 - 1),
    FieldKind.UINT64: st.integers(0, 2**64 - 1),
    FieldKind.FLOAT: st.floats(width=32),
    FieldKind.DOUBLE: ANY,
    FieldKind.ENUM: st.integers(1, 12),
    FieldKind.TIMESTAMP: instants(),
    FieldKind.DURATION: durations(),
    FieldKind.UUID: st.binary(min_size=16, max_size=16).map(lambda raw: {"uuid": raw}),
    FieldKind.GEOMETRY: geometries.map(lambda geometry: {"wkb": shapely.to_wkb(geometry)}),
    FieldKind.MESSAGE: st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.booleans(), max_size=3),
} | {
    kind: st.fixed_dictionaries(dict.fromkeys(components, ANY | st.just(0.0)))
    for kind, components in VECTOR_COMPONENTS.items()
}


@st.composite
def messages(draw, schema: Schema = EVERY_KIND):
    """Draw one datapoint: metadata always, any other field present or missing."""
    values = {
        "time": draw(instants(nanos_step=10**6)),
        "id": draw(VALUES[FieldKind.UUID]),
        "ingestion_time": draw(instants(nanos_step=10**3)),
    }
    for each in schema.custom:
        one = VALUES[each.kind]
        value = draw(st.lists(one, max_size=3) if each.repeated else st.none() | one)
        if value is not None:
            values[each.name] = value
    structs = {
        each.name: values.pop(each.name)
        for each in schema.custom
        if each.kind is FieldKind.MESSAGE and each.name in values
    }
    message = message_class(schema)(**values)
    for name, given in structs.items():
        # Older versions of protobuf do not initialise a Struct from a mapping.
        for one in given if isinstance(given, list) else [given]:
            target = getattr(message, name).add() if isinstance(given, list) else getattr(message, name)
            target.SetInParent()
            target.update(one)
    return message
