"""Data to ingest becomes datapoints."""

from __future__ import annotations

import datetime as dt
import uuid

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import xarray as xr
from core.results.test_frames import assert_same
from google.protobuf import struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datapoints.messages import EVERY_KIND, TYPE_NAMES, field, message_class, schema_of, serialise
from support.datapoints.messages import messages as datapoints

from tilebox._core.columns import messages
from tilebox._core.columns.numpy_columns import missing_value
from tilebox._core.ingest.rows import encode
from tilebox._core.results.frames import MessageDecoder, single
from tilebox._core.schema.fields import DatasetKind, Field, FieldKind

ID = uuid.UUID("01916d89-ba23-64c9-e383-3152644bcbde")
BOX = shapely.box(1, 2, 3, 4)


@pytest.fixture(params=["arrow", "plain"])
def arrow_or_plain(request, monkeypatch):
    """Encode with and without the extra `arrow`."""
    if request.param == "plain":
        monkeypatch.setattr(messages, "is_available", lambda: False)
    return request.param


def datapoint_of(values, schema=EVERY_KIND):
    """Encode one record and read it back as a message."""
    (raw,) = encode(schema, [{"time": "2024-01-01", **values}]).messages()
    return message_class(schema).FromString(raw)


def load(values, schema=EVERY_KIND) -> xr.Dataset:
    decoder = MessageDecoder(schema, use_arrow=False)
    decoder.add(values)
    return decoder.dataset()


@settings(max_examples=50)
@given(st.lists(datapoints(), min_size=1, max_size=4))
def test_loaded_datasets_can_be_ingested_again(drawn):
    loaded = load([serialise(message) for message in drawn])
    again = load(encode(EVERY_KIND, loaded).messages())
    for column in EVERY_KIND.custom:
        if not column.repeated:
            assert_same(
                again[[column.name]].drop_vars(["id", "ingestion_time"]),
                loaded[[column.name]].drop_vars(["id", "ingestion_time"]),
            )
            continue
        if column.name not in loaded:
            assert column.name not in again
            continue
        # Trailing missing values of a list are lost, so the longest list may be shorter now.
        shorter = again.get(column.name)
        width = 0 if shorter is None else shorter.shape[1]
        rest = loaded[column.name][:, width:].to_numpy()
        assert _is_fill(column, rest)
        if width:
            np.testing.assert_array_equal(
                _comparable(shorter.to_numpy()), _comparable(loaded[column.name][:, :width].to_numpy())
            )


def _comparable(values):
    if values.dtype != object:
        return values
    return np.vectorize(
        lambda value: value if value is None or isinstance(value, str | bytes) else str(value), otypes=[object]
    )(values)


def _is_fill(field, values) -> bool:
    fill = missing_value(field)
    if values.size == 0:
        return True
    return bool(pd.isna(values).all() if fill is None or pd.isna(fill) else (values == fill).all())


@settings(max_examples=30)
@given(st.lists(datapoints(), min_size=1, max_size=4), st.data())
def test_a_range_of_rows_equals_that_part_of_all_rows(drawn, data):
    encoded = encode(EVERY_KIND, load([serialise(message) for message in drawn]))
    start = data.draw(st.integers(0, len(drawn)))
    stop = data.draw(st.integers(start, len(drawn)))
    encoded.table(start, stop).validate(full=True)
    assert encoded.messages(start, stop) == encoded.messages()[start:stop]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "is_available", lambda: False)
        assert encoded.messages(start, stop) == encoded.messages()[start:stop]


@settings(max_examples=30)
@given(st.lists(datapoints(), min_size=1, max_size=4))
def test_encoding_with_and_without_arrow_gives_equal_bytes(drawn):
    loaded = load([serialise(message) for message in drawn])
    over_arrow = encode(EVERY_KIND, loaded).messages()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "is_available", lambda: False)
        assert encode(EVERY_KIND, loaded).messages() == over_arrow


def test_one_loaded_datapoint_can_be_ingested(arrow_or_plain):
    message = message_class(EVERY_KIND)(time={"seconds": 1}, a_string="x", many_int32=[1, 2], a_latlon={"latitude": 1})
    loaded = load([serialise(message)])
    assert encode(EVERY_KIND, single(loaded)).messages() == encode(EVERY_KIND, loaded).messages()


SMALL = schema_of(
    field("cloud_cover", FieldKind.DOUBLE),
    field("orbit", FieldKind.INT32),
    field("granule_name", FieldKind.STRING),
    field("good", FieldKind.BOOL),
    Field(name="direction", kind=FieldKind.ENUM, type_name="datasets.v1.FlightDirection"),
    field("tags", FieldKind.STRING, repeated=True),
    field("position", FieldKind.LATLON),
    kind=DatasetKind.SPATIOTEMPORAL,
)
RECORDS = [
    {
        "time": "2024-01-01T10:00:00Z",
        "geometry": BOX,
        "cloud_cover": 1.5,
        "orbit": 7,
        "granule_name": "a",
        "good": True,
        "direction": "ASCENDING",
        "tags": ["x", "y"],
        "position": [1.0, 2.0],
    },
    {"time": dt.datetime(2024, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=9))), "orbit": None, "tags": None},
]


def expected_records():
    make = message_class(SMALL)
    return [
        make(
            time={"seconds": 1704103200},
            geometry={"wkb": shapely.to_wkb(BOX)},
            cloud_cover=1.5,
            orbit=7,
            granule_name="a",
            good=True,
            direction=1,
            tags=["x", "y"],
            position={"latitude": 1, "longitude": 2},
        ),
        make(time={"seconds": 1704121200}),
    ]


def columns_of(records):
    names = RECORDS[0]
    return {name: [record.get(name) for record in records] for name in names}


def as_frame():
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns_of(RECORDS).items()})


@pytest.mark.parametrize(
    "data",
    [
        lambda: RECORDS,
        lambda: iter(RECORDS),
        lambda: columns_of(RECORDS),
        as_frame,
        lambda: as_frame().convert_dtypes(),
        lambda: geopandas.GeoDataFrame(as_frame(), geometry="geometry", crs=4326),
        lambda: geopandas.GeoDataFrame(as_frame().rename(columns={"geometry": "shape"}), geometry="shape", crs=4326),
        lambda: as_frame().set_index("time"),
    ],
    ids=["records", "iterator", "columns", "frame", "nullable dtypes", "geodataframe", "active geometry", "time index"],
)
def test_every_form_gives_the_same_datapoints(data, arrow_or_plain):
    encoded = encode(SMALL, data())
    assert encoded.rows == 2
    assert encoded.messages() == [serialise(message) for message in expected_records()]
    assert encoded.messages(1, 2) == [serialise(expected_records()[1])]


@pytest.mark.parametrize("dtype", [pd.StringDtype("pyarrow"), pd.StringDtype("python"), object], ids=str)
def test_pandas_text_encodes_equally_for_every_dtype(dtype, arrow_or_plain):
    del arrow_or_plain
    text = {"granule_name": ["é", None, ""], "direction": ["ASCENDING", None, "FLIGHT_DIRECTION_DESCENDING"]}
    frame = pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, values in text.items()})
    frame["time"] = pd.Series(["2024-01-01", "2024-01-02T03:00", "2024-01-03"], dtype=dtype)
    frame["tags"] = [["x"], [], ["y", "z"]]
    plain = {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame}
    for rows in (frame, frame.iloc[1:], pd.concat([frame, frame[::-1]])):
        wanted = [{name: plain[name][row] for name in plain} for row in rows.index]
        assert encode(SMALL, rows).messages() == encode(SMALL, wanted).messages()


def test_invalid_pandas_text_is_refused():
    text = pd.DataFrame({"time": ["2024-01-01"] * 2, "direction": ["ASCENDING", "sideways"]})
    with pytest.raises(ValueError, match="Record 1: Field 'direction': 'sideways' is not a label"):
        encode(SMALL, text)
    with pytest.raises(ValueError, match="Record 0: Field 'cloud_cover': expected a number"):
        encode(SMALL, text[["time"]].assign(cloud_cover=["much", "little"]))


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (FieldKind.TIMESTAMP, "2024-01-01", {"seconds": 1704067200}),
        (FieldKind.TIMESTAMP, "2024-01-01T09:00:00.5+09:00", {"seconds": 1704067200, "nanos": 500_000_000}),
        (FieldKind.TIMESTAMP, dt.datetime(2024, 1, 1), {"seconds": 1704067200}),
        (FieldKind.TIMESTAMP, dt.date(2024, 1, 1), {"seconds": 1704067200}),
        (FieldKind.TIMESTAMP, pd.Timestamp("2024-01-01", tz="Asia/Tokyo"), {"seconds": 1704034800}),
        (FieldKind.TIMESTAMP, np.datetime64("1969-12-31T23:59:59.5", "ms"), {"seconds": -1, "nanos": 500_000_000}),
        (FieldKind.DURATION, dt.timedelta(seconds=-1.5), {"seconds": -1, "nanos": -500_000_000}),
        (FieldKind.DURATION, np.timedelta64(2, "h"), {"seconds": 7200}),
        (FieldKind.UUID, ID, {"uuid": ID.bytes}),
        (FieldKind.UUID, str(ID).upper(), {"uuid": ID.bytes}),
        (FieldKind.UUID, ID.hex, {"uuid": ID.bytes}),
        (FieldKind.GEOMETRY, BOX, {"wkb": shapely.to_wkb(BOX)}),
        (FieldKind.GEOMETRY, shapely.to_wkb(BOX, byte_order=0), {"wkb": shapely.to_wkb(BOX)}),
        (FieldKind.GEOMETRY, {"type": "Point", "coordinates": [1, 2]}, {"wkb": shapely.to_wkb(shapely.Point(1, 2))}),
        (FieldKind.GEOMETRY, shapely.Point(1, 2, 3), {"wkb": shapely.to_wkb(shapely.Point(1, 2, 3), flavor="iso")}),
        (FieldKind.ENUM, "L1C", 3),
        (FieldKind.ENUM, "PROCESSING_LEVEL_L1C", 3),
        (FieldKind.ENUM, 3, 3),
        (FieldKind.ENUM, np.int64(3), 3),
        (FieldKind.INT32, 7.0, 7),
        (FieldKind.INT32, np.uint8(7), 7),
        (FieldKind.UINT64, 2**64 - 1, 2**64 - 1),
        (FieldKind.INT64, -(2**63), -(2**63)),
        (FieldKind.FLOAT, 0.5, 0.5),
        (FieldKind.DOUBLE, 3, 3.0),
        (FieldKind.DOUBLE, float("inf"), float("inf")),
        (FieldKind.BYTES, bytearray(b"x"), b"x"),
        (FieldKind.STRING, "", ""),
        (FieldKind.LATLON, (1, 2), {"latitude": 1, "longitude": 2}),
        (FieldKind.LATLON, {"longitude": 2, "latitude": 1}, {"latitude": 1, "longitude": 2}),
        (FieldKind.VEC3, np.array([1, 2, 3]), {"x": 1, "y": 2, "z": 3}),
        (FieldKind.MESSAGE, struct_pb2.Struct(fields={"a": struct_pb2.Value(bool_value=True)}), {"a": True}),
        (FieldKind.MESSAGE, serialise(struct_pb2.Struct(fields={"a": struct_pb2.Value(bool_value=True)})), {"a": True}),
    ],
    ids=str,
)
def test_values_of_every_kind(kind, value, wanted, arrow_or_plain):
    single_name, list_name = f"a_{kind.name.lower()}", f"many_{kind.name.lower()}"
    expected = message_class(EVERY_KIND)(time={"seconds": 1704067200}, **{single_name: wanted})
    # Older versions of protobuf do not accept a dictionary for a Struct in a list.
    getattr(expected, list_name).extend([getattr(expected, single_name)] * 2)
    assert datapoint_of({single_name: value, list_name: [value, value]}) == expected
    mixed = encode(EVERY_KIND, {"time": ["2024-01-01"] * 2, single_name: [value, None]}).messages()
    expected.ClearField(list_name)
    assert message_class(EVERY_KIND).FromString(mixed[0]) == expected


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, np.nan, np.datetime64("NaT")], ids=str)
@pytest.mark.parametrize("kind", list(FieldKind), ids=str)
def test_missing_values_are_unset(kind, missing):
    name = kind.name.lower()
    assert datapoint_of({f"a_{name}": missing, f"many_{name}": missing}) == datapoint_of({})


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (FieldKind.INT32, 2**31, "not within -2147483648 and 2147483647"),
        (FieldKind.INT32, 1.5, "expected a whole number, got 1.5"),
        (FieldKind.INT32, float("inf"), "expected a whole number"),
        (FieldKind.INT32, "7", "expected a number, got '7'"),
        (FieldKind.INT32, True, "expected a number, got True"),
        (FieldKind.UINT64, -1, "not within 0"),
        (FieldKind.UINT64, 2.0**64, "not within 0"),
        (FieldKind.INT64, 2.0**63, "not within"),
        (FieldKind.FLOAT, 1e39, "too large"),
        (FieldKind.DOUBLE, 10**400, "too large"),
        (FieldKind.DOUBLE, "x", "expected a number"),
        (FieldKind.BOOL, 1, "expected True or False"),
        (FieldKind.STRING, 5, "expected text, got 5"),
        (FieldKind.STRING, "\ud800", "surrogate"),
        (FieldKind.BYTES, "x", "expected bytes"),
        (FieldKind.ENUM, "ASCENDIN", "is not a label"),
        (FieldKind.ENUM, "L1Cx", "did you mean L1C"),
        (FieldKind.ENUM, 99, "not a number of datasets.v1.ProcessingLevel"),
        (FieldKind.TIMESTAMP, "yesterday-ish", "is not a timestamp"),
        (FieldKind.TIMESTAMP, 1_700_000_000_000, "seconds since 1970 do not fit"),
        (FieldKind.TIMESTAMP, True, "expected a time, as datetime, datetime64, ISO 8601 text or Unix seconds"),
        (FieldKind.TIMESTAMP, "3000-01-01", "does not fit"),
        (FieldKind.TIMESTAMP, dt.datetime(1, 1, 1), "does not fit"),
        (FieldKind.DURATION, 5, "expected a timedelta"),
        (FieldKind.UUID, "nope", "is not a UUID"),
        (FieldKind.UUID, b"short", "is not a UUID"),
        (FieldKind.GEOMETRY, b"x", "is not a geometry"),
        (FieldKind.GEOMETRY, "POINT (1 2)", "is not a geometry"),
        (FieldKind.GEOMETRY, {"type": "Nope"}, "is not a geometry"),
        (FieldKind.LATLON, [1, 2, 3], r"expected 2 numbers \(latitude, longitude\)"),
        (FieldKind.LATLON, {"lat": 1}, "expected 2 numbers"),
        (FieldKind.MESSAGE, b"\xff", "these bytes are not a message"),
        (FieldKind.MESSAGE, {"a": 1}, "expected a message"),
    ],
    ids=str,
)
def test_invalid_values_are_refused_with_row_and_field(kind, value, reason):
    name = kind.name.lower()
    times = ["2024-01-01"] * 3
    with pytest.raises(ValueError, match=rf"(?s)1 of 3 records.*\nRecord 1: Field 'a_{name}': .*{reason}"):
        encode(EVERY_KIND, {"time": times, f"a_{name}": [None, value, None]})
    with pytest.raises(ValueError, match=rf"Record 2: Field 'many_{name}': .*{reason}"):
        encode(EVERY_KIND, {"time": times, f"many_{name}": [None, [], [value]]})


@pytest.mark.parametrize("kind", [FieldKind.STRING, FieldKind.INT32, FieldKind.TIMESTAMP, FieldKind.GEOMETRY], ids=str)
def test_lists_hold_no_missing_values(kind):
    name = f"many_{kind.name.lower()}"
    with pytest.raises(ValueError, match=f"Record 0: Field '{name}': a list must not hold missing values"):
        encode(EVERY_KIND, [{"time": "2024-01-01", name: [None]}])


def test_typed_arrays_are_checked_too():
    times = np.array(["2024-01-01"] * 2, "M8[s]")
    for name, values, reason in (
        ("a_int32", np.array([1, 2**40]), "Record 1: .*not within"),
        ("a_int32", np.array([1.5, np.nan]), "Record 0: .*whole"),
        ("a_uint32", np.array([1, -1], np.int8), "Record 1: .*not within"),
        ("a_float", np.array([1.0, 1e300]), "Record 1: .*too large"),
        ("a_timestamp", np.array(["2024-01-01", "9999-01-01"], "M8[D]"), "Record 1: .*does not fit"),
        ("a_timestamp", np.array([True, False]), "Record 0: .*expected a time"),
        ("a_string", np.array([1, 2]), "Record 0: .*expected text"),
        ("a_int32", np.zeros((2, 2)), "Record 0: .*one value, got an array"),
    ):
        with pytest.raises(ValueError, match=reason):
            encode(EVERY_KIND, {"time": times, name: values})


def test_the_list_of_rejected_records_is_capped():
    with pytest.raises(ValueError, match="cannot ingest 50 of 50 records") as caught:
        encode(SMALL, {"time": ["2024-01-01"] * 50, "orbit": ["x"] * 50})
    lines = str(caught.value).splitlines()
    assert lines[1] == "Record 0: Field 'orbit': expected a number, got 'x'"
    assert lines[-1] == "… and 30 more"
    assert len(lines) == 22


def test_a_missing_time_is_refused():
    with pytest.raises(ValueError, match="Record 1: Field 'time': every datapoint needs a time"):
        encode(SMALL, [{"time": "2024-01-01"}, {"orbit": 1}])
    with pytest.raises(ValueError, match="the data has no column 'time'"):
        encode(SMALL, {"orbit": [1]})


def test_unknown_columns_are_named_with_near_misses():
    with pytest.raises(
        ValueError, match=r"'cloudcover' is not a field of this dataset; did you mean 'cloud_cover'.* orbit"
    ):
        encode(SMALL, {"time": ["2024-01-01"], "cloudcover": [1]})


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="'time' has 2 values, 'orbit' has 1"):
        encode(SMALL, {"time": ["2024-01-01"] * 2, "orbit": [1]})


def test_unknown_columns_without_near_misses_list_the_fields():
    with pytest.raises(ValueError, match=r"'zzz' is not a field of this dataset\. Its fields are: time, "):
        encode(SMALL, {"time": ["2024-01-01"], "zzz": [1]})


@pytest.mark.parametrize(
    "seconds",
    [
        [1_704_067_200, 0, -1],
        np.array([1_704_067_200, 0, -1]),
        np.array([1_704_067_200.0, 0.0, -1.0]),
        ["2024-01-01", 0, -1.0],
        pd.Series([1_704_067_200, 0, -1], dtype="Int64"),
    ],
    ids=["ints", "int array", "float array", "mixed", "nullable"],
)
def test_numbers_are_unix_seconds(seconds):
    times = encode(SMALL, {"time": seconds}).table()["time"].cast("int64").to_pylist()
    assert times == [1_704_067_200_000, 0, -1_000]


def test_fractions_of_unix_seconds_keep_their_millisecond(arrow_or_plain):
    seconds = [1_773_655_304.123, 1_773_655_304.001, 0.999]
    for form in (seconds, np.array(seconds), [*seconds[:2], np.float64(seconds[2])]):
        raw = encode(SMALL, {"time": form}).messages()
        read = [message_class(SMALL).FromString(value).time.ToMilliseconds() for value in raw]
        assert read == [1_773_655_304_123, 1_773_655_304_001, 999]


@pytest.mark.parametrize("number", [1_773_655_304_123, 1e18, float("inf"), -1e10, np.int64(2**62)], ids=str)
def test_unix_milliseconds_are_refused(number):
    for data in ({"time": [number]}, {"time": np.array([number])}):
        with pytest.raises(ValueError, match="numbers are seconds, not milliseconds"):
            encode(SMALL, data)


def test_arrow_tables_go_through_pandas():
    with pytest.raises(TypeError, match=r"cannot ingest a Table; call its method to_pandas\(\) first"):
        encode(SMALL, pa.table({"time": [0]}))


@pytest.mark.parametrize("data", [5, "text", None], ids=str)
def test_other_data_is_refused(data):
    with pytest.raises(TypeError, match="cannot ingest a"):
        encode(SMALL, data)


def test_only_trailing_padding_of_xarray_lists_is_dropped(arrow_or_plain):
    dataset = xr.Dataset(
        {
            "tags": (("time", "n_tags"), np.array([["a", None, None], ["b", "c", "d"]], object)),
            "position": (("time", "latlon"), [[np.nan, np.nan], [1.0, np.nan]]),
        },
        coords={"time": np.array(["2024-01-01", "2024-01-02"], "M8[ns]"), "latlon": ["latitude", "longitude"]},
    )
    first, second = map(message_class(SMALL).FromString, encode(SMALL, dataset).messages())
    assert (list(first.tags), list(second.tags)) == (["a"], ["b", "c", "d"])
    assert not first.HasField("position")
    assert second.position.latitude == 1
    plain = encode(EVERY_KIND, {"time": dataset.time, "many_int32": np.array([[1, 0], [0, 2]])}).messages()
    assert [list(message_class(EVERY_KIND).FromString(raw).many_int32) for raw in plain] == [[1, 0], [0, 2]]


def test_nothing_to_ingest(arrow_or_plain):
    for data in ([], {"time": []}, pd.DataFrame({"time": []}), {"time": [], "tags": [], "geometry": []}):
        encoded = encode(SMALL, data)
        assert (encoded.rows, encoded.messages()) == (0, [])


def test_batches_are_limited():
    encoded = encode(SMALL, {"time": np.zeros(9000, "M8[s]")})
    assert len(encoded.messages(0, 8192)) + len(encoded.messages(8192, 9000)) == 9000
    with pytest.raises(ValueError, match="at most 8192"):
        encoded.messages(0, 9000)


def test_every_message_kind_is_covered():
    assert {kind for kind in FieldKind if "." in kind.value} <= set(TYPE_NAMES)
