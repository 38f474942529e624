"""Filters: built with operators, sent as messages, read back equal, checked against a schema."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilebox._core.protocol.datasets.v1 import data_access_pb2 as wire
from tilebox._core.queries.filters import (
    MAX_DEPTH,
    And,
    Comparator,
    Comparison,
    Expression,
    IsNull,
    Not,
    Or,
    check,
    field,
    from_wire,
    to_wire,
)
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema

SCHEMA = Schema.of(
    DatasetKind.TEMPORAL,
    [
        Field(name="cloud_cover", kind=FieldKind.DOUBLE, queryable=True),
        Field(name="platform", kind=FieldKind.STRING, queryable=True),
        Field(name="usable", kind=FieldKind.BOOL, queryable=True),
        Field(name="orbit", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection", queryable=True),
        Field(name="secret", kind=FieldKind.STRING),
    ],
)

names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
values = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=10),
)
leaves = st.one_of(st.builds(Comparison, names, st.sampled_from(Comparator), values), st.builds(IsNull, names))
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Not),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def depth(expression: Expression) -> int:
    match expression:
        case And(operands) | Or(operands):
            return 1 + max(map(depth, operands))
        case Not(operand):
            return 1 + depth(operand)
    return 1


@given(expressions.filter(lambda expression: depth(expression) <= MAX_DEPTH))
def test_expressions_round_trip_over_the_wire(expression: Expression) -> None:
    assert from_wire([to_wire(expression)]) == expression


def test_operators_build_flat_trees() -> None:
    a, b, c = field("a") < 1, field("b") == "x", field("c").is_null()

    assert a & b & c == And((a, b, c))
    assert (a | b) | c == Or((a, b, c))
    assert ~c == Not(c) == field("c").is_not_null()
    assert repr(a & ~c) == "((field('a') < 1) & ~field('c').is_null())"
    assert from_wire([to_wire(a), to_wire(b)]) == And((a, b))
    assert from_wire([]) is None


def test_python_keywords_are_refused_with_advice() -> None:
    with pytest.raises(TypeError, match=r"combine filters with & \| ~"):
        bool(field("a") < 1 and field("b") < 2)
    with pytest.raises(TypeError, match="parentheses"):
        (field("a") < 1) & "b"
    for nan in (float("nan"), np.float32("nan")):
        with pytest.raises(ValueError, match=r"never equals NaN; use is_null\(\) to find missing values"):
            _ = field("a") == nan
    with pytest.raises(ValueError, match="is_null"):
        field("a") == None  # noqa: B015, E711
    with pytest.raises(ValueError, match="'A b' is not a valid field name"):
        field("A b")
    with pytest.raises(TypeError, match=r"not \[1\]"):
        field("a") == [1]  # noqa: B015


@pytest.mark.parametrize(
    "expression",
    [
        field("cloud_cover") < 20,
        field("platform") >= "S",
        field("usable") == True,  # noqa: E712
        field("orbit") == "ASCENDING",
        field("orbit").is_null(),
    ],
)
def test_expressions_that_fit_the_schema_pass(expression: Expression) -> None:
    check(~expression, SCHEMA)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (field("cloud_cover") < "20", "'cloud_cover' is a double"),
        (field("cloud_cover") == True, "'cloud_cover' is a double"),  # noqa: E712
        (field("usable") < True, "'usable' is a bool"),
        (field("platform") == 1, "'platform' is a string"),
        (field("platform") == "x" * 1025, "'platform' is a string"),
        (field("orbit") == "SIDEWAYS", "'orbit' is a enum"),
        (field("secret") == "x", "not queryable; queryable fields: cloud_cover, platform, usable, orbit"),
        (field("cloudcover").is_null(), "no field 'cloudcover'"),
    ],
)
def test_expressions_that_do_not_fit_the_schema_are_refused(expression: Expression, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(expression, SCHEMA)


def test_malformed_messages_are_refused() -> None:
    leaf = to_wire(field("a") < 1)
    deep = field("a") < 1
    for _ in range(MAX_DEPTH):
        deep = ~deep
    for message, text in [
        (wire.FilterExpression(), "exactly one"),
        (wire.FilterExpression(comparison=leaf.comparison, is_null=wire.FieldNullCheck(field_name="a")), "exactly one"),
        (wire.FilterExpression(comparison=wire.FieldComparison(field_name="a")), "needs an operator"),
        (wire.FilterExpression(comparison=wire.FieldComparison(field_name="a", operator=1)), "needs a bool"),
        (wire.FilterExpression(logical=wire.LogicalExpression(operator=1, operands=[leaf])), "at least two"),
        (wire.FilterExpression(logical=wire.LogicalExpression(operator=3, operands=[leaf, leaf])), "exactly one"),
        (to_wire(deep), "levels deep"),
    ]:
        with pytest.raises(ValueError, match=text):
            from_wire([message])
    with pytest.raises(ValueError, match="at most 64"):
        from_wire([leaf] * 65)
    with pytest.raises(ValueError, match="at most 256"):
        from_wire([to_wire(Or(tuple(field("a") < i for i in range(60))))] * 5)
