"""The fields of a new dataset, in all the ways to write them."""

from __future__ import annotations

import doctest
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
import shapely

from tilebox._core.protocol.datasets.stac.v1 import asset_pb2
from tilebox._core.protocol.datasets.v1 import well_known_types_pb2
from tilebox._core.schema import definitions
from tilebox._core.schema.fields import DatasetKind, FieldKind, Schema

TYPES = {
    FieldKind.STRING: [str, "str", "string", np.str_],
    FieldKind.BYTES: [bytes, "bytes"],
    FieldKind.BOOL: [bool, "bool", np.bool_],
    FieldKind.INT32: [np.int32, "int32", np.dtype("int32")],
    FieldKind.INT64: [int, np.int64, "int", "int64"],
    FieldKind.UINT32: [np.uint32, "uint32"],
    FieldKind.UINT64: [np.uint64, "uint64"],
    FieldKind.FLOAT: [np.float32, "float32"],
    FieldKind.DOUBLE: [float, np.float64, "float", "float64", "double"],
    FieldKind.TIMESTAMP: [datetime, "datetime", np.datetime64, np.dtype("datetime64[ns]"), "google.protobuf.Timestamp"],
    FieldKind.DURATION: [timedelta, "timedelta", np.timedelta64, "google.protobuf.Duration"],
    FieldKind.UUID: [UUID, "uuid", "datasets.v1.UUID"],
    FieldKind.GEOMETRY: [shapely.Geometry, shapely.Polygon, shapely.geometry.base.BaseGeometry, "Geometry"],
    FieldKind.VEC3: [well_known_types_pb2.Vec3, "Vec3", "datasets.v1.Vec3"],
    FieldKind.QUATERNION: ["Quaternion"],
    FieldKind.LATLON: ["LatLon"],
    FieldKind.LATLONALT: ["LatLonAlt"],
    FieldKind.ENUM: [well_known_types_pb2.FlightDirection, "datasets.v1.FlightDirection"],
    FieldKind.MESSAGE: [asset_pb2.Assets, "datasets.stac.v1.Assets"],
}


def one(**field):
    return definitions.schema(DatasetKind.TEMPORAL, [{"name": "a", **field}]).custom[0]


def test_doctests():
    assert doctest.testmod(definitions).failed == 0


def test_every_kind_can_be_asked_for():
    assert set(TYPES) == set(FieldKind)


@pytest.mark.parametrize(("kind", "given"), [(kind, given) for kind, many in TYPES.items() for given in many])
def test_types(kind, given):
    assert (one(type=given).kind, one(type=given).repeated) == (kind, False)
    listed = f"list[{given}]" if isinstance(given, str) else list[given]
    assert (one(type=listed).kind, one(type=listed).repeated) == (kind, True)


def test_a_definition_survives_the_wire():
    fields = [{"name": f"f{i}", "type": given} for i, many in enumerate(TYPES.values()) for given in many[:1]]
    schema = definitions.schema(DatasetKind.SPATIOTEMPORAL, fields)
    assert Schema.from_dataset_type(schema.to_dataset_type()) == schema


def test_annotations():
    field = one(
        type=str,
        description="What it is",
        example_value=7,
        queryable=True,
        source_json_pointer="/properties/a",
        json_schema_ref="https://example.com/schema",
        roles=["primary_title"],
    )
    assert (field.description, field.example_value, field.queryable) == ("What it is", "7", True)
    assert (field.source_json_pointer, field.json_schema_ref) == ("/properties/a", "https://example.com/schema")
    assert field.roles == (1,)


@pytest.mark.parametrize(
    "given", [object, dict, list, set[str], list[list[str]], "list[list[str]]", "foo", None, 3, complex, np.int8]
)
def test_types_that_a_dataset_cannot_have(given):
    with pytest.raises(TypeError, match="field 'a' has a type that a dataset cannot have"):
        one(type=given)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ([{"name": "a"}], ValueError, "has no 'type'"),
        ([{"type": str}], ValueError, "has no 'name'"),
        ([{"name": "a", "type": str, "unit": "m"}], ValueError, "'unit' is not a key of a field"),
        ([{"name": "A b", "type": str}], ValueError, "field name 'A b'"),
        ([{"name": "a", "type": str}] * 2, ValueError, "more than once"),
        ([{"name": "time", "type": str}], ValueError, "part of every dataset"),
        ([{"name": "a", "type": str, "roles": ["king"]}], ValueError, "is not a role of a field"),
        ({"name": "a", "type": str}, TypeError, "list of dicts"),
        (["a"], TypeError, "a field must be a dict"),
    ],
)
def test_malformed_definitions(fields, error, message):
    with pytest.raises(error, match=message):
        definitions.schema(DatasetKind.TEMPORAL, fields)


def test_kinds_and_code_names():
    assert definitions.parse_kind("temporal") is definitions.parse_kind(1) is DatasetKind.TEMPORAL
    assert definitions.check_code_name("open_data.copernicus.s2") == "open_data.copernicus.s2"
    with pytest.raises(ValueError, match=r"DatasetKind\.TEMPORAL"):
        definitions.parse_kind("spatial")
    for name in ("", "A", "a.", ".a", "a-b", "1a"):
        with pytest.raises(ValueError, match="must start with a lower-case letter"):
            definitions.check_code_name(name)
    with pytest.raises(TypeError, match="must be a string"):
        definitions.check_code_name(5)
