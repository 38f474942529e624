"""Names of the 100 km squares (`32TQM`) of the Military Grid Reference System, which Sentinel-2 uses as tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# I and O are left out, because they look like digits.
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_SQUARE_METRES = 100_000.0

_SEMI_MAJOR_METRES = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_SCALE = 0.9996
_FALSE_EASTING = 500_000.0


def tile_names(longitude: Floats, latitude: Floats) -> list[str]:
    """Return the names of the grid squares of points.

    It ignores the special zones around Norway and Svalbard.

    Args:
        longitude: Degrees in [-180, 180], shape (n,).
        latitude: Degrees in [-80, 84], shape (n,).
    """
    zone = np.minimum(((longitude + 180.0) // 6.0).astype(int), 59) + 1
    easting, northing = _transverse_mercator(longitude - (zone * 6.0 - 183.0), latitude)
    band = np.clip(((latitude + 80.0) // 8.0).astype(int), 0, len(_BANDS) - 1)
    column = (easting // _SQUARE_METRES).astype(int) - 1 + (zone - 1) % 3 * 8
    row = (northing // _SQUARE_METRES).astype(int) + np.where(zone % 2 == 0, 5, 0)
    return [
        f"{z:02d}{_BANDS[b]}{_COLUMNS[c % 24]}{_ROWS[r % 20]}"
        for z, b, c, r in zip(zone, band, column, row, strict=True)
    ]


def _transverse_mercator(from_meridian: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Project degrees to metres with the first three terms of Krueger's series, accurate to a millimetre here."""
    n = _FLATTENING / (2 - _FLATTENING)
    radius = _SEMI_MAJOR_METRES / (1 + n) * (1 + n**2 / 4)
    alpha = (n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16, 13 * n**2 / 48 - 3 * n**3 / 5, 61 * n**3 / 240)
    sine, conformal = np.sin(np.radians(latitude)), 2 * np.sqrt(n) / (1 + n)
    t = np.sinh(np.arctanh(sine) - conformal * np.arctanh(conformal * sine))
    angle = np.radians(from_meridian)
    xi, eta = np.arctan2(t, np.cos(angle)), np.arctanh(np.sin(angle) / np.hypot(1.0, t))
    x, y = eta.copy(), xi.copy()
    for order, factor in enumerate(alpha, start=1):
        x += factor * np.cos(2 * order * xi) * np.sinh(2 * order * eta)
        y += factor * np.sin(2 * order * xi) * np.cosh(2 * order * eta)
    # The false northing of the south, 10,000 km, is left out: row letters repeat after 2,000 km.
    return _FALSE_EASTING + _SCALE * radius * x, _SCALE * radius * y
