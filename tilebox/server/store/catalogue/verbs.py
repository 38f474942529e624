"""The verbs of the control data, written once for both back ends.

A verb is a generator of calls (`statements.Steps`); `reads` and `writes` turn it into the coroutine that the
interface asks for. Conflicts are found by what a statement returns and not by what it raises, because
PostgreSQL ends a transaction at its first error.
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


class Verbs(Transactions, Store):
    """The verbs of `Store` over the two that a back end has: read and write."""

    @reads
    def ping(self) -> Steps[None]:
        """Do nothing, successfully, if the store can be reached."""
        yield call("ping")

    @writes
    def add_team(self, team: Team) -> Steps[None]:
        """Keep a team."""
        if not (yield call("add_team", **records.team_arguments(team))):
            raise ConflictError(f"a team {team.slug!r} exists already: choose another slug")

    @reads
    def teams(self) -> Steps[list[Team]]:
        """Return all teams, the oldest first."""
        return [records.read_team(row) for row in (yield call("teams"))]

    @writes
    def add_key(self, key: Key) -> Steps[None]:
        """Keep a key."""
        if not (yield call("team_exists", team=key.team)):
            raise NotFoundError(f"there is no team {key.team} to give a key to")
        if not (yield call("add_key", **records.key_arguments(key))):
            raise ConflictError(f"the key {key.id} exists already: make a new one")

    @reads
    def key_by_digest(self, digest: bytes) -> Steps[Key | None]:
        """Return the key of that hash, revoked and expired ones included, or None."""
        return _first(map(records.read_key, (yield call("key_by_digest", digest=digest))))

    @reads
    def keys(self, team: UUID) -> Steps[list[Key]]:
        """Return a team's keys, the oldest first."""
        return [records.read_key(row) for row in (yield call("keys", team=team))]

    @writes
    def revoke_key(self, team: UUID, key: UUID, now_us: int) -> Steps[bool]:
        """Revoke a key; false if the team has no such key."""
        return bool((yield call("revoke_key", team=team, key=key, now_us=now_us)))

    @writes
    def touch_key(self, key: UUID, now_us: int) -> Steps[None]:
        """Note that a key was used."""
        yield call("touch_key", key=key, now_us=now_us)

    @writes
    def ensure_groups(self, team: UUID, path: list[str]) -> Steps[Group]:
        """Return the group of a dotted path, creating what is missing on the way."""
        if not path or not all(path) or any("." in part for part in path):
            raise InvalidArgumentError(f"the group path {path} needs a name in every part, without dots")
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
        """Keep a dataset."""
        yield from _lock_team(dataset.team)
        if not (yield call("group", team=dataset.team, group=dataset.group)):
            # The last dataset of a group takes the group with it, perhaps since the caller asked for the group.
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
        """Return a team's datasets by slug."""
        return [records.read_dataset(row) for row in (yield call("datasets", team=team))]

    @writes
    def update_dataset(self, dataset: Dataset, *, expected_revision: int) -> Steps[None]:
        """Replace name, texts, schema and revision."""
        changes = records.changeable_arguments(dataset)
        if (yield call("update_dataset", **changes, expected_revision=expected_revision)):
            return
        if not (yield call("dataset", team=dataset.team, dataset=dataset.id)):
            raise NotFoundError(f"the dataset {dataset.slug!r} is gone and cannot be changed")
        raise ConflictError(
            f"the dataset {dataset.slug!r} was changed by somebody else meanwhile: read it again, then change it"
        )

    @writes
    def delete_dataset(self, team: UUID, dataset: UUID) -> Steps[bool]:
        """Delete a dataset with its collections, and groups left empty; false if there is none."""
        # A foreign team's dataset must not even make its own team wait, and an unknown team has no datasets.
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
        """Return every team's datasets, for upkeep."""
        return [records.read_dataset(row) for row in (yield call("all_datasets"))]

    @writes
    def add_collection(self, team: UUID, dataset: UUID, collection: UUID, name: str, now_us: int) -> Steps[Collection]:
        """Create a collection under the dataset's next free number."""
        taken = yield call("take_collection_number", team=team, dataset=dataset)
        if not taken:
            raise NotFoundError(f"there is no dataset {dataset} to create the collection {name!r} in")
        created = Collection(
            id=collection, team=team, dataset=dataset, name=name, number=taken[0]["number"], created_us=now_us
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
        """Return a collection by id, and the dataset that it belongs to."""
        found = _first(map(records.read_collection, (yield call("collection", team=team, collection=collection))))
        if found is None:
            return None
        dataset = _first(map(records.read_dataset, (yield call("dataset", team=team, dataset=found.dataset))))
        return None if dataset is None else (found, dataset)

    @reads
    def collection_by_name(self, team: UUID, dataset: UUID, name: str) -> Steps[Collection | None]:
        """Return a collection by name."""
        rows = yield call("collection_by_name", team=team, dataset=dataset, name=name)
        return _first(map(records.read_collection, rows))

    @reads
    def collections(self, team: UUID, dataset: UUID) -> Steps[list[Collection]]:
        """Return a dataset's collections by name."""
        return [records.read_collection(row) for row in (yield call("collections", team=team, dataset=dataset))]

    @writes
    def delete_collection(self, team: UUID, collection: UUID) -> Steps[bool]:
        """Delete a collection; false if there is none."""
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
