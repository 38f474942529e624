"""Lossless conversion of loaded datasets to what NetCDF and Zarr can store, and back.

Neither format supports geometries, missing text, bytes that end in zeros, or protobuf messages. `to_storable` converts
these to text and sets the attribute `tilebox_kind` of the variable, by which `from_storable` restores them:

| tilebox_kind | values in memory | stored as |
|---|---|---|
| text | `str` or None | the text; None as the value of the attribute `tilebox_missing`, which no other text equals |
| escaped text | text with zero characters, which end a text in NetCDF | the text, backslash and zero escaped by a backslash |
| `<U36` and similar | text of that width | text |
| geometry | shapely geometries | well-known binary in hexadecimal digits |
| bytes | `bytes` | hexadecimal digits |
| message | protobuf messages | hexadecimal digits; the attribute `tilebox_message` is the name of the type |
| duration | timedelta64[ns] | int64 nanoseconds, NaT as the smallest number |

Times keep their type. Their encoding asks xarray to store whole nanoseconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import Message

from tilebox._core.columns.numpy_columns import known_message_class, object_array

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    Array = np.ndarray[Any, Any]

_KIND, _MISSING, _MESSAGE = "tilebox_kind", "tilebox_missing", "tilebox_message"
# Zarr does not keep the order of variables.
_ORDER = "tilebox_variables"
_TIME_ENCODING = {"units": "nanoseconds since 1970-01-01", "dtype": "int64"}


def to_storable(data: xr.Dataset) -> xr.Dataset:
    """Convert a dataset to one with the same content that `to_netcdf` and `to_zarr` can write.

    Raises:
        TypeError: A variable holds objects that a query never returns and a file cannot store.
    """
    stored = _map_variables(data, _store, list(data.variables))
    return stored.assign_attrs({_ORDER: list(map(str, data.variables))})


def from_storable(data: xr.Dataset) -> xr.Dataset:
    """Reverse `to_storable`, usually after reading a file. Other variables stay unchanged."""
    order = [name for name in data.attrs.get(_ORDER, ()) if name in data.variables]
    restored = _map_variables(data, _restore, list(dict.fromkeys([*order, *data.variables])))
    restored.attrs.pop(_ORDER, None)
    return restored


def _map_variables(data: xr.Dataset, change: Callable[[str, xr.Variable], xr.Variable], order: list[Any]) -> xr.Dataset:
    import xarray as xr

    variables = {name: change(str(name), data.variables[name]) for name in order}
    coordinates = {name: variables.pop(name) for name in order if name in data.coords}
    return xr.Dataset(variables, coords=coordinates, attrs=data.attrs)


def _store(name: str, variable: xr.Variable) -> xr.Variable:
    kind = variable.dtype.kind
    if kind == "M":
        # Otherwise xarray would choose the unit by the values at hand.
        return _with_encoding(variable, _TIME_ENCODING)
    if kind == "m":
        return _with_values(variable, variable.to_numpy().astype("m8[ns]").view(np.int64), {_KIND: "duration"})
    if kind == "U":
        return _with_values(variable, variable.to_numpy().astype(object), {_KIND: variable.dtype.str})
    return _store_objects(name, variable) if kind == "O" else variable


def _store_objects(name: str, variable: xr.Variable) -> xr.Variable:
    import shapely

    values = variable.to_numpy()
    first = first_value(values)
    if first is None or isinstance(first, str):
        if any("\0" in value for value in values.flat if isinstance(value, str)):
            return _store_text(variable, map_values(values, _escaped), {_KIND: "escaped text"})
        kind = {_KIND: "geometry" if first is None and name == "geometry" else "text"}
        return _store_text(variable, values, kind)
    if isinstance(first, shapely.Geometry):
        digits = np.asarray(shapely.to_wkb(values.reshape(-1), hex=True, flavor="iso")).reshape(values.shape)
        return _store_text(variable, digits, {_KIND: "geometry"})
    if isinstance(first, bytes):
        return _store_text(variable, map_values(values, bytes.hex), {_KIND: "bytes"})
    if isinstance(first, Message):
        kind = {_KIND: "message", _MESSAGE: first.DESCRIPTOR.full_name}
        return _store_text(variable, map_values(values, _message_hex), kind)
    raise TypeError(f"variable {name!r} holds {type(first).__name__} objects, which a file cannot store")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\0", "\\0")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\0" if match[1] == "0" else match[1], text)


def _message_hex(message: Message) -> str:
    return message.SerializeToString(deterministic=True).hex()


def _store_text(variable: xr.Variable, text: Array, attributes: dict[str, str]) -> xr.Variable:
    """Store text, with None replaced by a text that does not occur in it."""
    missing, used = "<missing>", set(text.flat)
    while missing in used:
        missing = f"<{missing}>"
    filled = object_array((missing if item is None or item != item else item for item in text.flat), text.size)  # noqa: PLR0124 - NaN
    return _with_values(variable, filled.reshape(text.shape), {**attributes, _MISSING: missing})


def _restore(name: str, variable: xr.Variable) -> xr.Variable:  # noqa: ARG001 - the signature of _store
    kind = variable.attrs.get(_KIND)
    if kind is None:
        return variable
    values = variable.to_numpy()
    if kind == "duration":
        return _with_values(variable, values.astype(np.int64).view("m8[ns]"), {})
    if kind.startswith("<U"):
        return _with_values(variable, values.astype(kind), {})
    missing = variable.attrs[_MISSING]
    present = (None if item == missing else str(item) for item in values.flat)
    text = object_array(present, values.size).reshape(values.shape)
    return _with_values(variable, _restore_text(kind, text, variable.attrs), {})


def _restore_text(kind: str, text: Array, attributes: dict[str, str]) -> Array:
    import shapely

    if kind == "geometry":
        return np.asarray(shapely.from_wkb(text.reshape(-1))).reshape(text.shape)
    if kind == "escaped text":
        return map_values(text, _unescaped)
    if kind == "bytes":
        return map_values(text, bytes.fromhex)
    if kind == "message":
        parse = known_message_class(attributes[_MESSAGE]).FromString
        return map_values(text, lambda digits: parse(bytes.fromhex(digits)))
    return text


def _with_values(variable: xr.Variable, values: Array, attributes: dict[str, str]) -> xr.Variable:
    """Return a variable with other values, and with our attributes replaced by the given ones."""
    import xarray as xr

    others = {key: value for key, value in variable.attrs.items() if key not in (_KIND, _MISSING, _MESSAGE)}
    return xr.Variable(variable.dims, values, {**others, **attributes}, fastpath=True)


def _with_encoding(variable: xr.Variable, encoding: dict[str, str]) -> xr.Variable:
    changed = variable.copy(deep=False)
    changed.encoding = dict(encoding)
    return changed


def first_value(variable: Array) -> Any:
    """Return the first value of an object array that is not missing, or None."""
    if variable.dtype.kind != "O":
        return None
    return next((value for value in variable.flat if value is not None and value == value), None)  # noqa: PLR0124 - NaN


def map_values(variable: Array, function: Any) -> Array:
    """Apply a function to the values of an object array that are not missing."""
    flat = (function(value) if value is not None and value == value else None for value in variable.flat)  # noqa: PLR0124 - NaN
    return object_array(flat, variable.size).reshape(variable.shape)
