"""The service that creates, finds, updates and deletes clusters."""

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
    """Creates, finds, updates and deletes the clusters of a team.

    Args:
        store: Stores the clusters.
        submissions: Creates the default cluster, and caches clusters by slug.
    """

    def __init__(self, store: ClusterStore, submissions: Submissions) -> None:
        self._store = store
        self._submissions = submissions

    async def create(self, team: UUID, *, name: str, description: str = "", slug: str = "") -> Cluster:
        """Create a cluster.

        Args:
            team: Team that will own the cluster.
            name: Display name, 1 to 100 characters.
            description: Purpose of the cluster, at most 50,000 characters.
            slug: Identifier of the cluster within the team; derived from the name if empty.

        Returns:
            The new cluster.

        Raises:
            InvalidArgumentError: The name or the description is too long, or the slug is malformed.
            ConflictError: Another cluster of the team has the slug.
        """
        _check_texts(name, description)
        if slug and not SLUG.fullmatch(slug):
            raise InvalidArgumentError(
                f"slug {slug[:120]!r} must consist of at most 100 letters, digits and hyphens; leave it out to have one made"
            )
        return await self._store.add_cluster(
            team, slug=slug or make_slug(name), display_name=name, description=description, now_us=now_us()
        )

    async def get(self, team: UUID, slug: str) -> Cluster:
        """Return a cluster by slug; an empty slug means the default cluster.

        Raises:
            NotFoundError: The team has no such cluster. The message suggests similar slugs.
        """
        if not slug:
            return await self._submissions.cluster(team, slug)
        cluster = await self._store.cluster(team, slug)
        if cluster is None:
            raise await self._not_found(team, slug)
        return cluster

    async def list(self, team: UUID) -> list[Cluster]:
        """Return all clusters of a team, including the default one."""
        await self._submissions.cluster(team, "")
        return await self._store.clusters(team)

    async def update(self, team: UUID, slug: str, *, name: str | None, description: str | None) -> Cluster:
        """Update the name or the description of a cluster.

        Args:
            team: Team that owns the cluster.
            slug: The cluster's slug; empty for the default cluster.
            name: The new name, or None to keep the old one.
            description: The new description, or None to keep the old one.

        Returns:
            The cluster after the update.

        Raises:
            InvalidArgumentError: The name or the description is too long.
            NotFoundError: The team has no such cluster. The message suggests similar slugs.
        """
        _check_texts(name, description)
        slug = await self._slug_or_default(team, slug)
        try:
            updated = await self._store.update_cluster(team, slug, display_name=name, description=description)
        except NotFoundError:
            # Raised again with suggestions, which need the list of clusters.
            raise await self._not_found(team, slug) from None
        self._submissions.forget_cluster(team, slug)
        return updated

    async def delete(self, team: UUID, slug: str) -> None:
        """Delete a cluster.

        Raises:
            NotFoundError: The team has no such cluster. The message suggests similar slugs.
            ConflictError: It is the default cluster, or it has queued or running tasks of jobs that are not stopped.
        """
        slug = await self._slug_or_default(team, slug)
        try:
            await self._store.delete_cluster(team, slug, now_us=now_us())
        except NotFoundError:
            raise await self._not_found(team, slug) from None
        self._submissions.forget_cluster(team, slug)

    async def _slug_or_default(self, team: UUID, slug: str) -> str:
        return slug or (await self._submissions.cluster(team, slug)).slug

    async def _not_found(self, team: UUID, slug: str) -> NotFoundError:
        slugs = [cluster.slug for cluster in await self._store.clusters(team)]
        return NotFoundError(f"there is no cluster {slug}{did_you_mean(slug, slugs)}")


def _check_texts(name: str | None, description: str | None) -> None:
    if name is not None and not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise InvalidArgumentError(f"the name of a cluster must have 1 to {MAX_NAME_CHARACTERS} characters")
    if description is not None and len(description) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidArgumentError(
            f"the description of a cluster must have at most {MAX_DESCRIPTION_CHARACTERS:,} characters"
        )
