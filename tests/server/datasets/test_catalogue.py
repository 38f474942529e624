"""Datasets, groups and collections over the wire."""

from __future__ import annotations

from uuid import uuid4

import pytest
from support.http.wire import FIELDS, CallError, datapoint, message_class, query, unique, wire_id

from tilebox._core.protocol.datasets.v1 import collections_pb2, core_pb2, datasets_pb2
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema


def test_a_dataset_is_created_found_listed_and_deleted(wire):
    dataset = wire.create_dataset()
    assert dataset.slug == f"local.{dataset.code_name}"
    by_slug = wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(slug=dataset.slug))
    by_id = wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(id=dataset.id))
    listed = wire.call("DatasetService/ListDatasets")
    by_code_name = wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(slug=dataset.code_name))
    assert by_slug == by_id == by_code_name == dataset
    assert dataset in listed.datasets
    assert listed.owned_datasets == len(listed.datasets)
    wire.call("DatasetService/DeleteDataset", datasets_pb2.DeleteDatasetRequest(id=dataset.id))
    with pytest.raises(CallError, match="not_found: No such dataset"):
        wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(id=dataset.id))


def test_every_dataset_is_in_a_listed_group(proto):
    code_name = f"{unique('open_data')}.copernicus.sentinel2_msi"
    dataset = proto.create_dataset(code_name=code_name)
    assert (dataset.slug, dataset.code_name) == (code_name, "sentinel2_msi")
    listed = proto.call("DatasetService/ListDatasets")
    groups = {group.id.uuid: group for group in listed.groups}
    assert all(entry.group_id.uuid in groups for entry in listed.datasets)
    inner = groups[dataset.group_id.uuid]
    outer = groups[inner.parent_id.uuid]
    assert (inner.code_name, outer.code_name) == ("copernicus", code_name.split(".", maxsplit=1)[0])
    assert not outer.HasField("parent_id")


def test_the_server_assigns_field_numbers_and_the_message_name(proto):
    dataset = proto.create_dataset(code_name=unique("sentinel2_msi"))
    schema = Schema.from_annotated_type(dataset.type)
    assert [field.name for field in schema][:4] == ["time", "id", "ingestion_time", "geometry"]
    assert [field.number for field in schema] == list(range(1, 9))
    assert schema.type_name.startswith(f"tilebox.u{dataset.id.uuid.hex()}.r1.Sentinel2Msi")
    assert schema.get("name").queryable


def test_adding_a_field_keeps_the_others_and_their_datapoints(proto, dataset, collection):
    proto.ingest(collection, [datapoint(dataset, 1000, name="before")])
    fields = [*FIELDS, Field(name="orbit", kind=FieldKind.INT64, queryable=True)]
    changed = proto.call("DatasetService/UpdateDataset", update(dataset, fields))
    old, new = Schema.from_annotated_type(dataset.type), Schema.from_annotated_type(changed.type)
    assert new.fields[: len(old.fields)] == old.fields
    assert new.get("orbit").number == 9
    assert new.type_name == old.type_name.replace(".r1.", ".r2.")
    proto.ingest(collection, [datapoint(changed, 2000, name="after", orbit=7)])
    (page,) = proto.query(query(changed))
    read = [message_class(changed).FromString(value) for value in page]
    assert [(row.name, row.orbit, row.HasField("orbit")) for row in read] == [("before", 0, False), ("after", 7, True)]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (FIELDS[1:], "'name' would lose data"),
        ([Field(name="name", kind=FieldKind.INT64), *FIELDS[1:]], "'name' cannot change"),
        ([Field(name="name", kind=FieldKind.STRING, repeated=True), *FIELDS[1:]], "'name' cannot change"),
    ],
)
def test_a_change_that_would_lose_data_is_rejected(proto, dataset, collection, fields, named):
    proto.ingest(collection, [datapoint(dataset, 1000, name="kept")])
    with pytest.raises(CallError, match=named):
        proto.call("DatasetService/UpdateDataset", update(dataset, fields))
    assert proto.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(id=dataset.id)) == dataset
    (page,) = proto.query(query(dataset))
    assert message_class(dataset).FromString(page[0]).name == "kept"


def test_a_dataset_without_datapoints_may_change_to_any_type(proto, dataset, collection):
    request = datasets_pb2.UpdateDatasetRequest(id=dataset.id)
    request.type.CopyFrom(Schema.of(DatasetKind.TEMPORAL, [Field(name="name", kind=FieldKind.INT64)]).to_dataset_type())
    changed = proto.call("DatasetService/UpdateDataset", request)
    proto.ingest(collection, [datapoint(changed, 1000, name=5)])
    (page,) = proto.query(query(changed))
    assert message_class(changed).FromString(page[0]).name == 5


def test_texts_change_without_the_type(proto, dataset):
    request = datasets_pb2.UpdateDatasetRequest(id=dataset.id, name="Other", summary="s", description="# d")
    changed = proto.call("DatasetService/UpdateDataset", request)
    assert (changed.name, changed.summary, changed.description) == ("Other", "s", "# d")
    assert changed.type == dataset.type


def test_a_code_name_cannot_change(proto, dataset):
    request = datasets_pb2.UpdateDatasetRequest(id=dataset.id, code_name="other")
    with pytest.raises(CallError, match="code_name"):
        proto.call("DatasetService/UpdateDataset", request)


def test_slugs_are_unique(proto, dataset):
    with pytest.raises(CallError, match=f"already_exists: there is a dataset {dataset.slug} already"):
        proto.create_dataset(code_name=dataset.code_name)


def test_an_unknown_name_gets_suggestions(wire):
    dataset = wire.create_dataset(code_name=f"{unique('near')}.sentinel2_msi")
    wire.create_collection(dataset, "Sat-1")
    with pytest.raises(CallError) as error:
        wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(slug=f"{dataset.slug}x"))
    assert error.value.message.startswith(f"No such dataset {dataset.slug}x; did you mean {dataset.slug}")
    with pytest.raises(CallError) as error:
        wire.call("DatasetService/GetDataset", datasets_pb2.GetDatasetRequest(slug="elsewhere.sentinel2_msi"))
    assert ".sentinel2_msi" in error.value.message
    request = collections_pb2.GetCollectionByNameRequest(dataset_id=dataset.id, collection_name="Sat-X")
    with pytest.raises(CallError) as error:
        wire.call("CollectionService/GetCollectionByName", request)
    assert error.value.message == "No such collection Sat-X; did you mean Sat-1?"
    assert (error.value.code, error.value.status) == ("not_found", 404)


def test_a_collection_is_created_found_listed_and_deleted(wire):
    dataset = wire.create_dataset()
    collection = wire.create_collection(dataset, "S2A")
    found = collections_pb2.GetCollectionByNameRequest(dataset_id=dataset.id, collection_name="S2A")
    assert wire.call("CollectionService/GetCollectionByName", found).collection == collection
    with pytest.raises(CallError, match=r"already_exists: dataset .* has a collection S2A already"):
        wire.create_collection(dataset, "S2A")
    gone = collections_pb2.DeleteCollectionRequest(dataset_id=dataset.id, collection_id=collection.id)
    wire.call("CollectionService/DeleteCollection", gone)
    assert not wire.call("CollectionService/ListCollections", list_of(dataset)).data
    with pytest.raises(CallError, match="No such collection"):
        wire.call("CollectionService/DeleteCollection", gone)


def test_counts_and_availability_are_returned_on_request(wire, proto):
    dataset = proto.create_dataset()
    filled, _ = proto.create_collection(dataset, "filled"), proto.create_collection(dataset, "empty")
    proto.ingest(filled, [datapoint(dataset, time) for time in (5000, 1000, 3000)])
    empty_info, filled_info = wire.call("CollectionService/ListCollections", list_of(dataset)).data
    assert (filled_info.count, empty_info.count) == (3, 0)
    assert filled_info.availability.start_time.ToMilliseconds() == 1000
    assert filled_info.availability.end_time.ToMilliseconds() == 5000
    assert filled_info.availability.end_inclusive
    assert not empty_info.HasField("availability")
    bare = wire.call("CollectionService/ListCollections", collections_pb2.ListCollectionsRequest(dataset_id=dataset.id))
    assert not any(info.HasField("count") or info.HasField("availability") for info in bare.data)


def test_a_recreated_collection_is_empty(proto, dataset, collection):
    proto.ingest(collection, [datapoint(dataset, 1000)])
    gone = collections_pb2.DeleteCollectionRequest(collection_id=collection.id)
    proto.call("CollectionService/DeleteCollection", gone)
    proto.create_collection(dataset, collection.name)
    (info,) = proto.call("CollectionService/ListCollections", list_of(dataset)).data
    assert info.count == 0
    assert proto.query(query(dataset)) == [[]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "1 to 100"),
        ({"name": "n" * 101}, "1 to 100"),
        ({"code_name": ""}, "code_name"),
        ({"code_name": "Upper"}, "code_name"),
        ({"code_name": "1st"}, "code_name"),
        ({"code_name": "a..b"}, "code_name"),
        ({"code_name": "a" * 101}, "code_name"),
        ({"summary": "s" * 50_001}, "summary"),
        ({"description": "d" * 1_000_001}, "description"),
    ],
)
def test_texts_have_limits(proto, change, says):
    wanted = Schema.of(DatasetKind.TEMPORAL).to_dataset_type()
    request = datasets_pb2.CreateDatasetRequest(**{"name": "N", "code_name": unique("c"), "type": wanted} | change)
    with pytest.raises(CallError, match=f"invalid_argument: .*{says}"):
        proto.call("DatasetService/CreateDataset", request)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([Field(name="Bad", kind=FieldKind.STRING)], "'Bad'"),
        (
            [Field(name="a", kind=FieldKind.STRING), Field(name="a", kind=FieldKind.BOOL)],
            "'a' is defined more than once",
        ),
        ([Field(name="f", kind=FieldKind.FLOAT, queryable=True)], "'f' cannot be queryable"),
        ([Field(name="f", kind=FieldKind.STRING, repeated=True, queryable=True)], "'f' cannot be queryable"),
        ([Field(name=name, kind=FieldKind.STRING, queryable=True) for name in "abc"], "at most 2 string"),
        (
            [Field(name="f", kind=FieldKind.MESSAGE, type_name="nowhere.Message")],
            "'f' has a type that a dataset cannot have",
        ),
        ([Field(name="f", kind=FieldKind.STRING, roles=(1, 1))], "'f' has a role twice"),
    ],
)
def test_fields_have_rules(proto, fields, says):
    wanted = Schema.of(DatasetKind.TEMPORAL).to_dataset_type()
    extra = Schema(DatasetKind.TEMPORAL, tuple(fields)).to_dataset_type()
    wanted.fields.extend(extra.fields)
    request = datasets_pb2.CreateDatasetRequest(name="N", code_name=unique("c"), type=wanted)
    with pytest.raises(CallError, match=f"invalid_argument: .*{says}"):
        proto.call("DatasetService/CreateDataset", request)


def test_a_type_needs_a_kind_and_descriptors(proto):
    for spoil in (lambda wanted: wanted.ClearField("kind"), lambda wanted: wanted.fields[0].ClearField("descriptor")):
        wanted = Schema.of(DatasetKind.TEMPORAL).to_dataset_type()
        spoil(wanted)
        request = datasets_pb2.CreateDatasetRequest(name="N", code_name=unique("c"), type=wanted)
        with pytest.raises(CallError, match="invalid_argument: type"):
            proto.call("DatasetService/CreateDataset", request)


@pytest.mark.parametrize(
    "request_",
    [
        datasets_pb2.GetDatasetRequest(),
        datasets_pb2.GetDatasetRequest(slug="a b"),
        datasets_pb2.GetDatasetRequest(slug="a", id=wire_id(uuid4())),
        datasets_pb2.GetDatasetRequest(id=wire_id(b"short")),
        datasets_pb2.GetDatasetRequest(id=wire_id(bytes(16))),
    ],
    ids=["neither", "malformed slug", "both", "short id", "nil id"],
)
def test_a_dataset_is_requested_by_exactly_one_valid_name(proto, request_):
    with pytest.raises(CallError, match="invalid_argument"):
        proto.call("DatasetService/GetDataset", request_)


@pytest.mark.parametrize("name", ["", "n" * 201])
def test_collection_names_have_limits(proto, dataset, name):
    with pytest.raises(CallError, match="invalid_argument: name of a collection"):
        proto.create_collection(dataset, name)


def test_permissions_of_the_caller_are_listed(dataset):
    assert list(dataset.permissions) == [
        core_pb2.DATASET_PERMISSION_ACCESS_DATA,
        core_pb2.DATASET_PERMISSION_WRITE_DATA,
        core_pb2.DATASET_PERMISSION_EDIT,
    ]


def update(dataset, fields):
    request = datasets_pb2.UpdateDatasetRequest(id=dataset.id)
    request.type.CopyFrom(Schema.of(DatasetKind.SPATIOTEMPORAL, fields).to_dataset_type())
    return request


def list_of(dataset):
    return collections_pb2.ListCollectionsRequest(dataset_id=dataset.id, with_availability=True, with_count=True)


def test_a_dataset_and_a_group_never_share_a_name(proto):
    top = unique("top")
    proto.create_dataset(code_name=f"{top}.ships")
    with pytest.raises(
        CallError, match=rf"invalid_argument: {top}\.ships is a dataset, so it cannot contain other datasets"
    ):
        proto.create_dataset(code_name=f"{top}.ships.small")
    proto.create_dataset(code_name=f"{top}.trains.fast")
    with pytest.raises(CallError, match=rf"invalid_argument: {top}\.trains is a group of datasets"):
        proto.create_dataset(code_name=f"{top}.trains")
