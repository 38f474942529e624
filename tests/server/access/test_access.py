"""Authorization: every method with every role, and with ids of another team."""

from __future__ import annotations

from uuid import uuid4

import anyio
import pyarrow as pa
import pytest
from google.protobuf.message_factory import GetMessageClass
from support.http.permissions import ALLOWED, ARROW, EVERY_METHOD, MANAGING, NOT_OFFERED, READING, RUNNING, WRITING
from support.http.wire import METHODS, SERVICES, CallError, Wire, datapoint, query, task_group, unique

from tilebox._core.protocol.datasets.v1 import collections_pb2, data_access_pb2, data_ingestion_pb2, datasets_pb2
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.workflows.v1 import job_pb2
from tilebox._core.schema.arrow_schema import to_stream
from tilebox.server.access import keys
from tilebox.server.datasets.catalogue import now_us
from tilebox.server.store import open_store
from tilebox.server.store.interface import Team


def test_the_table_has_every_method():
    assert set(EVERY_METHOD) == READING | NOT_OFFERED | WRITING | RUNNING | MANAGING


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_role_has_exactly_its_permissions(server, method, role):
    with Wire(server.url, new_key(server, role=role)) as wire:
        code = code_of(wire, method)
    if method in ALLOWED[role]:
        assert code not in ("permission_denied", "unauthenticated")
    else:
        assert code == "permission_denied"


@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.parametrize("token", [None, "nonsense", "tbx_" + "a" * 32])
def test_without_a_valid_key_every_method_is_refused(server, method, token):
    with Wire(server.url, token) as wire:
        assert code_of(wire, method) == "unauthenticated"


@pytest.fixture(scope="module")
def foreign(server):
    """The admin of another team, and requests that name resources of the first team."""
    with Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        collection = wire.create_collection(dataset)
        (identity,) = wire.ingest(collection, [datapoint(dataset, 1000)]).datapoint_ids
        (page,) = wire.query(query(dataset))
    by_collection = query(dataset, collection_ids=[collection.id])
    by_collection.ClearField("dataset_id")
    requests = {
        "datasets.v1.DatasetService/GetDataset": [
            datasets_pb2.GetDatasetRequest(id=dataset.id),
            datasets_pb2.GetDatasetRequest(slug=dataset.slug),
        ],
        "datasets.v1.DatasetService/UpdateDataset": [datasets_pb2.UpdateDatasetRequest(id=dataset.id, name="Mine")],
        "datasets.v1.DatasetService/DeleteDataset": [datasets_pb2.DeleteDatasetRequest(id=dataset.id)],
        "datasets.v1.CollectionService/CreateCollection": [
            collections_pb2.CreateCollectionRequest(dataset_id=dataset.id, name="mine")
        ],
        "datasets.v1.CollectionService/GetCollectionByName": [
            collections_pb2.GetCollectionByNameRequest(dataset_id=dataset.id, collection_name="S2A")
        ],
        "datasets.v1.CollectionService/DeleteCollection": [
            collections_pb2.DeleteCollectionRequest(collection_id=collection.id),
            collections_pb2.DeleteCollectionRequest(collection_id=collection.id, dataset_id=dataset.id),
        ],
        "datasets.v1.CollectionService/ListCollections": [
            collections_pb2.ListCollectionsRequest(dataset_id=dataset.id, with_count=True)
        ],
        "datasets.v1.DataAccessService/Query": [query(dataset), by_collection],
        "datasets.v1.DataAccessService/QueryByID": [
            data_access_pb2.QueryByIDRequest(dataset_id=dataset.id, id=identity),
            data_access_pb2.QueryByIDRequest(collection_ids=[collection.id], id=identity),
        ],
        "datasets.v1.DataIngestionService/Ingest": [
            data_ingestion_pb2.IngestRequest(collection_id=collection.id, values=[datapoint(dataset, 2000)])
        ],
        "datasets.v1.DataIngestionService/Delete": [
            data_ingestion_pb2.DeleteRequest(collection_id=collection.id, datapoint_ids=[identity])
        ],
        "tilebox.ext.v1.DatapointService/Count": [datapoints_pb2.CountRequest(query=query(dataset))],
        "tilebox.ext.v1.DatapointService/Ingest": [
            datapoints_pb2.IngestRequest(collection_id=collection.id, datapoints=to_stream(pa.table({})))
        ],
        ARROW: [datapoints_pb2.QueryArrowRequest(query=query(dataset))],
    }
    with Wire(server.url, new_key(server, team=unique("team"))) as other:
        yield other, dataset, requests
    with Wire(server.url, server.token) as wire:
        assert wire.query(query(dataset)) == [page], "the first team's datapoints were touched"
        assert wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(id=dataset.id)) == dataset


@pytest.mark.parametrize("method", sorted({*METHODS, ARROW} - {"datasets.v1.DatasetService/CreateDataset"}))
def test_resources_of_another_team_are_not_found(foreign, method):
    other, dataset, requests = foreign
    if method.endswith("/ListDatasets"):
        listed = other.call(method)
        assert dataset.id not in [entry.id for entry in listed.datasets]
        assert dataset.group_id not in [group.id for group in listed.groups]
        return
    for request in requests[method]:
        with pytest.raises(CallError) as error:
            other.post(f"/{method}", request)
        assert error.value.code == "not_found"
        assert dataset.slug not in error.value.message.partition("Did you mean")[2]


OF_A_JOB = sorted(
    {
        f"{service}/{name}"
        for service, names in (
            (
                "workflows.v1.JobService",
                (
                    "GetJob",
                    "ListJobTasks",
                    "RetryJob",
                    "CancelJob",
                    "VisualizeJob",
                    "GetJobPrototype",
                    "CloneJob",
                ),
            ),
            ("tilebox.ext.v1.RunnerService", ("ExplainJob", "AwaitJob")),
        )
        for name in names
    }
)


@pytest.mark.parametrize("method", OF_A_JOB)
def test_jobs_of_another_team_are_not_found(server, foreign, method):
    other, *_ = foreign
    with Wire(server.url, server.token) as wire:
        job = wire.submit_job(task_group(2))
        service, _, name = method.rpartition(".")[2].partition("/")
        request = GetMessageClass(SERVICES[service].methods_by_name[name].input_type)(job_id=job.id)
        with pytest.raises(CallError, match="not_found: there is no job"):
            other.post(f"/{method}", request)
        assert wire.call("JobService/GetJob", job_pb2.GetJobRequest(job_id=job.id)) == job
    assert job.id not in [each.id for each in other.call("JobService/QueryJobs").jobs]
    assert other.call("JobService/GetJobStateCounts").total_jobs == 0
    assert not other.call("JobService/GetTaskQueueStats").queued_tasks


@pytest.mark.parametrize("name", ["GetCluster", "UpdateCluster", "DeleteCluster"])
def test_clusters_of_another_team_are_not_found(server, foreign, name):
    other, *_ = foreign
    with Wire(server.url, server.token) as wire:
        cluster = wire.create_cluster(unique("foreign"))
        request = GetMessageClass(SERVICES["WorkflowsService"].methods_by_name[name].input_type)
        with pytest.raises(CallError, match=f"not_found: there is no cluster {cluster.slug}; there are ") as error:
            other.call(f"WorkflowsService/{name}", request(cluster_slug=cluster.slug))
        assert cluster.slug not in error.value.message.partition("; ")[2]
        assert cluster in wire.call("WorkflowsService/ListClusters").clusters
    assert cluster not in other.call("WorkflowsService/ListClusters").clusters


def test_teams_may_use_the_same_names(server, foreign):
    other, dataset, _ = foreign
    twin = other.create_dataset(code_name=dataset.code_name)
    assert twin.id != dataset.id
    assert twin.slug.endswith(f".{dataset.code_name}")
    assert twin.slug != dataset.slug


def test_a_revoked_key_is_refused(server, monkeypatch):
    monkeypatch.setattr(keys, "CACHE_SECONDS", 0)
    token = new_key(server, role="read")
    with Wire(server.url, token) as wire:
        assert code_of(wire, "datasets.v1.DatasetService/ListDatasets") is None
        change_store(server, lambda store: revoke(store, token))
        with pytest.raises(CallError, match=r"unauthenticated: .*was revoked"):
            wire.call("DatasetService/ListDatasets")


def test_an_expired_key_is_refused(server):
    token = new_key(server, role="read", expires_us=now_us() + 1)
    with Wire(server.url, token) as wire, pytest.raises(CallError, match=r"unauthenticated: .*expired"):
        wire.call("DatasetService/ListDatasets")


def code_of(wire, method):
    """Return the error code of an empty request, or None."""
    service, _, name = method.rpartition(".")[2].partition("/")
    request = datapoints_pb2.QueryArrowRequest()
    if method != ARROW:
        request = GetMessageClass(SERVICES[service].methods_by_name[name].input_type)()
    try:
        wire.post(f"/{method}", request)
    except CallError as error:
        return error.code
    return None


def new_key(server, *, team="local", role="admin", expires_us=None) -> str:
    """Insert a key into the database of a running server."""

    async def add(store):
        teams = {known.slug: known for known in await store.teams()}
        if team not in teams:
            teams[team] = Team(id=uuid4(), slug=team, name=team, created_us=now_us())
            await store.add_team(teams[team])
        text, key = keys.make_key(teams[team].id, name="test", role=role, now_us=0, expires_us=expires_us)
        await store.add_key(key)
        return text

    return change_store(server, add)


async def revoke(store, token):
    key = await store.key_by_digest(keys.digest(token))
    assert await store.revoke_key(key.team, key.id, now_us())


def change_store(server, change):
    async def run():
        store = open_store(f"sqlite:///{server.data_dir / 'tilebox.sqlite'}")
        try:
            return await change(store)
        finally:
            await store.close()

    return anyio.run(run)
