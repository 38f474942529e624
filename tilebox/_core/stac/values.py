"""Values of properties: the kind of field that can store them, and their conversion to that kind.

| values of a property | kind of field |
|---|---|
| only `true` and `false` | bool |
| only whole numbers (in 64 bits) | int64 |
| numbers | double |
| only ISO 8601 dates with a time | timestamp |
| only UUIDs | UUID |
| lists of one of these, without null | the same, repeated |
| anything else, also mixtures | string: text as it is, everything else as JSON |
| labels of an enumeration, for some properties | that enumeration |
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.schema.fields import Field, FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MAX_QUERYABLE_LENGTH = 1024
# The years that lie completely within the range of 64 bits of nanoseconds.
_NANOSECOND_YEARS = (1678, 2261)


@dataclass(frozen=True)
class Enumeration:
    """A property whose values are labels of an enumeration.

    Args:
        name: The field's name.
        type_name: The full name of the enumeration.
        label: Converts a value to a label, which the enumeration may lack.
    """

    name: str
    type_name: str
    label: Callable[[Any], str]

    @property
    def field(self) -> Field:
        """The field, without a description."""
        return Field(name=self.name, kind=FieldKind.ENUM, type_name=self.type_name)


def _upper(value: Any) -> str:
    return str(value).strip().upper()


def _level(value: Any) -> str:
    """Normalise a processing level: `1`, `L2A` and `Level-2A` become `L1`, `L2A` and `L2A`."""
    return "L" + re.sub(r"^(LEVEL|L)?[\s_-]*", "", _upper(value))


def _polarization(value: Any) -> str:
    received = {_upper(part) for part in (value if isinstance(value, list) else [value])}
    pairs = {frozenset({"HH", "HV"}): "HH_HV", frozenset({"VV", "VH"}): "VV_VH"}
    return pairs.get(frozenset(received)) or "+".join(sorted(received))


ENUMERATIONS: Mapping[str, Enumeration] = {
    "sat:orbit_state": Enumeration("flight_direction", "datasets.v1.FlightDirection", _upper),
    "sar:observation_direction": Enumeration("observation_direction", "datasets.v1.ObservationDirection", _upper),
    "sar:instrument_mode": Enumeration("acquisition_mode", "datasets.v1.AcquisitionMode", _upper),
    "sar:polarizations": Enumeration("polarization", "datasets.v1.Polarization", _polarization),
    "processing:level": Enumeration("processing_level", "datasets.v1.ProcessingLevel", _level),
    "s1:processing_level": Enumeration("processing_level", "datasets.v1.ProcessingLevel", _level),
}
"""Enumerations by property. They apply if all values of an import are labels; otherwise the values decide the kind."""


def fits_enumeration(enumeration: Enumeration, values: Iterable[Any]) -> bool:
    """Return whether all values are labels of an enumeration."""
    labels = set(enumeration.field.enum_labels.values())
    return all(enumeration.label(value) in labels for value in values)


def infer_kind(values: list[Any]) -> tuple[FieldKind, bool] | None:
    """Return the kind of a field that can store all given values, and whether it is repeated.

    Args:
        values: At least one value, none of them None.

    Returns:
        Kind and repetition, or None if all values are empty lists, from which no kind follows.
    """
    lists = [isinstance(value, list) for value in values]
    if not all(lists):
        return (FieldKind.STRING if any(lists) else _kind_of_scalars(values)), False
    items = [item for value in values for item in value]
    if not items:
        return None
    # No kind of field stores lists with nulls, objects or lists in them, so they are stored as JSON.
    if any(item is None or isinstance(item, (list, dict)) for item in items):
        return FieldKind.STRING, False
    return _kind_of_scalars(items), True


def convert(field: Field, key: str | None, value: Any) -> Any:
    """Convert a value of a property to the kind of a field.

    Args:
        field: The field.
        key: The property, which determines how labels of enumerations are read; None if there is none.
        value: The value, not None.

    Raises:
        ValueError: The field cannot hold the value.
    """
    if field.kind is FieldKind.ENUM:
        return _convert_label(field, key, value)
    if not field.repeated:
        return _convert_scalar(field, value)
    if not isinstance(value, list):
        raise _unstorable(field, value)
    return [_convert_scalar(field, item) for item in value]


def parse_time(value: Any) -> datetime:
    """Parse a time: a datetime or ISO 8601 text, in UTC if it has no time zone.

    Raises:
        ValueError: The value is not a time, or lies outside of the years 1678 to 2261.
    """
    if isinstance(value, str):
        text = value.strip().replace("z", "Z")
        # Python's parser accepts at most six fractional digits.
        value = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace(" Z", "Z"))
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is not a time")  # noqa: TRY004 - a wrong value in a document, not a wrong argument
    time = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    first, last = _NANOSECOND_YEARS
    if not first <= time.year <= last:
        raise ValueError(f"{time.isoformat()} is outside of the years {first} to {last}")
    return time


def _kind_of_scalars(values: list[Any]) -> FieldKind:
    if all(isinstance(value, bool) for value in values):
        return FieldKind.BOOL
    if all(_is_number(value) and not abs(value) > sys.float_info.max for value in values):
        whole = all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values)
        return FieldKind.INT64 if whole else FieldKind.DOUBLE
    if all(isinstance(value, datetime) or _looks_like_time(value) for value in values):
        return FieldKind.TIMESTAMP
    if all(isinstance(value, str) and _UUID.fullmatch(value) for value in values):
        return FieldKind.UUID
    return FieldKind.STRING


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _looks_like_time(value: Any) -> bool:
    if not (isinstance(value, str) and _ISO.fullmatch(value.strip())):
        return False
    try:
        parse_time(value)
    except ValueError:
        return False
    return True


def _convert_label(field: Field, key: str | None, value: Any) -> str:
    enumeration = ENUMERATIONS.get(key or "")
    label = enumeration.label(value) if enumeration else _upper(value)
    if label not in field.enum_labels.values():
        raise _unstorable(field, value)
    return label


def _convert_scalar(field: Field, value: Any) -> Any:
    kind = field.kind
    if kind is FieldKind.STRING:
        return _check_text(field, value if isinstance(value, str) else _to_json(value))
    if kind is FieldKind.BOOL and isinstance(value, bool):
        return value
    if kind in (FieldKind.DOUBLE, FieldKind.FLOAT) and _is_number(value) and not abs(value) > sys.float_info.max:
        return float(value)
    if kind is FieldKind.TIMESTAMP:
        return parse_time(value)
    if kind is FieldKind.UUID and isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    if kind in _INTEGER_RANGES and _is_number(value) and math.isfinite(value) and value == int(value):
        low, high = _INTEGER_RANGES[kind]
        if low <= value < high:
            return int(value)
    raise _unstorable(field, value)


_INTEGER_RANGES = {
    FieldKind.INT32: (-(2**31), 2**31),
    FieldKind.INT64: (-(2**63), 2**63),
    FieldKind.UINT32: (0, 2**32),
    FieldKind.UINT64: (0, 2**64),
}


def _check_text(field: Field, text: str) -> str:
    """Check the limits that the server has for text: it rejects a whole batch for one text that exceeds them."""
    if field.queryable and len(text) > MAX_QUERYABLE_LENGTH:
        raise ValueError(f"field {field.name!r} is queryable and holds at most {MAX_QUERYABLE_LENGTH} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _unstorable(field, text) from None
    return text


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_json_default)


def _json_default(value: Any) -> str:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value)


def _unstorable(field: Field, value: Any) -> ValueError:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return ValueError(f"field {field} cannot hold {shown}")
