"""The documented snippets of the datasets guides and reference, against a local server.

Each test is one page. Names of datasets, times and ids are adapted to a small catalogue; calls are not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytz
import xarray as xr
from shapely import LineString, MultiPolygon, Point, Polygon, box, to_geojson, to_wkt
from shapely.ops import unary_union

from tilebox import errors
from tilebox.clients.core.data import TimeInterval as OldTimeInterval
from tilebox.datasets import Client
from tilebox.datasets.aio import Client as AsyncClient
from tilebox.datasets.aio.timeseries import TimeseriesCollection as AsyncTimeseriesCollection
from tilebox.datasets.data import TimeInterval, TimeIntervalLike
from tilebox.datasets.sync.timeseries import TimeseriesCollection

if TYPE_CHECKING:
    from tilebox.testing import LocalServer


@pytest.fixture(autouse=True)
def _environment(open_data_server: LocalServer, use: Callable[[LocalServer], None]) -> None:
    use(open_data_server)


def test_client_reference(open_data_server: LocalServer) -> None:
    client = Client()
    assert Client(url=open_data_server.url, token=open_data_server.token).datasets() is not None

    s1_sar = client.dataset("open_data.copernicus.sentinel1_sar")
    datasets = client.datasets()
    assert datasets.open_data.copernicus.sentinel1_sar.slug == s1_sar.slug
    assert "copernicus" in dir(datasets.open_data)
    assert "landsat8_oli_tirs" in repr(datasets)


def test_collections_page() -> None:
    client = Client()
    datasets = client.datasets()
    dataset = datasets.open_data.copernicus.landsat8_oli_tirs
    collections = dataset.collections()
    printed = str(collections)
    assert printed.startswith("{'L1GT': Collection L1GT: [2020-01-01T00:00:00.000 UTC, 2022-05-22T09:00:00.000 UTC]")
    assert "(610 data points), 'L1T': Collection L1T: [" in printed

    terrain_correction = collections["L1GT"]
    collection_info = terrain_correction.info()
    expected = "L1GT: [2020-01-01T00:00:00.000 UTC, 2022-05-22T09:00:00.000 UTC] (610 data points)"
    assert str(collection_info) == expected
    assert str(dataset.collection("L1GT").info()) == expected
    assert "L1GT" in collections

    with pytest.raises(errors.NotFoundError, match="No such collection Sat-X"):
        dataset.collection("Sat-X").info()


def test_introduction_page() -> None:
    client = Client(token="invalid-key")  # runs without error
    with pytest.raises(errors.AuthenticationError):
        client.datasets()


def test_load_reference() -> None:
    collection = Client().datasets().open_data.copernicus.sentinel1_sar.collection("S1A_IW_RAW__0S")
    interval = OldTimeInterval(
        start=datetime(2017, 1, 1), end=datetime(2017, 8, 1), start_exclusive=False, end_inclusive=False
    )
    data = collection.load(interval, show_progress=True)
    assert data.equals(collection.load(("2017-01-01", "2017-08-01"), show_progress=True))

    meta_data = collection.load(("2017-01-01", "2023-01-01"), skip_data=True)
    first_50 = collection.load(meta_data.time[:50], skip_data=False)
    assert first_50.sizes == {"time": 50, "latlon": 2}
    assert set(meta_data.variables) == {"time", "id", "ingestion_time"}


def test_loading_time_series_page() -> None:
    client = Client()
    datasets = client.datasets()
    collections = datasets.open_data.copernicus.sentinel1_sar.collections()
    collection = collections["S1A_IW_RAW__0S"]

    whole = collection.load(("2017-01-01", "2023-01-01"), show_progress=True)
    assert set(whole.coords) >= {"time", "id", "ingestion_time"}
    data = []
    for year in [2017, 2018, 2019, 2020, 2021, 2022]:
        data.append(collection.load((f"{year}-01-01", f"{year + 1}-01-01"), show_progress=True))
    joined = xr.concat([part for part in data if part.sizes], dim="time")
    assert list(joined.id.values) == list(whole.id.values)

    interval1 = TimeInterval(datetime(2017, 1, 1), datetime(2023, 1, 1), end_inclusive=False)
    interval2 = TimeInterval(datetime(2017, 1, 1), datetime(2022, 12, 31, 23, 59, 59, 999999), end_inclusive=True)
    assert str(interval1) == "[2017-01-01T00:00:00.000 UTC, 2023-01-01T00:00:00.000 UTC)"
    assert str(interval2) == "[2017-01-01T00:00:00.000 UTC, 2022-12-31T23:59:59.999 UTC]"
    assert interval1 == interval2
    assert str(interval2.to_half_open()) == "[2017-01-01T00:00:00.000 UTC, 2023-01-01T00:00:00.000 UTC)"
    assert collection.load(interval1).equals(collection.load(interval2))

    data = collection.load("2024-08-01 00:00:01.362")
    assert data.sizes == {"time": 1, "latlon": 2}
    assert collection.load("2024-08-01 00:00:01.362", skip_data=True).sizes == {"time": 1}
    empty = collection.load("1997-02-06 10:21:00")
    assert "Dimensions:  ()" in repr(empty)
    assert "*empty*" in repr(empty)


def test_time_zones_and_seconds() -> None:
    collection = Client().dataset("open_data.copernicus.sentinel1_sar").collection("S1A_IW_RAW__0S")
    tokyo_time = pytz.timezone("Asia/Tokyo").localize(datetime(2017, 1, 1, 11, 45, 25, 679000))
    data = collection.load(tokyo_time)
    assert str(data.time.values[0]) == "2017-01-01T02:45:25.679000000"
    assert collection.load(1483238725.679).equals(data)


def test_find_page() -> None:
    collection = Client().dataset("open_data.copernicus.sentinel1_sar").collection("S1A_IW_RAW__0S")
    datapoint_id = collection.load("2024-08-01 00:00:01.362").id[0].item()
    datapoint = collection.find(datapoint_id)
    assert datapoint.sizes == {"latlon": 2}
    assert datapoint.id.item() == datapoint_id
    assert "granule_name" not in collection.find(datapoint_id, skip_data=True)
    with pytest.raises(errors.NotFoundError):
        collection.find("0186d6b6-66cc-fcfd-91df-bbbff72499c3", skip_data=False)
    with pytest.raises(ValueError, match="UUID"):
        collection.find("not-a-uuid")


def test_console_export_snippet() -> None:
    client = Client()
    datasets = client.datasets()
    sentinel2_msi = datasets.open_data.copernicus.sentinel2_msi
    data = sentinel2_msi.collection("S2A_S2MSI1C").load(("2024-07-12", "2024-07-26"), show_progress=True)
    assert data.sizes["time"] == 28


def test_async_page() -> None:
    async def page() -> list[tuple[str, int]]:
        client = AsyncClient()
        datasets = await client.datasets()
        dataset = datasets.open_data.copernicus.sentinel1_sar
        collections = await dataset.collections()
        collection = collections["S1A_IW_RAW__0S"]
        info = await collection.info()
        assert str(info.availability).startswith("[2017-01-01T02:45:25.679 UTC, ")
        data = await collection.load(("2022-05-01", "2022-06-01"), show_progress=True)
        found = await collection.find(data.id[0].item())
        assert found.id.item() == data.id[0].item()

        async def stats_for_2020(collection: AsyncTimeseriesCollection) -> tuple[str, int]:
            data = await collection.load(("2020-01-01", "2021-01-01"), show_progress=True)
            return (collection.name, data.sizes["time"] if "time" in data else 0)

        collections = await datasets.open_data.copernicus.landsat8_oli_tirs.collections()
        return await asyncio.gather(*[stats_for_2020(collections[name]) for name in collections])

    def stats_for_2020(collection: TimeseriesCollection) -> tuple[str, int]:
        data = collection.load(("2020-01-01", "2021-01-01"), show_progress=True)
        return (collection.name, data.sizes["time"] if "time" in data else 0)

    start = time.monotonic()
    collections = Client().datasets().open_data.copernicus.landsat8_oli_tirs.collections()
    expected = [stats_for_2020(collections[name]) for name in collections]
    assert time.monotonic() > start
    assert asyncio.run(page()) == expected
    assert dict(expected) == {"L1GT": 96, "L1T": 96, "L1TP": 96, "L2SP": 96}


def test_async_in_a_task() -> None:
    async def load_data(interval: TimeIntervalLike) -> xr.Dataset:
        datasets = await AsyncClient().datasets()
        collections = await datasets.open_data.copernicus.landsat8_oli_tirs.collections()
        return await collections["L1T"].load(interval)

    async def load_first_three_months() -> tuple[xr.Dataset, ...]:
        jan = load_data(("2020-01-01", "2020-02-01"))
        feb = load_data(("2020-02-01", "2020-03-01"))
        mar = load_data(("2020-03-01", "2020-04-01"))
        return await asyncio.gather(jan, feb, mar)

    assert [data.sizes["time"] for data in asyncio.run(load_first_three_months())] == [31, 29, 31]


def test_geometries_page(capsys: pytest.CaptureFixture[str]) -> None:
    datasets = Client().datasets()
    ers_collection = datasets.open_data.asf.ers_sar.collection("ERS-2")
    ers_data = ers_collection.load(("2008-02-10T21:00", "2008-02-10T22:00"))
    geometries: Iterable[Polygon] = ers_data.geometry.values
    polygon = geometries[0]
    lon, lat = polygon.exterior.coords.xy
    (center,) = list(polygon.centroid.coords)
    assert list(lon) == [-150.753244, -152.031574, -149.183655, -147.769339, -150.753244]
    assert list(lat) == [74.250081, 73.336051, 73.001748, 73.899483, 74.250081]
    assert center == pytest.approx((-149.92927907414239, 73.62538063474753))
    assert to_geojson(polygon).startswith('{"type":"Polygon","coordinates":[[[-150.753244,74.250081]')
    assert to_wkt(polygon).startswith("POLYGON ((-150.753244 74.250081, -152.031574 73.336051")

    area_of_interest = box(-160, 69, -150, 70)
    for i, polygon in enumerate(geometries):
        if area_of_interest.intersects(polygon):
            print(f"{ers_data.granule_name[i].item()} intersects the area of interest!")
        else:
            print(f"{ers_data.granule_name[i].item()} doesn't intersect the area of interest!")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13
    assert lines[0] == "E2_66974_STD_F264 doesn't intersect the area of interest!"
    assert "E2_66974_STD_F273 intersects the area of interest!" in lines

    hull = unary_union(geometries)
    assert isinstance(hull, MultiPolygon)
    assert len(hull.geoms) == 2
    assert all(poly.area > 0 for poly in hull.geoms)


def test_antimeridian_page() -> None:
    antimeridian = pytest.importorskip("antimeridian")
    spherical_polygon = pytest.importorskip("spherical_geometry.polygon")
    ers_collection = Client().datasets().open_data.asf.ers_sar.collection("ERS-2")
    crossing = ers_collection.load("2008-09-01").id[0].item()
    granule = ers_collection.find(crossing)
    polygon = granule.geometry.item()
    assert list(polygon.exterior.coords.xy[0]) == [177.993407, 176.605009, 179.563047, -178.904076, 177.993407]

    null_meridian = LineString([(0, -90), (0, 90)])
    assert polygon.intersects(null_meridian)  # wrong, as the page says
    fixed_polygon = antimeridian.fix_polygon(polygon)
    assert not fixed_polygon.intersects(null_meridian)
    assert fixed_polygon.centroid.x < 150  # wrong too, as the page says
    assert antimeridian.centroid(fixed_polygon).x == pytest.approx(178.778, abs=0.1)

    lon, lat = polygon.exterior.coords.xy
    spherical_poly = spherical_polygon.SphericalPolygon.from_lonlat(lon, lat)
    null_meridian_point, point_inside = (0, 74.4), (178.8, 74.4)
    assert polygon.contains(Point(*null_meridian_point))
    assert not polygon.contains(Point(*point_inside))
    assert not spherical_poly.contains_lonlat(*null_meridian_point)
    assert spherical_poly.contains_lonlat(*point_inside)

    # What the page warns of does not happen to a query: it knows the antimeridian.
    everything = ("2008-01-01", "2009-01-01")
    assert crossing in ers_collection.query(temporal_extent=everything, spatial_extent=box(178, 74, 179, 75)).id.values
    at_zero = ers_collection.query(temporal_extent=everything, spatial_extent=box(-1, 74, 1, 75))
    assert not at_zero.sizes


def test_xarray_page(tmp_path: Path) -> None:
    client = Client()
    datasets = client.datasets()
    collection = datasets.open_data.copernicus.landsat8_oli_tirs.collection("L1GT")
    satellite_data = collection.load(("2022-05-01", "2022-06-01"), show_progress=True)
    assert satellite_data.sizes == {"time": 514, "latlon": 2}

    assert satellite_data.sun_elevation[0].item() == 20
    assert satellite_data.isel(time=0).granule_name.item() == "L1GT_00000"
    assert satellite_data.isel(time=slice(0, 3)).sizes["time"] == 3
    data_filter = (satellite_data.sun_elevation > 45) & (satellite_data.sun_elevation < 90)
    filtered_sun_elevations = satellite_data.sun_elevation[data_filter]
    assert filtered_sun_elevations.min() > 45

    specific_datapoint = satellite_data.sel(time="2022-05-01T11:00:00.000000")
    with pytest.raises(KeyError):
        satellite_data.sel(time="2022-05-01T11:28:28.000000")
    nearest_datapoint = satellite_data.sel(time="2022-05-01T11:28:28.000000", method="nearest")
    assert nearest_datapoint.equals(specific_datapoint)

    doubled = xr.concat([satellite_data, satellite_data], dim="time")
    assert doubled.drop_duplicates("time").sizes["time"] == 514

    cloud_cover = satellite_data.cloud_cover
    assert f"{cloud_cover.min().item():.2f} to {cloud_cover.max().item():.2f}" == "0.00 to 100.00"
    assert cloud_cover.mean().item() == pytest.approx(50)
    assert cloud_cover.std().item() > 0
    assert list(np.unique(satellite_data.bands)) == [12]

    satellite_data.to_netcdf(tmp_path / "example_satellite_data.nc")
    with xr.open_dataset(tmp_path / "example_satellite_data.nc") as reopened:
        assert reopened.sizes == satellite_data.sizes
        assert list(reopened.id.values) == list(satellite_data.id.values)
        assert list(reopened.granule_name.values) == list(satellite_data.granule_name.values)
