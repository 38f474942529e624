"""The store of control data: everything but the datapoints, such as teams, keys, groups, datasets and collections.

One interface has two implementations (SQLite and PostgreSQL) and one conformance suite. Every verb is one transaction.
Records are plain values. Times are whole microseconds since 1970, which both databases return as they got them. Every
verb that reads or changes a team's rows takes the team.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tilebox.server.store.work.clusters import ClusterStore
from tilebox.server.store.work.interface import Orchestration
from tilebox.server.store.work.jobs import JobStore

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from tilebox._core.schema.fields import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team, which owns datasets, keys, clusters and jobs."""

    id: UUID
    slug: str
    name: str
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key. The store has only its hash.

    Args:
        id: Its id.
        team: The team that its requests act for.
        name: The name that its owner gave it.
        role: One of `read`, `submit`, `run`, `admin`.
        digest: The SHA-256 hash of the key, 32 bytes.
        hint: The first characters of the key, by which users recognise it in a list.
        created_us: The time of its creation.
        expires_us: The time at which it expires, or None.
        revoked_us: The time at which it was revoked, or None.
        last_used_us: The time of its last use, to about a minute, or None.
    """

    id: UUID
    team: UUID
    name: str
    role: str
    digest: bytes
    hint: str
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A folder of datasets. Its `slug` is its dotted path."""

    id: UUID
    team: UUID
    parent: UUID | None
    code_name: str
    name: str
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset. Its `revision` counts the changes of its schema, starting at 1."""

    id: UUID
    team: UUID
    group: UUID
    code_name: str
    slug: str
    name: str
    summary: str
    description: str
    icon: str
    schema: Schema
    revision: int
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection. Its `number` is unique in its dataset and never used again, because datapoints refer to it."""

    id: UUID
    team: UUID
    dataset: UUID
    name: str
    number: int
    created_us: int


class Store(Orchestration, ClusterStore, JobStore, Protocol):
    """The control data of datasets and of the orchestrator."""

    async def migrate(self) -> None:
        """Create or update the tables. Several processes may call it at the same time."""

    async def ping(self) -> None:
        """Do nothing if the database is reachable, and raise an error otherwise."""

    async def close(self) -> None:
        """Close all connections and end all threads."""

    async def add_team(self, team: Team) -> None:
        """Create a team.

        Raises:
            ConflictError: The slug is taken.
        """

    async def teams(self) -> list[Team]:
        """Return all teams, the oldest first."""

    async def add_key(self, key: Key) -> None:
        """Store a key.

        Raises:
            NotFoundError: There is no such team.
            ConflictError: Its id or digest is taken.
            InvalidArgumentError: The role is unknown, or the digest does not have 32 bytes.
        """

    async def key_by_digest(self, digest: bytes) -> Key | None:
        """Return the key with a digest, even if it is revoked or expired."""

    async def keys(self, team: UUID) -> list[Key]:
        """Return a team's keys, the oldest first."""

    async def revoke_key(self, team: UUID, key: UUID, now_us: int) -> bool:
        """Revoke a key; returns false if the team has no such key.

        A key that is revoked already keeps its first time.
        """

    async def touch_key(self, key: UUID, now_us: int) -> None:
        """Record that a key was used."""

    async def ensure_groups(self, team: UUID, path: list[str]) -> Group:
        """Return the group of a path, and create the groups of the path that do not exist.

        Raises:
            InvalidArgumentError: The path is empty, or a part is empty or holds a dot.
            NotFoundError: There is no such team.
        """

    async def groups(self, team: UUID) -> list[Group]:
        """Return a team's groups, parents before children."""

    async def add_dataset(self, dataset: Dataset) -> None:
        """Create a dataset.

        Raises:
            ConflictError: The slug is taken.
            NotFoundError: The group does not exist. It may have been deleted with its last dataset after the caller
                ensured it; the caller should ensure it again.
        """

    async def dataset(self, team: UUID, dataset: UUID) -> Dataset | None:
        """Return a dataset by id."""

    async def dataset_by_slug(self, team: UUID, slug: str) -> Dataset | None:
        """Return a dataset by its dotted slug."""

    async def datasets(self, team: UUID) -> list[Dataset]:
        """Return a team's datasets in the order of their slugs."""

    async def update_dataset(self, dataset: Dataset, *, expected_revision: int) -> None:
        """Replace the name, texts, schema and revision of a dataset.

        Raises:
            NotFoundError: The dataset does not exist.
            ConflictError: Its revision is not the expected one, because another request changed it meanwhile.
        """

    async def delete_dataset(self, team: UUID, dataset: UUID) -> bool:
        """Delete a dataset, its collections and the groups that become empty; returns false if it does not exist."""

    async def add_collection(self, team: UUID, dataset: UUID, collection: UUID, name: str, now_us: int) -> Collection:
        """Create a collection with the next number of its dataset.

        Raises:
            NotFoundError: The dataset does not exist.
            ConflictError: The name is taken.
        """

    async def collection(self, team: UUID, collection: UUID) -> Collection | None:
        """Return a collection by id."""

    async def collection_with_dataset(self, team: UUID, collection: UUID) -> tuple[Collection, Dataset] | None:
        """Return a collection by id, with its dataset."""

    async def collection_by_name(self, team: UUID, dataset: UUID, name: str) -> Collection | None:
        """Return a collection by name."""

    async def collections(self, team: UUID, dataset: UUID) -> list[Collection]:
        """Return a dataset's collections in the order of their names."""

    async def delete_collection(self, team: UUID, collection: UUID) -> bool:
        """Delete a collection; returns false if there is no such collection."""

    async def all_datasets(self) -> list[Dataset]:
        """Return the datasets of all teams, for upkeep."""

    def writer_lock(self, table: UUID) -> AbstractAsyncContextManager[None]:
        """Return a lock that lets one process at a time write to a dataset's datapoints."""
