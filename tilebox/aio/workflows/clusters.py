# Source of tilebox/sync/workflows/clusters.py, which scripts/unasync.py writes.
"""The client for clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.jobs import arguments, workflow_calls
from tilebox._core.jobs.job import Cluster

if TYPE_CHECKING:
    from tilebox._core.jobs.job import ClusterLike
    from tilebox.aio.transport import Transport


class ClusterClient:
    """A client for clusters. `Client.clusters` returns it.

    Args:
        transport: The connection to the server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, name: str, description: str | None = None, slug: str | None = None) -> Cluster:
        """Create a cluster.

        Args:
            name: The display name.
            description: The purpose of the cluster.
            slug: The slug. By default the server creates one from the name and random letters.

        Returns:
            The cluster.

        Raises:
            ValueError: The name is empty, or the slug is malformed.
            ConflictError: A cluster with this slug exists already.
        """
        answer = await self._transport.call(workflow_calls.create_cluster(name, description, slug))
        return Cluster.from_wire(answer)

    async def all(self) -> list[Cluster]:
        """List all clusters.

        Returns:
            The clusters.
        """
        answer = await self._transport.call(workflow_calls.list_clusters())
        return [Cluster.from_wire(message) for message in answer.clusters]

    async def find(self, cluster_or_slug: ClusterLike | None = None) -> Cluster:
        """Get a cluster by its slug.

        Args:
            cluster_or_slug: The cluster or its slug; by default the default cluster, which every server has.

        Returns:
            The cluster.

        Raises:
            NotFoundError: The cluster does not exist.
        """
        slug = "" if cluster_or_slug in (None, "") else arguments.slug(cluster_or_slug)
        return Cluster.from_wire(await self._transport.call(workflow_calls.get_cluster(slug)))

    async def update(self, cluster: ClusterLike, name: str | None = None, description: str | None = None) -> Cluster:
        """Update the name or the description of a cluster. The slug cannot be changed.

        Args:
            cluster: The cluster or its slug.
            name: The new display name, or None to keep the old one.
            description: The new description, or None to keep the old one.

        Returns:
            The updated cluster.

        Raises:
            NotFoundError: The cluster does not exist.
        """
        call = workflow_calls.update_cluster(arguments.slug(cluster), name, description)
        return Cluster.from_wire(await self._transport.call(call))

    async def delete(self, cluster_or_slug: ClusterLike) -> None:
        """Delete a cluster.

        Args:
            cluster_or_slug: The cluster or its slug.

        Raises:
            NotFoundError: The cluster does not exist.
            ConflictError: The cluster is the default cluster, or has tasks that have not ended.
        """
        await self._transport.call(workflow_calls.delete_cluster(arguments.slug(cluster_or_slug)))
