"""Ingestion and deletion of datapoints over the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from uuid import uuid4

import pyarrow as pa
import pytest
import shapely
from support.http.wire import FIELDS, CallError, Wire, datapoint, message_class, query, wire_id

from tilebox._core.protocol.datasets.v1 import collections_pb2, data_ingestion_pb2
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.schema.arrow_schema import arrow_schema, to_stream
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind, Schema


def test_ingest_returns_ids_in_the_order_of_the_request(wire):
    dataset = wire.create_dataset()
    collection = wire.create_collection(dataset)
    scene = uuid4().bytes
    values = [datapoint(dataset, time, name=f"at {time}", direction=1, scene=scene) for time in (3000, 1000, 2000)]
    answer = wire.ingest(collection, values)
    assert (answer.num_created, answer.num_existing) == (3, 0)
    assert [int.from_bytes(identity.uuid[:6], "big") for identity in answer.datapoint_ids] == [3000, 1000, 2000]
    (page,) = wire.query(query(dataset))
    rows = [message_class(dataset).FromString(value) for value in page]
    assert [row.name for row in rows] == ["at 1000", "at 2000", "at 3000"]
    assert {row.id.uuid for row in rows} == {identity.uuid for identity in answer.datapoint_ids}
    assert all(row.direction == 1 and row.scene.uuid == scene and row.ingestion_time.seconds > 0 for row in rows)
    assert shapely.from_wkb(rows[0].geometry.wkb) == shapely.Point(11, 48)


def test_ingesting_a_batch_twice_changes_nothing_or_raises_an_error(proto, dataset, collection):
    values = [datapoint(dataset, time) for time in (1000, 2000, 1000)]
    first = proto.ingest(collection, values)
    again = proto.ingest(collection, values)
    assert (first.num_created, first.num_existing) == (2, 1)
    assert (again.num_created, again.num_existing) == (0, 3)
    assert first.datapoint_ids == again.datapoint_ids
    with pytest.raises(CallError, match=r"already_exists: collection S2A: .*nothing of this batch was stored"):
        proto.ingest(collection, [*values, datapoint(dataset, 9000)], allow_existing=False)
    assert count(proto, dataset) == 2


def test_id_and_ingestion_time_of_a_request_are_ignored(proto, dataset, collection):
    message = message_class(dataset).FromString(datapoint(dataset, 1000))
    plain = proto.ingest(collection, [message.SerializeToString()])
    message.id.uuid = uuid4().bytes
    message.ingestion_time.FromMilliseconds(5)
    again = proto.ingest(collection, [message.SerializeToString()])
    assert again.num_existing == 1
    assert again.datapoint_ids == plain.datapoint_ids


def test_an_invalid_datapoint_rejects_the_batch_and_all_are_listed(proto, dataset, collection):
    values = [datapoint(dataset, time) for time in range(1000, 1200)]
    no_time = message_class(dataset).FromString(values[7])
    no_time.ClearField("time")
    values[7] = no_time.SerializeToString()
    values[9] = datapoint(dataset, 5, geometry=shapely.Point(11, 95))
    values[150] = datapoint(dataset, 5, name="x" * 1025)
    with pytest.raises(CallError) as error:
        proto.ingest(collection, values)
    assert error.value.code == "invalid_argument"
    assert error.value.message.startswith("3 of 200 datapoints rejected, nothing of this batch was stored: ")
    for part in (
        "datapoint 7: time is missing",
        "datapoint 9: field 'geometry': latitude 95",
        "datapoint 150: field 'name'",
    ):
        assert part in error.value.message
    assert count(proto, dataset) == 0


def test_all_undecodable_datapoints_are_listed(proto, dataset, collection):
    values = [datapoint(dataset, time) for time in range(1000, 1200)]
    values[3] = b"\xff\xff\xff"
    values[70] = datapoint(dataset, 5, direction=99)
    values[199] = datapoint(dataset, 5, scene=b"short")
    with pytest.raises(CallError) as error:
        proto.ingest(collection, values)
    message = error.value.message
    assert message.startswith("3 of 200 datapoints rejected")
    assert "datapoint 3: " in message
    assert "datapoint 70: field 'direction': 99" in message
    assert "datapoint 199: field 'scene': a UUID must have 16 bytes" in message
    assert count(proto, dataset) == 0


def test_values_of_unknown_fields_are_not_dropped_silently(proto, dataset, collection):
    wider = proto.create_dataset([*FIELDS, Field(name="orbit", kind=FieldKind.INT64)])
    values = [datapoint(dataset, 1000), datapoint(wider, 2000, orbit=7)]
    with pytest.raises(CallError, match=r"datapoint 1: it has unknown fields with the numbers 9"):
        proto.ingest(collection, values)


def test_invalid_unicode_is_rejected(proto, dataset, collection):
    broken = datapoint(dataset, 1000, name="abc").replace(b"abc", b"a\xff\xfe")
    with pytest.raises(CallError, match=r"1 of 2 datapoints rejected.*datapoint 1: "):
        proto.ingest(collection, [datapoint(dataset, 1000), broken])


def test_the_list_of_rejected_datapoints_is_bounded(proto, dataset, collection):
    values = [datapoint(dataset, time, name="x" * 2000) for time in range(500)]
    with pytest.raises(CallError, match=r"500 of 500 datapoints rejected.*; and 480 more problems") as error:
        proto.ingest(collection, values)
    assert len(error.value.message) < 5000


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (shapely.LineString([(0, 0), (1, 1)]), "LineString"),
        (shapely.Polygon(), "empty"),
        (shapely.Point(500, 0), "longitude"),
        (shapely.Point(float("inf"), 0), "not finite"),
    ],
)
def test_footprints_are_checked(proto, dataset, collection, geometry, reason):
    with pytest.raises(CallError, match=f"datapoint 0: field 'geometry': .*{reason}"):
        proto.ingest(collection, [datapoint(dataset, 1000, geometry=geometry)])


def test_a_datapoint_without_a_footprint_is_stored_but_not_found_by_area(proto, dataset, collection):
    nowhere = message_class(dataset).FromString(datapoint(dataset, 1000, name="nowhere"))
    nowhere.ClearField("geometry")
    assert proto.ingest(collection, [nowhere.SerializeToString(), datapoint(dataset, 2000)]).num_created == 2
    assert proto.ingest(collection, [nowhere.SerializeToString()]).num_existing == 1
    assert count(proto, dataset) == 2
    (page,) = proto.query(query(dataset))
    first, second = (message_class(dataset).FromString(value) for value in page)
    assert (first.name, first.HasField("geometry"), second.HasField("geometry")) == ("nowhere", False, True)
    for mode, system in product((1, 2, 3), (1, 2)):
        request = query(dataset)
        area = request.filters.spatial_extent
        area.geometry.wkb = shapely.to_wkb(shapely.Point(11, 48) if mode == 3 else shapely.box(-170, -80, 170, 80))
        area.mode, area.coordinate_system = mode, system
        assert [value for found in proto.query(request) for value in found] == [page[1]], (mode, system)


def test_footprint_columns_are_optional(proto, dataset, collection):
    without = pa.ipc.open_stream(columns(dataset, [1000, 2000])).read_all().drop_columns(["geometry"])
    assert ingest_columns(proto, collection, to_stream(without)).num_created == 2
    assert count(proto, dataset) == 2


def test_other_geometry_fields_may_hold_lines(proto):
    track = Field(name="track", kind=FieldKind.GEOMETRY, type_name="datasets.v1.Geometry")
    dataset = proto.create_dataset([track], kind=DatasetKind.TEMPORAL)
    message = message_class(dataset)()
    message.time.FromMilliseconds(1000)
    message.track.wkb = shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)]))
    assert proto.ingest(proto.create_collection(dataset), [message.SerializeToString()]).num_created == 1


def test_an_empty_batch_is_accepted_and_a_large_one_is_rejected(proto, dataset, collection):
    assert proto.ingest(collection, []).num_created == 0
    with pytest.raises(CallError, match="at most 8192 datapoints in a request, not 8193"):
        proto.ingest(collection, [datapoint(dataset, 1000)] * 8193)
    with pytest.raises(CallError, match="datapoint 1: it is empty"):
        proto.ingest(collection, [datapoint(dataset, 1000), b""])
    assert count(proto, dataset) == 0


def test_the_largest_batch_fits(proto, dataset, collection):
    answer = proto.ingest(collection, [datapoint(dataset, time) for time in range(8192)])
    assert answer.num_created == len(answer.datapoint_ids) == 8192


def test_ingest_into_an_unknown_collection(proto, dataset):
    request = data_ingestion_pb2.IngestRequest(collection_id=wire_id(uuid4()), values=[datapoint(dataset, 1)])
    with pytest.raises(CallError, match="not_found: No such collection"):
        proto.call("DataIngestionService/Ingest", request)
    with pytest.raises(CallError, match="invalid_argument: collection_id is required"):
        proto.call("DataIngestionService/Ingest", data_ingestion_pb2.IngestRequest())


def test_ingest_into_a_deleted_collection(proto, dataset, collection):
    values = [datapoint(dataset, 1)]
    proto.ingest(collection, values)
    request = collections_pb2.DeleteCollectionRequest(dataset_id=dataset.id, collection_id=collection.id)
    proto.call("CollectionService/DeleteCollection", request)
    with pytest.raises(CallError, match="not_found: No such collection"):
        proto.ingest(collection, values)


def test_datapoints_are_deleted_all_or_none(wire):
    dataset = wire.create_dataset()
    collection = wire.create_collection(dataset)
    ids = wire.ingest(collection, [datapoint(dataset, time) for time in range(5)]).datapoint_ids
    unknown = wire_id(uuid4())
    with pytest.raises(CallError, match="not_found"):
        delete(wire, collection, [*ids[:2], unknown])
    assert count(wire, dataset) == 5
    assert delete(wire, collection, [*ids[:2], ids[0]]).num_deleted == 2
    assert count(wire, dataset) == 3
    assert delete(wire, collection, []).num_deleted == 0
    with pytest.raises(CallError, match="at most 8192"):
        delete(wire, collection, [unknown] * 8193)


def test_concurrent_writers_neither_lose_nor_repeat_datapoints(server, proto, dataset, collection):
    batches = [[datapoint(dataset, 100 * writer + row) for row in range(100)] for writer in range(8)]

    def write(batch):
        with Wire(server.url, server.token) as own:
            return own.ingest(collection, batch).num_created

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, [*batches, *batches])) == 800
    assert count(proto, dataset) == 800


def delete(wire, collection, ids):
    request = data_ingestion_pb2.DeleteRequest(collection_id=collection.id, datapoint_ids=ids)
    return wire.call("DataIngestionService/Delete", request)


def count(wire, dataset) -> int:
    return sum(map(len, wire.query(query(dataset))))


def columns(dataset, times, **values):
    """Return datapoints as an Arrow stream."""
    wanted = arrow_schema(Schema.from_annotated_type(dataset.type))
    given = {"time": times, "geometry": [shapely.to_wkb(shapely.Point(11, 48))] * len(times), **values}
    return to_stream(pa.table({name: pa.array(column, wanted.field(name).type) for name, column in given.items()}))


def ingest_columns(wire, collection, stream, *, allow_existing=True):
    request = datapoints_pb2.IngestRequest(
        collection_id=collection.id, datapoints=stream, allow_existing=allow_existing
    )
    return wire.call("DatapointService/Ingest", request)


def test_columns_and_messages_are_the_same_datapoints(proto, dataset, collection):
    times = [3000, 1000, 2000]
    as_messages = [datapoint(dataset, time, name=f"at {time}", direction=1) for time in times]
    first = proto.ingest(collection, as_messages)
    stream = columns(dataset, times, name=[f"at {time}" for time in times], direction=[1, 1, 1])
    again = ingest_columns(proto, collection, stream)

    assert (again.num_created, again.num_existing) == (0, 3)
    ids = [again.datapoint_ids[at : at + 16] for at in range(0, 48, 16)]
    assert ids == [identity.uuid for identity in first.datapoint_ids]
    with pytest.raises(CallError, match=r"already_exists: .*nothing of this batch was stored"):
        ingest_columns(proto, collection, stream, allow_existing=False)


def test_bad_rows_of_columns_are_all_named(proto, dataset, collection):
    times = [*range(1000, 1100), None]
    direction = [99 if row in (3, 70) else 1 for row in range(101)]
    with pytest.raises(CallError) as error:
        ingest_columns(proto, collection, columns(dataset, times, direction=direction))
    assert error.value.message.startswith("3 of 101 datapoints rejected, nothing of this batch was stored: ")
    for part in ("datapoint 3: field 'direction': 99", "datapoint 70: field 'direction'", "datapoint 100: time is"):
        assert part in error.value.message
    assert count(proto, dataset) == 0


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "not a valid Arrow stream"),
        (to_stream(pa.table({"clouds": [1.0]})), "'clouds' is not a field of this dataset"),
        (to_stream(pa.table({"time": ["now"]})), "'time' must be timestamp"),
        (to_stream(pa.table({"time": pa.array([0] * 65_537, pa.timestamp("ms"))})), "at most 65536 datapoints"),
    ],
)
def test_columns_that_make_no_sense_are_refused(proto, dataset, collection, stream, reason):
    with pytest.raises(CallError, match=f"invalid_argument: .*{reason}"):
        ingest_columns(proto, collection, stream)
    assert count(proto, dataset) == 0
