"""The fields that a dataset needs for items, and the property that each field is read from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tilebox._core.schema.fields import QUERYABLE_KINDS, DatasetKind, Field, FieldKind, Schema
from tilebox._core.stac.assets import ASSETS_TYPE
from tilebox._core.stac.values import ENUMERATIONS, MAX_QUERYABLE_LENGTH, fits_enumeration, infer_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox._core.stac.documents import Item

GRANULE_NAME = Field(
    name="granule_name",
    kind=FieldKind.STRING,
    description="Name of the product: the id of its STAC item",
    source_json_pointer="/id",
)
LOCATION = Field(
    name="location", kind=FieldKind.STRING, description="Where the product is kept", source_json_pointer="/assets"
)
THUMBNAIL = Field(
    name="thumbnail",
    kind=FieldKind.STRING,
    description="Address of a small picture",
    source_json_pointer="/assets",
)
ASSETS = Field(
    name="assets",
    kind=FieldKind.MESSAGE,
    type_name=ASSETS_TYPE,
    description="All files of the product",
    source_json_pointer="/assets",
)
ALWAYS = (GRANULE_NAME, LOCATION, THUMBNAIL, ASSETS)

# Stored as the time of the datapoint, so they need no field of their own.
_TIME_PROPERTIES = frozenset({"datetime"})
_RESERVED = frozenset({"time", "id", "ingestion_time", "geometry", *(field.name for field in ALWAYS)})
# The public service allows filters on two string fields of a dataset. These properties are filtered by most often, in
# this order.
_MAX_QUERYABLE_STRINGS = 2
_PREFERRED_FILTERS = (
    "platform",
    "product:type",
    "s2:mgrs_tile",
    "grid:code",
    "s2:product_type",
    "sar:product_type",
    "landsat:correction",
    "constellation",
)
# Properties that are measured quantities, even if all items happen to have whole numbers: 0 degrees off nadir, 10 m,
# 100 percent.
_MEASURED = re.compile(
    r"gsd|(eo|view):.*|sar:(center_frequency|resolution_.*|pixel_spacing_.*|looks_equivalent_number)"
    r"|proj:(bbox|transform|centroid)|.*(percentage|cloud_cover|snow_cover|elevation|azimuth|zenith)(_.*)?"
)


@dataclass(frozen=True)
class Plan:
    """How items are converted to datapoints of a dataset.

    Args:
        schema: The type of the dataset: its existing fields and the ones to add.
        sources: The property that each field is read from, by field name.
        added: The fields that the dataset does not have yet.
    """

    schema: Schema
    sources: Mapping[str, str]
    added: tuple[Field, ...]


def derive_schema(items: Iterable[Item]) -> Schema:
    """Return the type of a new dataset for some items. Equal items give equal types.

    Args:
        items: STAC items. Malformed parts are ignored.
    """
    return plan(items).schema


def plan(items: Iterable[Item], known: Schema | None = None) -> Plan:
    """Determine the fields for some items.

    An existing field is reused if it was created from the same property, or if it has the name that the property would
    get and a compatible type. Values that do not fit are found when items are converted. Other properties get new
    fields. New fields of an existing dataset are never queryable, because its stored datapoints have no index for them.

    Args:
        items: STAC items. Malformed parts are ignored.
        known: The type of the dataset, or None if the dataset does not exist.
    """
    values = _values_by_property(items)
    present = {field.name: field for field in known} if known else {}
    names = _names(values, present)
    sources, added = {}, [field for field in ALWAYS if field.name not in present]
    strings = _queryable_strings(values)
    for key in sorted(names):
        field = present.get(names[key])
        if field is None:
            field = _field(key, names[key], values[key])
            queryable = known is None and _is_queryable(field, key, values[key], strings)
            added.append(replace(field, queryable=queryable))
        sources[names[key]] = key
    fields = [*(known.fields if known else ()), *added]
    return Plan(Schema.of(known.kind if known else DatasetKind.SPATIOTEMPORAL, fields), sources, tuple(added))


def pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) of a property."""
    return f"/properties/{key.replace('~', '~0').replace('/', '~1')}"


def _values_by_property(items: Iterable[Item]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        properties = item.get("properties") if isinstance(item, dict) else None
        if isinstance(properties, dict):
            for key, value in properties.items():
                if value is not None and key not in _TIME_PROPERTIES:
                    values[key].append(value)
    return {key: observed for key, observed in values.items() if infer_kind(observed) is not None}


def _names(values: Mapping[str, list[Any]], present: Mapping[str, Field]) -> dict[str, str]:
    """Return the field name of each property: without its prefix if that is unique, else with its prefix."""
    by_pointer = {field.source_json_pointer: field.name for field in present.values()}
    names = {key: by_pointer[pointer(key)] for key in values if pointer(key) in by_pointer}
    taken = set(names.values()) | _RESERVED
    new = sorted(values.keys() - names.keys())
    short = {key: _short_name(key, values[key]) for key in new}
    wanted = Counter(short.values())
    # Properties without a prefix come first, because they have no other name to fall back to.
    for key in sorted(new, key=lambda key: (":" in key, key)):
        name = short[key]
        clashes = name in taken or (wanted[name] > 1 and ":" in key)
        if clashes or not _is_compatible(present.get(name), key, values[key]):
            name = _free_name(_full_name(key), taken | present.keys())
        names[key] = name
        taken.add(name)
    return names


def _short_name(key: str, values: list[Any]) -> str:
    enumeration = ENUMERATIONS.get(key)
    if enumeration and fits_enumeration(enumeration, values):
        return enumeration.name
    return _sanitise(key.rpartition(":")[2])


def _full_name(key: str) -> str:
    return _sanitise(key) if ":" in key else f"item_{_sanitise(key)}"


def _sanitise(text: str) -> str:
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")[:80]
    return name if name[:1].isalpha() else f"field_{name}".rstrip("_")


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _is_compatible(field: Field | None, key: str, values: list[Any]) -> bool:
    """Return whether a property can be stored in a field of that name, which may not exist or have another source."""
    if field is None:
        return True
    if field.source_json_pointer is not None:
        return False
    derived = _field(key, field.name, values)
    both_numbers = {field.kind, derived.kind} == {FieldKind.DOUBLE, FieldKind.INT64} and field.kind is FieldKind.DOUBLE
    return field.same_type(derived) or (both_numbers and field.repeated == derived.repeated)


def _field(key: str, name: str, values: list[Any]) -> Field:
    described = {"description": f"STAC property {key}", "source_json_pointer": pointer(key)}
    enumeration = ENUMERATIONS.get(key)
    if enumeration and fits_enumeration(enumeration, values):
        return replace(enumeration.field, name=name, example_value=enumeration.label(values[0]), **described)  # type: ignore[arg-type]
    kind, repeated = infer_kind(values) or (FieldKind.STRING, False)
    if kind is FieldKind.INT64 and _MEASURED.fullmatch(key):
        kind = FieldKind.DOUBLE
    type_name = kind.value if "." in kind.value else None
    example = str(values[0])[:100]
    return Field(name=name, kind=kind, repeated=repeated, type_name=type_name, example_value=example, **described)  # type: ignore[arg-type]


def _queryable_strings(values: Mapping[str, list[Any]]) -> set[str]:
    strings = [
        key for key in _PREFERRED_FILTERS if key in values and infer_kind(values[key]) == (FieldKind.STRING, False)
    ]
    # A property with a single value is useless as a filter while other properties vary.
    varied = [key for key in strings if len({str(value) for value in values[key]}) > 1]
    chosen = [*varied, *(key for key in strings if key not in varied)]
    return set(chosen[:_MAX_QUERYABLE_STRINGS])


def _is_queryable(field: Field, key: str, values: list[Any], strings: set[str]) -> bool:
    if field.repeated or field.kind not in QUERYABLE_KINDS:
        return False
    if field.kind is not FieldKind.STRING:
        return True
    return key in strings and all(len(str(value)) <= MAX_QUERYABLE_LENGTH for value in values)
