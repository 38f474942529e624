"""Loaded datasets as tables and files."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr
from core.results.test_frames import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datapoints.messages import EVERY_KIND, field, message_class, schema_of, serialise
from support.datapoints.messages import messages as datapoints

from tilebox._core.results.exports import from_storable, to_arrow, to_geodataframe, to_geoparquet, to_storable
from tilebox._core.results.frames import MessageDecoder, single
from tilebox._core.schema.fields import DatasetKind, FieldKind

# Older versions of zarr warn about every text variable that they write.
pytestmark = pytest.mark.filterwarnings("ignore:The codec `vlen-utf8`")

BOX = shapely.box(1, 2, 3, 4)


def load(*drawn, schema=EVERY_KIND) -> xr.Dataset:
    decoder = MessageDecoder(schema)
    decoder.add([serialise(message) for message in drawn])
    return decoder.dataset()


def example(schema=EVERY_KIND) -> xr.Dataset:
    make = message_class(schema)
    return load(
        make(
            time={"seconds": 1},
            id={"uuid": bytes(range(16))},
            geometry={"wkb": shapely.to_wkb(BOX)},
            a_string="x",
            a_bytes=b"a\0",
            a_latlon={"latitude": 1, "longitude": 2},
            a_message={"a": 1},
            many_int32=[1, 0],
            many_string=["a"],
            many_vec3=[{"x": 1}],
            a_duration={"seconds": 1},
        ),
        make(time={"seconds": 2}, many_int32=[1, 2, 3], a_string="<missing>"),
    )


def test_a_table_has_one_column_for_each_variable():
    table = to_arrow(example())
    first, second = table.to_pylist()
    assert first["id"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert first["geometry"] == shapely.to_wkb(BOX)
    assert (first["a_latlon"], second["a_latlon"]) == ({"latitude": 1, "longitude": 2}, None)
    assert (first["many_int32"], second["many_int32"]) == ([1], [1, 2, 3])
    assert (first["many_string"], second["many_string"]) == (["a"], [])
    assert first["many_vec3"] == [{"x": 1, "y": 0, "z": 0}]
    assert (first["a_string"], first["a_bytes"], second["a_bytes"]) == ("x", b"a\0", None)
    assert first["a_message"] == serialise(example().a_message.values[0])
    assert second["a_duration"] is None
    assert table.schema.field("time").type == pa.timestamp("ns")
    assert table.schema.field("geometry").metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"
    assert table.column_names == [*[*example().coords][:3], *example().data_vars]


@settings(max_examples=30)
@given(st.lists(datapoints(), min_size=1, max_size=3))
def test_every_dataset_converts_to_a_table_and_a_frame(drawn):
    dataset = load(*drawn)
    assert to_arrow(dataset).num_rows == len(drawn)
    frame = to_geodataframe(dataset)
    assert len(frame) == len(drawn)
    assert list(frame.geometry.values) == list(dataset.geometry.values)


def test_a_frame_has_a_geometry_and_a_reference_system():
    frame = to_geodataframe(example())
    assert frame.crs == "EPSG:4326"
    assert frame.geometry[0] == BOX
    assert frame.geometry[1] is None
    assert (frame.a_latlon[0], frame.many_int32[0], frame.many_int32[1]) == ([1, 2], [1], [1, 2, 3])
    assert len(to_geodataframe(single(example()))) == 1
    assert len(to_geodataframe(xr.Dataset())) == 0


def test_a_dataset_without_geometry_cannot_become_a_frame():
    schema = schema_of(field("a_double", FieldKind.DOUBLE), kind=DatasetKind.TEMPORAL)
    dataset = load(message_class(schema)(time={"seconds": 1}), schema=schema)
    with pytest.raises(ValueError, match=r"no geometry; its variables are .*a_double"):
        to_geodataframe(dataset)
    assert to_arrow(dataset).num_rows == 1


def test_geopandas_reads_the_geoparquet_file(tmp_path):
    path = tmp_path / "datapoints.parquet"
    to_geoparquet(example(), path)
    frame = geopandas.read_parquet(path)
    assert list(frame.geometry) == [BOX, None]
    assert frame.crs == "OGC:CRS84"
    metadata = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert metadata["columns"]["geometry"] == {"encoding": "WKB", "geometry_types": ["Polygon"], "bbox": [1, 2, 3, 4]}
    assert list(tmp_path.iterdir()) == [path]


def test_geoparquet_of_an_empty_dataset_leaves_no_file(tmp_path):
    for dataset in (xr.Dataset(), example().drop_vars("geometry")):
        with pytest.raises(ValueError, match=r"empty|no geometry"):
            to_geoparquet(dataset, tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


def write_and_read(dataset, path):
    if path.suffix == ".nc":
        dataset.to_netcdf(path)
        with xr.open_dataset(path) as opened:
            return opened.load()
    dataset.to_zarr(path, consolidated=False)
    return xr.open_zarr(path, chunks=None, consolidated=False).load()


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@settings(max_examples=12)
@given(drawn=st.lists(datapoints(), min_size=1, max_size=3))
def test_stored_datasets_round_trip(tmp_path_factory, suffix, drawn):
    dataset = load(*drawn)
    read = write_and_read(to_storable(dataset), tmp_path_factory.mktemp("stored") / f"data{suffix}")
    assert_same(from_storable(read), dataset)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_missing_values_round_trip(tmp_path, suffix):
    make = message_class(EVERY_KIND)
    empty = load(make(time={"seconds": 1}), make(time={"seconds": 2}))
    for number, dataset in enumerate((empty, example(), empty.isel(time=slice(0, 1)), single(example()))):
        read = write_and_read(to_storable(dataset), tmp_path / f"{number}{suffix}")
        assert_same(from_storable(read), dataset)


def test_storing_twice_changes_nothing():
    dataset = example()
    assert_same(from_storable(to_storable(dataset)), dataset)
    assert from_storable(dataset).identical(dataset)


def test_objects_that_a_file_cannot_store_are_refused():
    dataset = example().assign(odd=("time", np.array([{1}, None], object)))
    with pytest.raises(TypeError, match="'odd' holds set objects"):
        to_storable(dataset)


def test_a_dataset_without_geometry_is_written_to_netcdf_directly(tmp_path):
    dataset = example().drop_vars(["geometry", "a_geometry", "a_message", "a_bytes"])
    dataset.to_netcdf(tmp_path / "data.nc")
    with xr.open_dataset(tmp_path / "data.nc", decode_timedelta=True) as opened:
        assert list(opened.a_string.values) == ["x", "<missing>"]
        assert list(opened.id.values) == list(dataset.id.values)
        np.testing.assert_array_equal(opened.time.values, dataset.time.values)
        np.testing.assert_array_equal(opened.many_vec3.values, dataset.many_vec3.values)
