"""Conversion of single values that a user ingests.

This path is slow. It accepts columns of mixed types, and says for each value why it is invalid.
"""

from __future__ import annotations

import datetime as dt
import difflib
import operator
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message

from tilebox._core.columns import numpy_columns
from tilebox._core.geometry.inputs import from_geojson, problem
from tilebox._core.schema.fields import Field, FieldKind

LAST_SECOND = 9_223_372_035
"""The largest number of whole seconds since 1970 that fits 64 bits of nanoseconds with any fraction added."""


class InvalidValueError(ValueError):
    """A value that cannot be ingested; the message says why."""


def short_repr(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _convert_text(field: Field, value: Any) -> str:  # noqa: ARG001
    if not isinstance(value, str):
        raise InvalidValueError(f"expected text, got {short_repr(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{short_repr(value)} holds half of a surrogate pair, which is not text") from None
    return str(value)


def _convert_bytes(field: Field, value: Any) -> bytes:  # noqa: ARG001
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InvalidValueError(f"expected bytes, got {short_repr(value)}")
    return bytes(value)


def _convert_bool(field: Field, value: Any) -> bool:  # noqa: ARG001
    if not isinstance(value, bool | np.bool_):
        raise InvalidValueError(f"expected True or False, got {short_repr(value)}")
    return bool(value)


def _convert_integer(field: Field, value: Any) -> int:
    limits = np.iinfo(numpy_columns.dtype_of(field))
    number = _number(value)
    try:
        whole = int(number)
    except (OverflowError, ValueError):
        raise InvalidValueError(f"expected a whole number, got {short_repr(value)}") from None
    if whole != number:
        raise InvalidValueError(f"expected a whole number, got {short_repr(value)}")
    if not limits.min <= whole <= limits.max:
        raise InvalidValueError(
            f"{short_repr(value)} is not within {limits.min} and {limits.max}, the range of {field.kind.value}"
        )
    return whole


def _convert_float(field: Field, value: Any) -> float:
    try:
        number = float(_number(value))
    except OverflowError:
        raise InvalidValueError(f"{short_repr(value)} is too large for {field.kind.value}") from None
    if field.kind is FieldKind.FLOAT and np.isfinite(number) and abs(number) > float(np.finfo(np.float32).max):
        raise InvalidValueError(f"{short_repr(value)} is too large for {field.kind.value}")
    return number


def _number(value: Any) -> Any:
    if isinstance(value, bool | np.bool_ | str | bytes | np.datetime64 | np.timedelta64):
        raise InvalidValueError(f"expected a number, got {short_repr(value)}")
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidValueError(f"expected a number, got {short_repr(value)}") from None


def _convert_time(field: Field, value: Any) -> int:
    import pandas as pd

    timestamp = field.kind is FieldKind.TIMESTAMP
    if timestamp and isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return _unix_seconds(value)
    if timestamp and isinstance(value, str | dt.date | np.datetime64):
        make: Any = pd.Timestamp
    elif not timestamp and isinstance(value, dt.timedelta | np.timedelta64):
        make = pd.Timedelta
    else:
        wanted = "a time, as datetime, datetime64, ISO 8601 text or Unix seconds" if timestamp else "a timedelta"
        raise InvalidValueError(f"expected {wanted}, got {short_repr(value)}")
    try:
        time = make(value)
        if timestamp and time.tzinfo is not None:
            time = time.tz_convert("UTC")
        return int(time.as_unit("ns").value)
    except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta, OverflowError):
        raise InvalidValueError(
            f"{short_repr(value)} does not fit 64 bits of nanoseconds (years 1677 to 2262)"
        ) from None
    except (ValueError, TypeError):
        raise InvalidValueError(f"{short_repr(value)} is not a {make.__name__.lower()}") from None


def _unix_seconds(value: Any) -> int:
    """Convert Unix seconds to nanoseconds.

    A float is rounded to microseconds, the precision that 64 bits have for a time of today.
    """
    number = _number(value)
    if not abs(number) <= LAST_SECOND:
        raise InvalidValueError(
            f"{short_repr(value)} seconds since 1970 do not fit 64 bits of nanoseconds (years 1677 to 2262); "
            "numbers are seconds, not milliseconds"
        )
    return int(number) * 10**9 if isinstance(number, int) else round(number * 10**6) * 1000


def _convert_uuid(field: Field, value: Any) -> bytes | None:  # noqa: ARG001
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if isinstance(value, str):
        if not value:
            return None
        try:
            return uuid.UUID(value).bytes
        except ValueError:
            pass
    raise InvalidValueError(f"{short_repr(value)} is not a UUID")


def _convert_geometry(field: Field, value: Any) -> bytes | None:
    import shapely

    try:
        if isinstance(value, bytes):
            value = shapely.from_wkb(value) if value else None
        elif not isinstance(value, shapely.Geometry):
            value = from_geojson(value)
        reason = None if value is None else problem(field, value)
        if reason is None:
            return shapely.to_wkb(value, flavor="iso")  # type: ignore[no-any-return]
    except (shapely.errors.ShapelyError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        detail = "" if isinstance(error, KeyError | AttributeError) else f": {error}"
        raise InvalidValueError(f"{short_repr(value)} is not a geometry{detail}") from None
    raise InvalidValueError(reason)


def _convert_enum(field: Field, value: Any) -> int | None:
    return enum_number(field, value) or None


def enum_number(field: Field, value: Any) -> int:
    """Return the number of a value of an enumeration.

    Args:
        field: The field, of kind ENUM.
        value: A label with or without its prefix, or a number.

    Raises:
        InvalidValueError: The enumeration has no such label or number.
    """
    labels = field.enum_labels
    if isinstance(value, str):
        numbers = {label: number for number, label in labels.items()} | {"UNSPECIFIED": 0}
        prefix = enum_prefix(field)
        if (label := value.removeprefix(prefix)) in numbers:
            return numbers[label]
        near = difflib.get_close_matches(label.upper(), labels.values())
        hint = f"did you mean {' or '.join(near)}?" if near else f"it is one of {', '.join(labels.values())}"
        raise InvalidValueError(f"{short_repr(value)} is not a label of {field.type_name}; {hint}")
    number = _number(value)
    if number not in labels and number != 0:
        raise InvalidValueError(f"{short_repr(value)} is not a number of {field.type_name}")
    return int(number)


def enum_prefix(field: Field) -> str:
    """Return the prefix of the labels of an enumeration on the wire, such as `FLIGHT_DIRECTION_`."""
    name = (field.type_name or "").rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper() + "_"


def _convert_message(field: Field, value: Any) -> bytes:
    name = field.type_name or ""
    if isinstance(value, Message) and value.DESCRIPTOR.full_name == name:
        return value.SerializeToString(deterministic=True)
    if isinstance(value, bytes):
        try:
            parsed = numpy_columns.known_message_class(name).FromString(value)
            return parsed.SerializeToString(deterministic=True)
        except DecodeError:
            raise InvalidValueError(f"these bytes are not a message {name}") from None
    raise InvalidValueError(f"expected a message {name} or its bytes, got {short_repr(value)}")


SCALAR_CONVERTERS: dict[FieldKind, Callable[[Field, Any], Any]] = {
    FieldKind.STRING: _convert_text,
    FieldKind.BYTES: _convert_bytes,
    FieldKind.BOOL: _convert_bool,
    FieldKind.INT32: _convert_integer,
    FieldKind.INT64: _convert_integer,
    FieldKind.UINT32: _convert_integer,
    FieldKind.UINT64: _convert_integer,
    FieldKind.FLOAT: _convert_float,
    FieldKind.DOUBLE: _convert_float,
    FieldKind.TIMESTAMP: _convert_time,
    FieldKind.DURATION: _convert_time,
    FieldKind.UUID: _convert_uuid,
    FieldKind.GEOMETRY: _convert_geometry,
    FieldKind.ENUM: _convert_enum,
    FieldKind.MESSAGE: _convert_message,
}


def convert_vector(names: tuple[str, ...], value: Any) -> list[float]:
    wanted = f"expected {len(names)} numbers ({', '.join(names)})"
    if isinstance(value, Mapping):
        if set(value) != set(names):
            raise InvalidValueError(f"{wanted}, got {short_repr(value)}")
        value = [value[name] for name in names]
    if not hasattr(value, "__len__") or isinstance(value, str | bytes) or len(value) != len(names):
        raise InvalidValueError(f"{wanted}, got {short_repr(value)}")
    return [np.nan if item is None else float(_number(item)) for item in value]
