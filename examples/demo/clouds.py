"""Random clouds: a smooth field over the globe that drifts with time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_WAVES = 96
_SMALLEST_KM = 350.0
_LARGEST_KM = 4_000.0
_EARTH_RADIUS_KM = 6371.0


class CloudField:
    """A random cloud cover. Equal seeds give equal clouds.

    The field is a sum of plane waves through the sphere, in which long waves weigh more than short ones, plus a mean
    that depends on the latitude: high in the tropics and on the storm tracks, low in the deserts. It resembles weather,
    but models none.

    Args:
        seed: Seed of the random waves.
    """

    def __init__(self, seed: int = 2) -> None:
        random = np.random.default_rng(seed)
        direction = random.normal(size=(_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1)[:, None]
        length_km = np.exp(random.uniform(np.log(_SMALLEST_KM), np.log(_LARGEST_KM), _WAVES))
        self._vectors = direction * (2 * np.pi * _EARTH_RADIUS_KM / length_km)[:, None]
        self._weights = np.sqrt(length_km) / np.sqrt(np.sum(length_km) / 2)
        self._phases = random.uniform(0, 2 * np.pi, _WAVES)
        # Short waves change within a day, long ones within a week.
        self._rates = random.normal(size=_WAVES) * 2 * np.pi / (86400.0 * 5.0) * np.sqrt(_LARGEST_KM / length_km)

    def cover_percent(self, positions: Floats, seconds: Floats) -> Floats:
        """Return the cloud cover at positions and times.

        Args:
            positions: Earth-fixed unit vectors, shape (n, 3).
            seconds: Seconds since 1970, shape (n,).

        Returns:
            Percent in [0, 100], two decimals, shape (n,).
        """
        phases = positions @ self._vectors.T + np.outer(seconds % 31_557_600.0, self._rates) + self._phases
        weather = np.cos(phases) @ self._weights
        latitude = np.degrees(np.arcsin(positions[:, 2]))
        logit = 1.5 * weather + _mean_by_latitude(latitude)
        return np.asarray(np.round(100.0 / (1.0 + np.exp(-1.5 * logit)), 2))


def _mean_by_latitude(latitude: Floats) -> Floats:
    tropics = 1.0 * np.exp(-(((latitude - 6.0) / 9.0) ** 2))
    deserts = -1.0 * np.exp(-(((np.abs(latitude) - 25.0) / 11.0) ** 2))
    storm_tracks = 0.7 * np.exp(-(((np.abs(latitude) - 57.0) / 12.0) ** 2))
    return np.asarray(tropics + deserts + storm_tracks - 0.15)
