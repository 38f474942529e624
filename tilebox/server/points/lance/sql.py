"""Conditions in the SQL of Lance. This module is the only one that quotes names and values.

Missing values follow SQL's three-valued logic. Where Lance's engine (DataFusion) differs from arithmetic, the
condition is spelled out: it orders NaN above infinity and -0.0 below 0.0, and rejects literals beyond a column's range.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import shapely

from tilebox._core.geometry.matching import area_boxes
from tilebox._core.queries.filters import And, Comparator, Comparison, Expression, IsNull, Not, Or, Value
from tilebox._core.schema.fields import Field, FieldKind, Schema
from tilebox.errors import InvalidArgumentError
from tilebox.server.points.columns import BOX, BOX_MARGIN, COLLECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tilebox.server.points.interface import Area
    from tilebox.server.points.keys import KeyRange

NOTHING = "false"

_OPERATORS = {
    Comparator.EQUAL: "=",
    Comparator.NOT_EQUAL: "<>",
    Comparator.LESS: "<",
    Comparator.LESS_OR_EQUAL: "<=",
    Comparator.GREATER: ">",
    Comparator.GREATER_OR_EQUAL: ">=",
}
_INTEGER_RANGES = {
    FieldKind.INT32: (-(2**31), 2**31 - 1),
    FieldKind.INT64: (-(2**63), 2**63 - 1),
    FieldKind.UINT32: (0, 2**32 - 1),
    FieldKind.UINT64: (0, 2**64 - 1),
}
_INTEGER_TYPES = {
    FieldKind.INT32: "Int32",
    FieldKind.INT64: "Int64",
    FieldKind.UINT32: "UInt32",
    FieldKind.UINT64: "UInt64",
}


def all_of(conditions: Iterable[str]) -> str:
    """Join conditions that must all hold."""
    return " AND ".join(f"({condition})" for condition in conditions)


def in_collections(collections: tuple[int, ...]) -> str:
    """Return the condition for datapoints of collections."""
    if not collections:
        return NOTHING
    return f"{COLLECTION} IN ({', '.join(str(int(number)) for number in sorted(set(collections)))})"


def in_key_range(keys: KeyRange, *, by_index: bool = True) -> str:
    """Return a condition for a range of keys, exact to the millisecond: more datapoints may match at its ends.

    Ids are compared only within one millisecond, because a one-sided condition on ids would make the
    index list half of the table.

    Args:
        keys: The range.
        by_index: Whether the index on time may be used. If another index finds few rows, testing those costs less
            than listing the many rows of a long interval. Adding zero keeps Lance from using the index on time.
    """
    if by_index:
        condition = f"time >= {_milliseconds(keys.start_ms)} AND time < {_milliseconds(keys.end_ms)}"
    else:
        time = "arrow_cast(time, 'Int64') + 0"
        condition = f"{time} >= {keys.start_ms} AND {time} < {keys.end_ms}"
    if keys.end_ms == keys.start_ms + 1 and keys.low[1] and keys.high[1]:
        condition += f" AND id >= {_padded_id(keys.low[1])} AND id <= {_padded_id(keys.high[1])}"
    return condition


def has_id(ids: Iterable[bytes]) -> str:
    """Return the condition for datapoints by id."""
    literals = [f"X'{bytes(value).hex()}'" for value in ids]
    return f"id = {literals[0]}" if len(literals) == 1 else f"id IN ({', '.join(literals)})"


def may_intersect(area: Area) -> str:
    """Return a condition that holds for all footprints that intersect an area, and for some that are near it."""
    return " OR ".join(_intersects(*box) for box in boxes_of(area)) or NOTHING


def boxes_of(area: Area) -> list[tuple[float, float, float, float]]:
    """Return boxes (west, south, east, north) for a search in the column `_box`.

    If a footprint intersects the area, its `_box` intersects at least one of them.
    """
    return [unwrapped for box in area_boxes(area.geometry, area.spherical) for unwrapped in _unwrapped(*box)]


def condition(expression: Expression, schema: Schema, columns: Collection[str]) -> str:
    """Translate a filter into SQL.

    Args:
        expression: The filter, checked against the schema.
        schema: The dataset's schema.
        columns: Columns of the version that is read. A field without a column has no values.

    Raises:
        InvalidArgumentError: A field or value cannot be compared.
    """
    match expression:
        case And(operands):
            return " AND ".join(f"({condition(operand, schema, columns)})" for operand in operands)
        case Or(operands):
            return " OR ".join(f"({condition(operand, schema, columns)})" for operand in operands)
        case Not(operand):
            return f"NOT ({condition(operand, schema, columns)})"
        case IsNull(name):
            field = _field(name, schema)
            return f"{_name(field)} IS NULL" if name in columns else "true"
        case Comparison(name, comparator, value):
            field = _field(name, schema)
            return _comparison(field, comparator, value) if name in columns else "CAST(NULL AS BOOLEAN)"
    raise InvalidArgumentError(f"{expression!r} is not a filter")


def _field(name: str, schema: Schema) -> Field:
    field = schema.get(name)
    if field is None:
        raise InvalidArgumentError(f"the dataset has no field {name!r} to filter by")
    return field


def _comparison(field: Field, comparator: Comparator, value: Value) -> str:
    name, symbol, kind = _name(field), _OPERATORS[comparator], field.kind
    if kind is FieldKind.STRING and isinstance(value, str):
        return f"{name} {symbol} {_text(value)}"
    if kind is FieldKind.ENUM and isinstance(value, str):
        number = next((number for number, label in field.enum_labels.items() if label == value), None)
        if number is not None:
            return _integer_comparison(name, FieldKind.INT32, comparator, number)
    if kind is FieldKind.BOOL and isinstance(value, bool):
        return f"{name} {symbol} {'true' if value else 'false'}"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not field.repeated:
        if kind in _INTEGER_RANGES:
            return _integer_comparison(name, kind, comparator, value)
        if kind in (FieldKind.FLOAT, FieldKind.DOUBLE):
            exact = f"CAST({name} AS DOUBLE)" if kind is FieldKind.FLOAT else name
            return _float_comparison(exact, comparator, value)
    raise InvalidArgumentError(f"field {field.name!r} is a {kind.value} and cannot be compared with {value!r}")


def _integer_comparison(name: str, kind: FieldKind, comparator: Comparator, value: float) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return _always(name, comparator is Comparator.NOT_EQUAL)
        if math.isinf(value):
            return _always(name, bool(comparator.function(0, value)))
        comparator, value = _to_integer(comparator, value)
    low, high = _INTEGER_RANGES[kind]
    if not low <= value <= high or value != int(value):
        # All values of the column compare with it alike, so one of them decides.
        inside = low if value > high else high if value < low else math.nan
        return _always(name, bool(comparator.function(inside, value)))
    return f"{name} {_OPERATORS[comparator]} arrow_cast('{int(value)}', '{_INTEGER_TYPES[kind]}')"


def _to_integer(comparator: Comparator, value: float) -> tuple[Comparator, float]:
    """Replace a fraction in an order comparison by an equivalent comparison with an integer."""
    if value == math.floor(value):
        return comparator, int(value)
    if comparator in (Comparator.LESS, Comparator.LESS_OR_EQUAL):
        return Comparator.LESS_OR_EQUAL, math.floor(value)
    if comparator in (Comparator.GREATER, Comparator.GREATER_OR_EQUAL):
        return Comparator.GREATER_OR_EQUAL, math.ceil(value)
    return comparator, value


def _float_comparison(name: str, comparator: Comparator, value: float) -> str:
    comparator, number = _to_float(comparator, value)
    if math.isnan(number):
        return _always(name, comparator is Comparator.NOT_EQUAL)
    below, above = (_number(-0.0), _number(0.0)) if number == 0 else (_number(number), _number(number))
    lowest, highest = _number(-math.inf), _number(math.inf)
    return {
        Comparator.EQUAL: f"{name} >= {below} AND {name} <= {above}",
        Comparator.NOT_EQUAL: f"NOT ({name} >= {below} AND {name} <= {above})",
        Comparator.LESS: f"{name} >= {lowest} AND {name} < {below}",
        Comparator.LESS_OR_EQUAL: f"{name} >= {lowest} AND {name} <= {above}",
        Comparator.GREATER: f"{name} > {above} AND {name} <= {highest}",
        Comparator.GREATER_OR_EQUAL: f"{name} >= {below} AND {name} <= {highest}",
    }[comparator]


def _to_float(comparator: Comparator, value: float) -> tuple[Comparator, float]:
    """Replace an integer that no double equals by an equivalent comparison with the double next to it."""
    number = float(value)
    if number == value or math.isnan(number):
        return comparator, number
    if comparator in (Comparator.EQUAL, Comparator.NOT_EQUAL):
        return comparator, math.nan
    if comparator in (Comparator.LESS, Comparator.LESS_OR_EQUAL):
        return (Comparator.LESS if number > value else Comparator.LESS_OR_EQUAL), number
    return (Comparator.GREATER if number < value else Comparator.GREATER_OR_EQUAL), number


def _always(name: str, answer: bool) -> str:
    """Return a condition with the same answer for every value, and unknown for a missing one."""
    null = "CAST(NULL AS BOOLEAN)"
    return f"({name} IS NOT NULL OR {null})" if answer else f"({name} IS NULL AND {null})"


def _name(field: Field) -> str:
    # A name has only lower-case letters, digits and underscores; the quotes are needed for SQL keywords.
    return f"`{field.name}`"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _number(value: float) -> str:
    return f"arrow_cast('{value!r}', 'Float64')"


def _milliseconds(value: int) -> str:
    return f"arrow_cast({value}, 'Timestamp(Millisecond, None)')"


def _padded_id(bound: bytes) -> str:
    return f"X'{bound[:16].hex().ljust(32, '0')}'"


def _unwrapped(west: float, south: float, east: float, north: float) -> Iterable[tuple[float, float, float, float]]:
    """Yield a box, grown by the margin, in each 360 degrees in which a stored box may lie, from -180 to 540."""
    if west > east:
        east += 360.0
    for shift in (-360.0, 0.0, 360.0):
        if east + shift >= -180.0 - BOX_MARGIN and west + shift <= 540.0 + BOX_MARGIN:
            yield west + shift - BOX_MARGIN, south - BOX_MARGIN, east + shift + BOX_MARGIN, north + BOX_MARGIN


def _intersects(west: float, south: float, east: float, north: float) -> str:
    text = shapely.to_wkt(shapely.box(west, south, east, north), rounding_precision=-1)
    return f"ST_Intersects({BOX}, ST_GeomFromText('{text}'))"
