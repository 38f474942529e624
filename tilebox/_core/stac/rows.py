"""Items as columns, by collection; what cannot be a datapoint is rejected with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox._core.geometry.matching import problems
from tilebox._core.schema.fields import GEOMETRY, DatasetKind, FieldKind
from tilebox._core.stac.assets import location_of, message_of, thumbnail_of
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
    """An item that is no datapoint.

    Args:
        position: Which item of the batch, from 0.
        name: Its id, if it has one.
        collection: Where it would have gone, as far as that can be told.
        reason: Why.
    """

    position: int
    name: str
    collection: str
    reason: str


@dataclass
class Batch:
    """Items as datapoints.

    Args:
        columns: Values by field name, by collection, ready for `ingest`.
        rejected: The items that are not among them.
    """

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)


def read(items: Iterable[Item], plan: Plan, *, collection: str | None = None) -> Batch:
    """Turn items into columns.

    An item needs an id and a time: its `datetime`, else its `start_datetime`. A footprint may be null, which makes a
    datapoint that no area finds; one that is there must be a point, a polygon or several polygons, and valid. It may
    cross the antimeridian in any of the usual forms, and is stored as it is.

    Args:
        items: STAC items.
        plan: Their fields.
        collection: The collection for all of them; by default each goes to its platform's and product's.
    """
    batch = Batch()
    rows: list[tuple[int, str, Row]] = []
    for position, item in enumerate(items):
        target = collection or (collection_of(item) if isinstance(item, dict) else "items")
        try:
            rows.append((position, target, _row(_checked(item), plan)))
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
    batch.columns = {name: _columns(found, plan) for name, found in sorted(by_collection.items())}
    return batch


def _checked(item: Any) -> Item:
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
        ASSETS.name: message_of(item),
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
                raise ValueError(f"the item's {name} is no time: {error}") from error
    raise ValueError("the item has neither datetime nor start_datetime")


def _geometry(geometry: Any) -> shapely.Geometry | None:
    if geometry is None:
        return None
    try:
        # Tables carry well-known binary, documents GeoJSON.
        return shapely.from_wkb(geometry) if isinstance(geometry, bytes) else shapely.geometry.shape(geometry)
    except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"the geometry cannot be read: {error}") from error


def _footprint_problems(rows: list[tuple[int, str, Row]]) -> list[str | None]:
    footprints = np.empty(len(rows), dtype=object)
    footprints[:] = [shapely.force_2d(row[GEOMETRY.name]) for _, _, row in rows]
    for (_, _, row), footprint in zip(rows, footprints, strict=True):
        row[GEOMETRY.name] = footprint
    found = dict(problems(footprints))
    return [found.get(index) for index in range(len(rows))]


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
    """Keep Python's values, so that null stays apart from 0 and from an empty text."""
    if kind is FieldKind.GEOMETRY:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return values
