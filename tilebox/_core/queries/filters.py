"""Filters on field values: `(field("cloud_cover") < 20) & field("platform").is_not_null()`.

An expression is plain data. The client builds it with operators and sends it as `datasets.v1.FilterExpression`. The
server reads it back, checks it against the schema and passes it to the store.

Missing values follow SQL: a comparison with a missing value is unknown, even with `!=`, and so is its negation. Only
`is_null` and `is_not_null` find missing values.

The limits come from the validation rules of `datasets.v1`: 64 expressions, 256 nodes, depth 8, 64 operands.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tilebox._core.protocol.datasets.v1 import data_access_pb2 as wire
from tilebox._core.schema.fields import CODE_NAME, Field, FieldKind, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_EXPRESSIONS = 64
MAX_NODES = 256
MAX_DEPTH = 8
MAX_STRING_LENGTH = 1024

Value = bool | int | float | str


class Comparator(Enum):
    """A comparison operator; the value of the member is its number on the wire."""

    EQUAL = wire.FIELD_COMPARISON_OPERATOR_EQUAL
    NOT_EQUAL = wire.FIELD_COMPARISON_OPERATOR_NOT_EQUAL
    LESS = wire.FIELD_COMPARISON_OPERATOR_LESS_THAN
    LESS_OR_EQUAL = wire.FIELD_COMPARISON_OPERATOR_LESS_THAN_OR_EQUAL
    GREATER = wire.FIELD_COMPARISON_OPERATOR_GREATER_THAN
    GREATER_OR_EQUAL = wire.FIELD_COMPARISON_OPERATOR_GREATER_THAN_OR_EQUAL

    @property
    def symbol(self) -> str:
        """The operator as Python writes it."""
        return _SYMBOLS[self]

    @property
    def function(self) -> Callable[[Any, Any], Any]:
        """The operator as a function."""
        return _FUNCTIONS[self]


_SYMBOLS = dict(zip(Comparator, ("==", "!=", "<", "<=", ">", ">="), strict=True))
_FUNCTIONS: dict[Comparator, Callable[[Any, Any], Any]] = dict(
    zip(Comparator, (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge), strict=True)
)


class Expression:
    """A condition on a datapoint. Combine conditions with `&`, `|` and `~`."""

    def __and__(self, other: Expression) -> And:
        return And((*_operands_of(And, self), *_operands_of(And, _require_expression(other, "&"))))

    def __or__(self, other: Expression) -> Or:
        return Or((*_operands_of(Or, self), *_operands_of(Or, _require_expression(other, "|"))))

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a filter has no truth value of its own: combine filters with & | ~, not with and, or, not")


@dataclass(frozen=True)
class Comparison(Expression):
    """The comparison of a field with a value."""

    name: str
    comparator: Comparator
    value: Value

    def __repr__(self) -> str:
        return f"(field({self.name!r}) {self.comparator.symbol} {self.value!r})"


@dataclass(frozen=True)
class IsNull(Expression):
    """The condition that a field has no value."""

    name: str

    def __repr__(self) -> str:
        return f"field({self.name!r}).is_null()"


@dataclass(frozen=True)
class And(Expression):
    """The condition that all operands hold."""

    operands: tuple[Expression, ...]

    def __repr__(self) -> str:
        return f"({' & '.join(map(repr, self.operands))})"


@dataclass(frozen=True)
class Or(Expression):
    """The condition that at least one operand holds."""

    operands: tuple[Expression, ...]

    def __repr__(self) -> str:
        return f"({' | '.join(map(repr, self.operands))})"


@dataclass(frozen=True)
class Not(Expression):
    """The condition that the operand does not hold."""

    operand: Expression

    def __repr__(self) -> str:
        return f"~{self.operand!r}"


class FieldReference:
    """A reference to a field by name, to which operators apply. Create it with `field`."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a field name must be a string, not a {type(name).__name__}")
        if not CODE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid field name")
        self._name = name

    def __eq__(self, value: object) -> Comparison:  # type: ignore[override]
        return self._compare(Comparator.EQUAL, value)

    def __ne__(self, value: object) -> Comparison:  # type: ignore[override]
        return self._compare(Comparator.NOT_EQUAL, value)

    def __lt__(self, value: Value) -> Comparison:
        return self._compare(Comparator.LESS, value)

    def __le__(self, value: Value) -> Comparison:
        return self._compare(Comparator.LESS_OR_EQUAL, value)

    def __gt__(self, value: Value) -> Comparison:
        return self._compare(Comparator.GREATER, value)

    def __ge__(self, value: Value) -> Comparison:
        return self._compare(Comparator.GREATER_OR_EQUAL, value)

    # `==` builds a comparison, so a reference cannot be a key of a dict.
    __hash__ = None  # type: ignore[assignment]

    def is_null(self) -> IsNull:
        """Select datapoints in which the field has no value."""
        return IsNull(self._name)

    def is_not_null(self) -> Not:
        """Select datapoints in which the field has a value."""
        return Not(IsNull(self._name))

    def __repr__(self) -> str:
        return f"field({self._name!r})"

    def _compare(self, comparator: Comparator, value: object) -> Comparison:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None:
            raise ValueError(f"field {self._name!r} cannot be compared with None; use is_null() or is_not_null()")
        if value != value:  # noqa: PLR0124 only NaN differs from itself
            raise ValueError(f"field {self._name!r} never equals NaN; use is_null() to find missing values")
        if not isinstance(value, (bool, int, float, str)):
            raise TypeError(f"field {self._name!r} can be compared with a bool, a number or a string, not {value!r}")
        return Comparison(self._name, comparator, value)


def field(name: str) -> FieldReference:
    """Refer to a field in a filter.

    Args:
        name: The name of the field.

    Returns:
        A reference that supports `==`, `!=`, `<`, `<=`, `>`, `>=`, `is_null()` and `is_not_null()`.

    Raises:
        TypeError: The name is not a string.
        ValueError: The name cannot be the name of a field.
    """
    return FieldReference(name)


def to_wire(expression: Expression) -> wire.FilterExpression:
    """Convert an expression to its protobuf message.

    Raises:
        TypeError: The value is not an expression.
        ValueError: A number does not fit into 64 bits.
    """
    match expression:
        case Comparison(name, comparator, value):
            comparison = wire.FieldComparison(field_name=name, operator=comparator.value, value=_value_to_wire(value))
            return wire.FilterExpression(comparison=comparison)
        case IsNull(name):
            return wire.FilterExpression(is_null=wire.FieldNullCheck(field_name=name))
        case Not(operand):
            return _logical_to_wire(wire.LOGICAL_OPERATOR_NOT, [operand])
        case And(operands):
            return _logical_to_wire(wire.LOGICAL_OPERATOR_AND, operands)
        case Or(operands):
            return _logical_to_wire(wire.LOGICAL_OPERATOR_OR, operands)
    raise TypeError(f"not a filter: {expression!r}; build one with field(name)")


def from_wire(messages: Iterable[wire.FilterExpression]) -> Expression | None:
    """Read the filter expressions of a query.

    Returns:
        One expression, which holds where all given ones hold; None if there are none.

    Raises:
        ValueError: A message is malformed, or there are too many expressions, nodes or levels.
    """
    messages = list(messages)
    if len(messages) > MAX_EXPRESSIONS:
        raise ValueError(f"a query has at most {MAX_EXPRESSIONS} filter expressions, not {len(messages)}")
    expressions = tuple(_read(message, depth=1) for message in messages)
    if sum(1 for top in expressions for _ in walk(top)) > MAX_NODES:
        raise ValueError(f"a filter has at most {MAX_NODES} nodes in all")
    if not expressions:
        return None
    return expressions[0] if len(expressions) == 1 else And(expressions)


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all expressions inside it."""
    yield expression
    match expression:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from walk(operand)
        case Not(operand):
            yield from walk(operand)


def check(expression: Expression, schema: Schema) -> None:
    """Check that a schema has the fields of an expression, and that their values can be filtered by.

    Raises:
        ValueError: A field does not exist or is not queryable (the message lists the queryable ones), or a value does
            not fit the type of its field.
    """
    for part in walk(expression):
        if isinstance(part, (Comparison, IsNull)):
            target = _queryable_field(part.name, schema)
            if isinstance(part, Comparison):
                _check_value(target, part)


def _queryable_field(name: str, schema: Schema) -> Field:
    target = schema.get(name)
    names = ", ".join(candidate.name for candidate in schema if candidate.queryable) or "none"
    if target is None:
        raise ValueError(f"there is no field {name!r} to filter by; queryable fields: {names}")
    if not target.queryable:
        raise ValueError(f"field {name!r} is not queryable; queryable fields: {names}")
    return target


def _check_value(target: Field, comparison: Comparison) -> None:
    value, kind = comparison.value, target.kind
    if kind is FieldKind.BOOL:
        fits = isinstance(value, bool) and comparison.comparator in (Comparator.EQUAL, Comparator.NOT_EQUAL)
    elif kind in (FieldKind.STRING, FieldKind.ENUM):
        fits = isinstance(value, str) and len(value) <= MAX_STRING_LENGTH
        if kind is FieldKind.ENUM:
            fits = fits and value in target.enum_labels.values()
    else:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not fits:
        raise ValueError(f"field {target.name!r} is a {kind.value} and cannot be filtered by {comparison!r}")


def _require_expression(other: object, symbol: str) -> Expression:
    if not isinstance(other, Expression):
        raise TypeError(
            f"{symbol} joins two filters, not a filter and {other!r}; put parentheses around comparisons: "
            f'(field("a") < 1) {symbol} (field("b") == 2)'
        )
    return other


def _operands_of(kind: type[And | Or], expression: Expression) -> tuple[Expression, ...]:
    return expression.operands if isinstance(expression, kind) else (expression,)


def _logical_to_wire(kind: int, operands: Iterable[Expression]) -> wire.FilterExpression:
    logical = wire.LogicalExpression(operator=kind, operands=[to_wire(operand) for operand in operands])  # type: ignore[arg-type]
    return wire.FilterExpression(logical=logical)


def _value_to_wire(value: Value) -> wire.FieldQueryValue:
    if isinstance(value, bool):
        return wire.FieldQueryValue(bool_value=value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{value} does not fit into 64 bits")
        return wire.FieldQueryValue(int64_value=value) if value < 2**63 else wire.FieldQueryValue(uint64_value=value)
    if isinstance(value, float):
        return wire.FieldQueryValue(double_value=value)
    return wire.FieldQueryValue(string_value=value)


def _value_from_wire(message: wire.FieldQueryValue) -> Value:
    for name in ("bool_value", "int64_value", "uint64_value", "double_value", "string_value", "enum_name"):
        if message.HasField(name):
            return getattr(message, name)  # type: ignore[no-any-return]
    raise ValueError("a comparison needs a bool, number, string or enumeration value")


def _read(message: wire.FilterExpression, depth: int) -> Expression:
    if depth > MAX_DEPTH:
        raise ValueError(f"a filter is at most {MAX_DEPTH} levels deep")
    # The three are separate fields on the wire rather than a oneof, so a message may have none or several.
    given = [name for name in ("logical", "comparison", "is_null") if message.HasField(name)]
    if given == ["is_null"]:
        return IsNull(message.is_null.field_name)
    if given == ["comparison"]:
        comparison = message.comparison
        try:
            comparator = Comparator(comparison.operator)
        except ValueError:
            raise ValueError("a comparison needs an operator") from None
        return Comparison(comparison.field_name, comparator, _value_from_wire(comparison.value))
    if given == ["logical"]:
        return _read_logical(message.logical, depth)
    raise ValueError("a filter expression is exactly one of logical, comparison and is_null")


def _read_logical(message: wire.LogicalExpression, depth: int) -> Expression:
    operands = tuple(_read(operand, depth + 1) for operand in message.operands)
    if message.operator == wire.LOGICAL_OPERATOR_NOT and len(operands) == 1:
        return Not(operands[0])
    if message.operator == wire.LOGICAL_OPERATOR_AND and len(operands) >= 2:
        return And(operands)
    if message.operator == wire.LOGICAL_OPERATOR_OR and len(operands) >= 2:
        return Or(operands)
    raise ValueError("AND and OR take at least two operands, NOT exactly one")
