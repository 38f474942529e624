"""Clusters, over the wire."""

from __future__ import annotations

import re

import pytest
from support.http.wire import CallError, submissions, task_group, unique, wire_id

from tilebox._core.protocol.workflows.v1 import job_pb2, workflows_pb2


def test_a_cluster_is_created_found_listed_updated_and_deleted(wire):
    created = wire.create_cluster("Sentinel-2, Zürich", description="For the valley")
    assert re.fullmatch(r"sentinel-2-zurich-[1-9A-HJ-NP-Za-km-z]{14}", created.slug)
    assert (created.display_name, created.description, created.deletable) == (
        "Sentinel-2, Zürich",
        "For the valley",
        True,
    )
    assert get(wire, created.slug) == created
    assert created in wire.call("WorkflowsService/ListClusters").clusters
    updated = wire.call(
        "WorkflowsService/UpdateCluster", workflows_pb2.UpdateClusterRequest(cluster_slug=created.slug, name="Alps")
    )
    assert (updated.slug, updated.display_name, updated.description) == (created.slug, "Alps", "For the valley")
    assert get(wire, created.slug) == updated
    delete(wire, created.slug)
    with pytest.raises(CallError, match=f"not_found: there is no cluster {created.slug}"):
        get(wire, created.slug)
    with pytest.raises(CallError, match="not_found"):
        delete(wire, created.slug)


def test_the_default_cluster_exists_and_cannot_be_deleted(proto):
    default = get(proto, "")
    assert re.fullmatch(r"default-\w{14}", default.slug)
    assert not default.deletable
    assert get(proto, "") == default == get(proto, default.slug)
    assert [cluster.deletable for cluster in proto.call("WorkflowsService/ListClusters").clusters].count(False) == 1
    with pytest.raises(CallError, match=r"failed_precondition: .* default cluster"):
        delete(proto, default.slug)


def test_a_chosen_slug_is_unique_and_free_again_after_deletion(proto):
    slug = unique("cluster").replace("_", "-")
    first = proto.create_cluster("One", slug=slug)
    assert first.slug == slug
    with pytest.raises(CallError, match=f"already_exists: there is a cluster {slug}"):
        proto.create_cluster("Two", slug=slug)
    delete(proto, slug)
    assert proto.create_cluster("Three", slug=slug).display_name == "Three"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "name of a cluster must have 1 to 100"),
        ({"name": "x" * 101}, "name of a cluster must have 1 to 100"),
        ({"slug": "under_score"}, "letters, digits and hyphens"),
        ({"slug": "x" * 101}, "at most 100"),
        ({"slug": "x\n"}, "letters, digits and hyphens"),
        ({"description": "x" * 50_001}, "at most 50,000"),
        ({"name": "nul\0"}, "NUL"),
    ],
)
def test_an_invalid_cluster_is_refused(proto, values, message):
    with pytest.raises(CallError, match=f"invalid_argument: .*{message}"):
        proto.create_cluster(**values)


def test_the_error_for_an_unknown_slug_suggests_similar_ones(proto):
    slug = unique("near").replace("_", "-")
    proto.create_cluster(slug=slug)
    with pytest.raises(CallError, match=f"not_found: .*did you mean {slug}"):
        get(proto, slug + "x")


def test_a_cluster_with_queued_tasks_cannot_be_deleted_before_their_jobs_end(proto):
    slug = proto.create_cluster().slug
    job = proto.call(
        "JobService/SubmitJob",
        job_pb2.SubmitJobRequest(
            tasks=submissions(task_group(2), clusters=[slug]), job_name="Waits", trace_parent="00-trace"
        ),
    )
    with pytest.raises(CallError, match="failed_precondition: tasks wait or run"):
        delete(proto, slug)
    proto.call("JobService/CancelJob", job_pb2.CancelJobRequest(job_id=wire_id(job.id.uuid)))
    delete(proto, slug)
    with pytest.raises(CallError, match="not_found: there is no cluster"):
        proto.call(
            "JobService/SubmitJob",
            job_pb2.SubmitJobRequest(
                tasks=submissions(task_group(), clusters=[slug]), job_name="Late", trace_parent="00-trace"
            ),
        )


@pytest.mark.parametrize("method", ["CreateWorkflow", "ListWorkflows", "GetWorkflow", "DeployWorkflowRelease"])
def test_workflows_and_releases_are_not_implemented(proto, method):
    with pytest.raises(CallError, match="unimplemented: this server does not host workflows and releases"):
        proto.call(f"WorkflowsService/{method}")


def get(wire, slug):
    return wire.call("WorkflowsService/GetCluster", workflows_pb2.GetClusterRequest(cluster_slug=slug))


def delete(wire, slug):
    return wire.call("WorkflowsService/DeleteCluster", workflows_pb2.DeleteClusterRequest(cluster_slug=slug))
