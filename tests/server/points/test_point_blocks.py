"""Time blocks: an interval touches few of them, and no row of it is missed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tilebox.server.points.index.time_blocks import BLOCK_ROWS, TimeBlocks


@given(
    rows=st.integers(1, 3 * BLOCK_ROWS + 1),
    seed=st.integers(0, 2**32),
    start=st.integers(-60, 60),
    length=st.integers(0, 120),
)
def test_positions_near_an_interval_include_all_its_rows(rows, seed, start, length):
    times = np.random.default_rng(seed).integers(-50, 50, rows)
    blocks = TimeBlocks.of(times)
    assert blocks.rows == rows
    wanted = np.flatnonzero((times >= start) & (times < start + length))
    near = blocks.positions_near(start, start + length)
    assert np.isin(wanted, near).all()
    assert (np.diff(near) > 0).all()
    assert set(near.tolist()) <= set(range(rows))


def test_sorted_rows_have_few_positions_near_an_interval():
    blocks = TimeBlocks.of(np.arange(100 * BLOCK_ROWS))
    assert blocks.positions_near(5 * BLOCK_ROWS, 6 * BLOCK_ROWS).tolist() == list(range(5 * BLOCK_ROWS, 6 * BLOCK_ROWS))
    assert len(blocks.positions_near(5 * BLOCK_ROWS - 1, 5 * BLOCK_ROWS + 1)) == 2 * BLOCK_ROWS
    assert len(blocks.positions_near(-9, 0)) == 0
    assert len(blocks.positions_near(100 * BLOCK_ROWS, 10**9)) == 0
