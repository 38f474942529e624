"""The land, coarsely: what the demonstration acquires over and draws beneath the footprints.

`land.json` is made from Natural Earth's 1:50 million land polygons, which are in the public domain: simplified to
0.12 degrees, without islands below 0.04 square degrees, cut at the antimeridian. It lists polygons, each a list of
rings, each a flat list of longitude and latitude steps in twentieths of a degree from the point before.
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
    """Tell which geometries touch land.

    Args:
        geometries: Shapely geometries in degrees, shape (n,).

    Returns:
        Shape (n,).
    """
    found, _ = shapely.STRtree(polygons()).query(geometries, predicate="intersects")
    result = np.zeros(len(geometries), dtype=bool)
    result[found] = True
    return result


def _rings(encoded: list[list[int]]) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    shell, *holes = (np.cumsum(np.reshape(ring, (-1, 2)), axis=0) / STEPS_PER_DEGREE for ring in encoded)
    return shell, holes
