"""`tilebox import stac` against a real server, from files of all forms and from an API that pages."""

import gzip
import json
import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from stac_items import ITEMS, item

from tilebox._core.schema.fields import DatasetKind, Field, FieldKind
from tilebox._core.wire.backoff import RetryPolicy
from tilebox.cli.commands import tilebox
from tilebox.cli.stac import ingest, sources
from tilebox.datasets import Client, field
from tilebox.errors import NotFoundError

REAL_ITEMS = Path(os.environ.get("TILEBOX_STAC_ITEMS") or Path(__file__).parents[3] / "shared" / "data")


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


def test_values_come_back_as_they_were(run, source, client, slug):
    run(source(ITEMS))
    data = client.dataset(slug).collection("S2A_S2MSI2A").load(("2025-07-01", "2025-08-01"))
    assert data.sizes["time"] == 6
    assert data.granule_name.to_numpy().tolist() == [each["id"] for each in ITEMS]
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
    found = dataset.query(
        filter=(field("cloud_cover") < 4) & (field("platform") == "sentinel-2a"),
        spatial_extent=shapely.box(10.5, 45.2, 10.6, 45.3),
    )
    assert found.sizes["time"] == 3


def test_importing_twice_changes_nothing(run, source, client, slug):
    path = source(ITEMS)
    first, second = run(path), run(path)
    assert "S2A_S2MSI2A        6         0         0  2025-07-10 10:00  2025-07-15 10:00" in first
    assert "S2A_S2MSI2A        0         6         0" in second
    assert "(created)" in first
    assert "(existing)" in second
    assert client.dataset(slug).count() == 6


FORMS = {
    "item.json": json.dumps(ITEMS[0]),
    "collection.json": json.dumps({"type": "FeatureCollection", "features": ITEMS}),
    "items.json": json.dumps(ITEMS, indent=1),
    "items.ndjson": "\n".join(map(json.dumps, ITEMS)) + "\n\n",
    "one.ndjson": json.dumps(ITEMS[0]) + "\n",
    "items.ndjson.gz": gzip.compress("\n".join(map(json.dumps, ITEMS)).encode()),
}


@pytest.mark.parametrize("name", FORMS)
def test_files_of_every_form(run, source, client, slug, name):
    run(source(FORMS[name], name))
    assert client.dataset(slug).count() == (1 if name in ("item.json", "one.ndjson") else 6)


def test_geoparquet(run, tmp_path, client, slug):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {
            "type": "Feature",
            "id": each["id"],
            "geometry": shapely.to_wkb(shapely.geometry.shape(each["geometry"])),
            "assets": each["assets"],
            "datetime": np.datetime64(each["properties"]["datetime"][:-1], "ms").item(),
            "eo:cloud_cover": each["properties"]["eo:cloud_cover"],
            "s2:note": None if number else "only one has it",
        }
        for number, each in enumerate(ITEMS)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    run(tmp_path / "items.parquet")
    data = client.dataset(slug).query()
    assert data.granule_name.to_numpy().tolist() == [each["id"] for each in ITEMS]
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
            **{name: each[name] for name in ("type", "id", "assets")},
            "geometry": shapely.to_wkb(shapely.geometry.shape(each["geometry"])),
            **each["properties"],
        }
        for each in items
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    run(tmp_path / "items.parquet")
    assert "S2A_S2MSI2A        0         2         0" in run(source(items))
    software = client.dataset(slug).query().software.to_numpy().tolist()
    assert software == ['{"alpha": "1.0", "more": {"beta": "2"}}', '{"gamma": "3.0"}']


def test_a_dry_run_counts_what_is_stored_already_as_to_create_and_says_so(run, source):
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


def test_later_items_bring_new_fields(run, source, client, slug):
    run(source(ITEMS[:3]))
    output = run(source([item(7, **{"eo:snow_cover": 5})]))
    assert "1 field added" in output
    assert "snow_cover (double)" in output
    data = client.dataset(slug).query()
    assert np.isnan(data.snow_cover.to_numpy()[:3]).all()
    assert data.snow_cover.to_numpy()[3] == 5


def test_no_new_fields_leaves_the_dataset_as_it_is(run, source, client, slug):
    run(source(ITEMS[:3]))
    before = client.dataset(slug).schema
    run(source([item(7, **{"eo:snow_cover": 5})]), "--no-new-fields")
    assert client.dataset(slug).schema == before
    assert client.dataset(slug).count() == 4


def test_what_does_not_fit_is_rejected_by_name_and_the_rest_imported(run, source, client, slug):
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


def test_nothing_but_rejected_items_is_an_error(run, source, client, slug):
    output = run(source([{**item(1), "properties": {}}]), code=1)
    assert "neither datetime nor start_datetime" in output
    assert "no item could be imported" in output


def limited_to_short_locations(client, slug):
    """Make a dataset that takes no location of more than 1024 characters, which the import does not know of."""
    location = Field(name="location", kind=FieldKind.STRING, queryable=True)
    client.create_or_update_dataset(DatasetKind.SPATIOTEMPORAL, slug, [location])


def far_away(number):
    return item(number) | {"assets": {"B02": {"href": f"s3://{'a' * 1100}/{number}.tif", "roles": ["data"]}}}


def test_what_the_server_refuses_is_named_and_the_rest_imported(run, source, client, slug):
    limited_to_short_locations(client, slug)
    items = [far_away(number) if number in (2, 7) else item(number) for number in range(9)]
    output = run(source(items), code=1)
    assert "Rejected, 2 of 9 items:" in output
    assert f"{items[2]['id']}, {items[7]['id']}: the server refuses it: field 'location' is queryable" in output
    assert "S2A_S2MSI2A        7         0         2  2025-07-10 10:00  2025-07-18 10:00" in output
    assert client.dataset(slug).count() == 7


def test_a_server_that_refuses_everything_is_not_asked_for_ever(run, source, client, slug, monkeypatch):
    limited_to_short_locations(client, slug)
    monkeypatch.setattr(ingest, "_MAX_REFUSALS", 5)
    output = run(source([far_away(number) for number in range(9)]), code=1)
    assert output.startswith("Error: ")
    assert "datapoints rejected" in output
    assert "2 items were refused one by one before that, so the import stopped" in output


def test_a_dataset_that_nothing_got_into_is_not_kept(run, source, client, slug):
    # Of an import that breaks off, which here the server's refusal of a collection's name does.
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


def test_the_next_step_that_is_printed_runs(run, source, server, slug, tmp_path):
    import shlex
    import subprocess
    import sys

    line = next(line for line in run(source(ITEMS)).splitlines() if "python -c" in line)
    environment = {**os.environ, "TILEBOX_API_URL": server.url, "TILEBOX_API_KEY": server.token}
    command = [sys.executable, *shlex.split(line)[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
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
def test_what_is_no_stac_is_said(run, source, content, message):
    output = run(source(content), code=1)
    assert output.startswith("Error: ")
    assert len(output.splitlines()) == 1
    assert message.lower() in output.lower()


def test_a_file_that_is_not_there(run, tmp_path):
    assert "No such file" in run(tmp_path / "none.json", code=1)


def test_a_wrong_key(run, source):
    assert "key" in run(source(ITEMS), token="tb_wrong", code=1).lower()


@pytest.fixture
def api():
    """A STAC API; its answers are set by the test, as (status, document or text), by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(None)

        def do_POST(self):
            self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def answer(self, body):
            self.server.asked.append((self.command, self.path, body))
            answers = self.server.answers[self.path]
            status, document = answers.pop(0) if len(answers) > 1 else answers[0]
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.answers, running.asked = {}, []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def impatient(monkeypatch):
    policy = RetryPolicy(attempts=3, first_seconds=0.001, longest_seconds=0.002)
    monkeypatch.setattr(sources, "_PATIENCE", policy)


def page(items, following=None, **link):
    links = [{"rel": "next", "href": following, **link}] if following else []
    return (200, {"type": "FeatureCollection", "features": items, "links": links})


def test_pages_are_followed(run, api, client, slug):
    api.answers = {
        "/search?limit=2": [page(ITEMS[:2], "/search?limit=2&token=2")],
        "/search?limit=2&token=2": [page(ITEMS[2:4], f"{api.url}/last")],
        "/last": [page(ITEMS[4:])],
    }
    run(f"{api.url}/search?limit=2")
    assert client.dataset(slug).count() == 6


def test_a_search_is_posted_page_by_page(run, api, client, slug):
    link = {"method": "POST", "body": {"token": "2"}, "merge": True}
    api.answers = {"/search": [page(ITEMS[:3], "/search", **link), page(ITEMS[3:])]}
    run(f"{api.url}/search", "--search", '{"collections": ["s2"]}')
    assert api.asked == [
        ("POST", "/search", {"collections": ["s2"]}),
        ("POST", "/search", {"collections": ["s2"], "token": "2"}),
    ]
    assert client.dataset(slug).count() == 6


def test_a_limit_asks_for_no_page_too_many(run, api):
    api.answers = {"/search": [page(ITEMS[:3], "/more")]}
    run(f"{api.url}/search", "--limit", "3")
    assert len(api.asked) == 1


def test_a_next_link_that_leads_back_is_an_error(run, api):
    api.answers = {"/a": [page(ITEMS[:2], "/b")], "/b": [page(ITEMS[2:], "/a")]}
    assert "read before" in run(f"{api.url}/a", code=1)
    assert len(api.asked) == 2


def test_failures_that_pass_are_retried(run, api, client, slug, impatient):
    api.answers = {"/search": [(503, {}), (429, {}), page(ITEMS)]}
    run(f"{api.url}/search")
    assert client.dataset(slug).count() == 6


def test_failures_that_stay_are_told(run, api, impatient):
    api.answers = {"/search": [(503, {})]}
    assert "it answered 503 Service Unavailable (3 tries)" in run(f"{api.url}/search", code=1)
    assert len(api.asked) == 3


def test_a_wrong_address_is_not_retried(run, api, impatient):
    api.answers = {"/search": [(404, {})]}
    assert "it answered 404 Not Found" in run(f"{api.url}/search", code=1)
    assert len(api.asked) == 1


def test_an_address_may_hold_a_file(run, api, client, slug):
    api.answers = {"/items.ndjson.gz": [(200, FORMS["items.ndjson.gz"])]}
    run(f"{api.url}/items.ndjson.gz")
    assert client.dataset(slug).count() == 6


def test_a_search_of_a_file_makes_no_sense(run, source):
    assert "only an address can be searched" in run(source(ITEMS), "--search", "{}", code=2)


def test_a_search_must_be_json(run, api):
    assert "not JSON" in run(f"{api.url}/search", "--search", "{", code=2)
    assert "a JSON object" in run(f"{api.url}/search", "--search", "[]", code=2)


def test_items_beyond_one_chunk_share_a_dataset(run, source, client, slug, monkeypatch):
    from tilebox.cli.stac import importer

    monkeypatch.setattr(importer, "_ITEMS_AT_ONCE", 2)
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
