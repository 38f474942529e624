"""What is kept of clusters: names under which runners and the tasks that are meant for them find each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from tilebox.server.store.work.interface import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster.

    Args:
        number: Its identity; a slug may come again once its cluster is deleted.
        team: Whose it is.
        slug: What it is called wherever one is asked for.
        display_name: What people call it.
        description: What it is for.
        is_default: Whether it is where tasks go that name none; then it cannot be deleted.
        created_us: When it was made.
    """

    number: int
    team: UUID
    slug: str
    display_name: str
    description: str
    is_default: bool
    created_us: int


class ClusterStore(Protocol):
    """The verbs."""

    async def add_cluster(self, team: UUID, *, slug: str, display_name: str, description: str, now_us: int) -> Cluster:
        """Keep a cluster.

        Raises:
            NotFoundError: There is no such team.
            ConflictError: The slug is taken.
        """

    async def ensure_default_cluster(self, team: UUID, *, slug: str, display_name: str, now_us: int) -> Cluster:
        """Return the team's default cluster, creating it under this slug if there is none.

        Raises:
            NotFoundError: There is no such team.
            ConflictError: The slug is taken by another cluster.
        """

    async def cluster(self, team: UUID, slug: str) -> Cluster | None:
        """Return a cluster by slug."""

    async def clusters(self, team: UUID) -> list[Cluster]:
        """Return a team's clusters, the oldest first."""

    async def update_cluster(
        self, team: UUID, slug: str, *, display_name: str | None, description: str | None
    ) -> Cluster:
        """Change what is not None of a cluster.

        Raises:
            NotFoundError: The team has no such cluster.
        """

    async def delete_cluster(self, team: UUID, slug: str, *, now_us: int) -> None:
        """Delete a cluster; what is computed in it stays known.

        Raises:
            NotFoundError: The team has no such cluster.
            ConflictError: It is the default cluster, or tasks of jobs that go on wait or run in it.
        """

    async def queue(self, number: int) -> Queue | None:
        """Return a queue by number."""
