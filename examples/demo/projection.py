"""The Equal Earth projection, which preserves areas: swaths in the north do not fill the map.

Published by B. Savric, T. Patterson and B. Jenny (2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_SCALE = np.sqrt(3) / 2

WIDTH = 2 * np.pi / (_SCALE * _A1)
"""Width of the whole map, on a sphere of radius 1."""


def project(degrees: Floats) -> Floats:
    """Project points to the plane.

    Args:
        degrees: Longitude and latitude, shape (n, 2).

    Returns:
        x to the east and y to the north, on a sphere of radius 1, shape (n, 2).
    """
    theta = np.arcsin(_SCALE * np.sin(np.radians(degrees[:, 1])))
    square = theta**2
    sixth = square**3
    slope = _A1 + 3 * _A2 * square + sixth * (7 * _A3 + 9 * _A4 * square)
    x = np.radians(degrees[:, 0]) * np.cos(theta) / (_SCALE * slope)
    y = theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))
    return np.stack([x, y], axis=1)


def project_all(geometries: npt.NDArray[np.object_], *, step_degrees: float | None = None) -> npt.NDArray[np.object_]:
    """Project geometries to the plane.

    Args:
        geometries: In degrees, longitude first, none across the antimeridian, shape (n,).
        step_degrees: Maximum length of an edge. Longer edges get more points, so that they follow the projection's curves.
    """
    if step_degrees is not None:
        geometries = shapely.segmentize(geometries, step_degrees)
    return np.asarray(shapely.transform(geometries, project))


def graticule(step_degrees: float = 30.0) -> npt.NDArray[np.object_]:
    """Return projected meridians and parallels."""
    fine = np.linspace(-1.0, 1.0, 181)
    meridians = [np.stack([np.full(181, lon), 90 * fine], 1) for lon in np.arange(-180, 180.1, step_degrees)]
    inner = np.arange(-90 + step_degrees, 89.9, step_degrees)
    parallels = [np.stack([180 * fine, np.full(181, lat)], 1) for lat in inner]
    return np.array([shapely.LineString(project(line)) for line in (*meridians, *parallels)], dtype=object)


def outline() -> shapely.Polygon:
    """Return the border of the whole map."""
    fine = np.linspace(-90.0, 90.0, 181)
    east = project(np.stack([np.full(181, 180.0), fine], 1))
    return shapely.Polygon(np.concatenate([east, east[::-1] * [-1, 1]]))
