"""`workflows.v1.WorkflowsService`: clusters. The methods for hosted workflows and releases are not implemented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tilebox._core.protocol.workflows.v1 import workflows_pb2 as wire
from tilebox.errors import InvalidArgumentError, ServerError
from tilebox.server.access.keys import Permission
from tilebox.server.api.messages import work_shapes

if TYPE_CHECKING:
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.orchestration.clusters import Clusters


class ClusterService:
    """Implements the methods of the service for clusters."""

    descriptor = wire.DESCRIPTOR.services_by_name["WorkflowsService"]
    permissions = {  # noqa: RUF012
        "CreateCluster": Permission.MANAGE,
        "GetCluster": Permission.READ,
        "ListClusters": Permission.READ,
        "UpdateCluster": Permission.MANAGE,
        "DeleteCluster": Permission.MANAGE,
        # Not implemented; READ lets every caller get that answer rather than a permission error.
        "CreateWorkflow": Permission.READ,
        "ListWorkflows": Permission.READ,
        "ListPublicWorkflows": Permission.READ,
        "GetWorkflow": Permission.READ,
        "UpdateWorkflow": Permission.READ,
        "DeleteWorkflow": Permission.READ,
        "PublishWorkflowRelease": Permission.READ,
        "UnpublishWorkflowRelease": Permission.READ,
        "DeployWorkflowRelease": Permission.READ,
        "UndeployWorkflowRelease": Permission.READ,
    }

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def create_cluster(self, caller: Caller, request: wire.CreateClusterRequest) -> wire.Cluster:
        """Create a cluster."""
        created = await self._clusters.create(
            caller.team.id, name=request.name, description=request.description, slug=request.slug
        )
        return work_shapes.cluster(created)

    async def get_cluster(self, caller: Caller, request: wire.GetClusterRequest) -> wire.Cluster:
        """Return a cluster by slug, or the default cluster."""
        return work_shapes.cluster(await self._clusters.get(caller.team.id, request.cluster_slug))

    async def list_clusters(self, caller: Caller, _: wire.ListClustersRequest) -> wire.ListClustersResponse:
        """Return all clusters."""
        clusters = await self._clusters.list(caller.team.id)
        return wire.ListClustersResponse(clusters=map(work_shapes.cluster, clusters))

    async def update_cluster(self, caller: Caller, request: wire.UpdateClusterRequest) -> wire.Cluster:
        """Update the name or the description of a cluster."""
        updated = await self._clusters.update(
            caller.team.id,
            _required(request.cluster_slug),
            name=request.name if request.HasField("name") else None,
            description=request.description if request.HasField("description") else None,
        )
        return work_shapes.cluster(updated)

    async def delete_cluster(self, caller: Caller, request: wire.DeleteClusterRequest) -> wire.DeleteClusterResponse:
        """Delete a cluster without queued or running tasks."""
        await self._clusters.delete(caller.team.id, _required(request.cluster_slug))
        return wire.DeleteClusterResponse()

    async def _not_implemented(self, _: Caller, __: Any) -> NoReturn:
        raise ServerError(
            "this server does not host workflows and releases: start a runner with the tasks instead",
            code="unimplemented",
        )

    create_workflow = list_workflows = list_public_workflows = get_workflow = update_workflow = _not_implemented
    delete_workflow = publish_workflow_release = unpublish_workflow_release = _not_implemented
    deploy_workflow_release = undeploy_workflow_release = _not_implemented


def _required(slug: str) -> str:
    if not slug:
        raise InvalidArgumentError("cluster_slug is required")
    return slug
