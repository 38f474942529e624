"""The row order of a spatial copy: tiles of neighbours, divided into blocks with bounds in space and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 128

KEY = np.dtype([("box", "<f4", 4), ("time", "<i8"), ("offset", "<u4"), ("collection", "<i4"), ("size", "<u4")])
"""The key of a row: bounding box, time, offset in the fragment, collection, and size of its message in bytes."""

BLOCK = np.dtype([("box", "<f4", 4), ("first_ms", "<i8"), ("last_ms", "<i8"), ("start", "<u4"), ("rows", "<u4")])
"""A block of rows: its bounds in space and time, its first row in the file, and its number of rows."""


def round_outward(boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round boxes (n, 4) to single precision so that none shrinks. NaN, for no footprint, stays and matches nothing."""
    rounded = boxes.astype(np.float32)
    ends = np.array([-np.inf, -np.inf, np.inf, np.inf], dtype=np.float32)
    return np.nextafter(rounded, ends)


def argsort(boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return an order that puts neighbouring boxes (n, 4) into one block: tiles, for each class of box size.

    A large box among small ones would make its block intersect everything.
    """
    west, south, east, north = boxes.astype(np.float64).T
    side = np.maximum(east - west, north - south)
    size_class = np.nan_to_num(np.floor(np.log2(np.maximum(side, 1e-3)) / 4), nan=np.inf)
    order = []
    for value in np.unique(size_class):
        members = np.flatnonzero(size_class == value)
        order.append(members[_tile_order((west + east)[members], (south + north)[members])])
    return np.concatenate(order)


def blocks_of(keys: NDArray[np.void], start: int) -> NDArray[np.void]:
    """Return the blocks of rows.

    Args:
        keys: The keys of the rows, in their order.
        start: The number of the first row in the file.
    """
    starts = np.arange(0, len(keys), BLOCK_ROWS)
    blocks = np.empty(len(starts), dtype=BLOCK)
    # fmin and fmax ignore NaN, so a block is bounded by the footprints that it has.
    blocks["box"][:, :2] = np.fmin.reduceat(keys["box"][:, :2], starts)
    blocks["box"][:, 2:] = np.fmax.reduceat(keys["box"][:, 2:], starts)
    blocks["first_ms"] = np.minimum.reduceat(keys["time"], starts)
    blocks["last_ms"] = np.maximum.reduceat(keys["time"], starts)
    blocks["start"] = start + starts
    blocks["rows"] = np.diff([*starts, len(keys)])
    return blocks


def intersect_any(boxes: NDArray[np.float32], areas: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which boxes (n, 4) intersect at least one of the areas (m, 4)."""
    mask = np.zeros(len(boxes), dtype=bool)
    for west, south, east, north in areas:
        mask |= (boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
    return mask


def rows_in(blocks: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the numbers of all rows in blocks."""
    rows, starts = blocks["rows"].astype(np.int64), blocks["start"].astype(np.int64)
    ends = np.cumsum(rows)
    return np.repeat(starts - (ends - rows), rows) + np.arange(rows.sum())


def _tile_order(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order points by strips of y with equally many points, and by x in each strip, so that blocks are about square.

    This is the packing of a sort-tile-recursive R-tree (Leutenegger, Lopez and Edgington, 1997).
    """
    strips = max(1, round((len(x) / BLOCK_ROWS) ** 0.5))
    strip = np.empty(len(y), dtype=np.int64)
    strip[np.argsort(y)] = np.arange(len(y)) * strips // len(y)
    return np.lexsort((x, strip))
