"""Plain Connect calls over HTTP, without this SDK's client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import shapely
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message_factory import GetMessageClass

from tilebox._core.protocol.datasets.v1 import (
    collections_pb2,
    data_access_pb2,
    data_ingestion_pb2,
    datasets_pb2,
)
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2, runners_pb2
from tilebox._core.protocol.tilebox.v1.id_pb2 import ID
from tilebox._core.protocol.tilebox.v1.query_pb2 import TimeInterval
from tilebox._core.protocol.workflows.v1 import core_pb2, diagram_pb2, job_pb2, task_pb2, workflows_pb2
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema

if TYPE_CHECKING:
    from google.protobuf.message import Message

DATASET_MODULES = (datasets_pb2, collections_pb2, data_access_pb2, data_ingestion_pb2, datapoints_pb2)
WORK_MODULES = (workflows_pb2, job_pb2, task_pb2, diagram_pb2, runners_pb2)

SERVICES = {
    name: service
    for module in (*DATASET_MODULES, *WORK_MODULES)
    for name, service in module.DESCRIPTOR.services_by_name.items()
}


def methods_of(*modules):
    """Return the methods of the services of some files of the wire."""
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    return [f"{service.full_name}/{method.name}" for service in services for method in service.methods]


METHODS = methods_of(*DATASET_MODULES)
WORK_METHODS = methods_of(*WORK_MODULES)

FIELDS = [
    Field(name="name", kind=FieldKind.STRING, queryable=True),
    Field(name="cloud_cover", kind=FieldKind.DOUBLE, queryable=True),
    Field(name="direction", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection"),
    Field(name="scene", kind=FieldKind.UUID, type_name="datasets.v1.UUID"),
]


class CallError(Exception):
    """An error response: its code, message, HTTP status and headers."""

    def __init__(self, response):
        content = response.json()
        super().__init__(f"{content['code']}: {content['message']}")
        self.code, self.message, self.status, self.headers = (
            content["code"],
            content["message"],
            response.status_code,
            response.headers,
        )


class Wire:
    """Calls methods of a server, in protobuf or JSON."""

    def __init__(self, url: str, token: str | None, *, json: bool = False):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=300, trust_env=False)
        self._json = json

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def call(self, path: str, request: Message | None = None) -> Message:
        """Call `Service/Method`, and return the response."""
        service, _, name = path.rpartition(".")[2].partition("/")
        method = SERVICES[service].methods_by_name[name]
        request = request if request is not None else GetMessageClass(method.input_type)()
        response = self.post(f"/{SERVICES[service].full_name}/{name}", request)
        answer = GetMessageClass(method.output_type)
        return Parse(response.content, answer()) if self._json else answer.FromString(response.content)

    def post(self, path: str, request: Message) -> httpx.Response:
        """Send a message, and return the response.

        Raises:
            CallError: The response is an error.
        """
        if self._json:
            body, kind = MessageToJson(request).encode(), "application/json"
        else:
            body, kind = request.SerializeToString(), "application/proto"
        response = self.http.post(path, content=body, headers={"content-type": kind})
        if response.status_code != 200:
            raise CallError(response)
        return response

    def create_dataset(self, fields=FIELDS, *, kind=DatasetKind.SPATIOTEMPORAL, code_name=None):
        code_name = code_name or unique("dataset")
        wanted = Schema.of(kind, fields).to_dataset_type()
        request = datasets_pb2.CreateDatasetRequest(name="A dataset", code_name=code_name, type=wanted)
        return self.call("DatasetService/CreateDataset", request)

    def create_collection(self, dataset, name="S2A"):
        request = collections_pb2.CreateCollectionRequest(dataset_id=dataset.id, name=name)
        return self.call("CollectionService/CreateCollection", request).collection

    def ingest(self, collection, values, *, allow_existing=True):
        request = data_ingestion_pb2.IngestRequest(
            collection_id=collection.id, values=values, allow_existing=allow_existing
        )
        return self.call("DataIngestionService/Ingest", request)

    def create_cluster(self, name="Testing", **values):
        return self.call("WorkflowsService/CreateCluster", workflows_pb2.CreateClusterRequest(name=name, **values))

    def submit_job(self, *groups, name="A job", **values):
        """Submit a job of task groups; by default of one task."""
        request = job_pb2.SubmitJobRequest(
            tasks=submissions(*(groups or (task_group(1),))), job_name=name, trace_parent="00-trace", **values
        )
        return self.call("JobService/SubmitJob", request)

    def query(self, request):
        """Return all pages of a query, as a list of lists of serialised datapoints."""
        pages = []
        while True:
            page = self.call("DataAccessService/Query", request)
            pages.append(list(page.data.value))
            if not page.next_page.HasField("starting_after"):
                return pages
            request.page.CopyFrom(page.next_page)


def unique(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}_{uuid4().hex[:12]}"


def task_group(count=1, *, depends_on=(), cluster=0, identifier=0, display=0, **values):
    """Return a group of equal tasks."""
    columns = {
        "inputs": [b"{}"] * count,
        "cluster_slug_pointers": [cluster] * count,
        "identifier_pointers": [identifier] * count,
        "display_pointers": [display] * count,
        "max_retries_values": [0] * count,
    }
    return core_pb2.TaskSubmissionGroup(dependencies_on_other_groups=depends_on, **{**columns, **values})


def submissions(*groups, clusters=("",), identifiers=(("tasks.Leaf", "v1.0"),), displays=("Leaf",)):
    """Return a submission: groups of tasks, with the lookups that they point to."""
    lookup = [core_pb2.TaskIdentifier(name=name, version=version) for name, version in identifiers]
    return core_pb2.TaskSubmissions(
        task_groups=groups, cluster_slug_lookup=clusters, identifier_lookup=lookup, display_lookup=displays
    )


def wire_id(value: UUID | bytes) -> ID:
    """Return the message of an id."""
    return ID(uuid=value.bytes if isinstance(value, UUID) else value)


def message_class(dataset):
    """Return the message class of a dataset's datapoints."""
    schema = Schema.from_annotated_type(dataset.type)
    return GetMessageClass(schema.message_pool().FindMessageTypeByName(schema.type_name))


def datapoint(dataset, milliseconds: int, **values) -> bytes:
    """Return a serialised datapoint; a spatio-temporal one lies at 11 degrees east and 48 north by default."""
    message = message_class(dataset)()
    message.time.FromMilliseconds(milliseconds)
    if "geometry" in message.DESCRIPTOR.fields_by_name:
        message.geometry.wkb = shapely.to_wkb(values.pop("geometry", shapely.Point(11, 48)))
    for name, value in values.items():
        if name == "scene":
            message.scene.uuid = value
        else:
            setattr(message, name, value)
    return message.SerializeToString()


def interval(start_ms: int, end_ms: int, **flags) -> TimeInterval:
    """Return an interval between two milliseconds."""
    message = TimeInterval(**flags)
    message.start_time.FromMilliseconds(start_ms)
    message.end_time.FromMilliseconds(end_ms)
    return message


def query(dataset, start_ms: int = -(10**12), end_ms: int = 10**13 // 2, **parts) -> data_access_pb2.QueryRequest:
    """Return a query of a dataset over an interval."""
    request = data_access_pb2.QueryRequest(dataset_id=dataset.id, **parts)
    request.filters.time_interval.CopyFrom(interval(start_ms, end_ms))
    return request
