"""Coarse polygons of land, for the acquisition rule and for the background of the maps.

`land.json` is made from Natural Earth's 1:50 million land polygons, which are in the public domain: simplified to
0.12 degrees, without islands below 0.04 square degrees, split at the antimeridian. It lists polygons. A polygon is a
list of rings, and a ring is a flat list of longitude and latitude differences in twentieths of a degree.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    import numpy.typing as npt

STEPS_PER_DEGREE = 20


@cache
def polygons() -> npt.NDArray[np.object_]:
    """Return the land as shapely polygons in degrees, longitude first, none across the antimeridian."""
    document = json.loads(resources.files(__package__).joinpath("land.json").read_text())
    decoded = [shapely.Polygon(*_rings(rings)) for rings in document]
    # Rounding to the grid lets a narrow isthmus touch itself.
    parts = shapely.get_parts(shapely.make_valid(decoded))
    return np.asarray(parts[shapely.get_dimensions(parts) == 2])


def touches(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Return which geometries intersect land.

    Args:
        geometries: Shapely geometries in degrees, shape (n,).

    Returns:
        True for each geometry that intersects land, shape (n,).
    """
    indices, _ = shapely.STRtree(polygons()).query(geometries, predicate="intersects")
    result = np.zeros(len(geometries), dtype=bool)
    result[indices] = True
    return result


def _rings(encoded: list[list[int]]) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    shell, *holes = (np.cumsum(np.reshape(ring, (-1, 2)), axis=0) / STEPS_PER_DEGREE for ring in encoded)
    return shell, holes
