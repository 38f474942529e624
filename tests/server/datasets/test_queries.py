"""Reading datapoints, over the wire: pages, ids, filters, counts and the Arrow stream."""

from __future__ import annotations

import gzip
from uuid import UUID, uuid4

import pyarrow as pa
import pytest
import shapely
from support.http.wire import CallError, Wire, datapoint, interval, message_class, query, wire_id

from tilebox._core.protocol.datasets.v1 import data_access_pb2
from tilebox._core.protocol.datasets.v1.well_known_types_pb2 import Geometry
from tilebox._core.protocol.tilebox.ext.v1 import datapoints_pb2
from tilebox._core.protocol.tilebox.v1.query_pb2 import SORT_DIRECTION_DESCENDING, IDInterval, Pagination
from tilebox._core.queries.filters import field, to_wire
from tilebox._core.schema.arrow_schema import ROWS_KEY, SNAPSHOT_KEY
from tilebox._core.schema.fields import DatasetKind

ARROW = "/tilebox.ext.v1.DatapointService/QueryArrow"


@pytest.fixture(scope="module")
def filled(server):
    """A dataset of two collections: 25 datapoints in S2A, a second apart, five in S2B between them."""
    with Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset()
        first, second = wire.create_collection(dataset, "S2A"), wire.create_collection(dataset, "S2B")
        values = [
            datapoint(dataset, 1000 * row, name=f"n{row}", cloud_cover=row * 4.0, geometry=shapely.Point(row, 10))
            for row in range(25)
        ]
        ids = [identity.uuid for identity in wire.ingest(first, values).datapoint_ids]
        wire.ingest(second, [datapoint(dataset, 5000 * row + 1) for row in range(5)])
        dataset.collections.add(collection=first)
        dataset.collections.add(collection=second)
        yield dataset, ids


def only_first(dataset, **parts):
    return {"collection_ids": [dataset.collections[0].collection.id], **parts}


def test_pages_follow_each_other_without_gap_or_repeat(wire, filled):
    dataset, _ = filled
    for limit in (1, 7, 29, 30, 31):
        pages = wire.query(query(dataset, page=Pagination(limit=limit)))
        times = [message_class(dataset).FromString(value).time.ToMilliseconds() for page in pages for value in page]
        assert times == sorted([*(1000 * row for row in range(25)), *(5000 * row + 1 for row in range(5))])
        assert all(len(page) == limit for page in pages[:-1])


def test_the_next_page_keeps_the_limit(proto, filled):
    dataset, ids = filled
    answer = proto.call("DataAccessService/Query", query(dataset, page=Pagination(limit=3), **only_first(dataset)))
    assert answer.next_page == Pagination(limit=3, starting_after=wire_id(ids[2]))
    assert answer.data.type_url == dataset.type.type_url
    whole = proto.call("DataAccessService/Query", query(dataset))
    assert len(whole.data.value) == 30
    assert not whole.next_page.HasField("starting_after")


def test_pages_stay_stable_while_datapoints_arrive(proto):
    dataset = proto.create_dataset()
    collection = proto.create_collection(dataset)
    proto.ingest(collection, [datapoint(dataset, 1000, name=str(row)) for row in range(50)])
    request, seen = query(dataset, page=Pagination(limit=5)), []
    for step in range(10):
        page = proto.call("DataAccessService/Query", request)
        seen += page.data.value
        proto.ingest(collection, [datapoint(dataset, 10 + step)])  # before where the reader is
        request.page.CopyFrom(page.next_page)
    names = {message_class(dataset).FromString(value).name for value in seen}
    assert len(seen) == 50
    assert names == {str(row) for row in range(50)}


def test_a_page_is_bounded_in_bytes_and_never_empty(fresh_server):
    server = fresh_server(max_page_bytes=1000)
    with Wire(server.url, server.token) as wire:
        dataset = wire.create_dataset(kind=DatasetKind.TEMPORAL)
        wire.ingest(wire.create_collection(dataset), [datapoint(dataset, row, name="x" * 900) for row in range(6)])
        pages = wire.query(query(dataset))
    assert sum(map(len, pages)) == 6
    assert len(pages) > 2
    assert all(pages)


@pytest.mark.parametrize(
    ("start", "end", "flags", "rows"),
    [
        (1000, 3000, {}, [1, 2]),
        (1000, 3000, {"end_inclusive": True}, [1, 2, 3]),
        (1000, 3000, {"start_exclusive": True}, [2]),
        (1000, 3000, {"start_exclusive": True, "end_inclusive": True}, [2, 3]),
        (1000, 1000, {"end_inclusive": True}, [1]),
        (1000, 1000, {}, []),
        (-5000, 0, {}, []),
        (-5000, 1, {}, [0]),
    ],
)
def test_intervals_are_half_open_by_default(proto, filled, start, end, flags, rows):
    dataset, ids = filled
    request = query(dataset, **only_first(dataset))
    request.filters.time_interval.CopyFrom(interval(start, end, **flags))
    assert found_ids(proto, dataset, request) == [ids[row] for row in rows]


def test_an_instant_selects_its_millisecond(proto, filled):
    dataset, ids = filled
    request = query(dataset, **only_first(dataset))
    request.filters.time_interval.CopyFrom(interval(2000, 2000, end_inclusive=True))
    for end in (request.filters.time_interval.start_time, request.filters.time_interval.end_time):
        end.nanos = 123_456
    assert found_ids(proto, dataset, request) == [ids[2]]


@pytest.mark.parametrize(
    ("flags", "rows"),
    [
        ({}, [3, 4, 5]),
        ({"end_inclusive": True}, [3, 4, 5, 6]),
        ({"start_exclusive": True}, [4, 5]),
        ({"start_exclusive": True, "end_inclusive": True}, [4, 5, 6]),
    ],
)
def test_intervals_of_ids(proto, filled, flags, rows):
    dataset, ids = filled
    request = query(dataset, **only_first(dataset))
    request.filters.ClearField("time_interval")
    request.filters.datapoint_interval.CopyFrom(IDInterval(start_id=wire_id(ids[3]), end_id=wire_id(ids[6]), **flags))
    assert found_ids(proto, dataset, request) == [ids[row] for row in rows]


def test_filters_on_fields_and_area(wire, filled):
    dataset, ids = filled
    request = query(dataset, **only_first(dataset))
    request.filters.expressions.append(to_wire((field("cloud_cover") < 20) & (field("name") != "n1")))
    assert found_ids(wire, dataset, request) == [ids[row] for row in (0, 2, 3, 4)]
    request = query(dataset, **only_first(dataset))
    request.filters.spatial_extent.geometry.wkb = shapely.to_wkb(shapely.box(2.5, 9, 4.5, 11))
    assert found_ids(wire, dataset, request) == [ids[3], ids[4]]


def test_a_query_reads_all_collections_or_the_requested_ones(proto, filled):
    dataset, _ = filled
    second = dataset.collections[1].collection.id
    assert len(found_ids(proto, dataset, query(dataset))) == 30
    assert len(found_ids(proto, dataset, query(dataset, collection_ids=[second]))) == 5
    derived = query(dataset, collection_ids=[second])
    derived.ClearField("dataset_id")
    assert len(found_ids(proto, dataset, derived)) == 5


def test_skip_data_returns_only_metadata(wire, filled):
    dataset, _ = filled
    (page,) = wire.query(query(dataset, skip_data=True))
    row = message_class(dataset).FromString(page[3])
    assert {name.name for name, _ in row.ListFields()} == {"time", "id", "ingestion_time"}


def test_a_datapoint_is_found_by_id(wire, filled):
    dataset, ids = filled
    request = data_access_pb2.QueryByIDRequest(dataset_id=dataset.id, id=wire_id(ids[4]))
    answer = wire.call("DataAccessService/QueryByID", request)
    assert message_class(dataset).FromString(answer.value).name == "n4"
    assert answer.type_url == dataset.type.type_url
    request.skip_data = True
    assert message_class(dataset).FromString(wire.call("DataAccessService/QueryByID", request).value).name == ""
    request.collection_ids.append(dataset.collections[1].collection.id)
    with pytest.raises(CallError, match=f"not_found: No such datapoint {UUID(bytes=ids[4])}"):
        wire.call("DataAccessService/QueryByID", request)


def test_counting(wire, filled):
    dataset, _ = filled
    request = datapoints_pb2.CountRequest(query=query(dataset, 0, 10_000))
    assert wire.call("DatapointService/Count", request).count == 12


def test_a_stream_has_all_results_and_ends_with_their_number(proto, filled):
    dataset, ids = filled
    schema, batches, closing = stream(proto, datapoints_pb2.QueryArrowRequest(query=query(dataset)))
    rows = pa.Table.from_batches(batches)
    assert schema.names == [f.name for f in message_class(dataset).DESCRIPTOR.fields]
    assert int(schema.metadata[SNAPSHOT_KEY]) > 0
    assert closing == {ROWS_KEY: b"30"}
    assert rows["time"].to_pylist() == sorted(rows["time"].to_pylist())
    assert set(ids) <= set(rows["id"].to_pylist())


def test_a_stream_supports_order_limit_fields_and_compression(proto, filled):
    dataset, ids = filled
    request = datapoints_pb2.QueryArrowRequest(
        query=query(dataset, **only_first(dataset)), order=SORT_DIRECTION_DESCENDING, limit=3, fields=["cloud_cover"]
    )
    for codec in (None, "zstd", "lz4"):
        headers = {"tilebox-arrow-codec": codec} if codec else {}
        schema, batches, closing = stream(proto, request, **headers)
        assert schema.names == ["time", "id", "ingestion_time", "cloud_cover"]
        assert pa.Table.from_batches(batches)["id"].to_pylist() == ids[:-4:-1]
        assert closing == {ROWS_KEY: b"3"}


def test_a_stream_is_resumed_in_its_snapshot(proto):
    dataset = proto.create_dataset()
    collection = proto.create_collection(dataset)
    ids = [i.uuid for i in proto.ingest(collection, [datapoint(dataset, row) for row in range(10)]).datapoint_ids]
    schema, _, _ = stream(proto, datapoints_pb2.QueryArrowRequest(query=query(dataset)))
    proto.ingest(collection, [datapoint(dataset, 100 + row) for row in range(10)])
    request = datapoints_pb2.QueryArrowRequest(
        query=query(dataset), snapshot=int(schema.metadata[SNAPSHOT_KEY]), starting_after=wire_id(ids[5])
    )
    _, batches, _ = stream(proto, request)
    assert pa.Table.from_batches(batches)["id"].to_pylist() == ids[6:]


def test_an_empty_stream_has_its_schema(proto, dataset, collection):
    schema, batches, closing = stream(proto, datapoints_pb2.QueryArrowRequest(query=query(dataset)))
    assert schema.names[:3] == ["time", "id", "ingestion_time"]
    assert not batches
    assert closing == {ROWS_KEY: b"0"}


def test_a_request_for_a_stream_may_be_compressed(proto, filled):
    dataset, _ = filled
    body = gzip.compress(datapoints_pb2.QueryArrowRequest(query=query(dataset)).SerializeToString())
    headers = {"content-type": "application/proto", "content-encoding": "gzip"}
    assert proto.http.post(ARROW, content=body, headers=headers).status_code == 200
    answer = proto.http.post(ARROW, content=b"no gzip", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


def test_errors_of_a_stream_are_returned_before_its_first_byte(proto, filled):
    dataset, _ = filled
    good = datapoints_pb2.QueryArrowRequest(query=query(dataset))
    for change, says in (
        ({"fields": ["cloud_covr"]}, "no field 'cloud_covr'; did you mean cloud_cover?"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"starting_after": wire_id(uuid4())}, ""),
        ({"starting_after": wire_id(b"short")}, "16 bytes"),
        ({"snapshot": 10**9}, ""),
    ):
        request = datapoints_pb2.QueryArrowRequest(**change)
        request.MergeFrom(good)
        with pytest.raises(CallError, match=f"invalid_argument: .*{says}"):
            proto.post(ARROW, request)
    headers = {"content-type": "application/proto", "tilebox-arrow-codec": "brotli"}
    answer = proto.http.post(ARROW, content=good.SerializeToString(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    answer = proto.http.post(ARROW, content=b"\xff\xff", headers={"content-type": "application/proto"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


def bad_interval(request):
    request.filters.time_interval.CopyFrom(interval(2000, 1000))


def both_intervals(request):
    request.filters.datapoint_interval.CopyFrom(IDInterval(start_id=wire_id(uuid4()), end_id=wire_id(uuid4())))


def area(request, wkb):
    request.filters.spatial_extent.geometry.CopyFrom(Geometry(wkb=wkb))


def where(request, expression):
    request.filters.expressions.append(to_wire(expression))


def nested(depth):
    expression = field("cloud_cover") < 1
    for _ in range(depth):
        expression = ~expression
    return expression


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bad_interval, "the end of time_interval is before its start"),
        (both_intervals, "exactly one of"),
        (lambda r: r.filters.ClearField("time_interval"), "exactly one of"),
        (lambda r: r.ClearField("filters"), "exactly one of"),
        (lambda r: r.filters.time_interval.ClearField("end_time"), "start_time and end_time"),
        (
            lambda r: setattr(r.filters.time_interval.end_time, "nanos", -1),
            "must be a time between the years 1 and 9999",
        ),
        (
            lambda r: setattr(r.filters.time_interval.end_time, "seconds", 10**12),
            "must be a time between the years 1 and 9999",
        ),
        (lambda r: setattr(r.page, "limit", 0), "page.limit must be at least 1, not 0"),
        (lambda r: setattr(r.page, "limit", -5), "page.limit must be at least 1, not -5"),
        (lambda r: r.page.starting_after.CopyFrom(wire_id(b"short")), "starting_after must be a UUID of 16 bytes"),
        (lambda r: r.page.starting_after.CopyFrom(wire_id(uuid4())), ""),
        (lambda r: r.collection_ids.extend([wire_id(uuid4())] * 101), "at most 100 collection_ids"),
        (lambda r: r.collection_ids.append(wire_id(b"short")), r"collection_ids\[0\] must be a UUID"),
        (lambda r: r.ClearField("dataset_id"), "dataset_id or collection_ids is required"),
        (lambda r: area(r, b""), "geometry is required"),
        (lambda r: area(r, b"no wkb"), "spatial_extent.geometry"),
        (lambda r: area(r, shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)]))), "LineString"),
        (lambda r: area(r, shapely.to_wkb(shapely.Point(0, 91))), "latitude"),
        (
            lambda r: (area(r, shapely.to_wkb(shapely.Point(0, 1))), setattr(r.filters.spatial_extent, "mode", 9)),
            "mode",
        ),
        (
            lambda r: where(r, field("nowhere") == 1),
            "no field 'nowhere' to filter by; queryable fields: name, cloud_cover",
        ),
        (lambda r: where(r, field("scene").is_null()), "'scene' is not queryable"),
        (lambda r: where(r, field("cloud_cover") == "x"), "'cloud_cover' is a double"),
        (lambda r: where(r, nested(8)), "levels deep"),
        (lambda r: [where(r, field("name") == "a") for _ in range(65)], "at most 64"),
    ],
)
def test_invalid_queries_are_rejected(proto, filled, spoil, says):
    request = query(filled[0])
    spoil(request)
    with pytest.raises(CallError, match=f"invalid_argument: .*{says}"):
        proto.call("DataAccessService/Query", request)


def test_a_cursor_of_another_dataset_is_rejected(proto, filled, dataset, collection):
    foreign = proto.ingest(collection, [datapoint(dataset, 4000)]).datapoint_ids[0]
    with pytest.raises(CallError, match="invalid_argument"):
        proto.call("DataAccessService/Query", query(filled[0], page=Pagination(starting_after=foreign)))


def test_collections_of_another_dataset_are_not_found(proto, filled, dataset, collection):
    with pytest.raises(CallError, match=r"not_found: No such collection .* in dataset"):
        proto.call("DataAccessService/Query", query(filled[0], collection_ids=[collection.id]))
    mixed = query(filled[0], collection_ids=[collection.id, filled[0].collections[0].collection.id])
    mixed.ClearField("dataset_id")
    with pytest.raises(CallError, match="invalid_argument: collection_ids belong to several datasets"):
        proto.call("DataAccessService/Query", mixed)


def test_a_dataset_without_footprints_cannot_be_queried_by_area(proto):
    dataset = proto.create_dataset(kind=DatasetKind.TEMPORAL)
    request = query(dataset)
    area(request, shapely.to_wkb(shapely.Point(0, 1)))
    with pytest.raises(CallError, match="has no footprints"):
        proto.call("DataAccessService/Query", request)


def found_ids(wire, dataset, request) -> list[bytes]:
    return [message_class(dataset).FromString(value).id.uuid for page in wire.query(request) for value in page]


def stream(wire, request, **headers):
    """Return schema, batches and the metadata of the closing batch."""
    answer = wire.http.post(
        ARROW, content=request.SerializeToString(), headers={"content-type": "application/proto", **headers}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    reader = pa.ipc.open_stream(answer.content)
    batches = list(reader.iter_batches_with_custom_metadata())
    last = batches.pop()
    assert last.batch.num_rows == 0
    return reader.schema, [batch.batch for batch in batches], dict(last.custom_metadata)
