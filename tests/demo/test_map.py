"""The maps: a picture that shows something, and a page that is whole."""

import base64
import gzip
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
import shapely

pytest.importorskip("matplotlib", reason="needs the dependency group demo")

from demo.map import Footprints, write_html, write_png
from demo.projection import WIDTH, outline, project

VOID = {"meta", "input", "br", "link", "img"}


def footprints(**changes):
    columns = {
        "time": np.array(["2025-07-14T10:00", "2025-07-14T11:00", "2025-07-15T09:00"], dtype="datetime64[ns]"),
        "geometry": np.array([shapely.box(x, 40, x + 20, 60) for x in (-170, 0, 150)], dtype=object),
        "granule_name": ["one", "</script><b>two", "three"],
        "cloud_cover": [0.0, 50.0, np.nan],
    }
    return Footprints.of(columns | changes)


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def test_the_picture_shows_the_footprints(tmp_path):
    write_png(footprints(), tmp_path / "map.png", title="Three")
    none = footprints(geometry=np.array([shapely.box(x, -70, x + 0.1, -69.9) for x in (-170, 0, 170)], dtype=object))
    write_png(none, tmp_path / "empty.png", title="Three")
    drawn, empty = pixels(tmp_path / "map.png"), pixels(tmp_path / "empty.png")
    assert drawn.shape == (1350, 2400, 3)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    changed = np.abs(drawn - empty).max(axis=2) > 0.1
    # Two boxes of 20 by 20 degrees in colour and one in grey are some percent of the world.
    assert 0.005 < changed.mean() < 0.05


def test_the_picture_colours_the_day_that_is_asked_for(tmp_path):
    write_png(footprints(), tmp_path / "a.png", title="Three", day="2025-07-14")
    write_png(footprints(), tmp_path / "b.png", title="Three", day="2025-07-15")
    assert np.abs(pixels(tmp_path / "a.png") - pixels(tmp_path / "b.png")).max() > 0.3


def test_a_region_fills_the_picture(tmp_path):
    boxes = np.array([shapely.box(x, 40, x + 1, 41) for x in (9, 10, 11)], dtype=object)
    write_png(footprints(geometry=boxes), tmp_path / "map.png", title="Three")
    assert len(np.unique(pixels(tmp_path / "map.png").reshape(-1, 3), axis=0)) > 20


def test_nothing_to_draw_is_said(tmp_path):
    none = footprints(geometry=np.array([None, None, None], dtype=object))
    with pytest.raises(ValueError, match="no footprints"):
        write_png(none, tmp_path / "map.png", title="None")


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_well_formed_and_stands_alone(tmp_path):
    write_html(footprints(), tmp_path / "map.html", title="Three & <more>", note="a note")
    page = (tmp_path / "map.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.addresses == []
    assert "http://" not in page
    assert "https://" not in page
    assert "@@" not in page
    assert "Three & <more>" in checker.texts
    assert "<b>two" not in page


def test_the_page_carries_the_footprints(tmp_path):
    write_html(footprints(), tmp_path / "map.html", title="Three")
    packed = re.search(r'type="application/octet-stream">([^<]+)<', (tmp_path / "map.html").read_text())[1]
    payload = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert payload["days"] == ["2025-07-14", "2025-07-15"]
    assert payload["day"] == [0, 0, 1]
    assert payload["second"] == [36000, 39600, 32400]
    assert payload["name"] == ["one", "</script><b>two", "three"]
    assert payload["cloud"] == [0.0, 50.0, None]
    assert payload["owner"] == [0, 1, 2]
    assert all(len(ring) == 10 for ring in payload["rings"])
    assert len(payload["land"]) > 400


def test_the_same_footprints_give_the_same_page(tmp_path):
    for name in ("a.html", "b.html"):
        write_html(footprints(), tmp_path / name, title="Three")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_datapoints_without_footprint_are_left_out():
    geometry = np.array([None, shapely.box(0, 0, 1, 1), shapely.Point(0, 0)], dtype=object)
    assert list(footprints(geometry=geometry).name) == ["</script><b>two"]


def test_fields_that_are_missing_are_unknown():
    found = Footprints.of(
        {"time": [datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None)], "geometry": [shapely.box(0, 0, 1, 1)]}
    )
    assert np.isnan(found.cloud_cover).all()
    assert list(found.name) == [""]


def test_the_projection_keeps_areas():
    def area(*bounds):
        ring = shapely.segmentize(shapely.box(*bounds), 0.5)
        return shapely.transform(ring, project).area

    degrees = np.radians
    for south in (-80, -30, 0, 50, 75):
        truth = degrees(30) * (np.sin(degrees(south + 10)) - np.sin(degrees(south)))
        assert area(20, south, 50, south + 10) == pytest.approx(truth, rel=1e-3)
    assert outline().area == pytest.approx(4 * np.pi, rel=1e-3)
    assert outline().bounds[2] - outline().bounds[0] == pytest.approx(WIDTH)
