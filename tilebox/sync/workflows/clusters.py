# Generated from tilebox/aio/workflows/clusters.py by scripts/unasync.py; do not edit.
"""The client of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.jobs import arguments, workflow_calls
from tilebox._core.jobs.job import Cluster

if TYPE_CHECKING:
    from tilebox._core.jobs.job import ClusterLike
    from tilebox.sync.transport import Transport


class ClusterClient:
    """Creates, lists, finds, changes and deletes clusters; made by `Client.clusters`.

    Args:
        transport: The way to the server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, description: str | None = None, slug: str | None = None) -> Cluster:
        """Create a cluster.

        Args:
            name: What people call it.
            description: What it is for.
            slug: What is to identify it. By default the server makes one of the name and some random letters.

        Raises:
            ValueError: The name is empty, or the slug is malformed.
            ConflictError: There is a cluster of that slug.
        """
        answer = self._transport.call(workflow_calls.create_cluster(name, description, slug))
        return Cluster.from_wire(answer)

    def all(self) -> list[Cluster]:
        """List all clusters."""
        answer = self._transport.call(workflow_calls.list_clusters())
        return [Cluster.from_wire(message) for message in answer.clusters]

    def find(self, cluster_or_slug: ClusterLike | None = None) -> Cluster:
        """Get a cluster.

        Args:
            cluster_or_slug: The cluster or its slug. By default the default cluster, which every server has.

        Raises:
            NotFoundError: There is none of that slug.
        """
        slug = "" if cluster_or_slug in (None, "") else arguments.slug(cluster_or_slug)
        return Cluster.from_wire(self._transport.call(workflow_calls.get_cluster(slug)))

    def update(self, cluster: ClusterLike, name: str | None = None, description: str | None = None) -> Cluster:
        """Change the name or the description of a cluster; its slug stays.

        Args:
            cluster: The cluster or its slug.
            name: What people call it, or None to leave that.
            description: What it is for, or None to leave that.

        Returns:
            The cluster as it is now.

        Raises:
            NotFoundError: There is none of that slug.
        """
        call = workflow_calls.update_cluster(arguments.slug(cluster), name, description)
        return Cluster.from_wire(self._transport.call(call))

    def delete(self, cluster_or_slug: ClusterLike) -> None:
        """Delete a cluster.

        Args:
            cluster_or_slug: The cluster or its slug.

        Raises:
            NotFoundError: There is none of that slug.
            ConflictError: It is the default cluster, or tasks that have not ended are meant for it.
        """
        self._transport.call(workflow_calls.delete_cluster(arguments.slug(cluster_or_slug)))
