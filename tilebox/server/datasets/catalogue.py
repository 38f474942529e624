"""Datasets, groups and collections: creating, finding, changing and deleting them."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import anyio

from tilebox._core.schema.catalogue import did_you_mean
from tilebox._core.schema.fields import MAX_NAME_LENGTH
from tilebox.errors import ConflictError, InvalidArgumentError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.rules import schema_evolution
from tilebox.server.store.interface import Collection, Dataset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    """What an update asks for; None leaves a part as it is."""

    name: str | None = None
    code_name: str | None = None
    summary: str | None = None
    description: str | None = None
    type: DatasetType | None = None


class Catalogue:
    """The verbs of datasets and collections.

    Args:
        store: Where records are kept.
        points: Where datapoints are kept.
    """

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points
        self.gates = Gates()

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
        """Create a dataset and the groups on the way to it.

        Args:
            team: Whose dataset it will be.
            name: What it is called in lists.
            code_name: Its last name in dotted access, or a whole dotted path.
            wanted: Its kind and fields.
            summary: A sentence on it.
            description: More on it, as Markdown.

        Raises:
            InvalidArgumentError: A name or field breaks a rule.
            ConflictError: There is a dataset of that slug.
        """
        _check_texts(name=name, summary=summary, description=description)
        slug = _slug(team, code_name)
        *path, last = slug.split(".")
        schema = schema_evolution.requested(wanted)
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
            schema=schema_evolution.named(schema, identity, 1, last),
            revision=1,
            created_us=now_us(),
        )
        # The table first: a dataset that can be seen must be able to hold datapoints.
        await self._points.create(identity, dataset.schema)
        try:
            await self._store.add_dataset(dataset)
        except ConflictError:
            await self._points.drop(identity)
            raise ConflictError(f"there is a dataset {slug} already; update it, or choose another code name") from None
        except NotFoundError:
            await self._points.drop(identity)
            raise ConflictError(f"the last dataset beside {slug} was deleted at this very moment; try again") from None
        return dataset

    async def _check_path(self, team: Team, path: list[str], slug: str) -> None:
        """Refuse a name that a dataset would share with a group: one of the two could not be reached by it."""
        for end in range(1, len(path) + 1):
            above = ".".join(path[:end])
            if await self._store.dataset_by_slug(team.id, above):
                raise InvalidArgumentError(
                    f"{above} is a dataset, and nothing can be below it; choose another code name"
                )
        if any(group.slug == slug for group in await self._store.groups(team.id)):
            raise InvalidArgumentError(f"{slug} is a group of datasets; choose another code name")

    async def get(self, team: Team, dataset: UUID) -> Dataset:
        """Return a dataset by id.

        Raises:
            NotFoundError: The team has none of that id.
        """
        found = await self._store.dataset(team.id, dataset)
        if found is None:
            raise NotFoundError(f"No such dataset {dataset}")
        return found

    async def get_by_slug(self, team: Team, slug: str) -> Dataset:
        """Return a dataset by its dotted slug; a name without dots lies in the team's own group.

        Raises:
            NotFoundError: The team has none of that slug; close ones are named.
        """
        found = await self._store.dataset_by_slug(team.id, slug if "." in slug else f"{team.slug}.{slug}")
        if found is None:
            slugs = [dataset.slug for dataset in await self._store.datasets(team.id)]
            raise NotFoundError(f"No such dataset {slug}{did_you_mean(slug, slugs)}")
        return found

    async def datasets(self, team: Team) -> tuple[list[Dataset], list[Group]]:
        """Return a team's datasets and groups."""
        return await self._store.datasets(team.id), await self._store.groups(team.id)

    async def update(self, team: Team, dataset: UUID, change: DatasetChange) -> Dataset:
        """Change a dataset.

        Raises:
            NotFoundError: The team has none of that id.
            InvalidArgumentError: A rule is broken, or datapoints would lose a value.
            ConflictError: Somebody else changed it meanwhile.
        """
        old = await self.get(team, dataset)
        _check_texts(name=change.name, summary=change.summary, description=change.description)
        if change.code_name is not None and change.code_name not in (old.code_name, old.slug):
            raise InvalidArgumentError(
                f"code_name of dataset {old.slug} cannot be changed, because scripts find the dataset by it; "
                "its name can"
            )
        texts = {
            key: value for key in ("name", "summary", "description") if (value := getattr(change, key)) is not None
        }
        new = replace(old, **texts)
        if change.type is None:
            await self._store.update_dataset(new, expected_revision=old.revision)
            return new
        async with self.gates.alone(dataset):
            return await self._retype(old, new, schema_evolution.requested(change.type))

    async def delete(self, team: Team, dataset: UUID) -> None:
        """Delete a dataset with everything in it.

        Raises:
            NotFoundError: The team has none of that id.
        """
        await self.get(team, dataset)
        async with self.gates.alone(dataset):
            await self._store.delete_dataset(team.id, dataset)
            await self._points.drop(dataset)

    async def create_collection(self, team: Team, dataset: UUID, name: str) -> Collection:
        """Create a collection.

        Raises:
            NotFoundError: The team has no such dataset.
            ConflictError: The dataset has a collection of that name.
        """
        if not 1 <= len(name) <= MAX_COLLECTION_NAME_LENGTH:
            raise InvalidArgumentError(f"name of a collection must have 1 to {MAX_COLLECTION_NAME_LENGTH} characters")
        found = await self.get(team, dataset)
        try:
            return await self._store.add_collection(team.id, dataset, uuid4(), name, now_us())
        except ConflictError:
            raise ConflictError(f"dataset {found.slug} has a collection {name} already") from None

    async def collection(self, team: Team, collection: UUID) -> Collection:
        """Return a collection by id.

        Raises:
            NotFoundError: The team has none of that id.
        """
        found = await self._store.collection(team.id, collection)
        if found is None:
            raise NotFoundError(f"No such collection {collection}")
        return found

    async def home(self, team: Team, collection: UUID) -> tuple[Collection, Dataset]:
        """Return a collection by id with its dataset.

        Raises:
            NotFoundError: The team has no such collection.
        """
        found = await self._store.collection_with_dataset(team.id, collection)
        if found is None:
            raise NotFoundError(f"No such collection {collection}")
        return found

    async def collection_by_name(self, team: Team, dataset: UUID, name: str) -> Collection:
        """Return a collection by name.

        Raises:
            NotFoundError: The dataset has none of that name; close ones are named.
        """
        await self.get(team, dataset)
        found = await self._store.collection_by_name(team.id, dataset, name)
        if found is None:
            names = [collection.name for collection in await self._store.collections(team.id, dataset)]
            raise NotFoundError(f"No such collection {name}{did_you_mean(name, names)}")
        return found

    async def collections(self, team: Team, dataset: UUID) -> list[Collection]:
        """Return a dataset's collections by name.

        Raises:
            NotFoundError: The team has no such dataset.
        """
        await self.get(team, dataset)
        return await self._store.collections(team.id, dataset)

    async def delete_collection(self, team: Team, collection: UUID, dataset: UUID | None = None) -> None:
        """Delete a collection with its datapoints.

        Raises:
            NotFoundError: The team has none of that id, or it is not in the dataset named.
        """
        found = await self.collection(team, collection)
        if dataset is not None and found.dataset != dataset:
            raise NotFoundError(f"No such collection {collection} in dataset {dataset}")
        async with self.gates.alone(found.dataset):
            await self._store.delete_collection(team.id, collection)
            await self._points.delete_collection(found.dataset, found.number)

    async def summaries(self, dataset: UUID) -> dict[int, Summary]:
        """Return what each collection of a dataset holds, by number."""
        return await self._points.summary(dataset)

    async def _retype(self, old: Dataset, new: Dataset, schema: Schema) -> Dataset:
        has_data = bool(await self._points.summary(old.id))
        target = schema_evolution.evolved(old.schema, schema, has_data=has_data)
        if target.fields == old.schema.fields:
            await self._store.update_dataset(new, expected_revision=old.revision)
            return new
        revision = old.revision + 1
        new = replace(new, schema=schema_evolution.named(target, old.id, revision, old.code_name), revision=revision)
        # Columns before the record: a column that nobody knows yet harms nobody, a missing one would.
        if schema_evolution.needs_new_table(old.schema, target):
            await self._points.drop(old.id)
            await self._points.create(old.id, new.schema)
        else:
            await self._points.evolve(old.id, new.schema)
        await self._store.update_dataset(new, expected_revision=old.revision)
        return new


class Gates:
    """Keeps changes of a dataset's shape apart from writes of datapoints to it, in this process.

    Writes share a dataset; a change has it alone. Without this, a batch could be acknowledged between
    the look that finds a dataset empty and the change that replaces its table.
    """

    def __init__(self) -> None:
        self._writers: Counter[UUID] = Counter()
        self._changes: Counter[UUID] = Counter()
        self._changing: set[UUID] = set()
        self._moved = anyio.Condition()

    @asynccontextmanager
    async def shared(self, dataset: UUID) -> AsyncIterator[None]:
        """Write datapoints of a dataset, beside others who do."""
        # Changes that wait go first, or writers who follow each other closely would keep them out for ever.
        if self._changes[dataset]:
            async with self._moved:
                while self._changes[dataset]:
                    await self._moved.wait()
                self._writers[dataset] += 1
        else:
            self._writers[dataset] += 1
        try:
            yield
        finally:
            await self._leave(self._writers, dataset)

    @asynccontextmanager
    async def alone(self, dataset: UUID) -> AsyncIterator[None]:
        """Change a dataset's shape while nobody writes to it."""
        self._changes[dataset] += 1
        try:
            async with self._moved:
                while self._writers[dataset] or dataset in self._changing:
                    await self._moved.wait()
                self._changing.add(dataset)
            try:
                yield
            finally:
                self._changing.discard(dataset)
        finally:
            await self._leave(self._changes, dataset)

    async def _leave(self, counter: Counter[UUID], dataset: UUID) -> None:
        counter[dataset] -= 1
        if not counter[dataset]:
            del counter[dataset]
        if counter is self._writers and not self._changes[dataset]:
            return  # only changes wait for writers
        with anyio.CancelScope(shield=True):
            async with self._moved:
                self._moved.notify_all()


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
