"""Footprints of a whole batch, from well-known binary: what is wrong with them, and their bounds.

Nearly all footprints are convex polygons of one ring, well inside the map. Those are told by arithmetic on
whole columns, right from the binary, in a tenth of the time that decoding them takes; all others become
geometries, which `geometry.py` looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from tilebox._core.geometry import antimeridian, extents, matching
from tilebox._core.geometry.wkb import LITTLE_ENDIAN, ONE_RING, POLYGON, RING_HEADER, VERTEX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

_FEWEST_VERTICES = 4
# Small enough that a block stays in the processor's cache from one step to the next.
_BLOCK_ROWS = 4096

# The sine of the smallest turn that counts as one: far above any rounding, so that what is convex here is convex.
_LEAST_TURN = 1e-9


class Footprints:
    """The footprints of a batch of datapoints.

    Args:
        column: Well-known binary (n,), null where there is none.
    """

    def __init__(self, column: pa.Array) -> None:
        import pyarrow as pa

        self._bounds = np.full((len(column), 4), np.nan)
        other = np.ones(len(column), dtype=bool)
        for rows, vertices in _single_rings(column):
            bounds = np.stack([*vertices.min(axis=1), *vertices.max(axis=1)], axis=1)
            plain = _are_convex(vertices) & _are_on_the_map(bounds)
            steps = np.abs(np.diff(vertices[0], axis=0)).max(axis=0)
            self._bounds[rows[plain]] = extents.plain_footprint_bounds(bounds[plain], steps[plain])
            other[rows[plain]] = False
        self._others = np.flatnonzero(other)
        self._decoded: npt.NDArray[np.object_] = np.array([], dtype=object)
        if not len(self._others):
            return
        binary = column.take(pa.array(self._others)).to_numpy(zero_copy_only=False)
        decoded: npt.NDArray[np.object_] = shapely.from_wkb(binary, on_invalid="ignore")
        # What is no geometry stays binary, which is how it is told from what is missing.
        damaged = shapely.is_missing(decoded) & (binary != None)  # noqa: E711 - compared element by element
        decoded[damaged] = binary[damaged]
        self._decoded = decoded

    def problems(self) -> list[tuple[int, str]]:
        """Return the rows that must be refused, each with the reason; a missing footprint is no problem."""
        if not len(self._others):
            return []
        return [(int(self._others[row]), reason) for row, reason in matching.problems(self._decoded)]

    def bounds(self) -> Floats:
        """Return what `geometry.footprint_bounds` returns for footprints without problems."""
        bounds = self._bounds.copy()
        if len(self._others):
            bounds[self._others] = matching.footprint_bounds(self._decoded)
        return bounds


def _single_rings(column: pa.Array) -> Iterator[tuple[npt.NDArray[np.intp], Floats]]:
    """Yield the polygons that have one ring, some thousand at a time.

    Yields:
        Their rows (m,), and the longitudes and latitudes of their vertices (2, vertices, m).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    for length in np.unique(lengths).tolist():
        vertices, rest = divmod(length - RING_HEADER.size, VERTEX_BYTES)
        if rest or vertices < _FEWEST_VERTICES:
            continue
        header = np.frombuffer(RING_HEADER.pack(LITTLE_ENDIAN, POLYGON, ONE_RING, vertices), np.uint8)
        rows = np.flatnonzero(lengths == length)
        raw = _bytes_of(column if len(rows) == len(column) else column.take(pa.array(rows)), length)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = raw[start : start + _BLOCK_ROWS]
            fits = (block[:, : RING_HEADER.size] == header).all(axis=1)
            numbers = np.ascontiguousarray(block[fits, RING_HEADER.size :]).view("<f8")
            yield rows[start : start + _BLOCK_ROWS][fits], _by_axis(numbers)


def _bytes_of(column: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """Return values that all have that many bytes as an array (n, length)."""
    _, offsets, data = column.buffers()
    (start,) = np.frombuffer(offsets, np.int32, count=1, offset=4 * column.offset).tolist()
    return np.frombuffer(data, np.uint8, count=length * len(column), offset=start).reshape(-1, length)


def _by_axis(numbers: Floats) -> Floats:
    """Turn rings (m, 2 * vertices) into longitudes and latitudes (2, vertices, m), in which arithmetic is fast."""
    return np.ascontiguousarray(numbers.reshape(len(numbers), -1, 2).transpose(2, 1, 0))


def _are_convex(vertices: Floats) -> npt.NDArray[np.bool_]:
    """Tell which rings (2, vertices, m) are closed, turn one way only, and go round once."""
    with np.errstate(invalid="ignore", over="ignore"):
        east, north = np.diff(vertices, axis=1)
        next_east, next_north = _next(east), _next(north)
        turns = east * next_north - north * next_east
        lengths = east**2 + north**2
        clear = (turns**2 > _LEAST_TURN**2 * lengths * _next(lengths)).all(axis=0)
        one_way = (turns > 0).all(axis=0) | (turns < 0).all(axis=0)
        # Edges that turn one way only, each by less than half a turn, change between up and down twice a turn.
        up = (north > 0) | ((north == 0) & (east > 0))
        once = (up != _next(up)).sum(axis=0) == 2
        closed = (vertices[:, 0] == vertices[:, -1]).all(axis=0)
    found: npt.NDArray[np.bool_] = clear & one_way & once & closed
    return found


def _next(edges: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the edges that follow those of rings (edges, m), as `numpy.roll` does in several times the time."""
    return np.concatenate((edges[1:], edges[:1]))


def _are_on_the_map(bounds: Floats) -> npt.NDArray[np.bool_]:
    """Tell which bounds are within 90 degrees of latitude and do not reach beyond the antimeridian; NaN never is."""
    inside = (bounds[:, 1] >= -90) & (bounds[:, 3] <= 90)
    found: npt.NDArray[np.bool_] = inside & np.isfinite(bounds).all(axis=1) & ~antimeridian.may_wrap(bounds)
    return found
