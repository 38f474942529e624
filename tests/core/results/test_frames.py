"""Datapoints to xarray."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pyarrow as pa
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datapoints.messages import EVERY_KIND, field, message_class, schema_of, serialise
from support.datapoints.messages import messages as datapoints

from tilebox._core.columns.messages import to_arrow
from tilebox._core.results.frames import ArrowDecoder, MessageDecoder, single
from tilebox._core.schema.fields import METADATA_NAMES, VECTOR_COMPONENTS, DatasetKind, FieldKind

DTYPES = {
    FieldKind.BOOL: "bool",
    FieldKind.INT32: "int32",
    FieldKind.INT64: "int64",
    FieldKind.UINT32: "uint32",
    FieldKind.UINT64: "uint64",
    FieldKind.FLOAT: "float32",
    FieldKind.DOUBLE: "float64",
    FieldKind.TIMESTAMP: "datetime64[ns]",
    FieldKind.DURATION: "timedelta64[ns]",
    FieldKind.UUID: "<U36",
} | dict.fromkeys(VECTOR_COMPONENTS, "float64")
FIXED_TIMES = {"time": {"seconds": 1}, "ingestion_time": {"seconds": 2}, "id": {"uuid": bytes(range(16))}}


def decoded(values, *, schema=EVERY_KIND, pages=1, **options) -> xr.Dataset:
    """Decode through plain protobuf."""
    decoder = MessageDecoder(schema, use_arrow=False, **options)
    for page in np.array_split(np.arange(len(values)), pages):
        assert decoder.add([values[row] for row in page]) == len(page)
    assert decoder.rows == len(values)
    return decoder.dataset()


def over_arrow(values, *, schema=EVERY_KIND, pages=1, **options) -> xr.Dataset:
    """Decode through the Arrow form."""
    decoder = ArrowDecoder(schema, **options)
    batch = to_arrow(schema, values)
    for page in np.array_split(np.arange(len(values)), pages):
        decoder.add(batch.slice(page[0] if len(page) else 0, len(page)))
    assert decoder.rows == len(values)
    return decoder.dataset()


def assert_same(first: xr.Dataset, second: xr.Dataset) -> None:
    """Compare names, order, dimensions, dtypes and values; messages by equality of their fields."""
    assert list(first.variables) == list(second.variables)
    assert list(first.coords) == list(second.coords)
    for name in first.variables:
        left, right = first[name], second[name]
        assert (left.dims, left.dtype, left.shape) == (right.dims, right.dtype, right.shape), name
        if left.dtype == object:
            for value, expected in zip(left.values.flat, right.values.flat, strict=True):
                assert type(value) is type(expected), name
                assert value == expected, name
        else:
            np.testing.assert_array_equal(left.values, right.values, err_msg=name)


@settings(max_examples=60)
@given(st.lists(datapoints(), max_size=5), st.integers(1, 3))
def test_all_decoders_give_the_same_dataset(drawn, pages):
    values = [serialise(message) for message in drawn]
    expected = decoded(values)
    assert_same(decoded(values, pages=pages), expected)
    assert_same(over_arrow(values, pages=pages), expected)
    assert_same(over_arrow(values, pages=pages, lazy=True), expected)
    assert_same(over_arrow(values, lazy=True).load(), expected)


@settings(max_examples=40)
@given(datapoints())
def test_values_equal_those_of_the_message(message):
    dataset = decoded([serialise(message)])
    assert dataset.sizes["time"] == 1
    assert dataset.id.item() == _text(message.id.uuid)
    for column in EVERY_KIND.custom:
        if column.name not in dataset:
            assert column.repeated
            assert len(getattr(message, column.name)) == 0
            continue
        variable = dataset[column.name]
        assert variable.dtype == DTYPES.get(column.kind, "object"), column.name
        wanted = getattr(message, column.name)
        values = variable.values[0] if column.repeated else [variable.values[0]]
        present = column.repeated or message.HasField(column.name)
        for value, raw in zip(values, wanted if column.repeated else [wanted], strict=True):
            _check(column, value, raw if present else None)


def _text(raw: bytes) -> str:
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _check(column, value, raw):
    kind = column.kind
    if raw is None:
        if kind in VECTOR_COMPONENTS:
            assert np.isnan(value).all()
        elif kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
            assert np.isnat(value)
        elif kind in (FieldKind.FLOAT, FieldKind.DOUBLE):
            assert np.isnan(value)
        elif kind is FieldKind.UUID:
            assert value == ""
        elif kind in DTYPES:
            assert value == 0
        else:
            assert value is None
    elif kind in VECTOR_COMPONENTS:
        np.testing.assert_array_equal(value, [getattr(raw, name) for name in VECTOR_COMPONENTS[kind]])
    elif kind in (FieldKind.TIMESTAMP, FieldKind.DURATION):
        assert int(value.astype(np.int64)) == raw.seconds * 10**9 + raw.nanos
    elif kind is FieldKind.UUID:
        assert value == _text(raw.uuid)
    elif kind is FieldKind.GEOMETRY:
        assert value == shapely.from_wkb(raw.wkb)
    elif kind is FieldKind.ENUM:
        assert value == column.enum_labels[raw]
    elif kind is FieldKind.MESSAGE:
        assert serialise(value) == serialise(raw)
    elif kind in DTYPES:
        np.testing.assert_array_equal(value, np.array(raw, DTYPES[kind]))
    else:
        assert (type(value), value) == (type(raw), raw)


def test_coordinates_and_dimensions():
    message = message_class(EVERY_KIND)(
        **FIXED_TIMES, a_latlon={"latitude": 1, "longitude": 2}, many_vec3=[{"x": 1}, {"y": 2}], many_string=["a"]
    )
    dataset = decoded([serialise(message)])
    assert list(dataset.coords)[:3] == ["ingestion_time", "id", "time"]
    assert dataset.a_latlon.dims == ("time", "latlon")
    assert list(dataset.latlon.values) == ["latitude", "longitude"]
    assert dataset.many_vec3.dims == ("time", "n_many_vec3", "vec3")
    assert dataset.many_string.dims == ("time", "n_many_string")
    assert next(iter(dataset.data_vars)) == "geometry"
    assert "many_bool" not in dataset
    assert dataset.a_latlon.sel(latlon="longitude").item() == 2
    assert dataset.indexes["time"].dtype == "datetime64[ns]"


def test_a_dimension_is_renamed_if_a_field_has_its_name():
    schema = schema_of(
        field("latlon", FieldKind.LATLON),
        field("tags", FieldKind.STRING, repeated=True),
        field("n_tags", FieldKind.INT64),
    )
    value = serialise(message_class(schema)(**FIXED_TIMES, latlon={"latitude": 1}, tags=["a"], n_tags=1))
    dataset = decoded([value], schema=schema)
    assert dataset.latlon.dims == ("time", "latlon_dim")
    assert dataset.tags.dims == ("time", "n_tags_dim")
    assert_same(over_arrow([value], schema=schema), dataset)


@pytest.mark.parametrize("decode", [decoded, over_arrow])
def test_no_datapoints_give_an_empty_dataset(decode):
    assert decode([]).identical(xr.Dataset())
    assert decode([], skip_data=True).identical(xr.Dataset())


@pytest.mark.parametrize("decode", [decoded, over_arrow])
def test_skip_data_gives_the_coordinates_only(decode):
    dataset = decode([serialise(message_class(EVERY_KIND)(**FIXED_TIMES, a_double=1))], skip_data=True)
    assert list(dataset.variables) == ["ingestion_time", "id", "time"]


@pytest.mark.parametrize("lazy", [False, True])
def test_find_gives_scalars(lazy):
    message = message_class(EVERY_KIND)(**FIXED_TIMES, a_string="x", a_message={"k": "v"}, many_message=[{}, {}])
    # Older versions of protobuf do not accept a dictionary with keys for a Struct in a list.
    message.many_message[1]["a"] = 1
    message.geometry.wkb = shapely.to_wkb(shapely.Point(1, 2))
    datapoint = single(over_arrow([serialise(message)], lazy=lazy))
    assert "time" not in datapoint.dims
    assert datapoint.id.item() == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert datapoint.geometry.item() == shapely.Point(1, 2)
    assert datapoint.a_string.item() == "x"
    assert datapoint.a_message.item()["k"] == "v"
    assert datapoint.many_message.values[1]["a"] == 1


def test_dtypes_do_not_depend_on_the_rows():
    empty = serialise(message_class(EVERY_KIND)(**FIXED_TIMES))
    full = serialise(message_class(EVERY_KIND)(**FIXED_TIMES, a_string="x", a_enum=3, a_int64=1, a_bool=True))
    kinds = [decoded(values).dtypes for values in ([empty], [full], [empty, full], [full] * 9)]
    assert all(kind == kinds[0] for kind in kinds)


@pytest.mark.parametrize("use_arrow", [False, True])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"a_enum": 99}, "'a_enum': 99 is not a number of the enumeration datasets.v1.ProcessingLevel"),
        ({"many_enum": [1, 99]}, "'many_enum': 99 is not"),
        ({"a_timestamp": {"seconds": 2**40}}, "row 1: field 'a_timestamp': times must lie"),
        ({"a_uuid": {"uuid": b"x"}}, "row 1: field 'a_uuid': a UUID must have 16 bytes"),
        ({"geometry": {"wkb": b"x"}}, "'geometry': a value is not well-known binary"),
        ({"many_geometry": [{"wkb": b""}, {"wkb": b"x"}]}, "'many_geometry': a value is not well-known binary"),
    ],
)
def test_a_value_without_a_numpy_form_is_an_error(use_arrow, bad, reason):
    good = serialise(message_class(EVERY_KIND)(**FIXED_TIMES))
    decoder = MessageDecoder(EVERY_KIND, use_arrow=use_arrow)
    with pytest.raises(ValueError, match=reason):
        decoder.add([good, serialise(message_class(EVERY_KIND)(**FIXED_TIMES, **bad))])


@pytest.mark.parametrize("use_arrow", [False, True])
def test_malformed_datapoints_are_an_error(use_arrow):
    with pytest.raises(ValueError, match="row 2 is not a datapoint"):
        MessageDecoder(EVERY_KIND, use_arrow=use_arrow).add([b"", b"", b"\xff", b""])


def test_arrow_with_unknown_enumeration_numbers_or_without_a_column_is_an_error():
    batch = to_arrow(EVERY_KIND, [serialise(message_class(EVERY_KIND)(**FIXED_TIMES, a_enum=1))])
    position = batch.schema.get_field_index("a_enum")
    changed = batch.set_column(position, "a_enum", pa.array([77], pa.int32()))
    with pytest.raises(ValueError, match="'a_enum': 77 is not a number"):
        ArrowDecoder(EVERY_KIND).add(changed)
    with pytest.raises(ValueError, match="lacks column 'a_enum'"):
        ArrowDecoder(EVERY_KIND).add(batch.drop_columns(["a_enum"]))


def test_times_that_do_not_fit_nanoseconds_are_an_error():
    batch = to_arrow(EVERY_KIND, [serialise(message_class(EVERY_KIND)(**FIXED_TIMES))])
    changed = batch.set_column(0, "time", pa.array([2**50], pa.timestamp("ms")))
    with pytest.raises(ValueError, match="field 'time': a time does not fit"):
        ArrowDecoder(EVERY_KIND).add(changed)


def _lazy_and_eager(rows=7):
    values = [
        serialise(
            message_class(EVERY_KIND)(
                time={"seconds": row},
                id={"uuid": bytes([row] * 16)},
                a_double=row,
                a_string=str(row),
                many_int32=list(range(row % 4)),
                many_latlon=[{"latitude": row}] * (row % 3),
            )
        )
        for row in range(rows)
    ]
    return over_arrow(values, pages=3, lazy=True), over_arrow(values)


NAMES = ("id", "a_double", "a_string", "many_int32", "many_latlon")


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(2, 5), slice(None, None, -2), [3, 1, 1], np.array([True, False] * 3 + [True]), slice(3, 3)],
    ids=str,
)
def test_lazy_variables_index_like_arrays(key):
    for name in NAMES:
        lazy, eager = _lazy_and_eager()
        xr.testing.assert_identical(lazy[name].isel(time=key).load(), eager[name].isel(time=key))
        xr.testing.assert_identical(lazy[name].load(), eager[name])
    lazy, eager = _lazy_and_eager()
    xr.testing.assert_identical(lazy.isel(time=key).isel(n_many_int32=1).load(), eager.isel(time=key, n_many_int32=1))


def test_lazy_datasets_can_be_copied_pickled_changed_and_shown():
    lazy, eager = _lazy_and_eager()
    assert "zigzag" in repr(lazy)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(lazy)).load(), eager)
    xr.testing.assert_identical(copy.deepcopy(lazy).load(), eager)
    changed = lazy.copy(deep=True)
    changed.a_double[0] = 100
    assert changed.a_double[0] == 100
    assert lazy.a_double[0] == 0
    xr.testing.assert_identical(lazy.load(), eager)


def test_lazy_variables_decode_on_first_access():
    message = message_class(EVERY_KIND)(**FIXED_TIMES, a_double=1)
    batch = to_arrow(EVERY_KIND, [serialise(message)])
    position = batch.schema.get_field_index("geometry")
    decoder = ArrowDecoder(EVERY_KIND, lazy=True)
    decoder.add(batch.set_column(position, "geometry", pa.array([b"not a geometry"], pa.binary())))
    dataset = decoder.dataset()
    assert dataset.a_double.item() == 1
    assert dataset.geometry.dtype == object
    with pytest.raises(ValueError, match="'geometry'"):
        dataset.geometry.load()


def test_a_temporal_dataset_without_fields():
    schema = schema_of(kind=DatasetKind.TEMPORAL)
    dataset = decoded([serialise(message_class(schema)(**FIXED_TIMES))], schema=schema)
    assert set(dataset.variables) == set(METADATA_NAMES)


def test_results_are_writable():
    for pages in (1, 2):
        values = [serialise(message_class(EVERY_KIND)(**FIXED_TIMES, a_double=row, a_bool=True)) for row in range(4)]
        dataset = over_arrow(values, pages=pages)
        dataset.a_double[0] = 9
        dataset.a_bool[0] = False
        assert dataset.a_double.values.tolist() == [9, 1, 2, 3]


@pytest.mark.parametrize("pages", [1, 2, 3])
@pytest.mark.parametrize("distinct", [3, 5_000])
def test_long_columns_equal_concatenated_short_ones(pages, distinct):
    kinds = {"name": FieldKind.STRING, "raw": FieldKind.BYTES, "other": FieldKind.UUID, "many": FieldKind.STRING}
    schema = schema_of(*(field(name, kind, repeated=name == "many") for name, kind in kinds.items()))
    values = []
    for row in range(5_000):
        datapoint = message_class(schema)(**FIXED_TIMES)
        if row % 7:
            datapoint.name = f"value {row % distinct}"
            datapoint.raw = b"%d" % (row % distinct)
            datapoint.other.uuid = row.to_bytes(16, "little")
            datapoint.many.extend([f"item {row % distinct}"] * (row % 3))
        values.append(serialise(datapoint))
    assert_same(over_arrow(values, schema=schema, pages=pages), decoded(values, schema=schema))
