# Source of tests/sync/workflows/test_clusters.py, which scripts/unasync.py writes.
"""The client of clusters against a server that answers as told."""

from __future__ import annotations

import httpx
import pytest
from support.http.answers import Answers
from support.http.scripted import refusal
from worlds.aio import open_workflows

from tilebox._core.protocol.workflows.v1 import workflows_pb2
from tilebox.workflows import Cluster, ConflictError, NotFoundError, TransportError

TESTING = workflows_pb2.Cluster(slug="testing-CvufcSxcC9SKfe", display_name="testing", deletable=True)
PRODUCTION = workflows_pb2.Cluster(slug="production-EifhUozDpwAJDL", display_name="Production", deletable=True)


def clusters_over(wire):
    return open_workflows("http://box:1", "key", wire=wire).clusters()


async def test_clusters_as_documented():
    wire = Answers(
        CreateCluster=TESTING,
        ListClusters=workflows_pb2.ListClustersResponse(clusters=[TESTING, PRODUCTION]),
        GetCluster=TESTING,
        DeleteCluster=workflows_pb2.DeleteClusterResponse(),
    )
    clusters = clusters_over(wire)
    assert str(await clusters.create("testing")) == "Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing')"
    assert str(await clusters.all()) == (
        "[Cluster(slug='testing-CvufcSxcC9SKfe', display_name='testing'), "
        "Cluster(slug='production-EifhUozDpwAJDL', display_name='Production')]"
    )
    found = await clusters.find("testing-CvufcSxcC9SKfe")
    assert found == Cluster("testing-CvufcSxcC9SKfe", "testing")
    await clusters.find(found)
    assert await clusters.delete("testing-CvufcSxcC9SKfe") is None
    await clusters.delete(found)
    assert {request.cluster_slug for request in wire.asked("GetCluster")} == {"testing-CvufcSxcC9SKfe"}
    assert {request.cluster_slug for request in wire.asked("DeleteCluster")} == {"testing-CvufcSxcC9SKfe"}


async def test_the_default_cluster_needs_no_slug():
    wire = Answers(GetCluster=workflows_pb2.Cluster(slug="default", display_name="Default"))
    assert not (await clusters_over(wire).find()).deletable
    assert [request.cluster_slug for request in wire.asked("GetCluster")] == [""]


async def test_a_cluster_is_created_with_all_that_can_be_said():
    wire = Answers(CreateCluster=TESTING)
    await clusters_over(wire).create("testing", "For tests", slug="tests")
    (request,) = wire.asked("CreateCluster")
    assert (request.name, request.description, request.slug) == ("testing", "For tests", "tests")


async def test_a_change_leaves_what_is_not_given():
    wire = Answers(UpdateCluster=TESTING)
    clusters = clusters_over(wire)
    await clusters.update("tests", description="")
    await clusters.update(Cluster("tests"), "New name")
    first, second = wire.asked("UpdateCluster")
    assert (first.HasField("name"), first.HasField("description"), first.description) == (False, True, "")
    assert (second.cluster_slug, second.name, second.HasField("description")) == ("tests", "New name", False)


async def test_bad_arguments_are_refused_before_any_request():
    wire = Answers()
    clusters = clusters_over(wire)
    with pytest.raises(ValueError, match="name must not be empty"):
        await clusters.create("")
    with pytest.raises(ValueError, match="name must not be empty"):
        await clusters.update("tests", name="")
    with pytest.raises(ValueError, match="the slug of a cluster must not be empty"):
        await clusters.delete("")
    with pytest.raises(TypeError, match="a cluster must be a Cluster or a slug, not a int"):
        await clusters.find(5)
    assert wire.methods == []


async def test_what_the_server_refuses():
    wire = Answers(
        GetCluster=refusal("not_found", "there is no cluster x"),
        CreateCluster=refusal("already_exists", "there is a cluster x"),
        DeleteCluster=refusal("failed_precondition", "12 tasks are queued there"),
    )
    clusters = clusters_over(wire)
    with pytest.raises(NotFoundError, match="there is no cluster x"):
        await clusters.find("x")
    with pytest.raises(ConflictError, match="there is a cluster x"):
        await clusters.create("x", slug="x")
    with pytest.raises(ConflictError, match="12 tasks are queued there"):
        await clusters.delete("x")


async def test_a_cluster_is_not_created_twice():
    wire = Answers(CreateCluster=httpx.ReadError("reset"))
    with pytest.raises(TransportError):
        await clusters_over(wire).create("x")
    assert wire.methods == ["CreateCluster"]
