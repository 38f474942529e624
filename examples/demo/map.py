"""Footprints on a world map, as a picture and as an interactive page.

Both work without a network, and with any dataset that has footprints.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from demo import land, projection
from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes

    Objects = npt.NDArray[np.object_]

# Clear ground is vivid, clouds are white.
CLOUD_RAMP = ("#0a7fb8", "#12b3a6", "#7ed6a5", "#dcefe2", "#ffffff")
_OCEAN, _LAND, _COAST, _GRID, _TEXT, _QUIET = "#0a1828", "#1c3147", "#5f819f", "#27415c", "#e8eff6", "#8ea5bb"
_OTHER_DAYS = "#4d7392"

# Coordinates of the page are whole numbers on a grid of this many steps, about 1 km each.
_GRID_STEPS = 40_000
_SMALLEST_VIEW_WIDTH = 0.4
# The map's part of the picture, which is 16 by 9: left, bottom, width, height.
_MAP_AREA = (0.01, 0.02, 0.98, 0.86)
_MAP_RATIO = _MAP_AREA[2] * 16 / (_MAP_AREA[3] * 9)


@dataclass(frozen=True)
class Footprints:
    """The footprints on a map. All arrays have shape (n,).

    Args:
        geometry: Footprints in degrees, split at the antimeridian.
        time: Times as datetime64.
        name: Product names.
        cloud_cover: Percent, NaN where unknown.
    """

    geometry: Objects
    time: npt.NDArray[np.datetime64]
    name: Objects
    cloud_cover: npt.NDArray[np.float64]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Footprints:
        """Return the footprints of a query result or of columns to ingest, without rows that have no area.

        Args:
            columns: Columns `time` and `geometry`, optionally `granule_name` and `cloud_cover`.
        """
        geometry = np.asarray(columns["geometry"], dtype=object)
        count = len(geometry)
        names = columns["granule_name"] if "granule_name" in columns else np.full(count, "")
        clouds = columns["cloud_cover"] if "cloud_cover" in columns else np.full(count, np.nan)
        drawable = shapely.get_dimensions(geometry) == 2
        return cls(
            geometry[drawable],
            np.asarray(columns["time"]).astype("datetime64[ns]")[drawable],
            np.asarray(names, dtype=object)[drawable],
            np.asarray(clouds, dtype=np.float64)[drawable],
        )

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        """The days with footprints, in ascending order."""
        return np.unique(self.time.astype("datetime64[D]"))

    def __len__(self) -> int:
        return len(self.geometry)


def write_png(footprints: Footprints, path: Path, *, title: str, note: str = "", day: str | None = None) -> None:
    """Draw a picture: one day coloured by cloud cover, the other days beneath it in grey.

    Args:
        footprints: The footprints.
        path: The file to write.
        title: The heading.
        note: A line below the title, in small type.
        day: The day to colour, such as `2025-07-16`; by default the day with the most footprints.

    Raises:
        ValueError: There are no footprints.
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing the map", "demo") from error

    if not len(footprints):
        raise ValueError("there are no footprints to draw")
    chosen = np.datetime64(day, "D") if day else _busiest_day(footprints)
    shapes = projection.project_all(footprints.geometry)
    figure = Figure(figsize=(16, 9), dpi=150, facecolor=_OCEAN)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(_MAP_AREA)
    width = _frame(axes, shapes)
    _draw_world(axes, graticule_degrees=30.0 if width is None else 5.0)
    _draw_footprints(axes, footprints, shapes, chosen)
    if width is None:
        axes.autoscale_view()
    figure.text(0.03, 0.94, title, color=_TEXT, fontsize=23, fontweight="bold", va="center")
    figure.text(0.03, 0.902, note, color=_QUIET, fontsize=12, va="center")
    _draw_legend(figure, chosen)
    figure.savefig(path, facecolor=figure.get_facecolor())


def write_html(footprints: Footprints, path: Path, *, title: str, note: str = "") -> None:
    """Write an interactive page: pan, zoom, layers by day, a limit for clouds, names under the pointer.

    Args:
        footprints: The footprints.
        path: The file to write. It needs no other file.
        title: The heading.
        note: A line below the title.
    """
    page = resources.files(__package__).joinpath("map.html").read_text(encoding="utf-8")
    # Compressed JSON in base64 has a tenth of the size, and cannot contain text that ends the script element.
    payload = base64.b64encode(gzip.compress(json.dumps(_payload(footprints)).encode(), mtime=0)).decode()
    parts = {"TITLE": html.escape(title), "NOTE": html.escape(note), "PAYLOAD": payload}
    for name, text in parts.items():
        page = page.replace(f"@@{name}@@", text)
    path.write_text(page, encoding="utf-8")


def _busiest_day(footprints: Footprints) -> np.datetime64:
    days, counts = np.unique(footprints.time.astype("datetime64[D]"), return_counts=True)
    return np.datetime64(days[np.argmax(counts)])


def _draw_world(axes: Axes, *, graticule_degrees: float) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    globe = np.asarray(projection.outline().exterior.coords)
    axes.add_collection(PolyCollection([globe], facecolors="#0e2034", edgecolors="none", zorder=0))
    lines = [np.asarray(line.coords) for line in projection.graticule(graticule_degrees)]
    axes.add_collection(LineCollection(lines, colors=_GRID, linewidths=0.6, zorder=2.5))
    continents = projection.project_all(land.polygons(), step_degrees=2.0)
    _fill(axes, continents, _LAND, edge="none", width=0.0, zorder=2)
    coasts = [np.asarray(part.exterior.coords) for part in continents]
    axes.add_collection(LineCollection(coasts, colors=_COAST, linewidths=0.6, zorder=5))
    axes.add_collection(LineCollection([globe], colors="#2b4763", linewidths=1.0, zorder=6))


def _draw_footprints(axes: Axes, footprints: Footprints, shapes: Objects, day: np.datetime64) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    chosen = footprints.time.astype("datetime64[D]") == day
    _fill(axes, shapes[~chosen], _OTHER_DAYS, edge="none", width=0.0, alpha=0.13, zorder=3)
    ramp = LinearSegmentedColormap.from_list("clouds", CLOUD_RAMP)
    cover = footprints.cloud_cover[chosen]
    colors = np.where(np.isnan(cover)[:, None], [[0.94, 0.72, 0.28, 1.0]], ramp(np.nan_to_num(cover) / 100.0))
    _fill(axes, shapes[chosen], colors, edge="face", width=0.15, alpha=0.95, zorder=4)


def _fill(
    axes: Axes, shapes: Objects, color: Any, *, edge: str, width: float, alpha: float | None = None, zorder: int
) -> None:
    """Fill polygons, leaving out holes, as one collection. `color` is one colour for all or an array with one per shape."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    parts, owner = shapely.get_parts(shapes, return_index=True)
    outlines = [
        Outline.make_compound_path(*(Outline(ring.coords, closed=True) for ring in (part.exterior, *part.interiors)))
        for part in parts
    ]
    colors = color if isinstance(color, str) else np.asarray(color)[owner]
    collection = PathCollection(outlines, facecolors=colors, edgecolors=edge, linewidths=width, zorder=zorder)
    collection.set_alpha(alpha)
    axes.add_collection(collection)


def _frame(axes: Axes, shapes: Objects) -> float | None:
    """Zoom to the footprints and return the width of the view. Return None if they span more than half the world."""
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.margins(0.0)
    west, south, east, north = shapely.total_bounds(shapes)
    width = max(1.3 * (east - west), 1.3 * (north - south) * _MAP_RATIO, _SMALLEST_VIEW_WIDTH)
    if width > 0.5 * projection.WIDTH:
        return None
    x, y = (west + east) / 2, (south + north) / 2
    axes.set_xlim(x - width / 2, x + width / 2)
    axes.set_ylim(y - width / _MAP_RATIO / 2, y + width / _MAP_RATIO / 2)
    return float(width)


def _draw_legend(figure: Any, day: np.datetime64) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    bar = figure.add_axes((0.735, 0.925, 0.235, 0.018))
    ramp = LinearSegmentedColormap.from_list("clouds", CLOUD_RAMP)
    scale = figure.colorbar(ScalarMappable(Normalize(0, 100), ramp), cax=bar, orientation="horizontal")
    scale.outline.set_visible(False)
    scale.set_ticks([0, 25, 50, 75, 100], labels=["0 %", "25", "50", "75", "100 %"])
    bar.tick_params(colors=_QUIET, labelsize=10, length=0, pad=4)
    first, *_, last = bar.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bar.set_title(f"cloud cover on {day}; other days in grey", color=_TEXT, fontsize=11, loc="left", pad=6)


def _payload(footprints: Footprints) -> dict[str, Any]:
    order = np.argsort(footprints.time, kind="stable")
    days = footprints.days
    time = footprints.time[order]
    cover = footprints.cloud_cover[order]
    return {
        "land": _flat(projection.project_all(land.polygons(), step_degrees=4.0))[0],
        "grid": _steps(projection.graticule()),
        "globe": _steps(np.array([projection.outline().exterior], dtype=object)),
        "days": [str(day) for day in days],
        "day": np.searchsorted(days, time.astype("datetime64[D]")).tolist(),
        "second": (time.astype("datetime64[s]").astype(np.int64) % 86400).tolist(),
        "name": [str(name) for name in footprints.name[order]],
        "cloud": [None if np.isnan(value) else round(float(value), 1) for value in cover],
        **dict(zip(("rings", "owner"), _flat(projection.project_all(footprints.geometry[order])), strict=True)),
    }


def _flat(shapes: Objects) -> tuple[list[list[int]], list[int]]:
    """Return the outer rings of polygons as flat whole numbers, and the index of the shape of each."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    return _steps(shapely.get_exterior_ring(parts)), owner.tolist()


def _steps(lines: Objects) -> list[list[int]]:
    scale = _GRID_STEPS / projection.WIDTH
    return [np.rint(shapely.get_coordinates(line) * scale).astype(int).ravel().tolist() for line in lines]
