"""Datapoints with every kind of field, and areas of all sorts, drawn by hypothesis."""

from __future__ import annotations

import shapely
from hypothesis import strategies as st

from tilebox._core.geometry.matching import area_from_box
from tilebox._core.schema.fields import VECTOR_COMPONENTS, DatasetKind, Field, FieldKind, Schema


def boxes() -> st.SearchStrategy[shapely.Geometry]:
    def box(west: float, south: float, width: float, height: float) -> shapely.Geometry:
        east = west + width
        return area_from_box(west, south, east - 360 if east > 180 else east, min(90, south + height))

    return st.builds(box, st.floats(-180, 179), st.floats(-90, 88), st.floats(0.5, 170), st.floats(0.5, 60))


def kinds_schema() -> Schema:
    fields = []
    for kind in FieldKind:
        if kind in (FieldKind.ENUM, FieldKind.MESSAGE):
            continue
        type_name = kind.value if "." in kind.value else None
        name = kind.name.lower()
        fields.append(Field(name=f"one_{name}", kind=kind, type_name=type_name))
        fields.append(Field(name=f"many_{name}", kind=kind, type_name=type_name, repeated=True))
    fields.append(Field(name="one_message", kind=FieldKind.MESSAGE, type_name="google.protobuf.Struct"))
    return Schema.of(DatasetKind.TEMPORAL, fields, "tests.Everything")


KINDS = kinds_schema()
NANOSECONDS = st.integers(-(2**62), 2**62)
FLOATS = st.floats(width=32, allow_nan=False)
VALUES = {
    FieldKind.STRING: st.text(max_size=20),
    FieldKind.BYTES: st.binary(max_size=20),
    FieldKind.BOOL: st.booleans(),
    FieldKind.INT32: st.integers(-(2**31), 2**31 - 1),
    FieldKind.INT64: st.integers(-(2**63), 2**63 - 1),
    FieldKind.UINT32: st.integers(0, 2**32 - 1),
    FieldKind.UINT64: st.integers(0, 2**64 - 1),
    FieldKind.FLOAT: FLOATS,
    FieldKind.DOUBLE: st.floats(allow_nan=False),
    FieldKind.TIMESTAMP: NANOSECONDS,
    FieldKind.DURATION: NANOSECONDS,
    FieldKind.UUID: st.binary(min_size=16, max_size=16),
    FieldKind.GEOMETRY: st.builds(lambda x, y: shapely.Point(x, y).wkb, FLOATS, FLOATS),
    FieldKind.MESSAGE: st.just(b""),
}


def value_of(field: Field) -> st.SearchStrategy:
    components = VECTOR_COMPONENTS.get(field.kind)
    if components:
        one = st.fixed_dictionaries(dict.fromkeys(components, st.floats(allow_nan=False)))
    else:
        one = VALUES[field.kind]
    return st.lists(one, max_size=3) if field.repeated else st.none() | one


ROW = st.fixed_dictionaries({field.name: value_of(field) for field in KINDS.custom})
