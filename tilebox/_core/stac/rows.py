"""Conversion of items to columns for each collection. Invalid items are rejected with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox._core.geometry.matching import problems
from tilebox._core.schema.fields import GEOMETRY, DatasetKind, FieldKind
from tilebox._core.stac.assets import assets_message, location_of, thumbnail_of
from tilebox._core.stac.collections import collection_of
from tilebox._core.stac.fields import ALWAYS, ASSETS, GRANULE_NAME, LOCATION, THUMBNAIL
from tilebox._core.stac.values import convert, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tilebox._core.stac.documents import Item
    from tilebox._core.stac.fields import Plan

Row = dict[str, Any]


@dataclass(frozen=True)
class Rejection:
    """An item that cannot become a datapoint.

    Args:
        position: The index of the item in the batch.
        name: The id of the item, or `(no id)`.
        collection: The collection that the item would have gone to, as far as that can be determined.
        reason: The reason.
    """

    position: int
    name: str
    collection: str
    reason: str


@dataclass
class Batch:
    """Items that were converted to datapoints.

    Args:
        columns: For each collection the values by field name, ready for `ingest`.
        rejected: The items that were not converted.
    """

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)


def to_columns(items: Iterable[Item], plan: Plan, *, collection: str | None = None) -> Batch:
    """Convert items to columns.

    An item needs an id and a time: its `datetime`, else its `start_datetime`. The geometry may be null; spatial queries
    never find such a datapoint. Otherwise it must be a valid point, polygon or multi-polygon. It may cross the
    antimeridian in any of the usual forms, and is stored unchanged except for heights, which are dropped.

    Args:
        items: STAC items.
        plan: The fields to read.
        collection: The collection for all items; None for one collection by platform and product (`collection_of`).
    """
    batch = Batch()
    rows: list[tuple[int, str, Row]] = []
    for position, item in enumerate(items):
        target = collection or (collection_of(item) if isinstance(item, dict) else "items")
        try:
            rows.append((position, target, _row(_check_item(item), plan)))
        except ValueError as error:
            name = item.get("id") if isinstance(item, dict) else None
            batch.rejected.append(Rejection(position, str(name or "(no id)"), target, str(error)))
    by_collection: dict[str, list[Row]] = {}
    for (position, name, row), reason in zip(rows, _footprint_problems(rows), strict=True):
        if reason:
            batch.rejected.append(Rejection(position, row[GRANULE_NAME.name], name, reason))
        else:
            by_collection.setdefault(name, []).append(row)
    batch.rejected.sort(key=lambda rejection: rejection.position)
    batch.columns = {name: _columns(members, plan) for name, members in sorted(by_collection.items())}
    return batch


def _check_item(item: Any) -> Item:
    if not isinstance(item, dict) or item.get("type", "Feature") != "Feature":
        raise ValueError("not an item: an item is a GeoJSON feature")
    if not isinstance(item.get("id"), str) or not item["id"]:
        raise ValueError("the item has no id")
    if not isinstance(item.get("properties"), dict):
        raise ValueError("the item has no properties")  # noqa: TRY004 - a wrong document, not a wrong argument
    return item


def _row(item: Item, plan: Plan) -> Row:
    properties = item["properties"]
    row: Row = {"time": _time(properties), GEOMETRY.name: _geometry(item.get("geometry"))}
    row |= {
        GRANULE_NAME.name: convert(GRANULE_NAME, None, item["id"]),
        LOCATION.name: location_of(item),
        THUMBNAIL.name: thumbnail_of(item),
        ASSETS.name: assets_message(item),
    }
    for target in plan.schema:
        key = plan.sources.get(target.name)
        if key is not None and properties.get(key) is not None:
            row[target.name] = convert(target, key, properties[key])
    return row


def _time(properties: Mapping[str, Any]) -> Any:
    for name in ("datetime", "start_datetime"):
        if properties.get(name) is not None:
            try:
                return parse_time(properties[name])
            except ValueError as error:
                raise ValueError(f"the {name} of the item is not a time: {error}") from error
    raise ValueError("the item has neither datetime nor start_datetime")


def _geometry(geometry: Any) -> shapely.Geometry | None:
    if geometry is None:
        return None
    try:
        # Tables have well-known binary, documents have GeoJSON.
        return shapely.from_wkb(geometry) if isinstance(geometry, bytes) else shapely.geometry.shape(geometry)
    except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"the geometry cannot be read: {error}") from error


def _footprint_problems(rows: list[tuple[int, str, Row]]) -> list[str | None]:
    footprints = np.empty(len(rows), dtype=object)
    footprints[:] = [shapely.force_2d(row[GEOMETRY.name]) for _, _, row in rows]
    for (_, _, row), footprint in zip(rows, footprints, strict=True):
        row[GEOMETRY.name] = footprint
    reasons = dict(problems(footprints))
    return [reasons.get(index) for index in range(len(rows))]


def _columns(rows: list[Row], plan: Plan) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "time": np.array([row["time"].replace(tzinfo=None) for row in rows], dtype="datetime64[us]").astype(
            "datetime64[ns]"
        )
    }
    wanted = {target.name for target in ALWAYS} | set(plan.sources)
    if plan.schema.kind is DatasetKind.SPATIOTEMPORAL:
        wanted.add(GEOMETRY.name)
    for target in plan.schema:
        values = [row.get(target.name) for row in rows]
        if target.name in wanted and any(value is not None for value in values):
            columns[target.name] = _column(target.kind, values)
    return columns


def _column(kind: FieldKind, values: list[Any]) -> Any:
    """Return values as a column of Python objects, in which null differs from 0 and from an empty text."""
    if kind is FieldKind.GEOMETRY:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return values
