"""Conversions between records and rows, in both directions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tilebox._core.protocol.datasets.v1.dataset_type_pb2 import AnnotatedType
from tilebox._core.schema.fields import Schema
from tilebox.server.store.interface import Collection, Dataset, Group, Key, Team

if TYPE_CHECKING:
    from tilebox.server.store.sql.statements import Row


def team_arguments(team: Team) -> dict[str, Any]:
    """Return a team as arguments of a statement."""
    return {"id": team.id, "slug": team.slug, "name": team.name, "created_us": team.created_us}


def read_team(row: Row) -> Team:
    """Return the team of a row."""
    return Team(id=_uuid(row["id"]), slug=row["slug"], name=row["name"], created_us=row["created_us"])


def key_arguments(key: Key) -> dict[str, Any]:
    """Return a key as arguments of a statement."""
    return {
        "id": key.id,
        "team": key.team,
        "name": key.name,
        "role": key.role,
        "digest": key.digest,
        "hint": key.hint,
        "created_us": key.created_us,
        "expires_us": key.expires_us,
        "revoked_us": key.revoked_us,
        "last_used_us": key.last_used_us,
    }


def read_key(row: Row) -> Key:
    """Return the key of a row."""
    return Key(
        id=_uuid(row["id"]),
        team=_uuid(row["team_id"]),
        name=row["name"],
        role=row["role"],
        digest=bytes(row["digest"]),
        hint=row["hint"],
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
        last_used_us=row["last_used_us"],
    )


def group_arguments(group: Group) -> dict[str, Any]:
    """Return a group as arguments of a statement."""
    return {
        "id": group.id,
        "team": group.team,
        "parent": group.parent,
        "code_name": group.code_name,
        "name": group.name,
        "slug": group.slug,
    }


def read_group(row: Row) -> Group:
    """Return the group of a row."""
    return Group(
        id=_uuid(row["id"]),
        team=_uuid(row["team_id"]),
        parent=None if row["parent_id"] is None else _uuid(row["parent_id"]),
        code_name=row["code_name"],
        name=row["name"],
        slug=row["slug"],
    )


def dataset_arguments(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as arguments of a statement."""
    return {"group": dataset.group, "code_name": dataset.code_name, "slug": dataset.slug} | {
        **changeable_arguments(dataset),
        "created_us": dataset.created_us,
    }


def changeable_arguments(dataset: Dataset) -> dict[str, Any]:
    """Return the parts of a dataset that may change, and its id and team, as arguments of a statement."""
    return {
        "id": dataset.id,
        "team": dataset.team,
        "name": dataset.name,
        "summary": dataset.summary,
        "description": dataset.description,
        "icon": dataset.icon,
        "type": dataset.schema.to_annotated_type().SerializeToString(deterministic=True),
        "revision": dataset.revision,
    }


def read_dataset(row: Row) -> Dataset:
    """Return the dataset of a row."""
    return Dataset(
        id=_uuid(row["id"]),
        team=_uuid(row["team_id"]),
        group=_uuid(row["group_id"]),
        code_name=row["code_name"],
        slug=row["slug"],
        name=row["name"],
        summary=row["summary"],
        description=row["description"],
        icon=row["icon"],
        schema=_schema(bytes(row["type"])),
        revision=row["revision"],
        created_us=row["created_us"],
    )


def collection_arguments(collection: Collection) -> dict[str, Any]:
    """Return a collection as arguments of a statement."""
    return {
        "id": collection.id,
        "team": collection.team,
        "dataset": collection.dataset,
        "name": collection.name,
        "number": collection.number,
        "created_us": collection.created_us,
    }


def read_collection(row: Row) -> Collection:
    """Return the collection of a row."""
    return Collection(
        id=_uuid(row["id"]),
        team=_uuid(row["team_id"]),
        dataset=_uuid(row["dataset_id"]),
        name=row["name"],
        number=row["number"],
        created_us=row["created_us"],
    )


def _uuid(value: UUID | bytes) -> UUID:
    # PostgreSQL has a type for UUIDs; SQLite stores their bytes.
    return value if isinstance(value, UUID) else UUID(bytes=value)


@lru_cache(maxsize=512)
def _schema(serialised: bytes) -> Schema:
    # Schemas are immutable, so all requests may share one that was parsed before.
    return Schema.from_annotated_type(AnnotatedType.FromString(serialised))
