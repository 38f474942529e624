"""Schemas: their three forms agree, and malformed ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.schema.arrow_schema import arrow_schema
from tilebox._core.schema.fields import (
    GEOMETRY,
    VECTOR_COMPONENTS,
    DatasetKind,
    Field,
    FieldKind,
    Schema,
    known_type,
)

TYPE_NAMES = {
    FieldKind.ENUM: "datasets.v1.FlightDirection",
    FieldKind.MESSAGE: "datasets.stac.v1.Assets",
}


def type_name(kind: FieldKind) -> str | None:
    return TYPE_NAMES.get(kind) or (kind.value if "." in kind.value else None)


names = st.from_regex(r"f_[a-z0-9_]{0,20}", fullmatch=True)
kinds = st.sampled_from(FieldKind)
custom_fields = st.lists(
    st.builds(
        lambda name, kind, repeated, description, queryable: Field(
            name=name,
            kind=kind,
            repeated=repeated,
            type_name=type_name(kind),
            description=description,
            queryable=queryable,
        ),
        names,
        kinds,
        st.booleans(),
        st.text(max_size=20),
        st.booleans(),
    ),
    unique_by=lambda field: field.name,
    max_size=12,
)


@given(st.sampled_from(DatasetKind), custom_fields)
def test_wire_forms_give_the_schema_back(kind: DatasetKind, fields: list[Field]) -> None:
    schema = Schema.of(kind, fields, "some.package.Datapoint")

    assert Schema.from_annotated_type(schema.to_annotated_type()) == schema
    asked = Schema.from_dataset_type(schema.to_dataset_type())
    assert [(f.name, f.kind, f.repeated, f.type_name, f.number) for f in asked] == [
        (f.name, f.kind, f.repeated, f.type_name, f.number) for f in schema
    ]


@given(st.sampled_from(DatasetKind), custom_fields)
def test_descriptors_load_and_arrow_has_every_field(kind: DatasetKind, fields: list[Field]) -> None:
    schema = Schema.of(kind, fields, "some.package.Datapoint")

    message = schema.message_pool().FindMessageTypeByName("some.package.Datapoint")
    assert [field.name for field in message.fields] == [field.name for field in schema]
    assert arrow_schema(schema).names == [field.name for field in schema]
    for field in schema:
        if not field.repeated:
            assert message.fields_by_name[field.name].has_presence


def test_every_message_kind_is_known_by_its_name() -> None:
    for kind in FieldKind:
        name = type_name(kind)
        if name is not None:
            assert known_type(name) is kind
    assert known_type("tilebox.v1.ID") is FieldKind.UUID
    assert known_type("google.protobuf.Any") is None
    assert set(VECTOR_COMPONENTS) < set(FieldKind)


def test_enum_labels_lose_their_prefix() -> None:
    direction = Field(name="direction", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection")

    assert direction.enum_labels == {1: "ASCENDING", 2: "DESCENDING"}


@pytest.mark.parametrize("name", ["", "Cloud", "1st", "a-b", "a.b", "x" * 101, "é"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must start with a lower-case letter"):
        Schema.of(DatasetKind.TEMPORAL, [Field(name=name, kind=FieldKind.BOOL)])


def test_repeated_names_are_refused() -> None:
    field = Field(name="a", kind=FieldKind.BOOL)

    with pytest.raises(ValueError, match="'a' is defined more than once"):
        Schema.of(DatasetKind.TEMPORAL, [field, field])


def test_required_fields_may_be_repeated_but_not_changed() -> None:
    assert Schema.of(DatasetKind.SPATIOTEMPORAL, [GEOMETRY]) == Schema.of(DatasetKind.SPATIOTEMPORAL)
    with pytest.raises(ValueError, match="'time' is part of every dataset"):
        Schema.of(DatasetKind.TEMPORAL, [Field(name="time", kind=FieldKind.STRING)])


def test_numbers_once_given_stay() -> None:
    first = Schema.of(
        DatasetKind.TEMPORAL, [Field(name="b", kind=FieldKind.BOOL), Field(name="a", kind=FieldKind.BOOL)]
    )
    kept = [field for field in first.custom if field.name == "a"]
    second = Schema.of(DatasetKind.TEMPORAL, [*kept, Field(name="c", kind=FieldKind.BOOL)])

    assert {field.name: field.number for field in second.custom} == {"a": 5, "c": 6}
    assert second.select(["c"]).get("a") is None
