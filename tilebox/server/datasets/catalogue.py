"""The catalogue: creating, finding, changing and deleting datasets, groups and collections."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from tilebox._core.schema.catalogue import did_you_mean
from tilebox._core.schema.fields import MAX_NAME_LENGTH
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.datasets.locks import DatasetLocks
from tilebox.server.rules import schema_evolution
from tilebox.server.store.interface import Collection, Dataset

if TYPE_CHECKING:
    from tilebox._core.protocol.datasets.v1.dataset_type_pb2 import DatasetType
    from tilebox._core.schema.fields import Schema
    from tilebox.server.points.interface import Points, Summary
    from tilebox.server.store.interface import Group, Store, Team

MAX_SUMMARY_LENGTH = 50_000
MAX_DESCRIPTION_LENGTH = 1_000_000
MAX_COLLECTION_NAME_LENGTH = 200

_CODE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChange:
    """The changes of an update request. None leaves an attribute unchanged."""

    name: str | None = None
    code_name: str | None = None
    summary: str | None = None
    description: str | None = None
    type: DatasetType | None = None


class Catalogue:
    """The service for datasets and collections.

    Args:
        store: Stores the records of datasets and collections.
        points: Stores datapoints.
    """

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points
        self.locks = DatasetLocks()

    async def create(
        self,
        team: Team,
        *,
        name: str,
        code_name: str,
        wanted: DatasetType,
        summary: str = "",
        description: str = "",
    ) -> Dataset:
        """Create a dataset and the groups in its path.

        Args:
            team: The team that will own it.
            name: The display name.
            code_name: The last part of its dotted path, or a whole dotted path.
            wanted: Its kind and fields.
            summary: A one-sentence summary.
            description: A longer description, as Markdown.

        Raises:
            InvalidArgumentError: A name or field breaks a rule.
            ConflictError: A dataset with that slug exists.
        """
        _check_texts(name=name, summary=summary, description=description)
        slug = _slug(team, code_name)
        *path, last = slug.split(".")
        schema = schema_evolution.parse_type(wanted)
        identity = uuid4()
        if await self._store.dataset_by_slug(team.id, slug):
            raise ConflictError(f"there is a dataset {slug} already; update it, or choose another code name")
        await self._check_path(team, path, slug)
        group = await self._store.ensure_groups(team.id, path)
        dataset = Dataset(
            id=identity,
            team=team.id,
            group=group.id,
            code_name=last,
            slug=slug,
            name=name,
            summary=summary,
            description=description,
            icon="",
            schema=schema_evolution.with_message_name(schema, identity, 1, last),
            revision=1,
            created_us=now_us(),
        )
        # The table comes first, because a visible dataset must be able to store datapoints.
        await self._points.create(identity, dataset.schema)
        try:
            await self._store.add_dataset(dataset)
        except ConflictError:
            await self._points.drop(identity)
            raise ConflictError(f"there is a dataset {slug} already; update it, or choose another code name") from None
        except NotFoundError:
            await self._points.drop(identity)
            raise ConflictError(f"the group of dataset {slug} was deleted at the same time; try again") from None
        return dataset

    async def _check_path(self, team: Team, path: list[str], slug: str) -> None:
        """Check that no dataset and group would share a path, because only one of them could be accessed by it."""
        for end in range(1, len(path) + 1):
            above = ".".join(path[:end])
            if await self._store.dataset_by_slug(team.id, above):
                raise InvalidArgumentError(
                    f"{above} is a dataset, so it cannot contain other datasets; choose another code name"
                )
        if any(group.slug == slug for group in await self._store.groups(team.id)):
            raise InvalidArgumentError(f"{slug} is a group of datasets; choose another code name")

    async def get(self, team: Team, dataset: UUID) -> Dataset:
        """Return a dataset by id.

        Raises:
            NotFoundError: The team has no dataset with that id.
        """
        record = await self._store.dataset(team.id, dataset)
        if record is None:
            raise NotFoundError(f"No such dataset {dataset}")
        return record

    async def get_by_slug(self, team: Team, slug: str) -> Dataset:
        """Return a dataset by its dotted slug. A slug without dots refers to the team's own group.

        Raises:
            NotFoundError: The team has no dataset with that slug; the message suggests similar ones.
        """
        record = await self._store.dataset_by_slug(team.id, slug if "." in slug else f"{team.slug}.{slug}")
        if record is None:
            slugs = [dataset.slug for dataset in await self._store.datasets(team.id)]
            raise NotFoundError(f"No such dataset {slug}{did_you_mean(slug, slugs)}")
        return record

    async def datasets(self, team: Team) -> tuple[list[Dataset], list[Group]]:
        """Return all datasets and groups of a team."""
        return await self._store.datasets(team.id), await self._store.groups(team.id)

    async def update(self, team: Team, dataset: UUID, change: DatasetChange) -> Dataset:
        """Change a dataset.

        Raises:
            NotFoundError: The team has no dataset with that id.
            InvalidArgumentError: The change breaks a rule, or datapoints would lose values.
            ConflictError: Another request changed the dataset at the same time.
        """
        old = await self.get(team, dataset)
        _check_texts(name=change.name, summary=change.summary, description=change.description)
        if change.code_name is not None and change.code_name not in (old.code_name, old.slug):
            raise InvalidArgumentError(
                f"code_name of dataset {old.slug} cannot be changed, because scripts access the dataset by it; "
                "change its name instead"
            )
        texts = {
            key: value for key in ("name", "summary", "description") if (value := getattr(change, key)) is not None
        }
        new = replace(old, **texts)
        # Texts do not affect the table, so changing them needs no lock.
        if change.type is None:
            await self._store.update_dataset(new, expected_revision=old.revision)
            return new
        async with self.locks.exclusive(dataset):
            return await self._change_type(old, new, schema_evolution.parse_type(change.type))

    async def delete(self, team: Team, dataset: UUID) -> None:
        """Delete a dataset with everything in it.

        Raises:
            NotFoundError: The team has no dataset with that id.
        """
        await self.get(team, dataset)
        async with self.locks.exclusive(dataset):
            # The record goes first. A crash in between leaves an orphaned table, but no dataset without a table.
            await self._store.delete_dataset(team.id, dataset)
            await self._points.drop(dataset)

    async def create_collection(self, team: Team, dataset: UUID, name: str) -> Collection:
        """Create a collection.

        Raises:
            NotFoundError: The team has no such dataset.
            InvalidArgumentError: The name is empty or too long.
            ConflictError: The dataset has a collection with that name.
        """
        if not 1 <= len(name) <= MAX_COLLECTION_NAME_LENGTH:
            raise InvalidArgumentError(f"name of a collection must have 1 to {MAX_COLLECTION_NAME_LENGTH} characters")
        record = await self.get(team, dataset)
        try:
            return await self._store.add_collection(team.id, dataset, uuid4(), name, now_us())
        except ConflictError:
            raise ConflictError(f"dataset {record.slug} has a collection {name} already") from None

    async def collection(self, team: Team, collection: UUID) -> Collection:
        """Return a collection by id.

        Raises:
            NotFoundError: The team has no collection with that id.
        """
        record = await self._store.collection(team.id, collection)
        if record is None:
            raise NotFoundError(f"No such collection {collection}")
        return record

    async def collection_with_dataset(self, team: Team, collection: UUID) -> tuple[Collection, Dataset]:
        """Return a collection by id, and its dataset.

        Raises:
            NotFoundError: The team has no such collection.
        """
        records = await self._store.collection_with_dataset(team.id, collection)
        if records is None:
            raise NotFoundError(f"No such collection {collection}")
        return records

    async def collection_by_name(self, team: Team, dataset: UUID, name: str) -> Collection:
        """Return a collection by name.

        Raises:
            NotFoundError: The dataset has no collection with that name; the message suggests similar ones.
        """
        await self.get(team, dataset)
        record = await self._store.collection_by_name(team.id, dataset, name)
        if record is None:
            names = [collection.name for collection in await self._store.collections(team.id, dataset)]
            raise NotFoundError(f"No such collection {name}{did_you_mean(name, names)}")
        return record

    async def collections(self, team: Team, dataset: UUID) -> list[Collection]:
        """Return the collections of a dataset, ordered by name.

        Raises:
            NotFoundError: The team has no such dataset.
        """
        await self.get(team, dataset)
        return await self._store.collections(team.id, dataset)

    async def delete_collection(self, team: Team, collection: UUID, dataset: UUID | None = None) -> None:
        """Delete a collection with its datapoints.

        Args:
            team: The team that owns it.
            collection: Id of the collection.
            dataset: Id of the dataset that it must be in, or None for any.

        Raises:
            NotFoundError: The team has no such collection, or it is in another dataset.
        """
        record = await self.collection(team, collection)
        if dataset is not None and record.dataset != dataset:
            raise NotFoundError(f"No such collection {collection} in dataset {dataset}")
        async with self.locks.exclusive(record.dataset):
            await self._store.delete_collection(team.id, collection)
            await self._points.delete_collection(record.dataset, record.number)

    async def summaries(self, dataset: UUID) -> dict[int, Summary]:
        """Return a summary of each collection of a dataset that has datapoints, by number."""
        return await self._points.summary(dataset)

    async def _change_type(self, old: Dataset, new: Dataset, schema: Schema) -> Dataset:
        has_data = bool(await self._points.summary(old.id))
        target = schema_evolution.evolve(old.schema, schema, has_data=has_data)
        if target.fields == old.schema.fields:
            await self._store.update_dataset(new, expected_revision=old.revision)
            return new
        revision = old.revision + 1
        new = replace(
            new, schema=schema_evolution.with_message_name(target, old.id, revision, old.code_name), revision=revision
        )
        # Change the table before the record: an unknown column is harmless, a missing one is not.
        if schema_evolution.needs_new_table(old.schema, target):
            await self._points.drop(old.id)
            await self._points.create(old.id, new.schema)
        else:
            await self._points.evolve(old.id, new.schema)
        await self._store.update_dataset(new, expected_revision=old.revision)
        return new


def _slug(team: Team, code_name: str) -> str:
    if not _CODE_NAME.fullmatch(code_name) or any(len(part) > MAX_NAME_LENGTH for part in code_name.split(".")):
        raise InvalidArgumentError(
            f"code_name {code_name!r} must be lower-case letters, digits and underscores, starting with a letter, at "
            f"most {MAX_NAME_LENGTH} characters; dots separate the groups that lead to the dataset"
        )
    return code_name if "." in code_name else f"{team.slug}.{code_name}"


def _check_texts(*, name: str | None, summary: str | None, description: str | None) -> None:
    if name is not None and not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise InvalidArgumentError(f"name of a dataset must have 1 to {MAX_NAME_LENGTH} characters")
    if summary is not None and len(summary) > MAX_SUMMARY_LENGTH:
        raise InvalidArgumentError(f"summary must have at most {MAX_SUMMARY_LENGTH} characters")
    if description is not None and len(description) > MAX_DESCRIPTION_LENGTH:
        raise InvalidArgumentError(f"description must have at most {MAX_DESCRIPTION_LENGTH} characters")
