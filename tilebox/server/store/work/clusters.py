"""The store of clusters: names that connect tasks with the runners that may execute them."""

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
        number: Its identity. The slug of a deleted cluster may be used again; the number never is.
        team: The team that owns it.
        slug: Its name in requests, unique among the team's clusters.
        display_name: Its name for users.
        description: A text for users.
        is_default: Whether tasks without a cluster go to it. The default cluster cannot be deleted.
        created_us: The time of its creation.
    """

    number: int
    team: UUID
    slug: str
    display_name: str
    description: str
    is_default: bool
    created_us: int


class ClusterStore(Protocol):
    """The verbs of clusters."""

    async def add_cluster(self, team: UUID, *, slug: str, display_name: str, description: str, now_us: int) -> Cluster:
        """Create a cluster.

        Raises:
            NotFoundError: There is no such team.
            ConflictError: The slug is taken.
        """

    async def ensure_default_cluster(self, team: UUID, *, slug: str, display_name: str, now_us: int) -> Cluster:
        """Return the team's default cluster; create it under this slug if there is none.

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
        """Change the display name or the description of a cluster; None leaves a text as it is.

        Raises:
            NotFoundError: The team has no such cluster.
        """

    async def delete_cluster(self, team: UUID, slug: str, *, now_us: int) -> None:
        """Delete a cluster. Its jobs and tasks remain readable.

        Raises:
            NotFoundError: The team has no such cluster.
            ConflictError: It is the default cluster, or tasks of unfinished jobs wait or run in it.
        """

    async def queue(self, number: int) -> Queue | None:
        """Return a queue by number."""
