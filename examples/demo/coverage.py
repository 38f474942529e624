"""A workflow over a dataset: a map of how often satellites saw each place, with one task per tile.

The root task splits an area into tiles. The task of a tile queries the footprints that intersect it, counts how many of
them cover each point of a grid, and stores the counts in the job cache. When all tiles are done, the last task merges
the counts and draws the map.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox.workflows import ExecutionContext, Task

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from tilebox.datasets import Client
    from tilebox.workflows import JobCache

    Counts = npt.NDArray[np.int64]

TILE_DEGREES = 9
STEP_DEGREES = 0.25
EUROPE = (-12, 34, 42, 70)

_SEA, _COAST, _TEXT, _QUIET = "#0a1828", "#ffffff", "#e8eff6", "#8ea5bb"


@dataclass(frozen=True)
class RunnerContext:
    """The objects that a runner passes to its tasks.

    Args:
        datasets: A datasets client.
        output: The folder of the picture.
    """

    datasets: Client
    output: Path


class CoverageMap(Task):
    """The root task, which splits an area into tiles.

    Args:
        dataset: Slug of a spatio-temporal dataset.
        collections: Names of its collections.
        start: Start of the interval.
        end: End of the interval, exclusive.
        area: West, south, east and north in whole degrees. Width and height are multiples of `TILE_DEGREES`.
    """

    dataset: str
    collections: list[str]
    start: str
    end: str
    area: list[int]

    def execute(self, context: ExecutionContext) -> None:
        """Submit one task per tile, and one that waits for all of them."""
        west, south, east, north = self.area
        context.current_task.display = f"{self.dataset.rpartition('.')[2]}\n{self.start} to {self.end}"
        tiles = [
            CountTile(self.dataset, self.collections, self.start, self.end, longitude, latitude)
            for latitude in range(south, north, TILE_DEGREES)
            for longitude in range(west, east, TILE_DEGREES)
        ]
        context.progress("tiles").add(len(tiles))
        counted = context.submit_subtasks(tiles, max_retries=2)
        context.submit_subtask(DrawMap(self.area, f"{self.start} to {self.end}"), depends_on=counted)


class CountTile(Task):
    """The task of one tile: count the footprints that cover each point of its grid."""

    dataset: str
    collections: list[str]
    start: str
    end: str
    west: int
    south: int

    def execute(self, context: ExecutionContext) -> None:
        """Query the dataset and count."""
        resources: RunnerContext = context.runner_context
        tile = shapely.box(self.west, self.south, self.west + TILE_DEGREES, self.south + TILE_DEGREES)
        data = resources.datasets.dataset(self.dataset).query(
            collections=self.collections, temporal_extent=(self.start, self.end), spatial_extent=tile
        )
        footprints = data["geometry"].values if "geometry" in data else np.array([], dtype=object)
        counts = count_covers(footprints, self.west, self.south)
        context.current_task.display = (
            f"{_compass(self.west, 'E', 'W')} {_compass(self.south, 'N', 'S')}\n{len(footprints)} footprints"
        )
        context.job_cache.group("tiles")[f"{self.west}_{self.south}"] = _pack(counts)
        context.progress("tiles").done(1)


class DrawMap(Task):
    """The last task: draw all tiles in one picture."""

    area: list[int]
    title: str

    def execute(self, context: ExecutionContext) -> None:
        """Merge the tiles and draw them."""
        resources: RunnerContext = context.runner_context
        counts = merge_tiles(context.job_cache.group("tiles"), self.area)
        draw(counts, self.area, self.title, resources.output / "coverage.png")
        context.current_task.display = f"up to {counts.max()} times"


TASKS = [CoverageMap, CountTile, DrawMap]


def count_covers(footprints: npt.NDArray[Any], west: int, south: int) -> Counts:
    """Count the footprints that cover each point of a tile's grid.

    Args:
        footprints: Geometries in degrees.
        west: Western edge of the tile in degrees.
        south: Southern edge of the tile in degrees.

    Returns:
        Counts, shape (rows from south to north, columns from west to east).
    """
    steps = np.arange(STEP_DEGREES / 2, TILE_DEGREES, STEP_DEGREES)
    longitude, latitude = np.meshgrid(west + steps, south + steps)
    points = shapely.points(longitude.ravel(), latitude.ravel())
    tree = shapely.STRtree(points)
    _, covered = tree.query(footprints, predicate="covers") if len(footprints) else (None, np.array([], dtype=int))
    return np.bincount(covered, minlength=len(points)).reshape(longitude.shape)


def merge_tiles(tiles: JobCache, area: list[int]) -> Counts:
    """Return the counts of the whole area, merged from its tiles."""
    west, south, east, north = area
    rows = [
        np.hstack([_unpack(tiles[f"{longitude}_{latitude}"]) for longitude in range(west, east, TILE_DEGREES)])
        for latitude in range(south, north, TILE_DEGREES)
    ]
    return np.vstack(rows)


def draw(counts: Counts, area: list[int], title: str, path: Path) -> None:
    """Write a picture of the counts with the coastlines on top."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure

    west, south, east, north = area
    # A degree of longitude is shorter than one of latitude; the ratio is that of the middle latitude.
    aspect = 1 / np.cos(np.radians((south + north) / 2))
    figure = Figure(figsize=(9, 8.3 * (north - south) / (east - west) * aspect), dpi=120, facecolor=_SEA)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot(facecolor=_SEA)
    most = max(int(counts.max()), 1)
    image = axes.imshow(
        np.where(counts > 0, counts, np.nan),
        extent=(west, east, south, north),
        origin="lower",
        aspect=aspect,
        cmap=colormaps["viridis"].resampled(most),
        norm=BoundaryNorm(np.arange(most + 1) + 0.5, most),
        interpolation="nearest",
    )
    axes.add_collection(LineCollection(_coasts(area), colors=_COAST, linewidths=0.9, alpha=0.85))
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.xaxis.set_major_formatter(lambda degrees, _: _compass(degrees, "E", "W"))
    axes.yaxis.set_major_formatter(lambda degrees, _: _compass(degrees, "N", "S"))
    axes.tick_params(colors=_QUIET, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"How often each place was seen, {title}", loc="left", color=_TEXT, fontsize=14)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, ticks=range(1, most + 1))
    bar.set_label("number of footprints", color=_QUIET)
    bar.ax.tick_params(colors=_QUIET, length=0)
    bar.outline.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _coasts(area: list[int]) -> list[npt.NDArray[np.float64]]:
    """Return the coastlines in an area. It clips lines, not polygons, so the edges of the area are not drawn."""
    from demo import land

    lines = shapely.clip_by_rect(shapely.boundary(land.polygons()), *area)
    return [shapely.get_coordinates(line) for line in shapely.get_parts(lines) if not line.is_empty]


def _compass(degrees: float, positive: str, negative: str) -> str:
    return f"{abs(degrees):.0f}°{positive if degrees > 0 else negative if degrees < 0 else ''}"


def _pack(counts: Counts) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, counts, allow_pickle=False)
    return buffer.getvalue()


def _unpack(data: bytes) -> Counts:
    counts: Counts = np.load(io.BytesIO(data), allow_pickle=False)
    return counts
