"""Clusters: creating, finding, changing and deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.schema.catalogue import did_you_mean
from tilebox.errors import InvalidArgumentError, NotFoundError
from tilebox.server.clock import now_us
from tilebox.server.orchestration.slugs import SLUG, make_slug

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.orchestration.submissions import Submissions
    from tilebox.server.store.work.clusters import Cluster, ClusterStore

MAX_NAME_CHARACTERS = 100
MAX_DESCRIPTION_CHARACTERS = 50_000


class Clusters:
    """The verbs of clusters.

    Args:
        store: Where they are kept.
        submissions: Knows clusters by slug, and is told when one changes.
    """

    def __init__(self, store: ClusterStore, submissions: Submissions) -> None:
        self._store = store
        self._submissions = submissions

    async def create(self, team: UUID, *, name: str, description: str = "", slug: str = "") -> Cluster:
        """Create a cluster.

        Args:
            team: Whose it will be.
            name: What people call it.
            description: What it is for.
            slug: What it is called wherever one is asked for; made from the name if empty.

        Raises:
            InvalidArgumentError: A text is too long, or the slug malformed.
            ConflictError: The slug is taken.
        """
        _check(name, description)
        if slug and not SLUG.fullmatch(slug):
            raise InvalidArgumentError(
                f"slug {slug[:120]!r} must be letters, digits and hyphens, at most 100; leave it out to have one made"
            )
        return await self._store.add_cluster(
            team, slug=slug or make_slug(name), display_name=name, description=description, now_us=now_us()
        )

    async def get(self, team: UUID, slug: str) -> Cluster:
        """Return a cluster by slug; an empty one means the default cluster.

        Raises:
            NotFoundError: There is no such cluster; close ones are named.
        """
        if not slug:
            return await self._submissions.cluster(team, slug)
        found = await self._store.cluster(team, slug)
        if found is None:
            raise await self._unknown(team, slug)
        return found

    async def list(self, team: UUID) -> list[Cluster]:
        """Return a team's clusters, the default one among them."""
        await self._submissions.cluster(team, "")
        return await self._store.clusters(team)

    async def update(self, team: UUID, slug: str, *, name: str | None, description: str | None) -> Cluster:
        """Change what is not None of a cluster.

        Raises:
            InvalidArgumentError: A text is too long.
            NotFoundError: There is no such cluster; close ones are named.
        """
        _check(name, description)
        slug = await self._named(team, slug)
        try:
            changed = await self._store.update_cluster(team, slug, display_name=name, description=description)
        except NotFoundError:
            raise await self._unknown(team, slug) from None
        self._submissions.forget_cluster(team, slug)
        return changed

    async def delete(self, team: UUID, slug: str) -> None:
        """Delete a cluster.

        Raises:
            NotFoundError: There is no such cluster; close ones are named.
            ConflictError: It is the default cluster, or tasks of jobs that go on wait or run in it.
        """
        slug = await self._named(team, slug)
        try:
            await self._store.delete_cluster(team, slug, now_us=now_us())
        except NotFoundError:
            raise await self._unknown(team, slug) from None
        self._submissions.forget_cluster(team, slug)

    async def _named(self, team: UUID, slug: str) -> str:
        return slug or (await self._submissions.cluster(team, slug)).slug

    async def _unknown(self, team: UUID, slug: str) -> NotFoundError:
        slugs = [cluster.slug for cluster in await self._store.clusters(team)]
        return NotFoundError(f"there is no cluster {slug}{did_you_mean(slug, slugs)}")


def _check(name: str | None, description: str | None) -> None:
    if name is not None and not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"name of a cluster must have 1 to {MAX_NAME_CHARACTERS} characters")
    if description is not None and len(description) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgumentError(f"description must have at most {MAX_DESCRIPTION_CHARACTERS:,} characters")
