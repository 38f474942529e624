"""`tilebox import stac` against a real server, from files in all formats and from an API with pages."""

import gzip
import json
import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from support.datapoints.stac_items import ITEMS, REAL_ITEMS, item

from tilebox._core.schema.fields import DatasetKind, Field, FieldKind
from tilebox._core.wire.backoff import RetryPolicy
from tilebox.cli.commands import tilebox
from tilebox.cli.stac import ingest, sources
from tilebox.datasets import Client, field
from tilebox.errors import NotFoundError


@pytest.fixture
def slug():
    return f"imports.d{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(server):
    return Client(url=server.url, token=server.token)


@pytest.fixture
def run(server, slug):
    def run(source, *options, code=0, token=None, dataset=slug):
        arguments = ["import", "stac", str(source), "--dataset", dataset, "--url", server.url]
        result = CliRunner().invoke(tilebox, [*arguments, "--token", token or server.token, *options])
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.output

    return run


@pytest.fixture
def source(tmp_path):
    def write(content, name="items.json"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_values_round_trip(run, source, client, slug):
    run(source(ITEMS))
    data = client.dataset(slug).collection("S2A_S2MSI2A").load(("2025-07-01", "2025-08-01"))
    assert data.sizes["time"] == 6
    assert data.granule_name.to_numpy().tolist() == [feature["id"] for feature in ITEMS]
    assert data.time.to_numpy()[3] == np.datetime64("2025-07-13T10:00:00.003")
    assert data.cloud_cover.to_numpy().tolist() == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]
    assert data.flight_direction.to_numpy().tolist() == ["DESCENDING"] * 6
    assert data.location.to_numpy()[2] == "/eodata/Sentinel-2/2.SAFE"
    assert data.thumbnail.to_numpy()[2] == "https://example.org/2.jpg"
    assert [asset.key for asset in data.assets.to_numpy()[2].assets] == ["B02", "thumbnail"]
    assert shapely.equals_exact(data.geometry.to_numpy()[1], shapely.geometry.shape(ITEMS[1]["geometry"]), 1e-12).all()


def test_imported_fields_can_be_filtered_by(run, source, client, slug):
    run(source(ITEMS))
    dataset = client.dataset(slug)
    data = dataset.query(
        filter=(field("cloud_cover") < 4) & (field("platform") == "sentinel-2a"),
        spatial_extent=shapely.box(10.5, 45.2, 10.6, 45.3),
    )
    assert data.sizes["time"] == 3


def test_importing_twice_changes_nothing(run, source, client, slug):
    path = source(ITEMS)
    first, second = run(path), run(path)
    assert "S2A_S2MSI2A        6         0         0  2025-07-10 10:00  2025-07-15 10:00" in first
    assert "S2A_S2MSI2A        0         6         0" in second
    assert "(created)" in first
    assert "(existing)" in second
    assert client.dataset(slug).count() == 6


FORMATS = {
    "item.json": json.dumps(ITEMS[0]),
    "collection.json": json.dumps({"type": "FeatureCollection", "features": ITEMS}),
    "items.json": json.dumps(ITEMS, indent=1),
    "items.ndjson": "\n".join(map(json.dumps, ITEMS)) + "\n\n",
    "one.ndjson": json.dumps(ITEMS[0]) + "\n",
    "items.ndjson.gz": gzip.compress("\n".join(map(json.dumps, ITEMS)).encode()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_every_format(run, source, client, slug, name):
    run(source(FORMATS[name], name))
    assert client.dataset(slug).count() == (1 if name in ("item.json", "one.ndjson") else 6)


def test_geoparquet(run, tmp_path, client, slug):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {
            "type": "Feature",
            "id": feature["id"],
            "geometry": shapely.to_wkb(shapely.geometry.shape(feature["geometry"])),
            "assets": feature["assets"],
            "datetime": np.datetime64(feature["properties"]["datetime"][:-1], "ms").item(),
            "eo:cloud_cover": feature["properties"]["eo:cloud_cover"],
            "s2:note": None if number else "only one has it",
        }
        for number, feature in enumerate(ITEMS)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    run(tmp_path / "items.parquet")
    data = client.dataset(slug).query()
    assert data.granule_name.to_numpy().tolist() == [feature["id"] for feature in ITEMS]
    assert data.note.to_numpy().tolist() == ["only one has it"] + [None] * 5
    assert data.time.to_numpy()[3] == np.datetime64("2025-07-13T10:00:00.003")


def test_an_item_is_the_same_datapoint_from_a_table_and_from_a_document(run, source, tmp_path, client, slug):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    items = [
        item(1, **{"processing:software": {"alpha": "1.0", "more": {"beta": "2"}}, "eo:snow_cover": 2.5}),
        item(2, **{"processing:software": {"gamma": "3.0"}}),
    ]
    items[0]["assets"]["B02"]["bands"] = [{"name": "blue", "eo:common_name": "blue"}]
    items[1]["assets"]["B02"]["bands"] = [{"name": "B2", "common_name": "blue"}]
    del items[1]["assets"]["thumbnail"]
    rows = [
        {
            **{name: feature[name] for name in ("type", "id", "assets")},
            "geometry": shapely.to_wkb(shapely.geometry.shape(feature["geometry"])),
            **feature["properties"],
        }
        for feature in items
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    run(tmp_path / "items.parquet")
    assert "S2A_S2MSI2A        0         2         0" in run(source(items))
    software = client.dataset(slug).query().software.to_numpy().tolist()
    assert software == ['{"alpha": "1.0", "more": {"beta": "2"}}', '{"gamma": "3.0"}']


def test_a_dry_run_counts_existing_items_as_to_create(run, source):
    run(source(ITEMS))
    output = run(source(ITEMS), "--dry-run")
    assert "S2A_S2MSI2A          6         0         0" in output
    assert "Items that are stored already count as to create" in output


def test_a_dry_run_changes_nothing(run, source, client, slug):
    output = run(source(ITEMS), "--dry-run")
    assert "would be created" in output
    assert "cloud_cover (double)" in output
    assert "TO CREATE" in output
    with pytest.raises(NotFoundError):
        client.dataset(slug)
    assert "no item" not in output


def test_later_items_add_fields(run, source, client, slug):
    run(source(ITEMS[:3]))
    output = run(source([item(7, **{"eo:snow_cover": 5})]))
    assert "1 field added" in output
    assert "snow_cover (double)" in output
    data = client.dataset(slug).query()
    assert np.isnan(data.snow_cover.to_numpy()[:3]).all()
    assert data.snow_cover.to_numpy()[3] == 5


def test_no_new_fields_leaves_the_schema_unchanged(run, source, client, slug):
    run(source(ITEMS[:3]))
    before = client.dataset(slug).schema
    run(source([item(7, **{"eo:snow_cover": 5})]), "--no-new-fields")
    assert client.dataset(slug).schema == before
    assert client.dataset(slug).count() == 4


def test_invalid_items_are_rejected_by_name_and_the_others_imported(run, source, client, slug):
    run(source([item(0, count=1)]))
    output = run(source([item(1, count=2), item(2, count="many"), {**item(3), "id": None}, item(4, count=2.5)]), code=1)
    assert "field count: int64 cannot hold 'many'" in output
    assert "the item has no id" in output
    assert "S2A_S2MSI2A        1         0         2" in output
    assert client.dataset(slug).count() == 2


@pytest.mark.parametrize("located", [0, 2])
def test_items_without_a_footprint_are_imported(run, source, client, slug, located):
    items = [item(number) if number < located else item(number) | {"geometry": None} for number in range(4)]
    assert "S2A_S2MSI2A        4         0         0" in run(source(items))
    dataset = client.dataset(slug)
    assert [footprint is not None for footprint in dataset.query().geometry.to_numpy()] == [
        number < located for number in range(4)
    ]
    assert dataset.count(spatial_extent=shapely.box(-170, -80, 170, 80)) == located


def test_an_import_without_valid_items_fails(run, source, client, slug):
    output = run(source([{**item(1), "properties": {}}]), code=1)
    assert "neither datetime nor start_datetime" in output
    assert "no item could be imported" in output


def create_with_short_locations(client, slug):
    """Create a dataset that rejects locations of more than 1024 characters, a limit that the import does not know."""
    location = Field(name="location", kind=FieldKind.STRING, queryable=True)
    client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, [location])


def with_long_location(number):
    return item(number) | {"assets": {"B02": {"href": f"s3://{'a' * 1100}/{number}.tif", "roles": ["data"]}}}


def test_items_that_the_server_rejects_are_named_and_the_others_imported(run, source, client, slug):
    create_with_short_locations(client, slug)
    items = [with_long_location(number) if number in (2, 7) else item(number) for number in range(9)]
    output = run(source(items), code=1)
    assert "Rejected, 2 of 9 items:" in output
    assert f"{items[2]['id']}, {items[7]['id']}: the server refuses it: field 'location' is queryable" in output
    assert "S2A_S2MSI2A        7         0         2  2025-07-10 10:00  2025-07-18 10:00" in output
    assert client.dataset(slug).count() == 7


def test_the_import_stops_if_the_server_rejects_too_many(run, source, client, slug, monkeypatch):
    create_with_short_locations(client, slug)
    monkeypatch.setattr(ingest, "_MAX_REJECTIONS", 5)
    output = run(source([with_long_location(number) for number in range(9)]), code=1)
    assert output.startswith("Error: ")
    assert "datapoints rejected" in output
    assert "2 items were refused one by one before that, so the import stopped" in output


def test_a_new_dataset_that_stays_empty_is_deleted(run, source, client, slug):
    # The import fails after it created the dataset, because the server refuses the name of the collection.
    output = run(source(ITEMS), "--collection", "no/slash" * 100, code=1)
    assert output.startswith("Error: ")
    with pytest.raises(NotFoundError):
        client.dataset(slug)


def test_one_collection_for_all(run, source, client, slug):
    run(source(ITEMS), "--collection", "mine", "--name", "My items")
    assert list(client.dataset(slug).collections()) == ["mine"]
    assert client.dataset(slug).name == "My items"


def test_a_limit(run, source, client, slug):
    run(source(ITEMS), "--limit", "2")
    assert client.dataset(slug).count() == 2


def test_the_printed_next_step_runs(run, source, server, slug, tmp_path):
    import shlex
    import subprocess
    import sys

    line = next(line for line in run(source(ITEMS)).splitlines() if "python -c" in line)
    environment = {**os.environ, "TILEBOX_API_URL": server.url, "TILEBOX_API_KEY": server.token}
    command = [sys.executable, *shlex.split(line)[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(time: 6)" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "there are no items"),
        ("not json", "line 1 is not JSON"),
        ('{"type": "Collection"}', "a STAC Collection, which contains no items"),
        ("[]", "there are no items"),
        ('{"type": "Feature", "properties": {"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"type": "Feature", "properties": {"a": ' + '{"a":' * 900 + "1" + "}" * 902, "nested too deeply"),
        (b"PAR1 nothing more", "Parquet"),
        (b"\x1f\x8b broken", "gzip"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_sources_that_are_not_stac_are_refused(run, source, content, message):
    output = run(source(content), code=1)
    assert output.startswith("Error: ")
    assert len(output.splitlines()) == 1
    assert message.lower() in output.lower()


def test_a_missing_file_is_reported(run, tmp_path):
    assert "No such file" in run(tmp_path / "none.json", code=1)


def test_a_wrong_api_key_is_reported(run, source):
    assert "key" in run(source(ITEMS), token="tb_wrong", code=1).lower()


@pytest.fixture
def api():
    """A STAC API. The test sets its responses for each path, as pairs of status and document or bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.respond(None)

        def do_POST(self):
            self.respond(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def respond(self, body):
            self.server.requests.append((self.command, self.path, body))
            responses = self.server.responses[self.path]
            status, document = responses.pop(0) if len(responses) > 1 else responses[0]
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.responses, server.requests = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def short_retries(monkeypatch):
    policy = RetryPolicy(attempts=3, first_seconds=0.001, longest_seconds=0.002)
    monkeypatch.setattr(sources, "_RETRY_POLICY", policy)


def page(items, next_href=None, **link):
    links = [{"rel": "next", "href": next_href, **link}] if next_href else []
    return (200, {"type": "FeatureCollection", "features": items, "links": links})


def test_pages_are_followed(run, api, client, slug):
    api.responses = {
        "/search?limit=2": [page(ITEMS[:2], "/search?limit=2&token=2")],
        "/search?limit=2&token=2": [page(ITEMS[2:4], f"{api.url}/last")],
        "/last": [page(ITEMS[4:])],
    }
    run(f"{api.url}/search?limit=2")
    assert client.dataset(slug).count() == 6


def test_a_search_is_posted_page_by_page(run, api, client, slug):
    link = {"method": "POST", "body": {"token": "2"}, "merge": True}
    api.responses = {"/search": [page(ITEMS[:3], "/search", **link), page(ITEMS[3:])]}
    run(f"{api.url}/search", "--search", '{"collections": ["s2"]}')
    assert api.requests == [
        ("POST", "/search", {"collections": ["s2"]}),
        ("POST", "/search", {"collections": ["s2"], "token": "2"}),
    ]
    assert client.dataset(slug).count() == 6


def test_a_limit_stops_before_the_next_page(run, api):
    api.responses = {"/search": [page(ITEMS[:3], "/more")]}
    run(f"{api.url}/search", "--limit", "3")
    assert len(api.requests) == 1


def test_a_loop_of_pages_is_an_error(run, api):
    api.responses = {"/a": [page(ITEMS[:2], "/b")], "/b": [page(ITEMS[2:], "/a")]}
    assert "read before" in run(f"{api.url}/a", code=1)
    assert len(api.requests) == 2


def test_temporary_failures_are_retried(run, api, client, slug, short_retries):
    api.responses = {"/search": [(503, {}), (429, {}), page(ITEMS)]}
    run(f"{api.url}/search")
    assert client.dataset(slug).count() == 6


def test_lasting_failures_are_reported_after_retries(run, api, short_retries):
    api.responses = {"/search": [(503, {})]}
    assert "it answered 503 Service Unavailable (3 tries)" in run(f"{api.url}/search", code=1)
    assert len(api.requests) == 3


def test_a_missing_page_is_not_retried(run, api, short_retries):
    api.responses = {"/search": [(404, {})]}
    assert "it answered 404 Not Found" in run(f"{api.url}/search", code=1)
    assert len(api.requests) == 1


def test_an_address_may_hold_a_file(run, api, client, slug):
    api.responses = {"/items.ndjson.gz": [(200, FORMATS["items.ndjson.gz"])]}
    run(f"{api.url}/items.ndjson.gz")
    assert client.dataset(slug).count() == 6


def test_a_file_cannot_be_searched(run, source):
    assert "only an address can be searched" in run(source(ITEMS), "--search", "{}", code=2)


def test_a_search_must_be_json(run, api):
    assert "not JSON" in run(f"{api.url}/search", "--search", "{", code=2)
    assert "a JSON object" in run(f"{api.url}/search", "--search", "[]", code=2)


def test_items_beyond_one_chunk_share_a_dataset(run, source, client, slug, monkeypatch):
    from tilebox.cli.stac import importer

    monkeypatch.setattr(importer, "_CHUNK_ITEMS", 2)
    items = [item(number, **({"late": number} if number > 3 else {})) for number in range(6)]
    output = run(source(items))
    assert "late (int64)" in output
    assert "S2A_S2MSI2A        6         0" in output
    assert client.dataset(slug).query().late.to_numpy().tolist() == [0, 0, 0, 0, 4, 5]


@pytest.mark.skipif(not REAL_ITEMS.is_dir(), reason="no real items: set TILEBOX_STAC_ITEMS to a folder that has them")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("sentinel-2-l2a-1000-items.parquet", 1000),
        ("landsat-c2-l2-100-items.parquet", 100),
        ("sentinel-1-rtc-items.json", 4),
    ],
)
def test_real_items(run, client, slug, name, count):
    run(REAL_ITEMS / name)
    output = run(REAL_ITEMS / name)
    assert client.dataset(slug).count() == count
    assert "(existing)" in output
