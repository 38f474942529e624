"""The verbs of the catalogue, written once for both databases.

A verb is a generator of calls (`statements.Steps`). `reads` and `writes` turn it into the coroutine of the interface.
Verbs recognise a conflict by the rows that a statement returns, not by an error, because PostgreSQL aborts a
transaction at its first error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.store.catalogue import records
from tilebox.server.store.interface import Collection, Dataset, Group, Key, Store, Team
from tilebox.server.store.sql.statements import Steps, call
from tilebox.server.store.sql.transactions import Transactions, reads, writes

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class CatalogueVerbs(Transactions, Store):
    """The verbs of `Store` for the catalogue, for a back end that runs transactions."""

    @reads
    def ping(self) -> Steps[None]:
        """Do nothing if the database is reachable, and raise an error otherwise."""
        yield call("ping")

    @writes
    def add_team(self, team: Team) -> Steps[None]:
        """Create a team."""
        if not (yield call("add_team", **records.team_arguments(team))):
            raise ConflictError(f"a team {team.slug!r} exists already: choose another slug")

    @reads
    def teams(self) -> Steps[list[Team]]:
        """Return all teams, the oldest first."""
        return [records.read_team(row) for row in (yield call("teams"))]

    @writes
    def add_key(self, key: Key) -> Steps[None]:
        """Store a key."""
        if not (yield call("team_exists", team=key.team)):
            raise NotFoundError(f"there is no team {key.team} to give a key to")
        if not (yield call("add_key", **records.key_arguments(key))):
            raise ConflictError(f"the key {key.id} exists already: make a new one")

    @reads
    def key_by_digest(self, digest: bytes) -> Steps[Key | None]:
        """Return the key with a digest, even if it is revoked or expired."""
        return _first(map(records.read_key, (yield call("key_by_digest", digest=digest))))

    @reads
    def keys(self, team: UUID) -> Steps[list[Key]]:
        """Return a team's keys, the oldest first."""
        return [records.read_key(row) for row in (yield call("keys", team=team))]

    @writes
    def revoke_key(self, team: UUID, key: UUID, now_us: int) -> Steps[bool]:
        """Revoke a key; returns false if the team has no such key."""
        return bool((yield call("revoke_key", team=team, key=key, now_us=now_us)))

    @writes
    def touch_key(self, key: UUID, now_us: int) -> Steps[None]:
        """Record that a key was used."""
        yield call("touch_key", key=key, now_us=now_us)

    @writes
    def ensure_groups(self, team: UUID, path: list[str]) -> Steps[Group]:
        """Return the group of a path, and create the groups of the path that do not exist."""
        if not path or not all(path) or any("." in part for part in path):
            raise InvalidArgumentError(f"the group path {path} needs a name in every part, without dots")
        # The lock keeps two requests from creating the same group, and `delete_dataset` from deleting one on the path.
        yield from _lock_team(team)
        group = yield from _ensure_group(team, None, path[0])
        for code_name in path[1:]:
            group = yield from _ensure_group(team, group, code_name)
        return group

    @reads
    def groups(self, team: UUID) -> Steps[list[Group]]:
        """Return a team's groups, parents before children."""
        return [records.read_group(row) for row in (yield call("groups", team=team))]

    @writes
    def add_dataset(self, dataset: Dataset) -> Steps[None]:
        """Create a dataset."""
        yield from _lock_team(dataset.team)
        if not (yield call("group", team=dataset.team, group=dataset.group)):
            # Deleting the last dataset of a group deletes the group, perhaps after the caller ensured it.
            raise NotFoundError(f"the group of dataset {dataset.slug!r} is gone: ask for its groups again")
        if not (yield call("add_dataset", **records.dataset_arguments(dataset))):
            raise ConflictError(f"a dataset {dataset.slug!r} exists already: choose another code name")

    @reads
    def dataset(self, team: UUID, dataset: UUID) -> Steps[Dataset | None]:
        """Return a dataset by id."""
        return _first(map(records.read_dataset, (yield call("dataset", team=team, dataset=dataset))))

    @reads
    def dataset_by_slug(self, team: UUID, slug: str) -> Steps[Dataset | None]:
        """Return a dataset by its dotted slug."""
        return _first(map(records.read_dataset, (yield call("dataset_by_slug", team=team, slug=slug))))

    @reads
    def datasets(self, team: UUID) -> Steps[list[Dataset]]:
        """Return a team's datasets in the order of their slugs."""
        return [records.read_dataset(row) for row in (yield call("datasets", team=team))]

    @writes
    def update_dataset(self, dataset: Dataset, *, expected_revision: int) -> Steps[None]:
        """Replace the name, texts, schema and revision of a dataset."""
        changes = records.changeable_arguments(dataset)
        if (yield call("update_dataset", **changes, expected_revision=expected_revision)):
            return
        if not (yield call("dataset", team=dataset.team, dataset=dataset.id)):
            raise NotFoundError(f"the dataset {dataset.slug!r} cannot be changed: it was deleted")
        raise ConflictError(
            f"the dataset {dataset.slug!r} was changed by another request meanwhile: read it again, then change it"
        )

    @writes
    def delete_dataset(self, team: UUID, dataset: UUID) -> Steps[bool]:
        """Delete a dataset, its collections and the groups that become empty; returns false if it does not exist."""
        # The lock is that of the caller's team, so a request for another team's dataset does not make that team wait. A
        # team that does not exist has no datasets.
        if not (yield call("lock_team", team=team)):
            return False
        deleted = yield call("delete_dataset", team=team, dataset=dataset)
        group = deleted[0]["group_id"] if deleted else None
        while group is not None:
            emptied = yield call("delete_group_if_empty", team=team, group=group)
            group = emptied[0]["parent_id"] if emptied else None
        return bool(deleted)

    @reads
    def all_datasets(self) -> Steps[list[Dataset]]:
        """Return the datasets of all teams, for upkeep."""
        return [records.read_dataset(row) for row in (yield call("all_datasets"))]

    @writes
    def add_collection(self, team: UUID, dataset: UUID, collection: UUID, name: str, now_us: int) -> Steps[Collection]:
        """Create a collection with the next number of its dataset."""
        allocated = yield call("allocate_collection_number", team=team, dataset=dataset)
        if not allocated:
            raise NotFoundError(f"there is no dataset {dataset} to create the collection {name!r} in")
        created = Collection(
            id=collection, team=team, dataset=dataset, name=name, number=allocated[0]["number"], created_us=now_us
        )
        if not (yield call("add_collection", **records.collection_arguments(created))):
            raise ConflictError(f"a collection {name!r} exists already in this dataset: choose another name")
        return created

    @reads
    def collection(self, team: UUID, collection: UUID) -> Steps[Collection | None]:
        """Return a collection by id."""
        return _first(map(records.read_collection, (yield call("collection", team=team, collection=collection))))

    @reads
    def collection_with_dataset(self, team: UUID, collection: UUID) -> Steps[tuple[Collection, Dataset] | None]:
        """Return a collection by id, with its dataset."""
        rows = yield call("collection", team=team, collection=collection)
        if not rows:
            return None
        record = records.read_collection(rows[0])
        dataset = _first(map(records.read_dataset, (yield call("dataset", team=team, dataset=record.dataset))))
        return None if dataset is None else (record, dataset)

    @reads
    def collection_by_name(self, team: UUID, dataset: UUID, name: str) -> Steps[Collection | None]:
        """Return a collection by name."""
        rows = yield call("collection_by_name", team=team, dataset=dataset, name=name)
        return _first(map(records.read_collection, rows))

    @reads
    def collections(self, team: UUID, dataset: UUID) -> Steps[list[Collection]]:
        """Return a dataset's collections in the order of their names."""
        return [records.read_collection(row) for row in (yield call("collections", team=team, dataset=dataset))]

    @writes
    def delete_collection(self, team: UUID, collection: UUID) -> Steps[bool]:
        """Delete a collection; returns false if there is no such collection."""
        return bool((yield call("delete_collection", team=team, collection=collection)))


def _lock_team(team: UUID) -> Steps[None]:
    if not (yield call("lock_team", team=team)):
        raise NotFoundError(f"there is no team {team}")


def _ensure_group(team: UUID, parent: Group | None, code_name: str) -> Steps[Group]:
    slug = code_name if parent is None else f"{parent.slug}.{code_name}"
    rows = yield call("group_by_slug", team=team, slug=slug)
    if rows:
        return records.read_group(rows[0])
    parent_id = None if parent is None else parent.id
    group = Group(id=uuid4(), team=team, parent=parent_id, code_name=code_name, name=code_name, slug=slug)
    yield call("add_group", **records.group_arguments(group))
    return group


def _first(records: Iterable[T]) -> T | None:
    return next(iter(records), None)
