"""Remote procedure calls about datasets, one function for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.datasets.v1 import (
    collections_pb2,
    core_pb2,
    data_access_pb2,
    data_ingestion_pb2,
    datasets_pb2,
)
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.schema import arrow_schema
from tilebox._core.values import ids
from tilebox._core.wire.calls import Call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    import pyarrow as pa

    from tilebox._core.schema.fields import Schema

MAX_BATCH = 8192
"""The maximum number of datapoints in one request to ingest or to delete."""

# The protobuf tag of field 3, `datapoints`, of an IngestRequest; wire type 2 is length-delimited.
_DATAPOINTS_TAG = bytes([3 << 3 | 2])

QUERY_ARROW = "tilebox.ext.v1.DatapointService/QueryArrow"


def list_datasets() -> Call[datasets_pb2.ListDatasetsResponse]:
    """List all datasets and groups."""
    return Call(
        "datasets.v1.DatasetService/ListDatasets",
        datasets_pb2.ListDatasetsRequest(),
        datasets_pb2.ListDatasetsResponse,
    )


def get_dataset(slug: str) -> Call[core_pb2.Dataset]:
    """Get one dataset."""
    return Call("datasets.v1.DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(slug=slug), core_pb2.Dataset)


def create_dataset(
    code_name: str, schema: Schema, name: str, summary: str | None, description: str | None
) -> Call[core_pb2.Dataset]:
    """Create a dataset."""
    request = datasets_pb2.CreateDatasetRequest(
        name=name,
        type=schema.to_dataset_type(),
        summary=summary or "",
        code_name=code_name,
        description=description or "",
    )
    return Call("datasets.v1.DatasetService/CreateDataset", request, core_pb2.Dataset, is_idempotent=False)


def update_dataset(
    dataset: UUID, schema: Schema, name: str | None, summary: str | None, description: str | None
) -> Call[core_pb2.Dataset]:
    """Change a dataset; an argument that is None leaves its property unchanged."""
    request = datasets_pb2.UpdateDatasetRequest(
        id=ids.to_wire(dataset), name=name, type=schema.to_dataset_type(), summary=summary, description=description
    )
    return Call("datasets.v1.DatasetService/UpdateDataset", request, core_pb2.Dataset)


def delete_dataset(dataset: UUID) -> Call[datasets_pb2.DeleteDatasetResponse]:
    """Delete a dataset with all its datapoints."""
    return Call(
        "datasets.v1.DatasetService/DeleteDataset",
        datasets_pb2.DeleteDatasetRequest(id=ids.to_wire(dataset)),
        datasets_pb2.DeleteDatasetResponse,
        is_idempotent=False,
    )


def list_collections(dataset: UUID) -> Call[collections_pb2.ListCollectionsResponse]:
    """List the collections of a dataset, with availability and count."""
    request = collections_pb2.ListCollectionsRequest(
        dataset_id=ids.to_wire(dataset), with_availability=True, with_count=True
    )
    return Call("datasets.v1.CollectionService/ListCollections", request, collections_pb2.ListCollectionsResponse)


def get_collection(dataset: UUID, name: str) -> Call[core_pb2.CollectionInfo]:
    """Get one collection, with availability and count."""
    request = collections_pb2.GetCollectionByNameRequest(
        dataset_id=ids.to_wire(dataset), collection_name=name, with_availability=True, with_count=True
    )
    return Call("datasets.v1.CollectionService/GetCollectionByName", request, core_pb2.CollectionInfo)


def create_collection(dataset: UUID, name: str) -> Call[core_pb2.CollectionInfo]:
    """Create a collection."""
    request = collections_pb2.CreateCollectionRequest(dataset_id=ids.to_wire(dataset), name=name)
    return Call("datasets.v1.CollectionService/CreateCollection", request, core_pb2.CollectionInfo, is_idempotent=False)


def delete_collection(dataset: UUID, collection: UUID) -> Call[collections_pb2.DeleteCollectionResponse]:
    """Delete a collection with its datapoints."""
    request = collections_pb2.DeleteCollectionRequest(
        dataset_id=ids.to_wire(dataset), collection_id=ids.to_wire(collection)
    )
    return Call(
        "datasets.v1.CollectionService/DeleteCollection",
        request,
        collections_pb2.DeleteCollectionResponse,
        is_idempotent=False,
    )


def find_datapoint(
    dataset: UUID, collections: Iterable[UUID], datapoint: UUID, *, skip_data: bool
) -> Call[core_pb2.Any]:
    """Get one datapoint by its id."""
    request = data_access_pb2.QueryByIDRequest(
        dataset_id=ids.to_wire(dataset),
        collection_ids=map(ids.to_wire, collections),
        id=ids.to_wire(datapoint),
        skip_data=skip_data,
    )
    return Call("datasets.v1.DataAccessService/QueryByID", request, core_pb2.Any)


def query_page(request: data_access_pb2.QueryRequest) -> Call[data_access_pb2.QueryResultPage]:
    """Query one page of datapoints."""
    return Call("datasets.v1.DataAccessService/Query", request, data_access_pb2.QueryResultPage)


def count_datapoints(request: data_access_pb2.QueryRequest) -> Call[datapoints_pb2.CountResponse]:
    """Count the datapoints that match a query."""
    return Call(
        "tilebox.ext.v1.DatapointService/Count",
        datapoints_pb2.CountRequest(query=request),
        datapoints_pb2.CountResponse,
    )


def ingest_datapoints(
    collection: UUID, values: Sequence[bytes], *, allow_existing: bool
) -> Call[data_ingestion_pb2.IngestResponse]:
    """Ingest a batch of serialised datapoints.

    Ids are hashes of the content, so a batch may be sent twice if existing datapoints are allowed.
    """
    request = data_ingestion_pb2.IngestRequest(
        collection_id=ids.to_wire(collection), values=values, allow_existing=allow_existing
    )
    return Call(
        "datasets.v1.DataIngestionService/Ingest",
        request,
        data_ingestion_pb2.IngestResponse,
        is_idempotent=allow_existing,
    )


def ingest_columns(collection: UUID, table: pa.Table, *, allow_existing: bool) -> Call[datapoints_pb2.IngestResponse]:
    """Ingest a batch of datapoints in Arrow form, with the extension of our server."""
    head = datapoints_pb2.IngestRequest(collection_id=ids.to_wire(collection), allow_existing=allow_existing)

    def make_prefix(size: int) -> bytes:
        return head.SerializeToString(deterministic=True) + _DATAPOINTS_TAG + _varint(size)

    return Call(
        "tilebox.ext.v1.DatapointService/Ingest",
        # These bytes equal the serialised message. Written directly, they save two copies of the datapoints.
        arrow_schema.to_stream(table, make_prefix=make_prefix),
        datapoints_pb2.IngestResponse,
        is_idempotent=allow_existing,
    )


def _varint(number: int) -> bytes:
    """Encode a number as a protobuf varint: seven bits in each byte, the lowest first."""
    encoded = bytearray()
    while number >= 1 << 7:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def delete_datapoints(collection: UUID, datapoints: Sequence[UUID]) -> Call[data_ingestion_pb2.DeleteResponse]:
    """Delete a batch of datapoints, either all of them or none."""
    request = data_ingestion_pb2.DeleteRequest(
        collection_id=ids.to_wire(collection), datapoint_ids=map(ids.to_wire, datapoints)
    )
    return Call(
        "datasets.v1.DataIngestionService/Delete", request, data_ingestion_pb2.DeleteResponse, is_idempotent=False
    )
