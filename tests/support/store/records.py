"""Records for tests of the control data."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema
from tilebox.server.store import open_store
from tilebox.server.store.interface import Dataset, Key, Team

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from tilebox.server.store.interface import Store

NOW_US = 1_790_000_000_000_000


def make_team(slug: str, **changes: Any) -> Team:
    return Team(**{"id": uuid4(), "slug": slug, "name": slug.title(), "created_us": NOW_US, **changes})


def make_key(team: UUID, **changes: Any) -> Key:
    identity = uuid4()
    values = {
        "id": identity,
        "team": team,
        "name": "laptop",
        "role": "admin",
        "digest": identity.bytes * 2,
        "hint": "tbx_abcd",
        "created_us": NOW_US,
    }
    return Key(**{**values, **changes})


def make_schema(type_name: str = "tilebox.u00.r1.Scenes") -> Schema:
    fields = (
        Field(
            name="cloud_cover",
            kind=FieldKind.DOUBLE,
            queryable=True,
            description="Share of clouds",
            example_value="0.4",
        ),
        Field(name="tags", kind=FieldKind.STRING, repeated=True),
    )
    return Schema.of(DatasetKind.SPATIOTEMPORAL, fields, type_name)


def make_dataset(team: UUID, group: UUID, slug: str, **changes: Any) -> Dataset:
    values = {
        "id": uuid4(),
        "team": team,
        "group": group,
        "code_name": slug.rpartition(".")[2],
        "slug": slug,
        "name": "Scenes",
        "summary": "One line",
        "description": "# Many\n\nlines, ünïcode 🛰",
        "icon": "satellite",
        "schema": make_schema(),
        "revision": 1,
        "created_us": NOW_US,
    }
    return Dataset(**{**values, **changes})


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def add_dataset(store: Store, team: UUID, slug: str, **changes: Any) -> Dataset:
    """Store a dataset and the groups of its slug."""
    group = await store.ensure_groups(team, slug.split(".")[:-1])
    dataset = make_dataset(team, group.id, slug, **changes)
    await store.add_dataset(dataset)
    return dataset
