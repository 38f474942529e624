"""STAC items as schemas, collections and columns."""

import re
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from support.datapoints.stac_items import needs_real_items, real_items

from tilebox._core import stac
from tilebox._core.schema.fields import CODE_NAME, DatasetKind, Field, FieldKind, Schema
from tilebox._core.stac.assets import assets_message, location_of, thumbnail_of
from tilebox._core.stac.documents import Page, decode_lines, item_from_row, next_page, parse_items
from tilebox._core.stac.values import convert, infer_kind, parse_time

SQUARE = {"type": "Polygon", "coordinates": [[[10, 45], [11, 45], [11, 46], [10, 46], [10, 45]]]}


def item(identifier="a", *, geometry=SQUARE, assets=None, when="2025-07-14T10:30:00Z", collection=None, **properties):
    properties = {key.replace("__", ":"): value for key, value in properties.items()}
    return {
        "type": "Feature",
        "id": identifier,
        "geometry": geometry,
        "properties": {"datetime": when, **properties},
        "assets": assets or {},
        "links": [],
        "collection": collection,
    }


def field_of(*values, key="p:x"):
    schema = stac.derive_schema([item(str(i), **{key: value}) for i, value in enumerate(values)])
    return schema.get(key.rpartition(":")[2])


def read(*items, known=None, **options):
    return stac.to_columns(items, stac.plan(items, known), **options)


def only(batch):
    assert batch.rejected == []
    (columns,) = batch.columns.values()
    return columns


class TestDerivedFields:
    def test_every_dataset_has_name_location_thumbnail_and_assets(self):
        schema = stac.derive_schema([item()])
        assert schema.kind is DatasetKind.SPATIOTEMPORAL
        assert [str(field) for field in schema.custom] == [
            "geometry: datasets.v1.Geometry",
            "granule_name: string",
            "location: string",
            "thumbnail: string",
            "assets: datasets.stac.v1.Assets",
        ]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, 2], "int64"),
            ([1, 2.5], "double"),
            ([True, False], "bool"),
            ([True, 1], "string"),
            (["a", "b"], "string"),
            (["a", 1], "string"),
            ([1, None], "int64"),
            ([2**70], "double"),
            ([{"a": 1}], "string"),
            (["2025-01-01T00:00:00Z", "2025-01-01 00:00:00.123456789+02:00"], "google.protobuf.Timestamp"),
            (["2025-01-01T00:00:00Z", "soon"], "string"),
            (["2025-99-01T00:00:00Z"], "string"),
            (["2025-01-01"], "string"),
            (["0198066f-10bd-d9f3-d0b0-fb776c83f92e"], "datasets.v1.UUID"),
            ([["a"], []], "list of string"),
            ([[1], [2.5]], "list of double"),
            ([[1, None]], "string"),
            ([[[1]]], "string"),
            ([["a"], "a"], "string"),
        ],
    )
    def test_types_follow_values(self, values, expected):
        assert str(field_of(*values)) == f"x: {expected}"

    @pytest.mark.parametrize("values", [[None], [[]], [None, []]])
    def test_a_property_without_values_gets_no_field(self, values):
        assert field_of(*values) is None

    @pytest.mark.parametrize("key", ["gsd", "eo:cloud_cover", "view:off_nadir", "s2:water_percentage"])
    def test_measured_quantities_are_double_even_if_whole(self, key):
        assert field_of(0, 10, key=key).kind is FieldKind.DOUBLE

    def test_prefixes_are_dropped_unless_names_clash(self):
        schema = stac.derive_schema([item(eo__cloud_cover=1.0, s2__mgrs_tile="32TQM", a__shape=1, b__shape=2, shape=3)])
        names = {field.name: field.source_json_pointer for field in schema.custom}
        assert names["cloud_cover"] == "/properties/eo:cloud_cover"
        assert names["mgrs_tile"] == "/properties/s2:mgrs_tile"
        assert names["shape"] == "/properties/shape"
        assert names["a_shape"] == "/properties/a:shape"
        assert names["b_shape"] == "/properties/b:shape"

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            ("x:time", "x_time"),
            ("id", "item_id"),
            ("location", "item_location"),
            ("s1:instrument_ID", "instrument_id"),
            ("3d", "field_3d"),
            ("a/b~c", "a_b_c"),
            ("größe", "gr_e"),
        ],
    )
    def test_names_become_valid_and_avoid_standard_fields(self, key, name):
        schema = stac.derive_schema([item(**{key: "v"})])
        assert schema.get(name).example_value == "v"

    def test_pointers_are_escaped(self):
        assert stac.derive_schema([item(**{"a/b~c": 1})]).get("a_b_c").source_json_pointer == "/properties/a~1b~0c"

    def test_enumerations_where_all_values_are_labels(self):
        schema = stac.derive_schema(
            [item(sat__orbit_state="descending", sar__polarizations=["VH", "VV"], processing__level="L2A")]
        )
        assert schema.get("flight_direction").type_name == "datasets.v1.FlightDirection"
        assert schema.get("polarization").type_name == "datasets.v1.Polarization"
        assert schema.get("processing_level").type_name == "datasets.v1.ProcessingLevel"

    def test_values_that_are_not_labels_keep_their_kind(self):
        schema = stac.derive_schema([item(sat__orbit_state="geostationary", sar__polarizations=["HH", "VV"])])
        assert str(schema.get("orbit_state")) == "orbit_state: string"
        assert str(schema.get("polarizations")) == "polarizations: list of string"

    def test_at_most_two_varying_strings_are_queryable(self):
        schema = stac.derive_schema(
            [
                item(str(i), platform=f"p{i}", s2__mgrs_tile=f"t{i}", s2__product_type="one", title=f"x{i}", n=i, l=[1])
                for i in range(3)
            ]
        )
        queryable = {field.name for field in schema if field.queryable}
        assert queryable == {"platform", "mgrs_tile", "n"}

    def test_the_same_items_in_another_order_give_the_same_schema(self):
        items = [item("a", x=1, s__y="a"), item("b", x=1.5, s__y=2), item("c", t__y=True)]
        assert {str(f) for f in stac.derive_schema(items)} == {str(f) for f in stac.derive_schema(items[::-1])}

    @given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True))
    def test_any_keys_give_a_valid_schema(self, keys):
        source = item(**{key: "v" for key in keys if key != "datetime"})
        schema = stac.derive_schema([source])
        assert all(CODE_NAME.fullmatch(field.name) for field in schema)
        assert len({field.name for field in schema}) == len(schema.fields)
        # `item` replaces "__" by ":", so two keys may become one property. Each property has one field.
        assert len(schema.custom) == 5 + len(source["properties"].keys() - {"datetime"})

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )

    @given(st.lists(json_values, min_size=1, max_size=5))
    def test_values_fit_the_field_that_was_derived_from_them(self, values):
        batch = read(*(item(str(i), **{"p:x": value}) for i, value in enumerate(values)))
        assert batch.rejected == []


class TestKnownDatasets:
    def test_properties_reuse_their_fields(self):
        first = stac.derive_schema([item(s2__tile="a", x__tile="b", cloud=1)])
        plan = stac.plan([item(s2__tile="c")], first)
        assert plan.added == ()
        assert plan.schema == first
        assert plan.sources == {"s2_tile": "s2:tile"}

    def test_new_properties_are_added_and_not_queryable(self):
        plan = stac.plan([item(cloud=1, snow=2)], stac.derive_schema([item(cloud=1)]))
        assert [(field.name, field.queryable) for field in plan.added] == [("snow", False)]
        assert plan.schema.get("cloud").queryable

    def test_fields_of_other_sources_are_used_if_types_agree(self):
        known = Schema.of(
            DatasetKind.SPATIOTEMPORAL,
            [Field(name="cloud_cover", kind=FieldKind.DOUBLE), Field(name="platform", kind=FieldKind.INT64)],
        )
        plan = stac.plan([item(eo__cloud_cover=1, platform="x")], known)
        assert plan.sources["cloud_cover"] == "eo:cloud_cover"
        assert plan.sources["item_platform"] == "platform"

    def test_values_that_do_not_fit_are_rejected_by_name(self):
        known = stac.derive_schema([item(count=1)])
        batch = read(item("a", count=2), item("b", count=2.5), item("c", count="many"), known=known)
        assert [rejection.name for rejection in batch.rejected] == ["b", "c"]
        assert batch.rejected[0].reason == "field count: int64 cannot hold 2.5"
        assert only(read(item(count=3.0), known=known))["count"] == [3]

    def test_anything_fits_a_string(self):
        known = stac.derive_schema([item(note="x")])
        assert only(read(item(note={"b": [1, None], "a": "ü"}), known=known))["note"] == ['{"a": "ü", "b": [1, null]}']

    def test_a_temporal_dataset_gets_no_footprints(self):
        known = Schema.of(DatasetKind.TEMPORAL, [])
        assert "geometry" not in only(read(item(), known=known))


class TestRows:
    def test_values(self):
        columns = only(
            read(
                item(
                    "scene",
                    eo__cloud_cover=12.5,
                    sat__orbit_state="ascending",
                    end_datetime="2025-07-14T10:30:05Z",
                    uid="0198066f-10bd-d9f3-d0b0-fb776c83f92e",
                    tags=["a"],
                )
            )
        )
        assert columns["time"].tolist() == [np.datetime64("2025-07-14T10:30", "ns").astype(int)]
        assert columns["granule_name"] == ["scene"]
        assert columns["cloud_cover"] == [12.5]
        assert columns["flight_direction"] == ["ASCENDING"]
        assert columns["end_datetime"] == [datetime(2025, 7, 14, 10, 30, 5, tzinfo=UTC)]
        assert columns["uid"] == [UUID("0198066f-10bd-d9f3-d0b0-fb776c83f92e")]
        assert columns["tags"] == [["a"]]
        assert columns["geometry"][0].bounds == (10, 45, 11, 46)

    def test_null_is_kept_apart_from_zero(self):
        columns = only(read(item("a", n=0, s=""), item("b", n=None)))
        assert columns["n"] == [0, None]
        assert columns["s"] == ["", None]

    def test_time_is_datetime_else_start_datetime(self):
        source = item(when=None, start_datetime="2025-01-01T00:00:00Z", end_datetime="2025-01-02T00:00:00Z")
        columns = only(read(source))
        assert columns["time"][0] == np.datetime64("2025-01-01")
        assert columns["start_datetime"] == [datetime(2025, 1, 1, tzinfo=UTC)]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"id": None}, "no id"),
            ({"id": ""}, "no id"),
            ({"properties": None}, "no properties"),
            ({"type": "Catalog"}, "not an item"),
            ({"properties": {"datetime": None}}, "neither datetime nor start_datetime"),
            ({"properties": {"datetime": "yesterday"}}, "is not a time"),
            ({"properties": {"datetime": "0001-01-01T00:00:00Z"}}, "outside of the years"),
            ({"properties": {"datetime": 5}}, "is not a time"),
            ({"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}, "LineString cannot be used"),
            ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}, "geometry cannot be read"),
            ({"geometry": {"type": "Blob"}}, "geometry cannot be read"),
            ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}}, "not valid"),
            ({"geometry": {"type": "Point", "coordinates": [10, 95]}}, "beyond 90 degrees"),
        ],
    )
    def test_invalid_items_are_rejected_with_the_reason(self, change, reason):
        batch = read(item("good"), {**item("bad"), **change}, collection="c")
        assert list(batch.columns["c"]["granule_name"]) == ["good"]
        (rejection,) = batch.rejected
        assert reason in rejection.reason
        assert rejection.position == 1

    @pytest.mark.parametrize("broken", [None, 5, "x", [], {}])
    def test_items_that_are_no_objects_are_rejected(self, broken):
        items = [item(), broken]
        batch = stac.to_columns(items, stac.plan([item()]))
        assert [rejection.position for rejection in batch.rejected] == [1]

    def test_a_null_footprint_is_accepted(self):
        columns = only(read(item("a", geometry=None), item("b")))
        assert columns["geometry"][0] is None
        assert columns["geometry"][1] is not None

    def test_a_batch_without_footprints_has_no_geometry(self):
        assert "geometry" not in only(read(item(geometry=None)))

    @pytest.mark.parametrize(
        "ring",
        [
            [[179, -1], [181, -1], [181, 1], [179, 1], [179, -1]],
            [[179, -1], [-179, -1], [-179, 1], [179, 1], [179, -1]],
        ],
    )
    def test_footprints_across_the_antimeridian_are_stored_unchanged(self, ring):
        columns = only(read(item(geometry={"type": "Polygon", "coordinates": [ring]})))
        assert shapely.get_coordinates(columns["geometry"][0]).tolist() == ring

    def test_heights_of_footprints_are_dropped(self):
        ring = [[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 0, 5]]
        columns = only(read(item(geometry={"type": "Polygon", "coordinates": [ring]})))
        assert not columns["geometry"][0].has_z

    def test_items_go_to_the_collections_of_their_products(self):
        names = ["S2A_MSIL1C_20250714T100000_R065_T32TPT_20250714T120000", "S2B_MSIL2A_20250714T100000_R065_T32TPT_x"]
        batch = read(*(item(name) for name in names))
        assert list(batch.columns) == ["S2A_S2MSI1C", "S2B_S2MSI2A"]
        assert list(read(*(item(name) for name in names), collection="all").columns) == ["all"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (item("S2C_MSIL1C_20250714T100000_N0511_R065_T32TPT_20250714T120000"), "S2C_S2MSI1C"),
        (item("S2A_32TPT_20250714_0_L2A", platform="sentinel-2a", s2__product_type="S2MSI2A"), "S2A_S2MSI2A"),
        (item("S1A_IW_RAW__0SDV_20240801T000001_20240801T000033_055013_06B3D4_1234"), "S1A_IW_RAW__0S"),
        (item("S1A_IW_GRDH_1SDV_20240419T045904_20240419T045916_053498_067DF2_rtc"), "S1A_IW_GRDH_1S_RTC"),
        (item("S3A_OL_1_EFR____20250101T000000_20250101T000300_x"), "S3A_OL_1_EFR___"),
        (item("S5P_OFFL_L2__CH4____20250101T000000_20250101T013000_x"), "L2__CH4___"),
        (item("LC08_L1GT_033032_20241127_20241203_02_T2"), "L1GT"),
        (item("LC09_L2SP_033032_20241127_02_T1"), "L2SP"),
        (item("x", platform="landsat-8", landsat__correction="L1TP"), "L1TP"),
        (item("x", platform="Umbra-04", product__type="GEC"), "UMBRA_04_GEC"),
        (item("x", collection="naip"), "naip"),
        (item("x"), "items"),
    ],
)
def test_collections_are_named_as_the_catalogues_name_them(source, name):
    assert stac.collection_of(source) == name


class TestAssets:
    COPERNICUS = "s3://eodata/Sentinel-2/MSI/L1C/2025/07/14/S2A_MSIL1C_x.SAFE"

    def test_copernicus_products_are_located_below_eodata(self):
        assets = {"B02": {"href": f"{self.COPERNICUS}/GRANULE/IMG/B02.jp2", "roles": ["data"]}}
        assert location_of(item(assets=assets)) == "/eodata/Sentinel-2/MSI/L1C/2025/07/14/S2A_MSIL1C_x.SAFE"

    def test_object_stores_are_preferred_to_web_addresses(self):
        folder = "usgs-landsat/collection02/LC08_x"
        assets = {
            key: {
                "href": f"https://landsat.example.org/{folder}/{key}.TIF",
                "roles": ["data"],
                "alternate": {"s3": {"href": f"s3://{folder}/{key}.TIF"}},
            }
            for key in ("red", "blue")
        }
        assert location_of(item(assets=assets)) == "s3://usgs-landsat/collection02/LC08_x"

    def test_one_file_is_its_own_location(self):
        assets = {"data": {"href": "s3://b/a/one.nc"}, "api": {"href": "https://x.org/tiles?item=1"}}
        assert location_of(item(assets=assets)) == "s3://b/a/one.nc"

    def test_items_without_assets_have_no_location(self):
        assert location_of(item()) is None
        assert thumbnail_of(item()) is None
        assert assets_message(item()) is None

    def test_thumbnails_are_preferred_to_overviews_and_images_to_rasters(self):
        assets = {
            "visual": {"href": "v.tif", "roles": ["overview"], "type": "image/tiff; application=geotiff"},
            "small": {"href": "small.jpg", "roles": ["overview"]},
        }
        assert thumbnail_of(item(assets=assets)) == "small.jpg"
        assets["t"] = {"href": "t.jpg", "roles": ["thumbnail"]}
        assert thumbnail_of(item(assets=assets)) == "t.jpg"
        assert thumbnail_of(item(assets={"preview": {"href": "p.jpg"}})) == "p.jpg"

    def test_the_message_has_the_metadata_of_the_assets(self):
        band = {"name": "B02", "common_name": "blue", "center_wavelength": 0.49}
        assets = {
            "blue": {
                "href": "s3://b/p/B02.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data", "odd"],
                "title": "Blue",
                "gsd": 10,
                "eo:bands": [band],
                "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001}],
                "file:size": 1234,
            },
            "again": {
                "href": "s3://b/p/B02.jp2",
                "eo:bands": [band],
                "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001}],
            },
            "broken": {"title": "no href"},
        }
        message = assets_message(item(assets=assets))
        assert [asset.key for asset in message.assets] == ["again", "blue"]
        assert [profile.base_href for profile in message.access_profiles] == ["s3://b/p/"]
        blue = message.assets[1]
        assert blue.primary.href == "B02.tif"
        assert blue.media_type.known == 3
        assert list(blue.roles) == [1]
        assert list(blue.custom_roles) == ["odd"]
        assert (blue.gsd, blue.title, blue.file.size) == (10, "Blue", 1234)
        assert len(message.band_profiles) == 1
        assert message.band_profiles[0].eo.common_name == 3
        assert message.band_profiles[0].data_type == 6

    def test_the_order_of_assets_makes_no_difference(self):
        assets = {"a": {"href": "x/a"}, "b": {"href": "y/b"}}
        reversed_assets = dict(reversed(assets.items()))
        first, second = (
            assets_message(item(assets=order)).SerializeToString(deterministic=True)
            for order in (assets, reversed_assets)
        )
        assert first == second

    @given(TestDerivedFields.json_values)
    def test_malformed_assets_are_ignored(self, value):
        broken = [value, {"a": value}, {"a": {"href": value, "roles": value, "alternate": value, "eo:bands": value}}]
        broken.append({"a": {"href": "x/y", "roles": value, "alternate": value, "eo:bands": value, "file:size": value}})
        for assets in broken:
            source = {**item(), "assets": assets}
            location_of(source), thumbnail_of(source), assets_message(source)


class TestDocuments:
    def test_items_of_every_form(self):
        source = item()
        assert parse_items(source) == [source]
        assert parse_items([source, {"type": "FeatureCollection", "features": [source]}]) == [source, source]
        assert parse_items({"type": "FeatureCollection", "features": []}) == []

    @pytest.mark.parametrize("document", [5, "x", None, {}, {"type": "Collection"}, {"type": "FeatureCollection"}])
    def test_other_documents_are_refused(self, document):
        with pytest.raises(ValueError, match="STAC"):
            parse_items(document)

    def test_newline_delimited_json(self):
        assert list(decode_lines(['{"a": 1}', "", "\x1e2"])) == [{"a": 1}, 2]
        with pytest.raises(ValueError, match="line 2 is not JSON"):
            list(decode_lines(["1", "{"]))

    def test_the_last_page_has_no_next_one(self):
        assert next_page({"links": [{"rel": "self", "href": "x"}]}, Page("https://x.org")) is None
        assert next_page([], Page("https://x.org")) is None

    def test_a_link_may_be_relative(self):
        page = next_page({"links": [{"rel": "next", "href": "search?token=2"}]}, Page("https://x.org/v1/search"))
        assert page == Page("https://x.org/v1/search?token=2")

    def test_the_next_page_of_a_posted_search_has_a_body(self):
        asked = Page("https://x.org/search", "POST", {"limit": 5, "token": 1})
        link = {"rel": "next", "href": asked.url, "method": "POST", "body": {"token": 2}}
        assert next_page({"links": [link]}, asked).body == {"token": 2}
        assert next_page({"links": [{**link, "merge": True}]}, asked).body == {"limit": 5, "token": 2}
        assert next_page({"links": [link]}, asked).key != asked.key

    @pytest.mark.parametrize(
        ("document", "description"),
        [
            ({"a": 1, "b": 2}, 'an object without a type, with the keys "a", "b"'),
            ({}, "an object without a type, with nothing in it"),
            ({"type": None}, "an object of type null"),
            ({"type": "Topology"}, 'an object of type "Topology"'),
            (1.5, "a number"),
            (None, "null"),
            ("x", "a string"),
            (True, "true"),
        ],
    )
    def test_other_documents_are_described_in_terms_of_json(self, document, description):
        with pytest.raises(ValueError, match=f"found {re.escape(description)}$"):
            parse_items(document)

    def test_nulls_inside_items_of_a_document_are_dropped(self):
        software, link = {"alpha": "1", "beta": None}, {"rel": "self", "title": None}
        assets = {"B02": {"href": "s3://b/2", "title": None, "bands": [{"name": None}]}, "B03": None}
        [parsed] = parse_items(
            item(assets=assets, p=None, software=software, none={"a": None}, list=[1, None]) | {"links": [link]}
        )
        assert parsed["properties"] == {
            "datetime": "2025-07-14T10:30:00Z",
            "software": {"alpha": "1"},
            "list": [1, None],
        }
        assert parsed["assets"] == {"B02": {"href": "s3://b/2", "bands": [{}]}}
        assert parsed["links"] == [link]

    def test_nulls_in_rows_of_a_table_are_dropped(self):
        row = {
            "id": "a",
            "geometry": b"x",
            "datetime": datetime(2025, 1, 1, tzinfo=UTC),
            "gsd": None,
            "assets": {"b1": {"href": "x", "title": None}, "b2": None},
        }
        assert item_from_row(row) == {
            "type": "Feature",
            "id": "a",
            "geometry": b"x",
            "properties": {"datetime": datetime(2025, 1, 1, tzinfo=UTC)},
            "assets": {"b1": {"href": "x"}},
        }


class TestValues:
    def test_times_are_converted_to_utc(self):
        expected = datetime(2025, 1, 1, 10, tzinfo=UTC)
        for text in ("2025-01-01T10:00:00Z", "2025-01-01 12:00:00+02:00", "2025-01-01T10:00:00", "2025-01-01t10:00z"):
            assert parse_time(text) == expected

    def test_nanoseconds_are_truncated_to_microseconds(self):
        assert parse_time("2025-01-01T00:00:00.123456789Z").microsecond == 123456

    def test_kind_of_a_mixture_is_text(self):
        assert infer_kind([1, "a"]) == (FieldKind.STRING, False)

    def test_text_that_the_server_would_refuse_does_not_fit(self):
        with pytest.raises(ValueError, match="cannot hold"):
            convert(Field(name="x", kind=FieldKind.STRING), None, "\ud800")
        with pytest.raises(ValueError, match="at most 1024"):
            convert(Field(name="x", kind=FieldKind.STRING, queryable=True), None, "x" * 1025)

    @pytest.mark.parametrize(("kind", "value"), [(FieldKind.INT32, 2**31), (FieldKind.UINT32, -1), (FieldKind.BOOL, 1)])
    def test_values_out_of_range_do_not_fit(self, kind, value):
        with pytest.raises(ValueError, match="cannot hold"):
            convert(Field(name="x", kind=kind), None, value)


@needs_real_items
class TestRealItems:
    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            ("sentinel-2-l2a-1000-items.parquet", {"S2A_S2MSI2A": 487, "S2B_S2MSI2A": 513}),
            ("landsat-c2-l2-100-items.parquet", {"L2SP": 100}),
            ("sentinel-1-rtc-items.json", {"S1A_IW_GRDH_1S_RTC": 4}),
        ],
    )
    def test_all_real_items_are_accepted(self, name, counts):
        batch = read(*real_items(name))
        assert batch.rejected == []
        assert {collection: len(columns["time"]) for collection, columns in batch.columns.items()} == counts
        for columns in batch.columns.values():
            assert all(columns["location"])
            assert all(columns["thumbnail"])
            assert shapely.is_valid(columns["geometry"]).all()
