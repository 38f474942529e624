from tilebox._core.protocol.datasets.v1 import data_access_pb2 as _data_access_pb2
from tilebox._core.protocol.tilebox.v1 import id_pb2 as _id_pb2
from tilebox._core.protocol.tilebox.v1 import query_pb2 as _query_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QueryArrowRequest(_message.Message):
    __slots__ = ("query", "order", "limit", "fields", "snapshot", "starting_after")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    STARTING_AFTER_FIELD_NUMBER: _ClassVar[int]
    query: _data_access_pb2.QueryRequest
    order: _query_pb2.SortDirection
    limit: int
    fields: _containers.RepeatedScalarFieldContainer[str]
    snapshot: int
    starting_after: _id_pb2.ID
    def __init__(self, query: _Optional[_Union[_data_access_pb2.QueryRequest, _Mapping]] = ..., order: _Optional[_Union[_query_pb2.SortDirection, str]] = ..., limit: _Optional[int] = ..., fields: _Optional[_Iterable[str]] = ..., snapshot: _Optional[int] = ..., starting_after: _Optional[_Union[_id_pb2.ID, _Mapping]] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: _data_access_pb2.QueryRequest
    def __init__(self, query: _Optional[_Union[_data_access_pb2.QueryRequest, _Mapping]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class IngestRequest(_message.Message):
    __slots__ = ("collection_id", "allow_existing", "datapoints")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EXISTING_FIELD_NUMBER: _ClassVar[int]
    DATAPOINTS_FIELD_NUMBER: _ClassVar[int]
    collection_id: _id_pb2.ID
    allow_existing: bool
    datapoints: bytes
    def __init__(self, collection_id: _Optional[_Union[_id_pb2.ID, _Mapping]] = ..., allow_existing: bool = ..., datapoints: _Optional[bytes] = ...) -> None: ...

class IngestResponse(_message.Message):
    __slots__ = ("num_created", "num_existing", "datapoint_ids")
    NUM_CREATED_FIELD_NUMBER: _ClassVar[int]
    NUM_EXISTING_FIELD_NUMBER: _ClassVar[int]
    DATAPOINT_IDS_FIELD_NUMBER: _ClassVar[int]
    num_created: int
    num_existing: int
    datapoint_ids: bytes
    def __init__(self, num_created: _Optional[int] = ..., num_existing: _Optional[int] = ..., datapoint_ids: _Optional[bytes] = ...) -> None: ...
