"""Parsing of dataset definitions: fields as a list of dicts with Python types.

>>> from tilebox._core.schema.fields import DatasetKind
>>> print(*schema(DatasetKind.TEMPORAL, [{"name": "tags", "type": list[str]}]).custom)
tags: list of string
"""

from __future__ import annotations

import re
import types
import typing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from tilebox._core.protocol.datasets.v1 import dataset_type_pb2
from tilebox._core.schema.fields import CODE_NAME, DatasetKind, Field, FieldKind, Schema, known_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PYTHON_TYPES: Mapping[Any, FieldKind] = {
    str: FieldKind.STRING,
    bytes: FieldKind.BYTES,
    bool: FieldKind.BOOL,
    int: FieldKind.INT64,
    float: FieldKind.DOUBLE,
    datetime: FieldKind.TIMESTAMP,
    timedelta: FieldKind.DURATION,
    UUID: FieldKind.UUID,
}
_TYPE_NAMES: Mapping[str, FieldKind] = {
    "str": FieldKind.STRING,
    "string": FieldKind.STRING,
    "bytes": FieldKind.BYTES,
    "bool": FieldKind.BOOL,
    "int": FieldKind.INT64,
    "int32": FieldKind.INT32,
    "int64": FieldKind.INT64,
    "uint32": FieldKind.UINT32,
    "uint64": FieldKind.UINT64,
    "float": FieldKind.DOUBLE,
    "float32": FieldKind.FLOAT,
    "float64": FieldKind.DOUBLE,
    "double": FieldKind.DOUBLE,
    "datetime": FieldKind.TIMESTAMP,
    "timestamp": FieldKind.TIMESTAMP,
    "timedelta": FieldKind.DURATION,
    "duration": FieldKind.DURATION,
    "uuid": FieldKind.UUID,
    "geometry": FieldKind.GEOMETRY,
    "vec3": FieldKind.VEC3,
    "quaternion": FieldKind.QUATERNION,
    "latlon": FieldKind.LATLON,
    "latlonalt": FieldKind.LATLONALT,
}
_FIELD_KEYS = (
    "name",
    "type",
    "description",
    "example_value",
    "queryable",
    "source_json_pointer",
    "json_schema_ref",
    "roles",
)
_LIST_TYPE = re.compile(r"list\[(.+)\]")


def parse_kind(kind: Any) -> DatasetKind:
    """Return the kind of a dataset, given as a `DatasetKind` or as its name or number.

    Raises:
        ValueError: The kind does not exist.
    """
    try:
        return DatasetKind[kind.upper()] if isinstance(kind, str) else DatasetKind(kind)
    except (KeyError, ValueError):
        names = ", ".join(f"DatasetKind.{member.name}" for member in DatasetKind)
        raise ValueError(f"{kind!r} is not a kind of dataset; the kinds are {names}") from None


def check_code_name(code_name: Any) -> str:
    """Return a dataset's code name if it is valid; dots separate groups from the name.

    Raises:
        TypeError: The code name is not a string.
        ValueError: The code name is malformed.
    """
    if not isinstance(code_name, str):
        raise TypeError(f"code_name must be a string, not a {type(code_name).__name__}")
    if not all(CODE_NAME.fullmatch(part) for part in code_name.split(".")):
        raise ValueError(
            f"code_name {code_name!r} is malformed: each part must start with a lower-case letter and contain only "
            "lower-case letters, digits and underscores; dots separate groups from the name"
        )
    return code_name


def schema(kind: DatasetKind, fields: Iterable[Any] | None) -> Schema:
    """Return the schema of a new dataset.

    Args:
        kind: The kind of the dataset, which determines its required fields.
        fields: The custom fields, or None. Each is a dict with `name` and `type`, and optionally `description`,
            `example_value`, `queryable`, `source_json_pointer`, `json_schema_ref` and `roles`.

    Raises:
        TypeError: A field is not a dict, or a dataset cannot have its type.
        ValueError: A name is malformed, repeated or missing, or a key is unknown.
    """
    if isinstance(fields, (dict, str)):
        raise TypeError("fields must be a list of dicts, with one dict per field")
    return Schema.of(kind, (_read_field(field) for field in fields or ()))


def _read_field(given: Any) -> Field:
    if isinstance(given, Field):
        return given
    if not isinstance(given, dict):
        raise TypeError(f"a field must be a dict with name and type, not a {type(given).__name__}")
    unknown = sorted(str(key) for key in given if key not in _FIELD_KEYS)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a key of a field; the keys are {', '.join(_FIELD_KEYS)}")
    missing = [key for key in ("name", "type") if key not in given]
    if missing:
        raise ValueError(f"field {given.get('name', given)!r} has no {missing[0]!r}")
    kind, type_name, repeated = _read_type(given["type"], given["name"])
    return Field(
        name=given["name"],
        kind=kind,
        repeated=repeated,
        type_name=type_name,
        description=given.get("description") or "",
        example_value=str(given.get("example_value") or ""),
        queryable=bool(given.get("queryable", False)),
        source_json_pointer=given.get("source_json_pointer"),
        json_schema_ref=given.get("json_schema_ref"),
        roles=tuple(_read_role(role) for role in given.get("roles") or ()),
    )


def _read_type(given: Any, name: str) -> tuple[FieldKind, str | None, bool]:
    item = _list_item(given)
    kind, type_name = _read_item_type(given if item is None else item, name)
    return kind, type_name, item is not None


def _list_item(given: Any) -> Any:
    if isinstance(given, str):
        match = _LIST_TYPE.fullmatch(given.strip())
        return match[1] if match else None
    if isinstance(given, types.GenericAlias) and typing.get_origin(given) is list:
        return typing.get_args(given)[0]
    return None


def _read_item_type(given: Any, name: str) -> tuple[FieldKind, str | None]:
    kind = _PYTHON_TYPES.get(given) if isinstance(given, type) else None
    descriptor = getattr(given, "DESCRIPTOR", None)
    if kind is None and descriptor is not None:
        given = descriptor.full_name
    if kind is None and isinstance(given, str):
        kind = _TYPE_NAMES.get(given.lower()) or _kind_of_message(given)
    elif kind is None:
        kind = _kind_of_foreign_type(given)
    if kind is None:
        raise TypeError(
            f"field {name!r} has a type that a dataset cannot have: {given!r}; use one of "
            f"{', '.join(sorted(_TYPE_NAMES))}, a full name such as 'datasets.v1.FlightDirection', or a list of "
            "one of these such as list[str]"
        )
    if kind in (FieldKind.ENUM, FieldKind.MESSAGE):
        return kind, given
    return kind, kind.value if "." in kind.value else None


def _kind_of_message(name: str) -> FieldKind | None:
    return known_type(name) or next((kind for kind in FieldKind if kind.value == name and "." in name), None)


def _kind_of_foreign_type(given: Any) -> FieldKind | None:
    if isinstance(given, type) and given.__module__.split(".")[0] == "shapely":
        return FieldKind.GEOMETRY
    if given is None:  # numpy would read it as float64
        return None
    try:
        dtype = np.dtype(given)
    except TypeError:
        return None
    by_letter = {"M": FieldKind.TIMESTAMP, "m": FieldKind.DURATION, "U": FieldKind.STRING, "S": FieldKind.BYTES}
    # An object dtype does not tell the type of its items, so it is in neither table.
    return by_letter.get(dtype.kind) or _TYPE_NAMES.get(dtype.name)


def _read_role(role: Any) -> int:
    names = {
        name.removeprefix("FIELD_ROLE_").lower(): number
        for name, number in dataset_type_pb2.FieldRole.items()
        if number
    }
    number = names.get(role.lower()) if isinstance(role, str) else role
    if number not in names.values():
        raise ValueError(f"{role!r} is not a role of a field; the roles are {', '.join(names)}")
    return int(number)  # type: ignore[arg-type]
