"""What the server keeps beside the datapoints: teams, keys, groups, datasets and collections.

One interface, two back ends (SQLite and PostgreSQL), one conformance suite. Every verb is one
transaction. Records are plain values; times are whole microseconds since 1970, so that both back ends
give back what they were given. Every verb that reads or changes a team's rows takes the team.
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
    """Whom datasets and keys belong to."""

    id: UUID
    slug: str
    name: str
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key; only its hash is kept.

    Args:
        id: Its identity.
        team: Whom it speaks for.
        name: What its owner calls it.
        role: One of `read`, `submit`, `run`, `admin`.
        digest: SHA-256 of the key's text, 32 bytes.
        hint: The first characters of the text, to tell keys apart in a list.
        created_us: When it was made.
        expires_us: When it ends, or None.
        revoked_us: When it was revoked, or None.
        last_used_us: When it was last seen, to about a minute, or None.
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
    """A folder of datasets; `slug` is its dotted path."""

    id: UUID
    team: UUID
    parent: UUID | None
    code_name: str
    name: str
    slug: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset. `revision` counts changes of its type, starting at 1."""

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
    """A collection. `number` is unique in its dataset and never used again: datapoints carry it."""

    id: UUID
    team: UUID
    dataset: UUID
    name: str
    number: int
    created_us: int


class Store(Orchestration, ClusterStore, JobStore, Protocol):
    """The control data, and what the orchestrator keeps."""

    async def migrate(self) -> None:
        """Create or update the tables. Safe to call from several processes at once."""

    async def ping(self) -> None:
        """Do nothing, successfully, if the store can be reached."""

    async def close(self) -> None:
        """Let go of all connections and threads."""

    async def add_team(self, team: Team) -> None:
        """Raises ConflictError if the slug is taken."""

    async def teams(self) -> list[Team]:
        """Return all teams, the oldest first."""

    async def add_key(self, key: Key) -> None:
        """Keep a key.

        Raises:
            NotFoundError: There is no such team.
            ConflictError: Its id or digest is taken.
            InvalidArgumentError: The role is unknown or the digest has not 32 bytes.
        """

    async def key_by_digest(self, digest: bytes) -> Key | None:
        """Return the key of that hash, revoked and expired ones included, or None."""

    async def keys(self, team: UUID) -> list[Key]:
        """Return a team's keys, the oldest first."""

    async def revoke_key(self, team: UUID, key: UUID, now_us: int) -> bool:
        """Revoke a key; false if the team has no such key. A revoked key keeps its first time."""

    async def touch_key(self, key: UUID, now_us: int) -> None:
        """Note that a key was used."""

    async def ensure_groups(self, team: UUID, path: list[str]) -> Group:
        """Return the group of a dotted path, creating what is missing on the way.

        Raises:
            InvalidArgumentError: The path is empty, or a part is empty or holds a dot.
            NotFoundError: There is no such team.
        """

    async def groups(self, team: UUID) -> list[Group]:
        """Return a team's groups, parents before children."""

    async def add_dataset(self, dataset: Dataset) -> None:
        """Keep a dataset.

        Raises:
            ConflictError: The slug is taken.
            NotFoundError: The group is gone, perhaps with its last dataset since it was ensured: ensure it again.
        """

    async def dataset(self, team: UUID, dataset: UUID) -> Dataset | None:
        """Return a dataset by id."""

    async def dataset_by_slug(self, team: UUID, slug: str) -> Dataset | None:
        """Return a dataset by its dotted slug."""

    async def datasets(self, team: UUID) -> list[Dataset]:
        """Return a team's datasets by slug."""

    async def update_dataset(self, dataset: Dataset, *, expected_revision: int) -> None:
        """Replace name, texts, schema and revision.

        Raises:
            NotFoundError: The dataset is gone.
            ConflictError: Its revision is not the expected one: somebody else changed it meanwhile.
        """

    async def delete_dataset(self, team: UUID, dataset: UUID) -> bool:
        """Delete a dataset with its collections, and groups left empty; false if there is none."""

    async def add_collection(self, team: UUID, dataset: UUID, collection: UUID, name: str, now_us: int) -> Collection:
        """Create a collection under the dataset's next free number.

        Raises:
            NotFoundError: The dataset is gone.
            ConflictError: The name is taken.
        """

    async def collection(self, team: UUID, collection: UUID) -> Collection | None:
        """Return a collection by id."""

    async def collection_with_dataset(self, team: UUID, collection: UUID) -> tuple[Collection, Dataset] | None:
        """Return a collection by id, and the dataset that it belongs to."""

    async def collection_by_name(self, team: UUID, dataset: UUID, name: str) -> Collection | None:
        """Return a collection by name."""

    async def collections(self, team: UUID, dataset: UUID) -> list[Collection]:
        """Return a dataset's collections by name."""

    async def delete_collection(self, team: UUID, collection: UUID) -> bool:
        """Delete a collection; false if there is none."""

    async def all_datasets(self) -> list[Dataset]:
        """Return every team's datasets, for upkeep."""

    def writer_lock(self, table: UUID) -> AbstractAsyncContextManager[None]:
        """Keep every other process of this store from writing to a dataset's datapoints meanwhile."""
